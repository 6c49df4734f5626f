"""A checkpoint as a merge sees it: some of its tensors made of others, some left out."""

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from torch import Tensor

from syn2real.merge.checkpoint import Checkpoint
from syn2real.merge.tensors import TensorInfo


@dataclass(frozen=True)
class Seen:
    """A tensor in place of a stored one: its shape and dtype, and what reads a flat range of it."""

    info: TensorInfo
    read_range: Callable[[int, int], Tensor]


class View(Checkpoint):
    """A `Checkpoint` whose tensors are those of another but for ``changed`` and without ``dropped``.

    Everything else, its hash and identity too, is the other's: what differs follows from the recipe.
    """

    def __init__(self, seen: Checkpoint, changed: Mapping[str, Seen], dropped: Collection[str] = ()) -> None:
        super().__init__(seen.path, seen, seen.files, seen.directory)
        self.seen = seen
        self.identity = seen.identity
        self._changed = dict(changed)
        kept = {name: info for name, info in seen.infos.items() if name not in dropped}
        self.infos = kept | {name: tensor.info for name, tensor in changed.items()}

    @property
    def name(self) -> str:
        """The other's."""
        return self.seen.name

    @cached_property
    def sha256(self) -> str:
        """The other's."""
        return self.seen.sha256

    @property
    def parents(self) -> list[dict[str, Any]]:
        """The other's."""
        return self.seen.parents

    @property
    def layout(self) -> dict[str, tuple[str, ...]]:
        """The other's."""
        return self.seen.layout

    def read(self, name: str) -> Tensor:
        """See `TensorSource.read`."""
        if name not in self._changed:
            return self.seen.read(name)
        info = self._changed[name].info
        return self.read_range(name, 0, info.numel).view(info.shape)

    def read_range(self, name: str, start: int, stop: int) -> Tensor:
        """See `TensorSource.read_range`."""
        if name not in self._changed:
            return self.seen.read_range(name, start, stop)
        return self._changed[name].read_range(start, stop)


def alias(checkpoint: Checkpoint, name: str) -> Seen:
    """A tensor of ``checkpoint`` to be seen under another name."""
    return Seen(checkpoint[name], lambda start, stop: checkpoint.read_range(name, start, stop))
