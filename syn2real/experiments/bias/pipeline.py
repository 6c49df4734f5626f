"""The steps of a study of gender bias, each a stage: learn seeds, reinforce, write cases, measure, mitigate."""

import json
import shutil
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from random import Random
from typing import Any

from syn2real.errors import UserError
from syn2real.experiments.alignment.material import Material
from syn2real.experiments.alignment.pipeline import ANSWERING, LEARNING, Merge
from syn2real.experiments.alignment.pipeline import Pipeline as SafetyPipeline
from syn2real.experiments.bias import needs
from syn2real.experiments.bias.recipe import BiasRecipe, TargetRecipe
from syn2real.experiments.option_keys import keyed_model, keyed_options
from syn2real.experiments.stages import Stage, Workspace
from syn2real.hashing import remembered_sha256, seed_from, sha256_json
from syn2real.language.bias import Pairs, own_pairs, read_pairs
from syn2real.language.bias.answering import PROVOKED, REPLIES, Answered, answer_into, read_answered
from syn2real.language.bias.cases import Case, cases_of, read_sentences
from syn2real.language.bias.mitigation import require_ways
from syn2real.language.bias.scorers import Scorer, scorer_named
from syn2real.language.bias.sets import CaseSet, Write, gather, read_set, write_set
from syn2real.language.chat import ChatModel, Message, Sampling, chat_model
from syn2real.language.chat.choice import is_server
from syn2real.language.chat.weights import located
from syn2real.language.sifting import lines_of
from syn2real.progress import say
from syn2real.sealing import write_json

VERSIONS = {"learnt": 1, "reinforced": 1, "cases": 1, "measured": 1, "mitigated": 3, "target": 1}
USE = "usefulness.json"
BATCH = 64  # conversations answered at once

READING = 0.004  # seconds of one CPU core for a token of SmolLM2-135M that is read, for a dry run's estimate
WORDS = 25  # tokens of a sentence, about


@dataclass(frozen=True)
class Target:
    """A model under test, loaded when it is asked."""

    recipe: TargetRecipe
    key: str  # equal for equal models
    model: str  # what `chat_model` takes

    def load(self) -> ChatModel:
        """The model. That on a server is always the same one, whose pace and budget hold for all stages."""
        if is_server(self.model):
            return self._server
        return chat_model(self.model, batch_size=BATCH, dtype=_width(self.recipe))

    @cached_property
    def _server(self) -> ChatModel:
        return self.recipe.server()


@dataclass(frozen=True)
class Pipeline:
    """The steps in one workspace."""

    workspace: Workspace
    recipe: BiasRecipe

    @cached_property
    def pairs(self) -> Pairs:
        """Words of two genders."""
        return read_pairs(self.recipe.pairs) if self.recipe.pairs else own_pairs(names=self.recipe.names)

    @cached_property
    def scorer(self) -> Scorer:
        """How far apart answers are."""
        return self.recipe.answers.comparing()

    @cached_property
    def likeness(self) -> Scorer | None:
        """How far answers are from those before; None where the recipe does not ask."""
        mitigation = self.recipe.mitigation
        if mitigation is None or mitigation.likeness is None:
            return None
        return scorer_named("embedding", **mitigation.likeness_options)

    def require(self) -> None:
        """Raise `UserError` for what would fail hours later; to be sure, what scores is loaded, but in a dry run."""
        needs.require(self.recipe)
        if self.workspace.dry:
            return
        say(f"gender gaps by {self.scorer.name}")
        if self.recipe.mitigation is not None:
            require_ways(self.recipe.mitigation.ways, self.scorer)
        if self.likeness is not None:
            say(f"likeness by {self.likeness.name}")

    @cached_property
    def seeds(self) -> tuple[list[Case], list[str]]:
        """Seeds that are asked as a baseline, and other sentences that are learnt; drawn by the recipe's seed."""
        recipe = self.recipe
        texts = [text for path in recipe.generator.seeds for text in read_sentences(path)]
        cases, _ = cases_of((t for t in texts if len(t.split()) <= recipe.generator.most_words), self.pairs)
        Random(seed_from(recipe.seed, "seeds")).shuffle(cases)
        if len(cases) < 20:
            raise UserError(f"{recipe.generator.seeds[0]}: {len(cases)} seed sentences are cases; it takes 20 or more")
        asked = min(recipe.cases.test, len(cases) // 3)
        return cases[:asked], [case.text for case in cases[asked:]][: recipe.generator.count]

    def _found(self, model: str) -> tuple[Path, str]:
        """Where a model is, and what tells it from others; in a dry run it need not be there."""
        return located(model, look=self.workspace.dry)

    # ---- models under test -------------------------------------------------------------------------------------------

    def target(self, recipe: TargetRecipe) -> Target:
        """A target by its recipe; one of a study of safety is made, or taken from its stages."""
        if recipe.safeguard is None:
            if is_server(recipe.model):
                return Target(recipe, sha256_json([recipe.model, recipe.url]), recipe.model)
            directory, identity = self._found(recipe.model)
            return Target(recipe, sha256_json([identity, _width(recipe)]), str(directory))
        stage = self._of_safeguard(recipe)
        return Target(recipe, sha256_json([stage.key, _width(recipe)]), str(stage.directory))

    def _of_safeguard(self, recipe: TargetRecipe) -> Stage:
        safeguard = recipe.study_of_safety()
        pipeline = SafetyPipeline(self.workspace, safeguard, Material(safeguard))
        if recipe.system == "aligned":
            return pipeline.taught
        tuned = pipeline.tuned_for_task(
            pipeline.taught, safeguard.task.tuning, safeguard.seeds[0], "tuned for the task"
        )
        if recipe.system == "tuned":
            return tuned
        merge = Merge("prepost", {"scale": recipe.scale}, pipeline.taught, (tuned,))

        def make(directory: Path) -> None:
            shutil.rmtree(directory / "model", ignore_errors=True)
            merge.write(directory / "model")
            for path in sorted((directory / "model").iterdir()):
                path.rename(directory / path.name)
            (directory / "model").rmdir()

        return self.workspace.stage(
            "merged", make, version=VERSIONS["target"], settings={"scale": recipe.scale}, inputs={"merge": merge.key},
            title=recipe.name,
        )  # fmt: skip

    # ---- the generator -----------------------------------------------------------------------------------------------

    @cached_property
    def learnt(self) -> Stage:
        """The generator, tuned on the seeds."""
        recipe = self.recipe.generator
        start, identity = self._found(recipe.model)
        sentences = self.seeds[1]
        settings = recipe.tuning.settings(self.recipe.seed)

        def make(directory: Path) -> None:
            from syn2real.language.bias.generator import learn_seeds, prepare_generator

            prepared = directory / "start"
            prepare_generator(start, prepared)
            learn_seeds(prepared, sentences, directory, settings, "learning the seeds")
            shutil.rmtree(prepared)

        return self.workspace.stage(
            "learnt",
            make,
            version=VERSIONS["learnt"],
            settings=settings.record(),
            inputs={"model": identity, "sentences": sha256_json(sentences)},
            title="generator, tuned on seeds",
            amount=len(sentences) * recipe.tuning.epochs,
            seconds=len(sentences) * recipe.tuning.epochs * WORDS * LEARNING,
        )

    def reinforced(self, target: Target) -> Stage:
        """The generator, reinforced against a target."""
        recipe, start, seeds = self.recipe.reinforcement, self.learnt, self.seeds[1]
        given = recipe.settings(self.recipe.seed)

        def make(directory: Path) -> None:
            from syn2real.language.bias.reinforcement import ReinforcementSettings, reinforce
            from syn2real.language.bias.reward import Reward, RewardSettings

            paying = RewardSettings(recipe.novelty, recipe.pool, self.recipe.answers.settings())
            reward = Reward(target.load(), self.scorer, paying, directory, self.pairs)
            reinforce(
                start.directory, reward, seeds, directory, ReinforcementSettings(**given),
                paid_by=target.key, title=f"reinforcing against {target.recipe.name}",
            )  # fmt: skip

        lora = given["lora"]
        sentences = recipe.steps * recipe.batch_size
        return self.workspace.stage(
            "reinforced",
            make,
            version=VERSIONS["reinforced"],
            settings=given
            | {"lora": asdict(lora) if lora else None, "novelty": recipe.novelty, "pool": recipe.pool}
            | self._asking(),
            inputs={"generator": start.key, "target": target.key, "seeds": sha256_json(seeds)},
            title=f"generator, reinforced against {target.recipe.name}",
            amount=sentences,
            seconds=sentences
            * (
                recipe.max_tokens * (ANSWERING + recipe.inner_epochs * LEARNING)
                + 2 * (self.recipe.answers.max_tokens * ANSWERING + WORDS * READING)
            ),
        )

    # ---- cases -------------------------------------------------------------------------------------------------------

    def seed_set(self) -> Stage:
        """Seeds that the generator has not learnt."""
        asked = self.seeds[0]

        def write(start: int, count: int) -> list[str]:
            return [case.text for case in asked][start : start + count]

        return self._set("seed sentences", write, sha256_json([case.id for case in asked]), pool=0, seconds=0.0)

    def written_set(self, name: str, generator: Stage) -> Stage:
        """Cases that a generator writes."""
        cases = self.recipe.cases
        sampling = Sampling(cases.temperature, cases.top_p, cases.max_tokens)

        def write(start: int, count: int) -> list[str]:
            from syn2real.language.bias.generator import write_sentences

            return write_sentences(generator.directory, count, sampling, self.recipe.seed, start)

        count = cases.test + cases.pool
        seconds = 2 * count * cases.max_tokens * ANSWERING
        return self._set(name, write, generator.key, pool=cases.pool, seconds=seconds)

    def prompted_set(self) -> Stage | None:
        """Cases of a chat model that is asked for them; None where the recipe has no such baseline."""
        prompted = self.recipe.prompted
        if prompted is None:
            return None
        if prompted.sentences is not None:
            texts = read_sentences(prompted.sentences)
            Random(seed_from(self.recipe.seed, "prompted")).shuffle(texts)
            return self._set(
                "prompted model", lambda start, count: texts[start : start + count],
                sha256_json([remembered_sha256(prompted.sentences), self.recipe.seed]), pool=0, seconds=0.0,
            )  # fmt: skip
        directory, identity = self._found(prompted.model)
        sampling = Sampling(prompted.temperature, max_tokens=prompted.max_tokens)

        def write(start: int, count: int) -> list[str]:
            model = chat_model(str(directory), batch_size=BATCH)
            talk = (Message("user", prompted.prompt),)
            seeds = [seed_from(self.recipe.seed, "prompted", place) for place in range(start, start + count)]
            return [(lines_of(said) or [""])[0] for said in model.replies([talk] * count, sampling, seeds)]

        said = prompted.model_dump(mode="json") | {"model": self._keyed_model(prompted.model)}
        key = sha256_json([identity, said, self.recipe.seed])
        seconds = 2 * self.recipe.cases.test * (prompted.max_tokens * ANSWERING + WORDS * READING)
        return self._set("prompted model", write, key, pool=0, seconds=seconds)

    def _set(self, name: str, write: Write, key: str, *, pool: int, seconds: float) -> Stage:
        cases = self.recipe.cases

        def make(directory: Path) -> None:
            found = gather(write, cases.test, pool, self.pairs, like=cases.like)
            write_set(directory, found, {"writer": name, "perplexity": self._perplexity(found)})

        return self.workspace.stage(
            "cases",
            make,
            version=VERSIONS["cases"],
            settings={
                "seed": self.recipe.seed,
                "pool": pool,
                **cases.model_dump(mode="json", exclude={"pool"}),
                "reader": self._keyed_model(cases.reader),
            },
            inputs={"writer": key, "pairs": self.pairs.key},
            title=f"test cases: {name}",
            amount=cases.test + pool,
            seconds=seconds,
        )

    def _perplexity(self, found: CaseSet) -> float | None:
        if self.recipe.cases.reader is None:
            return None
        from syn2real.language.bias.usefulness import perplexity
        from syn2real.language.chat.local import LocalModel

        reader = LocalModel.load(self.recipe.cases.reader, batch_size=BATCH, template=False)
        return perplexity(reader, [(reader.beginning, case.text) for case in (*found.test, *found.pool)])

    # ---- measures ----------------------------------------------------------------------------------------------------

    def measured(
        self, target: Target, cases: Stage, name: str, *, pool: bool = False
    ) -> tuple[Stage, list[Answered] | None]:
        """What a target answers to a set's test cases, or to its pool. None where a dry run comes by it first."""
        settings = self.recipe.answers.settings()

        def make(directory: Path) -> None:
            found = read_set(cases.directory)
            asked = found.pool if pool else found.test
            answer_into(directory, target.load(), asked, settings, self.scorer, title=f"asking {name}")
            (directory / REPLIES).unlink(missing_ok=True)

        count = self.recipe.cases.pool if pool else self.recipe.cases.test
        stage = self.workspace.stage(
            "measured",
            make,
            version=VERSIONS["measured"],
            settings=self._asking() | {"part": "pool" if pool else "test"},
            inputs={"target": target.key, "cases": cases.key},
            title=name,
            amount=count,
            seconds=2 * count * (settings.max_tokens * ANSWERING + WORDS * READING),
        )
        return stage, read_answered(stage.directory / PROVOKED) if stage.directory.is_dir() else None

    def mitigated(
        self, target: Target, cases: Stage, way: str, before: Sequence[Answered] | None, pool: Sequence[Answered] | None
    ) -> tuple[list[Answered], dict[str, Any]] | None:
        """What a target answers when it is asked so that it is fair, and of what use both answers are; ``before`` and
        ``pool`` are known but in a dry run."""
        recipe, settings = self.recipe.mitigation, self.recipe.answers.settings()
        assert recipe is not None

        def make(directory: Path) -> None:
            from syn2real.language.bias.mending import Mending, mended

            assert before is not None and pool is not None
            mending = Mending(recipe.demonstrations, self.recipe.seed, recipe.instruction, self.pairs, self.likeness)
            _, use = mended(target.load(), way, before, pool, settings, self.scorer, mending, directory)
            write_json(directory / USE, use)
            (directory / REPLIES).unlink(missing_ok=True)

        count = min(recipe.cases or self.recipe.cases.test, self.recipe.cases.test)
        shown = 0 if way == "instruction" else 2 * recipe.demonstrations * (WORDS + settings.max_tokens)
        stage = self.workspace.stage(
            "mitigated",
            make,
            version=VERSIONS["mitigated"],
            settings=self._asking()
            | {
                "way": way, "demonstrations": recipe.demonstrations, "instruction": recipe.instruction,
                "likeness": self._keyed_model(recipe.likeness), "cases": count, "seed": self.recipe.seed,
            },
            inputs={"target": target.key, "cases": cases.key},
            title=f"{target.recipe.name}, {way}",
            amount=count,
            seconds=2 * count * (settings.max_tokens * ANSWERING + (WORDS + shown) * READING),
        )  # fmt: skip
        if not stage.directory.is_dir():
            return None
        use = json.loads((stage.directory / USE).read_text(encoding="utf-8"))
        return read_answered(stage.directory / PROVOKED), use

    def _asking(self) -> dict[str, Any]:
        """What of the recipe decides an answer and its gap."""
        answers = self.recipe.answers
        options = keyed_options(answers.scorer_options, keep=not self.workspace.dry)
        said = answers.model_dump(mode="json", exclude={"threshold"}) | {"scorer_options": options}
        return {"answers": said, "pairs": self.pairs.key}

    def _keyed_model(self, name: str | None) -> str | None:
        return None if name is None else keyed_model(name, keep=not self.workspace.dry)


def _width(target: TargetRecipe) -> str | None:
    """The name of what a target is computed in."""
    if target.dtype != "auto":
        return target.dtype
    from syn2real.training_state import best_precision

    return {"bf16": "bfloat16", "fp16": "float16", "fp32": "float32"}[best_precision()]
