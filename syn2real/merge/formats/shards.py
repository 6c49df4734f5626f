"""A model split over several files, with an index that says which tensor lies where."""

import json
from collections.abc import Callable, Mapping
from pathlib import Path, PurePath
from types import MappingProxyType

from torch import Tensor

from syn2real.errors import UserError
from syn2real.merge.tensors import TensorInfo, TensorSource


class Shards:
    """Files named by a ``*.index.json`` as one `TensorSource`. ``layout`` maps each file's name to its tensors.

    Raises `UserError` when a shard is missing, lies outside of the directory, or disagrees with the index in any name.
    """

    def __init__(self, index: Path, open_file: Callable[[Path], TensorSource]) -> None:
        self.path = index
        self._place = _weight_map(index)
        names = list(dict.fromkeys(self._place.values()))
        missing = [name for name in names if not (index.parent / name).is_file()]
        if missing:
            raise UserError(f"{index}: {len(missing)} of {len(names)} shards are missing, the first is {missing[0]}")
        self._files = {name: open_file(index.parent / name) for name in sorted(names)}
        infos: dict[str, TensorInfo] = {}
        for shard, file in self._files.items():
            for name, info in file.infos.items():
                if self._place.get(name) != shard:
                    raise UserError(f"{index}: {shard} holds {name}, which the index does not place there")
                infos[name] = info
        absent = [name for name in self._place if name not in infos]
        if absent:
            raise UserError(f"{index}: {self._place[absent[0]]} lacks {absent[0]} ({len(absent)} tensors are missing)")
        self.infos: Mapping[str, TensorInfo] = MappingProxyType(infos)
        self.files = tuple(index.parent / name for name in self._files)
        self.layout = {shard: tuple(file.infos) for shard, file in self._files.items()}

    def read(self, name: str) -> Tensor:
        """See `TensorSource.read`."""
        return self._files[self._place[name]].read(name)

    def read_range(self, name: str, start: int, stop: int) -> Tensor:
        """See `TensorSource.read_range`."""
        return self._files[self._place[name]].read_range(name, start, stop)


def _weight_map(index: Path) -> dict[str, str]:
    try:
        weight_map = json.loads(index.read_text(encoding="utf-8"))["weight_map"]
    except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
        raise UserError(f"{index}: not an index of shards (a JSON object with a weight_map): {error}") from error
    if not isinstance(weight_map, dict) or not weight_map:
        raise UserError(f"{index}: its weight_map is empty or not a map of tensor names to files")
    for name, shard in weight_map.items():
        if not isinstance(shard, str) or PurePath(shard).name != shard or "\\" in shard or shard in ("", ".", ".."):
            raise UserError(f"{index}: {name} is placed in {shard!r}, which is not a plain file name")
    return weight_map
