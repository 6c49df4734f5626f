"""Speaker embeddings by name, read one at a time: an .npz, a .safetensors, or a folder or zip of .npy files."""

from fnmatch import fnmatchcase
from functools import cached_property
from pathlib import Path
from random import Random

import numpy as np

from syn2real.errors import UserError

EVERY = "random"  # instead of a name: any of them, drawn by the seed


class SpeakerVectors:
    """The embeddings of a file or folder. A name is a file's without its suffix; of a file that holds a table (one
    speaker a row), ``name-0`` and on."""

    def __init__(self, path: Path) -> None:
        self.path = path

    @cached_property
    def names(self) -> list[str]:
        """All names, sorted. Raises `UserError` for what cannot be read."""
        found = sorted(self._rows)
        if not found:
            raise UserError(f"{self.path}: holds no speaker embeddings (.npy files, or arrays in .npz or .safetensors)")
        return found

    def matching(self, pattern: str) -> list[str]:
        """The names that ``pattern`` (`EVERY`, a name, or a shell pattern such as ``*_slt_*``) stands for."""
        if pattern == EVERY:
            return self.names
        return [name for name in self.names if fnmatchcase(name, pattern)]

    def draw(self, pattern: str, seed: int, width: int) -> np.ndarray:
        """One of those, float32 of shape (width,). Raises `UserError` when there is none, or it has another shape."""
        names = self.matching(pattern)
        if not names:
            raise UserError(f"{self.path}: has no speaker {pattern!r}; it has {', '.join(self.names[:5])}, …")
        name = Random(seed).choice(names)
        vector = self._read(name)
        if vector.shape != (width,) or not np.isfinite(vector).all() or not vector.any():
            raise UserError(
                f"{self.path}: speaker {name!r} has shape {vector.shape} or no numbers; the model takes ({width},)"
            )
        return vector

    @cached_property
    def _rows(self) -> dict[str, tuple[str, int | None]]:
        """Name to array and row in it."""
        shapes: dict[str, tuple[int, ...]]
        if self.path.is_dir():
            shapes = {path.stem: (1,) for path in self.path.glob("*.npy")}  # one speaker each, looked into when drawn
        elif self.path.suffix == ".safetensors":
            shapes = self._safetensors_shapes()
        elif self.path.suffix in (".npz", ".zip"):
            with self._archive() as archive:
                plain = self.path.suffix == ".zip"
                shapes = {name: (1,) if plain else archive[name].shape for name in archive.files}
        else:
            raise UserError(f"{self.path}: give speaker embeddings as .npz, .safetensors, .zip, or a folder of .npy")
        rows: dict[str, tuple[str, int | None]] = {}
        for key, shape in shapes.items():
            name = key.rpartition("/")[2]
            if len(shape) == 2:
                rows |= {f"{name}-{row}": (key, row) for row in range(shape[0])}
            else:
                rows[name] = (key, None)
        return rows

    def _read(self, name: str) -> np.ndarray:
        key, row = self._rows[name]
        try:
            if self.path.is_dir():
                array = np.load(self.path / f"{key}.npy", allow_pickle=False)
            elif self.path.suffix == ".safetensors":
                from safetensors.numpy import load_file

                array = load_file(self.path)[key]
            else:
                with self._archive() as archive:
                    array = archive[key]
        except (OSError, ValueError) as error:
            raise UserError(f"{self.path}: speaker {name!r} cannot be read ({error})") from error
        array = array if row is None else array[row]
        return np.asarray(array, np.float32).reshape(-1)

    def _archive(self) -> "np.lib.npyio.NpzFile":
        """A .npz, or any zip of .npy files, which is the same."""
        from zipfile import BadZipFile

        try:
            archive = np.load(self.path, allow_pickle=False)
        except (OSError, ValueError, BadZipFile) as error:
            raise UserError(f"{self.path}: cannot be read ({error}); fetch it again") from error
        if not isinstance(archive, np.lib.npyio.NpzFile):
            raise UserError(f"{self.path}: is no zip of .npy files")
        return archive

    def _safetensors_shapes(self) -> dict[str, tuple[int, ...]]:
        from safetensors import SafetensorError, safe_open

        try:
            with safe_open(self.path, "numpy") as file:
                return {name: tuple(file.get_slice(name).get_shape()) for name in file.keys()}  # noqa: SIM118
        except (OSError, SafetensorError) as error:
            raise UserError(f"{self.path}: cannot be read ({error}); fetch it again") from error
