"""How models are named: a path, ``base+adapter`` (or several adapters), a hub id, and how records name them again."""

import os
import re
from collections.abc import Iterable
from pathlib import Path

from syn2real.errors import UserError

JOINT = "+"  # between a base model and the adapter on top of it
_COMMON = re.compile(r"checkpoint-\d+|(pytorch_)?model(\.\w+)?|adapter(_model)?(\.\w+)?|best|final")
_CACHED = re.compile(r"(?:models|datasets)--(?P<id>[^/]+)/snapshots/(?P<revision>[^/]+)(?P<rest>/.*)?$")


def split(path: Path | str) -> tuple[str, str | None]:
    """A reference as (base, adapter), split at ``+``; a path that exists as it is has no adapter.

    Of several ``+`` the last is taken that leaves an existing adapter, or simply the last: the base may be another
    base with an adapter.
    """
    text = str(path)
    if JOINT not in text or Path(text).exists():
        return text, None
    places = [found.start() for found in re.finditer(re.escape(JOINT), text) if 0 < found.start() < len(text) - 1]
    if not places:
        return text, None
    at = next((place for place in reversed(places) if Path(text[place + 1 :]).exists()), places[-1])
    return text[:at], text[at + 1 :]


def joined(base: Path | str, adapter: Path | str | None) -> str:
    """The reference that `split` takes apart."""
    return str(base) if adapter is None else f"{base}{JOINT}{adapter}"


def parts(path: Path | str) -> list[Path]:
    """The files or directories that a reference names."""
    base, adapter = split(path)
    return [Path(base)] if adapter is None else [*parts(base), Path(adapter)]


def require_apart(output: Path, inputs: Iterable[tuple[str, Path]], of: str = "merge") -> None:
    """Raise `UserError` when ``output`` is, or holds, one of the inputs: (name, reference) each."""
    place = output.resolve()
    for name, reference in inputs:
        sources = [part.resolve() for part in parts(reference)]
        if any(place == source or place in source.parents for source in sources):
            raise UserError(f"{output}: holds {name}, an input of the {of}; choose another output")


def name_of(path: Path) -> str:
    """What records and messages call a path: the hub id for what was downloaded, else its last part, with the one
    before it where that is a name many have."""
    place = path.resolve()
    plain = place.name if _COMMON.fullmatch(place.name) is None else f"{place.parent.name}/{place.name}"
    return _hub_id(path) or plain


def relative(path: Path | str, start: Path) -> str:
    """A reference as seen from the directory ``start``; what came from the hub as ``org/name@revision``."""
    return JOINT.join(_relative(part, start) for part in parts(path))


def beside(reference: str, folder: Path) -> str:
    """A reference whose parts lie in ``folder`` if they exist there; other parts stay as they are."""
    if (folder / reference).exists():
        return str(folder / reference)
    pieces = reference.split(JOINT)
    for count in range(len(pieces) - 1, 0, -1):
        base, adapter = JOINT.join(pieces[:count]), JOINT.join(pieces[count:])
        if (folder / base).exists() or (folder / adapter).exists():
            return joined(beside(base, folder), folder / adapter if (folder / adapter).exists() else adapter)
    return reference


def _relative(path: Path, start: Path) -> str:
    hub = _hub_id(path, revision=True)
    return hub or os.path.relpath(path.resolve(), start.resolve())


def _hub_id(path: Path, *, revision: bool = False) -> str | None:
    found = _CACHED.search(path.absolute().as_posix())
    if found is None or found["rest"]:
        return None
    name = found["id"].replace("--", "/")
    return f"{name}@{found['revision']}" if revision else name
