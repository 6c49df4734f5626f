"""Merging models whose vocabularies differ: rows of embeddings and heads are brought together by token.

``vocabulary`` in a recipe is one of

- ``same``: the tokens must agree; the default.
- ``base``: the anchor's tokens, in the anchor's order, with the anchor's padding.
- ``union``: the anchor's tokens with their ids, then what the other models have besides, in their order. Padding, rows
  beyond the tokenizer, is filled up to a multiple of the anchor's, with the anchor's rows. The tokenizer grows along.
- ``intersection``: the anchor's tokens and tokenizer, but only rows whose token all models have are merged; the others
  stay the anchor's. Nothing is cut out: a tokenizer whose merges pass through a missing token would no longer work.

A token that a model lacks gets a row all the same: the base model's if there is a base that has it (so that this
model's difference to it is 0), else the mean of those of the models that have it. Where a recipe names an anchor and no
base, that is the base. Padding counts as tokens that only the anchor has. For single tokens,
`syn2real.merge.token_rules` say otherwise.

With ``tokenizer``, a directory, the result takes the tokens and tokenizer that lie there instead of the anchor's, and
has no padding; tokens that no model has get zeros.
"""

import re
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from syn2real.errors import CheckpointMismatch, UserError, did_you_mean
from syn2real.merge.checkpoint import Checkpoint
from syn2real.merge.tensors import TensorInfo, ranges
from syn2real.merge.token_rules import TokenRule, TokenSource
from syn2real.merge.tokenizer_files import FAST, OTHERS, Tokens, read_tokens, tokenizer_files, united
from syn2real.merge.tying import EMBEDDING, HEAD
from syn2real.merge.views import Seen, View

_MULTIPLE = 512  # largest multiple that a vocabulary is taken to be padded to
_BLOCK = 1 << 20  # elements averaged at a time
_BIASES = ("final_logits_bias", "lm_head.bias", "proj_out.bias", "embed_out.bias", "predictions.bias")
_MASKED = re.compile(r"(^|\.)((predictions|lm_head)\.decoder|vocab_projector)\.(weight|bias)$|^decoder\.(weight|bias)$")


@dataclass(frozen=True)
class Aligned:
    """Models with rows for the same tokens. ``files`` are to be written beside the weights; None: to be left out."""

    models: dict[str, Checkpoint]
    configuration: dict[str, Any] = field(default_factory=dict)
    files: dict[str, str | bytes | None] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)


def check_same(anchor: Checkpoint, other: Checkpoint) -> str | None:
    """Raise `CheckpointMismatch` when two models of the same size have different tokenizers.

    Renamed added tokens, as fine-tuning leaves them, are let pass; then, a note says so. Models without tokenizer files
    that can be read pass.
    """
    if anchor.directory is None or other.directory is None or anchor.directory == other.directory:
        return None
    files = [directory / FAST for directory in (anchor.directory, other.directory)]
    if all(file.is_file() for file in files) and files[0].read_bytes() == files[1].read_bytes():
        return None
    try:
        first, second = read_tokens(anchor.directory), read_tokens(other.directory)
    except UserError:
        return None
    names = {number: token for token, number in second.ids.items()}
    differing = [(n, t, names[n]) for t, n in sorted(first.ids.items(), key=lambda i: i[1]) if names.get(n, t) != t]
    if not differing:
        return None
    number, here, there = differing[0]
    what = f"token {number} is {here!r} in {anchor.name}, {there!r} in {other.name}"
    if all(mine in first.added or theirs in second.added for _, mine, theirs in differing):
        return f"{what}: rows of {len(differing)} renamed tokens are merged by number; vocabulary: base goes by name"
    raise CheckpointMismatch(
        f"{anchor.name} and {other.name} have different tokenizers: {what}, and {len(differing) - 1} more differ; "
        "set vocabulary to base, union or intersection"
    )


def aligned(
    mode: str,
    models: Mapping[str, Checkpoint],
    anchor: str,
    base: str | None,
    rules: Mapping[str, TokenRule] | None = None,
    multiple: int | None = None,
    *,
    tokenizer: Path | None = None,
) -> Aligned:
    """``models`` as they are to be merged in ``mode``; ``anchor`` and ``base`` are keys of them.

    ``rules`` are for single tokens. With ``multiple`` rows are added up to a multiple of it: the anchor's padding once
    more, or else, as mergekit, the mean of each model's rows, as a row of zeros may be the likeliest of all.

    Raises `UserError` for a model without tokenizer files or embeddings, and for a rule that names what is not there.
    """
    tokens = {key: _tokens(model) for key, model in models.items()}
    rows = {key: _rows(model) for key, model in models.items()}
    if tokenizer is None and tokens[anchor].end > rows[anchor]:
        raise UserError(
            f"{models[anchor].name}: {tokens[anchor].end} tokens, but {rows[anchor]} rows of embeddings; "
            "use a model whose tokenizer fits as the anchor"
        )
    # Tokens that a tokenizer has beyond the rows of its model mean nothing.
    tokens = {
        key: replace(own, ids={token: number for token, number in own.ids.items() if number < rows[key]})
        for key, own in tokens.items()
    }
    new: dict[str, int] = {}
    result = Aligned({})
    size = rows[anchor]
    own = np.arange(size)
    if mode == "union":
        others = [tokens[key] for key in models if key != anchor]
        new, text = united(tokens[anchor], others)
        if new:
            size, own = _grown(rows[anchor], tokens[anchor].end, len(new))
            result.files.update({FAST: text} | dict.fromkeys(OTHERS))
    wanted = {**tokens[anchor].ids, **new}
    if tokenizer is not None:
        leading = read_tokens(tokenizer)
        wanted, size = dict(leading.ids), leading.end
        own = np.full(size, -1)
        result.files.update(tokenizer_files(tokenizer, models[anchor].directory))
    filled = size  # rows before those that are added
    if multiple is not None:
        padding = (tokens[anchor].end, rows[anchor]) if tokenizer is None else (size, size)
        own = _padded(own, multiple, *padding)
        size = len(own)
    if size != rows[anchor]:
        result.configuration.update(_sized(models[anchor].config, rows[anchor], size))
        for name, info in models[anchor].infos.items():
            if info.shape[:1] == (rows[anchor],) and not _vocabulary_sized(name, info, rows[anchor]):
                result.notes.append(f"{name}: has {rows[anchor]} rows too and keeps them; is it not of the vocabulary?")
    places: dict[str, np.ndarray] = {}
    for key in models:
        leads = key == anchor and tokenizer is None
        places[key] = own.copy() if leads else np.full(size, -1)
        if not leads:
            there = tokens[key].ids
            for token, row in wanted.items():
                if token in there:  # a row may have two names
                    places[key][row] = there[token]
    if mode == "intersection":
        shared = np.all([place >= 0 for place in places.values()], axis=0)
        for key in models:
            if key != anchor:
                places[key][~shared] = -1
    first = anchor if mode == "intersection" else base
    order = sorted(models, key=lambda key: key != first) if first is not None else list(models)
    common = int(np.all([place >= 0 for place in places.values()], axis=0).sum())
    result.notes.append(f"vocabulary: {size} rows, {common} of them for tokens that all models have")
    given: dict[int, tuple[str, int] | None] = {}
    if tokenizer is not None:
        nowhere = np.all([place < 0 for place in places.values()], axis=0)
        given.update(dict.fromkeys((row for row in wanted.values() if nowhere[row]), None))
        if given:
            result.notes.append(f"vocabulary: {len(given)} tokens of {tokenizer} are in no model, and get zeros")
    for token, rule in (rules or {}).items():
        if token not in wanted:
            raise UserError(f"tokens: {token!r} is not in the merged vocabulary{did_you_mean(token, wanted)}")
        given[wanted[token]] = _named(token, rule.source, tokens, rows)
        for key in models if rule.force else ():
            places[key][wanted[token]] = -1
    for key, model in models.items():
        names = [name for name in model if _vocabulary_sized(name, model[name], rows[key])]
        seen = {}
        for name in names:
            donors = [
                _Place(models[k], name, places[k])
                for k in order
                if name in models[k] and _vocabulary_sized(name, models[k][name], rows[k])
            ]
            chosen = {
                row: None if source is None else _Row(models[source[0]], name, source[1])
                for row, source in given.items()
            }
            place = _Place(model, name, places[key])
            gather = _Gather(place, tuple(donors), first is not None, chosen, filled)
            seen[name] = Seen(gather.info, gather.read_range)
        result.models[key] = View(model, seen)
    return result


@dataclass(frozen=True)
class _Place:
    """A tensor with a row per token, and where in it each row of the result stands; −1: nowhere."""

    checkpoint: Checkpoint
    name: str
    rows: np.ndarray


@dataclass(frozen=True)
class _Row:
    """One row of such a tensor."""

    checkpoint: Checkpoint
    name: str
    number: int


class _Gather:
    """A tensor with its rows in another order. What is missing is the row ``given`` for it (None: zeros), or comes from
    ``donors``: the first alone if it is ``preferred`` and has it, else all that have it, averaged. A row from
    ``filled`` on that none has is the mean of those before.
    """

    def __init__(
        self,
        own: _Place,
        donors: Sequence[_Place],
        preferred: bool,
        given: Mapping[int, _Row | None],
        filled: int,
    ) -> None:
        info = own.checkpoint[own.name]
        axis = _axis(info)
        self.width = info.numel // max(1, info.shape[axis])
        shape = tuple(len(own.rows) if i == axis else extent for i, extent in enumerate(info.shape))
        self.info = TensorInfo(shape, info.dtype)
        self._own, self._donors, self._preferred, self._given = own, donors, preferred, given
        self._filled = filled
        self._lock = threading.Lock()
        self._kept: Tensor | None = None
        # Rows that follow one another in the file too are read at once.
        breaks = np.flatnonzero((np.diff(own.rows) != 1) | (own.rows[1:] < 0)) + 1
        self._ends = np.append(breaks, len(own.rows))

    def read_range(self, start: int, stop: int) -> Tensor:
        """A flat range, in the stored dtype, or in float64 where rows are averaged."""
        parts: list[Tensor] = []
        place = start
        while place < stop:
            row, offset = divmod(place, self.width)
            origin = int(self._own.rows[row])
            if origin >= 0:
                end = int(self._ends[np.searchsorted(self._ends, row, side="right")])
                count = min(stop, end * self.width) - place
                parts.append(_read(self._own, origin * self.width + offset, count))
            else:
                count = min(stop, (row + 1) * self.width) - place
                parts.append(self._borrowed(row, offset, count))
            place += count
        if len(parts) == 1:
            return parts[0]
        kinds = {part.dtype for part in parts}
        if len(kinds) > 1:
            parts = [part.double() for part in parts]
        return torch.cat(parts) if parts else torch.empty(0, dtype=self.info.dtype)

    def _borrowed(self, row: int, offset: int, count: int) -> Tensor:
        if row in self._given:
            source = self._given[row]
            if source is None:
                return torch.zeros(count, dtype=self.info.dtype)
            start = source.number * self.width + offset
            return source.checkpoint.read_range(source.name, start, start + count)
        donors = [donor for donor in self._donors if donor.rows[row] >= 0]
        if row >= self._filled and not donors:
            return self._mean()[offset : offset + count]
        if self._preferred and donors and donors[0] is self._donors[0]:
            donors = donors[:1]
        rows = [_read(donor, int(donor.rows[row]) * self.width + offset, count) for donor in donors]
        return rows[0] if len(rows) == 1 else torch.stack([values.double() for values in rows]).mean(0)

    def _mean(self) -> Tensor:
        """The mean of the rows before the added ones: float64, shape (width,); a pass over them, once."""
        with self._lock:
            if self._kept is None:
                total = torch.zeros(self.width, dtype=torch.float64)
                for start, stop in ranges(self._filled, max(1, _BLOCK // max(1, self.width))):
                    rows = self.read_range(start * self.width, stop * self.width)
                    total += rows.view(-1, self.width).sum(0, dtype=torch.float64)
                self._kept = total / self._filled
            return self._kept


def _read(place: _Place, start: int, count: int) -> Tensor:
    return place.checkpoint.read_range(place.name, start, start + count)


def _tokens(model: Checkpoint) -> Tokens:
    if model.directory is None:
        raise UserError(f"{model.path}: no tokenizer lies beside these weights; give a directory that has one")
    return read_tokens(model.directory)


def _rows(model: Checkpoint) -> int:
    sizes = {info.shape[0] for name, info in model.infos.items() if EMBEDDING.search(name) and len(info.shape) == 2}
    if len(sizes) != 1:
        raise UserError(f"{model.name}: no one embedding of tokens, so its vocabulary cannot be changed")
    return next(iter(sizes))


def _vocabulary_sized(name: str, info: TensorInfo, rows: int) -> bool:
    named = EMBEDDING.search(name) or HEAD.search(name) or _MASKED.search(name) or name.endswith(_BIASES)
    return bool(named) and info.is_float and len(info.shape) > 0 and info.shape[_axis(info)] == rows


def _axis(info: TensorInfo) -> int:
    """The dimension that counts tokens: the first, but for a bias of shape (1, tokens)."""
    return 1 if len(info.shape) == 2 and info.shape[0] == 1 else 0


def _grown(rows: int, end: int, new: int) -> tuple[int, np.ndarray]:
    """The number of rows with ``new`` tokens after ``end``, padded as before, and where the anchor's rows go."""
    padding = rows - end
    size = end + new
    if padding:
        multiple = min(_MULTIPLE, rows & -rows)
        size = -(-size // multiple) * multiple
    own = np.full(size, -1)
    own[:end] = np.arange(end)
    beyond = np.arange(size - end - new)
    own[end + new :] = end + beyond % max(1, padding)
    return size, own


def _padded(own: np.ndarray, multiple: int, end: int, rows: int) -> np.ndarray:
    """Where the anchor's rows go, with its padding once more up to a ``multiple``, or −1 where it has none."""
    beyond = np.arange(-len(own) % multiple)
    return np.concatenate([own, end + beyond % (rows - end) if rows > end else np.full_like(beyond, -1)])


def _named(
    token: str, source: TokenSource, tokens: Mapping[str, Tokens], rows: Mapping[str, int]
) -> tuple[str, int] | None:
    """The model and the number of a row that a rule names; None: zeros."""
    key = source.model
    if key is None:
        return None
    if key not in tokens:
        raise UserError(f"tokens: {token!r}: {key} is not one of the models{did_you_mean(key, tokens)}")
    wanted = source.token or token
    number = tokens[key].ids.get(wanted, -1) if source.token_id is None else source.token_id
    if not 0 <= number < rows[key]:
        what = repr(wanted) if source.token_id is None else f"number {number}"
        raise UserError(f"tokens: {token!r}: {key} has no token {what}")
    return key, number


def _sized(config: Mapping[str, Any], old: int, new: int) -> dict[str, Any]:
    """The entries of a configuration, nested ones included, that say how large the vocabulary is."""
    changed: dict[str, Any] = {}
    for key, value in config.items():
        if key == "vocab_size" and value == old:
            changed[key] = new
        elif isinstance(value, dict) and (inner := _sized(value, old, new)):
            changed[key] = {**value, **inner}
    return changed
