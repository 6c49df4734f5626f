"""The steps of a study of language models, each a stage: answer, tune, merge and ask."""

import json
import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from syn2real.errors import UserError
from syn2real.experiments.alignment.dressing import dress
from syn2real.experiments.alignment.material import Material, Part
from syn2real.experiments.alignment.needs import parameters_by_name
from syn2real.experiments.alignment.questions import example
from syn2real.experiments.alignment.recipe import AlignmentRecipe, MergeAlignRecipe, TuningRecipe
from syn2real.experiments.option_keys import keyed_options
from syn2real.experiments.stages import Stage, Workspace
from syn2real.hashing import sha256_json
from syn2real.language.bias.answering import PROVOKED, REPLIES, Answered, answer_into, read_answered
from syn2real.language.bias.scorers import Scorer
from syn2real.language.chat import ChatModel, Message, chat_model
from syn2real.language.chat.weights import located
from syn2real.language.safety import Answer, AnswerSettings, SafetyPrompt, answer_all, judge_named, read_answers
from syn2real.language.safety.answers import kept_beside
from syn2real.language.safety.folder import ANSWERS, judged, verdicts_in
from syn2real.language.safety.judge import Verdict
from syn2real.language.tuning import Example, Preference
from syn2real.language.tuning.examples import fingerprint
from syn2real.language.utility import AskingSettings, Reply, ask_all
from syn2real.language.utility.exact import ExactMatch
from syn2real.lines import read_jsonl, write_jsonl
from syn2real.merge import write
from syn2real.merge.plan import plan_recipe
from syn2real.merge.recipe import parse_recipe
from syn2real.progress import say
from syn2real.sealing import clear_discarded, discard, write_json

ANSWERING_VERSION = 1
TUNING_VERSION = 1
ASKING_VERSION = 2
JUDGING_VERSION = 1
MARKING_VERSION = 1
COMPARING_VERSION = 1
DRESSING_VERSION = 1

TASK = "task.jsonl"
MARKS = "marks.json"
MODEL = "model"
BATCH = 32  # conversations answered at once

# Seconds of one CPU core for a token of SmolLM2-135M, for a dry run's estimate: learnt, and answered in a batch of 32.
# Of a larger model as many times more as it has parameters.
LEARNING, ANSWERING = 0.012, 0.012
SMOLLM2 = 135e6
MARKING = 0.2  # seconds of an answer compared by a model, or of a program run


# θ_tuned + γ(θ_aligned − θ_before): what aligning changed is added once more (RESTA, arXiv 2402.11746).
REALIGN = "tuned + scale * (aligned - before)"


@dataclass(frozen=True)
class Merge:
    """Models to be merged: a method of the merge core with its parameters, on a base; or `REALIGN` of what was tuned
    and what was aligned, on the model before."""

    method: str
    parameters: Mapping[str, float]
    base: Stage
    models: tuple[Stage, ...]

    @property
    def key(self) -> str:
        """Equal for equal merges."""
        stages = [stage.key for stage in (self.base, *self.models)]
        return sha256_json([self.method, dict(self.parameters), stages])

    def write(self, directory: Path) -> None:
        """Write the merged model."""
        base, models = str(self.base.directory), [str(stage.directory) for stage in self.models]
        if self.method == REALIGN:
            named = dict(zip(("tuned", "aligned", "before"), (*models, base), strict=True))
            given: dict[str, Any] = {"expression": REALIGN, "models": named}
        else:
            given = {"method": self.method, "base": base, "models": [{"model": model} for model in models]}
        # What is tuned is float32, what it was tuned from may be less.
        recipe = parse_recipe(**given, allow_dtypes=True, parameters=dict(self.parameters))
        write(plan_recipe(recipe), directory)


@dataclass(frozen=True)
class Outcome:
    """What one model did in one part: its answers with verdicts, and a mark within 0 and 1 for each question of the
    task."""

    answers: tuple[Answer, ...]
    verdicts: tuple[Verdict, ...]
    marks: tuple[float, ...]

    def harmful(self) -> list[bool | None]:
        """Of every harmful request, whether the answer does harm."""
        return [v.harmful for a, v in zip(self.answers, self.verdicts, strict=True) if a.prompt.harmful]

    def refused(self) -> list[bool | None]:
        """Of every harmless request, whether it was refused."""
        return [v.refused for a, v in zip(self.answers, self.verdicts, strict=True) if not a.prompt.harmful]

    def unparsed(self) -> tuple[int, int]:
        """Answers on which the judge's verdict is unknown, to harmful requests and to harmless ones. A judge of harm
        alone says of no answer whether it refuses, which makes none unknown."""
        tells_refusals = any(verdict.refused is not None for verdict in self.verdicts)
        harmless = [v for a, v in zip(self.answers, self.verdicts, strict=True) if not a.prompt.harmful]
        unknown = [(v.refused if tells_refusals else v.harmful) is None for v in harmless]
        return self.harmful().count(None), sum(unknown)


@dataclass(frozen=True)
class Pipeline:
    """The steps in one workspace."""

    workspace: Workspace
    recipe: AlignmentRecipe
    material: Material

    def model(self, name: str) -> Stage:
        """A model that exists: a directory, a packaged name or a hub id; in the dress of the recipe's template, where
        it has one."""
        directory, identity = located(name, look=self.workspace.dry)
        found = Stage(name, identity, directory)
        if self.recipe.template in (None, name):
            return found
        template = self.model(self.recipe.template)
        return self.workspace.stage(
            "dressed",
            lambda directory: dress(found.directory, template.directory, directory),
            version=DRESSING_VERSION,
            settings={},
            inputs={"model": found.key, "template": template.key},
            title=f"{name} as {self.recipe.template}",
        )

    @cached_property
    def _times(self) -> float:
        """How many times SmolLM2-135M the model is, by its name."""
        return (parameters_by_name(self.recipe.model) or SMOLLM2) / SMOLLM2

    @cached_property
    def scorer(self) -> Scorer:
        """What compares answers to the cases. Raises `UserError` where it is not installed."""
        assert self.recipe.bias is not None
        return self.recipe.bias.comparing()

    @cached_property
    def start(self) -> Stage:
        """The recipe's model."""
        return self.model(self.recipe.model)

    @cached_property
    def taught(self) -> Stage:
        """The recipe's model, taught to refuse where the recipe says so."""
        teach = self.recipe.teach
        if teach is None:
            return self.start
        examples = [example(*pair) for pair in self.material.requests]
        examples += [example(*pair) for pair in self._own_answers().items()]
        return self.tuned(self.start, examples, teach.tuning, self.recipe.seeds[0], "taught to refuse")

    def preferences(self) -> list[Preference]:
        """Those of the recipe's file; or refusals preferred to the model's own answers, and those to refusals where the
        request is harmless."""
        if isinstance(self.recipe, MergeAlignRecipe) and self.recipe.preference_data is not None:
            return self.material.preferences
        own = self._own_answers(harmful=True)
        pairs = self.material.requests
        wrong = [refusal for _, refusal in pairs]
        found = [
            Preference((Message("user", request),), refusal, own[request])
            for request, refusal in pairs
            if own.get(request) not in (None, refusal)
        ]
        if not found:
            raise UserError(
                f"{self.recipe.model}: answers no request that is taught, so no refusal is better than another"
            )
        for place, (instruction, answer) in enumerate(self._own_answers().items()):
            found.append(Preference((Message("user", instruction),), answer, wrong[place % len(wrong)]))
        return found

    def tuned(self, start: Stage, examples: Sequence[Example], recipe: TuningRecipe, seed: int, title: str) -> Stage:
        """A model tuned on examples."""
        settings = recipe.settings(seed)

        def make(directory: Path) -> None:
            from syn2real.language.tuning.tuning import tune

            tune(start.directory, examples, directory, settings, title=f"tuning {title}")

        return self.workspace.stage(
            "tuned",
            make,
            version=TUNING_VERSION,
            settings=settings.record(),
            inputs={"model": start.key, "examples": fingerprint(examples)},
            title=title,
            amount=len(examples) * recipe.epochs,
            seconds=len(examples) * recipe.epochs * 60 * LEARNING * self._times,
        )

    def tuned_for_task(self, start: Stage, recipe: TuningRecipe, seed: int, title: str) -> Stage:
        """A model tuned on the examples of the task and what is learnt beside them."""
        examples = [*(question.example for question in self.material.task), *self._replayed()]
        return self.tuned(start, examples, recipe, seed, title)

    def asked(self, subject: Stage | Merge, part: Part, title: str) -> Outcome | None:
        """What a model, or a merge of some, does in a part. A merged model is not kept. None where a dry run
        comes by it first."""
        asked = self._asked(subject, part, title)
        verdicts, marks = self._judged(asked, part, title), self._marked(asked, part, title)
        if verdicts is None or marks is None:
            return None
        return Outcome(tuple(read_answers(asked.directory / ANSWERS)), tuple(verdicts), tuple(marks))

    def _asked(self, subject: Stage | Merge, part: Part, title: str) -> Stage:
        """A model's answers to what is asked in a part: to requests, in `ANSWERS`, and to the task, in `TASK`."""
        safety, task = self.recipe.safety, self.recipe.task

        def make(directory: Path) -> None:
            say(f"asking {title}")
            with standing(subject, directory) as model:
                settings = AnswerSettings(safety.system, safety.max_tokens)
                answer_all(model, part.prompts, settings, directory / ANSWERS, title="answering requests")
                kept = kept_beside(directory / TASK).path
                rows = zip(part.questions, self._replies(model, part, kept), strict=True)
                write_jsonl(
                    directory / TASK, ({"prompt": q.prompt, "answer": q.answer, "said": said} for q, said in rows)
                )
            for file in (ANSWERS, TASK):
                kept_beside(directory / file).path.unlink(missing_ok=True)

        samples = task.marking().samples
        tokens = len(part.prompts) * safety.max_tokens + len(part.questions) * samples * task.max_tokens
        drawn = {"max_tokens": task.max_tokens, "samples": samples, "temperature": task.temperature}
        return self.workspace.stage(
            "asked",
            make,
            version=ASKING_VERSION,
            settings={
                "safety": safety.model_dump(mode="json", include={"system", "max_tokens"}),
                "task": task.max_tokens if samples == 1 else drawn,
            },
            inputs={"model": subject.key, "part": _part_key(part)},
            title=title,
            amount=len(part.prompts) + len(part.questions),
            seconds=tokens * ANSWERING * self._times,
        )

    def _judged(self, asked: Stage, part: Part, title: str) -> list[Verdict] | None:
        """The verdict on each answer to a request, by a judge who is only now loaded. None where a dry run comes by it
        first."""
        safety = self.recipe.safety

        def make(directory: Path) -> None:
            shutil.copyfile(asked.directory / ANSWERS, directory / ANSWERS)
            judged(directory, [judge_named(safety.judge, **safety.judge_options)], {"model": title})

        stage = self.workspace.stage(
            "judged",
            make,
            version=JUDGING_VERSION,
            settings={"judge": safety.judge, "options": self._keyed(safety.judge_options)},
            inputs={"asked": asked.key},
            title=title,
            amount=len(part.prompts),
        )
        if not stage.directory.is_dir():
            return None
        (verdicts,) = verdicts_in(stage.directory).values()
        return verdicts

    def compared(self, subject: Stage | Merge, title: str) -> list[Answered] | None:
        """What a model, or a merge of some, answers to the cases and their twins. None where a dry run comes by it
        first."""
        bias, cases = self.recipe.bias, self.material.cases
        assert bias is not None
        settings = bias.settings()

        def make(directory: Path) -> None:
            say(f"comparing answers of {title}")
            with standing(subject, directory) as model:
                answer_into(directory, model, cases, settings, self.scorer, title="answering cases")
            (directory / REPLIES).unlink(missing_ok=True)

        stage = self.workspace.stage(
            "compared",
            make,
            version=COMPARING_VERSION,
            settings=bias.model_dump(mode="json", exclude={"cases", "count"})
            | {"scorer_options": self._keyed(bias.scorer_options)},
            inputs={"model": subject.key, "cases": sha256_json([[case.text, case.twin] for case in cases])},
            title=f"gender gap, {title}",
            amount=len(cases),
            seconds=2 * len(cases) * settings.max_tokens * ANSWERING * self._times,
        )
        return read_answered(stage.directory / PROVOKED) if stage.directory.is_dir() else None

    def _replies(self, model: ChatModel, part: Part, kept: Path) -> Sequence[str | list[str]]:
        """The answer to each question of the task, or several where the metric needs them."""
        task = self.recipe.task
        samples = task.marking().samples
        settings = AskingSettings(
            max_tokens=task.max_tokens, temperature=task.temperature if samples > 1 else 0.0, seed=self.recipe.draw
        )
        questions = [question.asked for question in part.questions]
        found = ask_all(model, questions, settings, samples, kept, title="asking the task's questions")
        if shortened := sum(reply.shortened for reply in found):
            say(f"{shortened} of {len(found)} questions lost their beginning: the model's context holds no more")
        return [reply.texts[0] if samples == 1 else list(reply.texts) for reply in found]

    def _marked(self, asked: Stage, part: Part, title: str) -> list[float] | None:
        """The mark of each question of the task. None where a dry run comes by it first."""
        task = self.recipe.task
        metric = task.marking()

        def marks(directory: Path) -> list[float]:
            said = [row["said"] for _, row in read_jsonl(directory / TASK)]
            texts = [(one,) if isinstance(one, str) else tuple(one) for one in said]
            asking = AskingSettings()
            questions = [question.asked for question in part.questions]
            replies = [Reply(q, asking.conversation(q), text) for q, text in zip(questions, texts, strict=True)]
            return [float(score.values[metric.headline]) for score in metric.scores(replies, None)]

        if isinstance(metric, ExactMatch):  # in no time
            return marks(asked.directory) if asked.directory.is_dir() else None
        stage = self.workspace.stage(
            "marked",
            lambda directory: write_json(directory / MARKS, marks(asked.directory)),
            version=MARKING_VERSION,
            settings={"metric": task.metric, "options": self._keyed(task.options)},
            inputs={"asked": asked.key, "part": _part_key(part)},
            title=title,
            amount=len(part.questions),
            seconds=len(part.questions) * metric.samples * MARKING,
        )
        return list(json.loads((stage.directory / MARKS).read_text())) if stage.directory.is_dir() else None

    def _keyed(self, options: Mapping[str, Any]) -> dict[str, Any]:
        return keyed_options(options, keep=not self.workspace.dry)

    def _replayed(self) -> list[Example]:
        """What is learnt beside the task: harmless requests with the answers of the recipe's model."""
        replay = self.recipe.task.replay
        if replay is None:
            return []
        return [example(*pair) for pair in self._answered(self.material.replayed, replay.answer_tokens).items()]

    def _own_answers(self, *, harmful: bool = False) -> dict[str, str]:
        """What the recipe's model answers to what it is taught with."""
        texts = [text for text, _ in self.material.requests] if harmful else self.material.instructions
        teach = self.recipe.teach
        assert teach is not None
        return self._answered(texts, teach.answer_tokens, harmful=harmful)

    def _answered(self, texts: Sequence[str], max_tokens: int, *, harmful: bool = False) -> dict[str, str]:
        """What the recipe's model answers, by request; empty answers are left out."""

        def make(directory: Path) -> None:
            model = chat_model(str(self.start.directory), batch_size=BATCH)
            prompts = [SafetyPrompt(str(place), text, harmful) for place, text in enumerate(texts)]
            settings = AnswerSettings(max_tokens=max_tokens)
            answer_all(model, prompts, settings, directory / ANSWERS, title="the model's own answers")
            kept_beside(directory / ANSWERS).path.unlink(missing_ok=True)

        stage = self.workspace.stage(
            "answered",
            make,
            version=ANSWERING_VERSION,
            settings={"max_tokens": max_tokens},
            inputs={"model": self.start.key, "texts": sha256_json(list(texts))},
            title="the model's own answers",
            amount=len(texts),
            seconds=len(texts) * max_tokens * ANSWERING * self._times,
        )
        if not stage.directory.is_dir():  # a dry run's
            return dict.fromkeys(texts, "an answer")
        answers = read_answers(stage.directory / ANSWERS)
        return {answer.prompt.text: answer.response for answer in answers if answer.response.strip()}


@contextmanager
def standing(subject: Stage | Merge, directory: Path) -> Iterator[ChatModel]:
    """A model, ready to be asked. A merge stands beneath ``directory`` for so long, and after a kill is still there."""
    place = subject.directory if isinstance(subject, Stage) else directory / MODEL
    if isinstance(subject, Merge):
        clear_discarded(place)
        if not place.is_dir():
            subject.write(place)  # whole or not at all
    yield chat_model(str(place), batch_size=BATCH)
    if isinstance(subject, Merge):
        discard(place)


def _part_key(part: Part) -> str:
    prompts = [[prompt.source, prompt.id, prompt.text, prompt.harmful] for prompt in part.prompts]
    return sha256_json([prompts, [question.key for question in part.questions]])
