"""Words that count as equal in a domain, as its owner lists them: a normaliser's last step, on both sides.

One rule a line, ``from => to`` or two columns set apart by a tab; blank lines and those that begin with ``#`` are
skipped. Rules are words or phrases, whole; of several that fit the longest is taken, and what it wrote is final.
"""

import re
from pathlib import Path

from syn2real.errors import UserError, at
from syn2real.hashing import sha256_json
from syn2real.lines import read_lines
from syn2real.speech.normalisation import Normaliser


def mapped(normalise: Normaliser, path: Path) -> Normaliser:
    """The normaliser, and then the rules of a file, which go through the normaliser themselves.

    Raises `UserError` naming file and line for a line that is no rule, or maps what an earlier one maps elsewhere.
    """
    rules = _rules(normalise, path)
    longest = sorted(rules, key=lambda phrase: (-len(phrase.split()), phrase))
    pattern = re.compile(rf"(?<!\S)(?:{'|'.join(map(re.escape, longest))})(?!\S)")

    def apply(text: str) -> str:
        return pattern.sub(lambda found: rules[found[0]], normalise(text))

    version = f"map {sha256_json(rules)[:8]}"
    joined = f"{normalise.version}, {version}" if normalise.version else version
    return Normaliser(f"{normalise.name}+{path.name}", joined, apply)


def _rules(normalise: Normaliser, path: Path) -> dict[str, str]:
    if not path.is_file():
        raise UserError(f"{path}: no such file; a map has lines like: okay => ok")
    rules: dict[str, str] = {}
    for number, line in read_lines(path):
        if line.lstrip().startswith("#"):
            continue
        parts = line.split("=>") if "=>" in line else line.split("\t")
        if len(parts) != 2:
            raise UserError(at(path, number, "no rule; write: okay => ok, or two columns set apart by a tab"))
        before, after = map(normalise, parts)
        if not before:
            raise UserError(at(path, number, f"nothing is left of {parts[0].strip()!r} after {normalise.name!r}"))
        if rules.get(before, after) != after:
            raise UserError(at(path, number, f"{before!r} is already mapped to {rules[before]!r}; keep one of the two"))
        rules[before] = after
    if not rules:
        raise UserError(f"{path}: holds no rules")
    return rules
