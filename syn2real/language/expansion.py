"""A few sentences of a domain become more of the same kind, written by a chat model."""

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import Any

from syn2real.errors import UserError
from syn2real.hashing import seed_from, sha256_json
from syn2real.language.chat.asking import ask
from syn2real.language.chat.kept import KeptReplies
from syn2real.language.chat.model import ChatModel, Message, Sampling
from syn2real.language.sifting import Limits, Reason, Sieve, is_cut_off, lines_of
from syn2real.progress import Bar

TOGETHER = 8  # prompts asked at once
PATIENCE = 5  # times that so many prompts may bring nothing new before it is given up
TASK = "You write sentences that people say. You answer with a list of sentences and nothing else."

SAMPLING = Sampling(temperature=0.8, top_p=0.95, max_tokens=300)
LIMITS = Limits()


@dataclass(frozen=True)
class Seed:
    """A sentence of the domain."""

    id: str
    text: str


@dataclass(frozen=True)
class ExpansionSettings:
    """How much is wanted, and how it is asked for."""

    count: int
    about: str | None = None  # the domain in a few words, as "requests to a home assistant"
    shown: int = 6  # seeds in each prompt, drawn anew
    lines: int = 10  # sentences asked for in each prompt
    sampling: Sampling = SAMPLING
    limits: Limits = LIMITS
    seed: int = 0

    def __post_init__(self) -> None:
        for name in ("count", "shown", "lines"):
            if getattr(self, name) < 1:
                raise UserError(f"{name} must be 1 or more, not {getattr(self, name)}")


@dataclass(frozen=True)
class Prompt:
    """One request: which seeds it shows, and the seed its answer is drawn with."""

    shown: tuple[Seed, ...]
    messages: tuple[Message, ...]
    seed: int

    @property
    def hash(self) -> str:
        """What tells its text from others'."""
        return sha256_json([[turn.role, turn.content] for turn in self.messages])[:16]


@dataclass(frozen=True)
class Expansion:
    """What came of it."""

    rows: list[dict[str, Any]]  # lines of a JSONL file that reads as text
    asked: int  # prompts
    lines: int  # in their answers
    refused: dict[Reason, int] = field(default_factory=dict)

    @property
    def share(self) -> float:
        """Of the lines, those kept."""
        return len(self.rows) / self.lines if self.lines else 0.0


def expand(
    model: ChatModel,
    seeds: Sequence[Seed],
    settings: ExpansionSettings,
    replies: Path,
    *,
    key: Callable[[str], str],
    unspeakable: Callable[[str], str | None],
    domain: str | None = None,
) -> Expansion:
    """Up to ``settings.count`` new sentences, fewer where the model has nothing new to say.

    Answers are appended to ``replies`` as they come, so that a killed run goes on where it was, and one that asks for
    more sentences asks the model for the rest alone. ``key`` and ``unspeakable`` are those of `Sieve`. Raises
    `UserError` without seeds, and as the model does.
    """
    if not seeds:
        raise UserError("there are no seed sentences to go by")
    kept = KeptReplies(replies)
    instructions = f"{TASK} {_first(settings, settings.shown)} {_more(settings)}"
    sieve = Sieve((seed.text for seed in seeds), instructions, settings.limits, key, unspeakable)
    rows: list[dict[str, Any]] = []
    refused: Counter[Reason] = Counter()
    asked = lines = barren = 0
    bar = Bar("Writing")
    bar.start(settings.count)
    try:
        while len(rows) < settings.count and barren < PATIENCE:
            prompts = [prompt(seeds, settings, asked + place) for place in range(TOGETHER)]
            before = len(rows)
            talks, drawn = [one.messages for one in prompts], [one.seed for one in prompts]
            for one, reply in zip(prompts, ask(model, talks, settings.sampling, drawn, kept), strict=True):
                asked += 1
                found = lines_of(reply)
                lines += len(found)
                if is_cut_off(found):
                    found.pop()
                    refused["cut off"] += 1
                for line in found:
                    reason = sieve.refuse(line)
                    if reason is not None:
                        refused[reason] += 1
                    else:
                        rows.append(_row(line, one, model, domain))
                        bar.advance()
                if len(rows) >= settings.count:
                    break
            barren = 0 if len(rows) > before else barren + 1
    finally:
        bar.stop()
    return Expansion(rows[: settings.count], asked, lines, dict(refused.most_common()))


def prompt(seeds: Sequence[Seed], settings: ExpansionSettings, number: int) -> Prompt:
    """The prompt with this number: it shows its own draw of the seeds, whatever was asked before."""
    drawn = seed_from(settings.seed, "expansion", number)
    shown = tuple(Random(drawn).sample(list(seeds), min(settings.shown, len(seeds))))
    # The seeds stand as the model's own earlier answer: small models go on with what they have begun, and hardly follow
    # instructions.
    listed = "\n".join(f"{place}. {seed.text}" for place, seed in enumerate(shown, start=1))
    turns = (
        Message("system", TASK),
        Message("user", _first(settings, len(shown))),
        Message("assistant", listed),
        Message("user", _more(settings)),
    )
    return Prompt(shown, turns, drawn)


def _first(settings: ExpansionSettings, shown: int) -> str:
    return f"Write {shown} {settings.about or 'sentences that belong together'}."


def _more(settings: ExpansionSettings) -> str:
    return f"Write {settings.lines} more of the same kind and in the same language, each different."


def _row(line: str, one: Prompt, model: ChatModel, domain: str | None) -> dict[str, Any]:
    row: dict[str, Any] = {"id": f"x{sha256_json(line)[:12]}", "text": line}
    row |= {"domain": domain} if domain else {}
    made = {"model": model.name, "licence": model.licence, "seed": one.seed, "prompt": one.hash}
    return row | {"generated": made | {"shown": [seed.id for seed in one.shown]}}
