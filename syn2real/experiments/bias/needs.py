"""What a study of gender bias needs: what would fail hours later is told before anything is made."""

from syn2real.experiments.bias.recipe import BiasRecipe
from syn2real.language.bias.mitigation import demonstrates
from syn2real.language.bias.scorers import require_scorer
from syn2real.language.chat.choice import is_server
from syn2real.language.safety.judge import require_model


def require(recipe: BiasRecipe) -> None:
    """Raise `UserError` for a scorer, a way, a likeness, a reader, a server or a study of safety that would fail when
    its turn comes, as far as that can be told without a model's weights. Nothing is fetched, and nobody is asked."""
    answers, mitigation = recipe.answers, recipe.mitigation
    scoring = mitigation is not None and demonstrates(mitigation.ways)
    require_scorer(answers.scorer, answers.scorer_options, scoring=scoring)
    if mitigation is not None and mitigation.likeness is not None:
        require_scorer("embedding", mitigation.likeness_options)
    if recipe.cases.reader is not None:
        require_model(recipe.cases.reader)
    for target in recipe.targets:
        if target.safeguard is not None:
            target.study_of_safety()
        elif is_server(target.model):
            target.server()
