"""Tokens and their numbers, read from a model's tokenizer files, and written for a union of several vocabularies."""

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from syn2real.errors import UserError

FAST = "tokenizer.json"
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
        lines = (directory / "vocab.txt").read_text(encoding="utf-8").removesuffix("\n").split("\n")
        return Tokens(directory / "vocab.txt", {token: i for i, token in enumerate(lines)})
    raise UserError(f"{directory}: no {FAST}, vocab.json or vocab.txt; save its tokenizer there with transformers")


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
            merges += _merges(other.document["model"])
        elif other.kind == anchor.kind == "Unigram":
            scores |= {piece: score for piece, score in other.document["model"]["vocab"] if piece in new}
    known = {**anchor.ids, **new}
    if anchor.kind == "Unigram":
        _extend_pieces(model["vocab"], known, scores, anchor.place)
    else:
        # The added ones too: what is not in the model is numbered anew when the file is read.
        model["vocab"] = dict(sorted(known.items(), key=lambda item: item[1]))
    if anchor.kind == "BPE":
        own = _merges(model)
        seen = set(own)
        more = [pair for pair in dict.fromkeys(merges) if pair not in seen and {*pair, "".join(pair)} <= set(known)]
        joined = bool(model.get("merges")) and isinstance(model["merges"][0], str)
        model["merges"] = [" ".join(pair) if joined else list(pair) for pair in [*own, *more]]
    return new, json.dumps(document, ensure_ascii=False) + "\n"


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


def _merges(model: Mapping[str, Any]) -> list[tuple[str, str]]:
    pairs = (merge.split(" ", 1) if isinstance(merge, str) else merge for merge in model.get("merges") or [])
    return [(first, second) for first, second in pairs]


def _fast(file: Path) -> Tokens:
    document = _json(file)
    try:
        model = document["model"]
        vocabulary = model["vocab"]
        if isinstance(vocabulary, list):
            ids = {piece: i for i, (piece, _) in enumerate(vocabulary)}
            kind = "Unigram"
        else:
            ids = _ids(vocabulary, file)
            kind = model.get("type") or ("BPE" if "merges" in model else "WordPiece")
        added = {entry["content"]: entry for entry in document.get("added_tokens") or []}
        ids |= {token: int(entry["id"]) for token, entry in added.items()}
    except (KeyError, TypeError, ValueError) as error:
        raise UserError(f"{file}: no vocabulary in it; save the tokenizer again with transformers") from error
    flags = {token: {key: entry[key] for key in _PLAIN if key in entry} for token, entry in added.items()}
    return Tokens(file, ids, flags, kind, document)


def _ids(content: Any, file: Path) -> dict[str, int]:
    if not isinstance(content, dict) or not all(type(number) is int for number in content.values()):
        raise UserError(f"{file}: not a map from tokens to numbers; save the tokenizer again with transformers")
    return dict(content)


def _json(file: Path) -> Any:
    try:
        return json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise UserError(f"{file}: not valid JSON ({error})") from error
