"""Tokens and their numbers, read from a model's tokenizer files, and written for a union of several vocabularies."""

import json
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

from syn2real.errors import UserError
from syn2real.lines import read_utf8

FAST = "tokenizer.json"
PATTERNS = (  # of all that belongs to a tokenizer
    *("tokenizer*", "special_tokens_map.json", "added_tokens.json", "vocab*", "merges.txt", "*.model", "*.tiktoken"),
    "chat_template*",
)
# Other files that hold a vocabulary: beside a tokenizer.json of another vocabulary they would be wrong.
OTHERS = ("vocab.json", "vocab.txt", "merges.txt", "added_tokens.json", "tokenizer.model", "spiece.model")


@dataclass(frozen=True)
class Tokens:
    """A vocabulary: the id of each token, and the added ones (not part of the model proper) with their flags."""

    place: Path
    ids: Mapping[str, int]
    added: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    kind: str = ""  # of the model in tokenizer.json: BPE, Unigram, WordPiece, WordLevel
    document: Mapping[str, Any] = field(default_factory=dict)  # tokenizer.json as read

    @property
    def end(self) -> int:
        """One past the highest id."""
        return max(self.ids.values(), default=-1) + 1


def read_tokens(directory: Path) -> Tokens:
    """The vocabulary of a model directory, from ``tokenizer.json``, ``vocab.json`` or ``vocab.txt``.

    Raises `UserError` when there is none of them, or it cannot be understood.
    """
    if (directory / FAST).is_file():
        return _fast(directory / FAST)
    if (directory / "vocab.json").is_file():
        ids = _ids(_json(directory / "vocab.json"), directory / "vocab.json")
        extra = directory / "added_tokens.json"
        added = _ids(_json(extra), extra) if extra.is_file() else {}
        return Tokens(directory / "vocab.json", ids | added, {token: {} for token in added})
    if (directory / "vocab.txt").is_file():
        # By line feeds alone: other separators are tokens.
        lines = read_utf8(directory / "vocab.txt").removesuffix("\n").split("\n")
        return Tokens(directory / "vocab.txt", {token: i for i, token in enumerate(lines)})
    raise UserError(f"{directory}: no {FAST}, vocab.json or vocab.txt; save its tokenizer there with transformers")


def tokenizer_files(directory: Path, instead: Path | None) -> dict[str, bytes | None]:
    """The files of a tokenizer, by name; None for those that lie ``instead`` of it where it has none."""
    found: dict[str, bytes | None] = {}
    for folder in (instead, directory):
        for file in sorted(folder.iterdir()) if folder is not None else ():
            if file.is_file() and any(fnmatch(file.name, pattern) for pattern in PATTERNS):
                found[file.name] = file.read_bytes() if folder == directory else None
    return found


def united(anchor: Tokens, others: Iterable[Tokens]) -> tuple[dict[str, int], str]:
    """The tokens that ``others`` have beyond ``anchor``, with their new ids, and a ``tokenizer.json`` that knows them.

    The anchor's tokens keep their ids; the others' follow, model by model. What is an added token there becomes one
    here, with its flags. Other pieces go into the model: for BPE with those of their merges whose parts are known,
    after the anchor's own, which therefore still come first; for Unigram with their scores. Raises `UserError` for
    tokenizers of different kinds, whose pieces do not mean the same.
    """
    if not anchor.kind:
        raise UserError(f"{anchor.place}: a union needs the anchor's {FAST}; save its tokenizer with transformers")
    document = json.loads(json.dumps(anchor.document))
    model, added = document["model"], document.setdefault("added_tokens", [])
    new: dict[str, int] = {}
    scores: dict[str, float] = {}
    merges: list[tuple[str, str]] = []
    for other in others:
        for token, _ in sorted(other.ids.items(), key=lambda item: item[1]):
            if token in anchor.ids or token in new:
                continue
            if token not in other.added and other.kind != anchor.kind:
                raise UserError(
                    f"{other.place}: a {other.kind or 'slow'} tokenizer cannot be united with {anchor.kind} of "
                    f"{anchor.place}: their pieces do not mean the same; use vocabulary: base"
                )
            new[token] = anchor.end + len(new)
            if token in other.added:
                added.append({**_PLAIN, **other.added[token], "id": new[token], "content": token})
        if other.kind == anchor.kind == "BPE":
            merges += _merges(other.document["model"], other.place)
        elif other.kind == anchor.kind == "Unigram":
            scores |= {piece: score for piece, score in other.document["model"]["vocab"] if piece in new}
    known = {**anchor.ids, **new}
    if anchor.kind == "Unigram":
        _extend_pieces(model["vocab"], known, scores, anchor.place)
    else:
        # The added ones too: what is not in the model is numbered anew when the file is read.
        model["vocab"] = dict(sorted(known.items(), key=lambda item: item[1]))
    if anchor.kind == "BPE":
        own = _merges(model, anchor.place)
        seen = set(own)
        more = [pair for pair in dict.fromkeys(merges) if pair not in seen and {*pair, "".join(pair)} <= set(known)]
        joined = bool(model.get("merges")) and isinstance(model["merges"][0], str)
        model["merges"] = [" ".join(pair) if joined else list(pair) for pair in [*own, *more]]
    text = json.dumps(document, ensure_ascii=False) + "\n"
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise UserError(
            f"{anchor.place}: united with the others' it is no Unicode ({error.object[error.start]!r}); mend the "
            "tokenizer that has this token, or use vocabulary: base"
        ) from error
    return new, text


_LARGEST = 1 << 24  # number of a token that is believed
_PLAIN = {"single_word": False, "lstrip": False, "rstrip": False, "normalized": False, "special": False}


def _extend_pieces(pieces: list[Any], known: Mapping[str, int], scores: Mapping[str, float], place: Path) -> None:
    """Append to a Unigram list, in which the place of a piece is its id."""
    lowest = min((score for _, score in pieces), default=0.0) - 10.0  # never the best way to split a text
    for token, number in sorted(known.items(), key=lambda item: item[1]):
        if number < len(pieces):
            continue
        if number > len(pieces):
            raise UserError(f"{place}: no token has the id {len(pieces)}; a Unigram vocabulary with gaps cannot grow")
        pieces.append([token, scores.get(token, lowest)])


def _merges(model: Mapping[str, Any], place: Path) -> list[tuple[str, str]]:
    merges = model.get("merges") or []
    pairs = [merge.split(" ", 1) if isinstance(merge, str) else merge for merge in merges]
    for pair in pairs if isinstance(merges, list) else [merges]:
        if not (isinstance(pair, list) and len(pair) == 2 and all(isinstance(part, str) for part in pair)):
            raise UserError(f"{place}: {pair!r} is not a merge of two tokens; save the tokenizer again")
    return [(first, second) for first, second in pairs]


def _fast(file: Path) -> Tokens:
    document = _json(file)
    try:
        model = document["model"]
        vocabulary = model["vocab"]
        if isinstance(vocabulary, list):
            ids = {piece: i for i, (piece, _) in enumerate(vocabulary)}
            if not all(math.isfinite(score) for _, score in vocabulary):
                raise ValueError("a score that is no number")
            kind = "Unigram"
        else:
            ids = _ids(vocabulary, file)
            kind = model.get("type") or ("BPE" if "merges" in model else "WordPiece")
        added = {entry["content"]: entry for entry in document.get("added_tokens") or []}
        ids |= _ids({token: int(entry["id"]) for token, entry in added.items()}, file)
    except (KeyError, TypeError, ValueError, OverflowError) as error:
        raise UserError(f"{file}: no vocabulary in it; save the tokenizer again with transformers") from error
    flags = {token: {key: entry[key] for key in _PLAIN if key in entry} for token, entry in added.items()}
    return Tokens(file, ids, flags, kind, document)


def _ids(content: Any, file: Path) -> dict[str, int]:
    if not isinstance(content, dict) or not all(
        type(number) is int and 0 <= number < _LARGEST for number in content.values()
    ):
        raise UserError(f"{file}: not a map from tokens to numbers; save the tokenizer again with transformers")
    return dict(content)


def _json(file: Path) -> Any:
    try:
        return json.loads(read_utf8(file))
    except (ValueError, RecursionError) as error:
        raise UserError(f"{file}: not valid JSON ({error})") from error
