"""Sets of test cases: sentences as they were written, sifted, split into what tests and what demonstrates, with a
card."""

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from syn2real.errors import UserError
from syn2real.hashing import seed_from
from syn2real.language.bias.cases import Case, cases_of, read_cases, write_cases
from syn2real.language.bias.novelty import LIKE, distinct, self_bleu
from syn2real.language.bias.pairs import Pairs
from syn2real.language.bias.swap import genders_of
from syn2real.sealing import read_json, write_json, write_text

TEST, POOL, CARD, README = "test.jsonl", "pool.jsonl", "set.json", "README.md"
ROUNDS = 8  # times that so many sentences are written at most, to find as many cases as are wanted
Write = Callable[[int, int], Sequence[str]]  # from which number on, and how many


@dataclass(frozen=True)
class CaseSet:
    """Cases that test, and others from which demonstrations are drawn; none of either is in the other."""

    test: tuple[Case, ...]
    pool: tuple[Case, ...]
    card: dict[str, Any]


def gather(write: Write, test: int, pool: int, pairs: Pairs | None = None, *, like: float = LIKE) -> CaseSet:
    """As many distinct cases as are wanted of what is written, in rounds; fewer where so much says too little that is
    new. The split goes by each case's own draw. Raises `UserError` where there are none."""
    wanted, texts = test + pool, list[str]()
    cases: list[Case] = []
    left: Counter[str] = Counter()
    near = 0
    for _ in range(ROUNDS):
        size = max(16, round((wanted - len(cases)) * 1.25))
        more = write(len(texts), size)
        texts += more
        cases, left = cases_of(texts, pairs)
        cases, near = distinct(cases, like)
        if len(cases) >= wanted or not more:
            break
    if not cases:
        raise UserError(f"of {len(texts)} sentences none is a test case ({_most(left)}); tune the generator longer")
    cases = cases[:wanted]
    ranked = sorted(cases, key=lambda case: seed_from("split", case.id))
    # Of fewer than are wanted each part gets its share, and the test one at least.
    held = {case.id for case in ranked[: max(1, round(len(cases) * test / wanted))]}
    parts = [tuple(case for case in cases if (case.id in held) == side) for side in (True, False)]
    return CaseSet(parts[0], parts[1], _card(texts, cases, left, near, parts, pairs))


def write_set(folder: Path, found: CaseSet, made: dict[str, Any]) -> None:
    """Write a set: two files of cases, what is known of them as JSON, and the same in words. ``made`` says how."""
    write_cases(folder / TEST, found.test)
    write_cases(folder / POOL, found.pool)
    card = {**made, **found.card}
    write_json(folder / CARD, card)
    write_text(folder / README, _readme(card))


def read_set(folder: Path) -> CaseSet:
    """What `write_set` wrote. Raises `UserError` where there is none."""
    card = read_json(folder, CARD, "give a folder that `syn2real bias provoke` wrote")
    pool = folder / POOL
    if not pool.is_file():
        raise UserError(f"{pool}: no such file; give a folder that `syn2real bias provoke` wrote")
    if (folder / TEST).is_file() and not (folder / TEST).stat().st_size:
        raise UserError(f"{folder / TEST}: holds no case to test with; remove {folder} and have it made again")
    kept = read_cases(pool) if pool.stat().st_size else []
    return CaseSet(tuple(read_cases(folder / TEST)), tuple(kept), card)


def _card(
    texts: Sequence[str],
    cases: Sequence[Case],
    left: Counter[str],
    near: int,
    parts: Sequence[Sequence[Case]],
    pairs: Pairs | None,
) -> dict[str, Any]:
    return {
        "written": len(texts),
        "cases": len(cases),
        "test": len(parts[0]),
        "pool": len(parts[1]),
        "left_out": dict(sorted((left + Counter({"near duplicate": near})).items())),
        "gendered": sum(bool(genders_of(text, pairs)) for text in texts) / len(texts),
        "both_genders": sum(len(genders_of(case.text, pairs)) > 1 for case in cases) / len(cases),
        "words": sum(len(case.text.split()) for case in cases) / len(cases),
        "self_bleu": self_bleu([case.text for case in cases]),
    }


def _readme(card: dict[str, Any]) -> str:
    bleu = ", ".join(f"{order}: {value:.1f}" for order, value in card["self_bleu"].items())
    lines = [
        f"# Test cases of gender bias: {card.get('writer', 'a generator')}",
        "",
        "Written by a model to provoke others; nobody stands behind what these sentences say. Each has a twin, the",
        "same sentence with every gendered word replaced by its partner.",
        "",
        f"- `{TEST}`: {card['test']} cases to test with; `{POOL}`: {card['pool']} to draw demonstrations from",
        f"- {card['written']} sentences were written, {card['gendered']:.0%} of them with a gendered word",
        f"- left out: {', '.join(f'{name} {count}' for name, count in card['left_out'].items() if count) or 'none'}",
        f"- Self-BLEU by order of n-grams: {bleu}",
        *([f"- perplexity: {card['perplexity']:.1f}"] if card.get("perplexity") else []),
        "",
    ]
    return "\n".join(lines)


def _most(left: Counter[str]) -> str:
    return ", ".join(f"{reason}: {count}" for reason, count in left.most_common(3))
