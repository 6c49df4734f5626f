"""A model's weights as a lazy, read-only map from tensor name to shape and dtype, whatever the file format."""

from collections.abc import Hashable, Iterator, Mapping
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from torch import Tensor

from syn2real.errors import UserError
from syn2real.hashing import remembered_sha256, sha256_json
from syn2real.merge.formats.ctranslate2_file import CTranslate2File
from syn2real.merge.formats.gguf_file import GGUFFile
from syn2real.merge.formats.pytorch_file import PytorchFile
from syn2real.merge.formats.safetensors_file import SafetensorsFile
from syn2real.merge.formats.shards import Shards
from syn2real.merge.references import name_of, split
from syn2real.merge.sidecars import configuration
from syn2real.merge.tensors import TensorInfo, TensorSource
from syn2real.merge.vector import TASK_VECTOR, TaskVector, Term

if TYPE_CHECKING:
    from syn2real.merge.merged import Merged

SINGLE = "model.safetensors"  # what a model in one file is called in a Hugging Face directory
INDICES = ("model.safetensors.index.json", "pytorch_model.bin.index.json")
LOOKED_FOR = f"{SINGLE}, pytorch_model.bin, either's index.json, a single *.safetensors, model.bin, or one *.gguf"


class Checkpoint(Mapping[str, TensorInfo]):
    """Tensor names to `TensorInfo`, over the names that the files store: tied weights count once if stored once.

    ``path`` is what was opened, ``directory`` the Hugging Face directory around it (None for CTranslate2, GGUF and lone
    files), ``files`` the weight files, ``layout`` the tensors of each output shard. ``a - b`` is a `TaskVector`, and
    ``a + vector`` a `Merged`; neither reads a weight.
    """

    stored_vector = False

    def __init__(self, path: Path, source: TensorSource, files: tuple[Path, ...], directory: Path | None) -> None:
        self.path = path
        self.files = files
        self.directory = directory
        self._source = source
        self.infos: Mapping[str, TensorInfo] = source.infos
        # Of the files as they were opened: a file replaced in the meantime is another source.
        stats = [file.stat() for file in files]
        self.identity: Hashable = tuple((s.st_dev, s.st_ino, s.st_mtime_ns, s.st_size) for s in stats)

    @classmethod
    def open(cls, path: Path | str, adapter: Path | str | None = None) -> "Checkpoint":
        """Open a model directory, a weight file or an index of shards; the format is found by content.

        Formats: Hugging Face with safetensors or PyTorch weights, in one file or many; CTranslate2 Whisper; GGUF of the
        Llama family. ``adapter`` is the directory of a PEFT LoRA adapter to be merged in as the model is read;
        ``base+adapter`` as a path says the same. Raises `UserError` when there are no weights, or they are damaged,
        unsafe or of another kind, and `CheckpointMismatch` for an adapter that does not fit.
        """
        if adapter is None:
            path, adapter = split(path)
        if adapter is not None:
            from syn2real.merge.adapter import AdaptedCheckpoint

            return AdaptedCheckpoint(cls.open(path), adapter)
        path = Path(path)
        if path.is_dir():
            weights = _weights_in(path)
        elif path.is_file():
            weights = path
        else:
            raise UserError(f"{path}: no such file or directory; give a model directory or a weight file")
        source = _open_index(weights) if weights.name.endswith(".index.json") else _open_file(weights)
        files = source.files if isinstance(source, Shards) else (weights,)
        parent = weights.parent
        plain = isinstance(source, Shards | SafetensorsFile | PytorchFile)
        described = plain and (path.is_dir() or (parent / "config.json").is_file())
        return cls(path, source, files, parent if described else None)

    def __getitem__(self, name: str) -> TensorInfo:
        return self.infos[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self.infos)

    def __len__(self) -> int:
        return len(self.infos)

    # Two checkpoints are the same only if they are one object: equal shapes do not make equal weights.
    def __eq__(self, other: object) -> bool:
        return self is other

    def __hash__(self) -> int:
        return id(self)

    def __repr__(self) -> str:
        return f"Checkpoint({self.name}: {len(self)} tensors, {self.parameters} parameters)"

    @property
    def name(self) -> str:
        """What records and messages call it, see `references.name_of`."""
        return name_of(self.path)

    @property
    def parameters(self) -> int:
        """Number of stored elements."""
        return sum(info.numel for info in self.infos.values())

    @property
    def parents(self) -> list[dict[str, Any]]:
        """Empty: a checkpoint is where provenance begins, unless it is a base with an adapter."""
        return []

    @property
    def held_bytes(self) -> int:
        """Memory that reading takes for good, at most: an adapter's factors."""
        return getattr(self._source, "held_bytes", 0)

    @cached_property
    def sha256(self) -> str:
        """SHA-256 of the weight file; of the list of their hashes, in order of name, when there are several."""
        hashes = [remembered_sha256(file) for file in sorted(self.files)]
        return hashes[0] if len(hashes) == 1 else sha256_json(hashes)

    @cached_property
    def config(self) -> dict[str, Any]:
        """The Hugging Face directory's ``config.json``; empty without one. Raises `UserError` when it is not JSON."""
        if self.directory is None or not (self.directory / "config.json").is_file():
            return {}
        return configuration(self.directory)

    @property
    def layout(self) -> dict[str, tuple[str, ...]]:
        """Names of the safetensors shards that a model of this layout is written to, with their tensors in order."""
        if not isinstance(self._source, Shards):
            return {SINGLE: tuple(self.infos)}
        shards = self._source.layout
        if all(shard.endswith(".safetensors") for shard in shards):
            return dict(shards)
        count = len(shards)
        return {f"model-{i:05}-of-{count:05}.safetensors": names for i, names in enumerate(shards.values(), 1)}

    def read(self, name: str) -> Tensor:
        """See `TensorSource.read`. Often a view of the file: treat it as read-only."""
        return self._source.read(name)

    def read_range(self, name: str, start: int, stop: int) -> Tensor:
        """See `TensorSource.read_range`."""
        return self._source.read_range(name, start, stop)

    def __mul__(self, factor: float) -> TaskVector:
        """A term of a sum of models: ``(0.5 * a + 0.5 * b).anchored(a)`` is their mean, with a's names."""
        if isinstance(factor, bool) or not isinstance(factor, int | float):
            return NotImplemented
        return TaskVector([Term(float(factor), self)])

    __rmul__ = __mul__

    def __truediv__(self, divisor: float) -> TaskVector:
        return self * 1.0 / divisor

    def __sub__(self, other: "Checkpoint") -> TaskVector:
        if not isinstance(other, Checkpoint):
            return NotImplemented
        return TaskVector.between(self, other)

    def __add__(self, vector: TaskVector) -> "Merged":
        from syn2real.merge.merged import Merged

        if not isinstance(vector, TaskVector):
            return NotImplemented
        return Merged(self, vector)


def _weights_in(directory: Path) -> Path:
    """The weight file or index of a directory; safetensors are preferred to pickles."""
    for name in (SINGLE, INDICES[0]):
        if (directory / name).is_file():
            return directory / name
    alone = [file for file in sorted(directory.glob("*.safetensors")) if file.name != "adapter_model.safetensors"]
    if len(alone) > 1:
        raise UserError(f"{directory}: {len(alone)} safetensors files and no {INDICES[0]}; give one file or the index")
    choices = [*alone, directory / "pytorch_model.bin", directory / INDICES[1], directory / "model.bin"]
    for file in choices:
        if file.is_file():
            return file
    quantised = sorted(directory.glob("*.gguf"))
    if len(quantised) > 1:
        raise UserError(f"{directory}: {len(quantised)} GGUF files; give one of them")
    if quantised:
        return quantised[0]
    from syn2real.merge.adapter import is_adapter

    if is_adapter(directory):
        raise UserError(f"{directory}: holds an adapter, not a whole model; write its base before it: BASE+{directory}")
    raise UserError(f"{directory}: no weights here (looked for {LOOKED_FOR})")


def _open_index(index: Path) -> Shards:
    return Shards(index, SafetensorsFile if ".safetensors." in index.name else PytorchFile)


def _open_file(path: Path) -> TensorSource:
    """Open one weight file by its first bytes: names lie, ``model.bin`` most of all."""
    with path.open("rb") as file:
        head = file.read(16)
    if not head:
        raise UserError(f"{path}: empty file; copy or download it again")
    if head.startswith(b"GGUF"):
        return GGUFFile(path)
    if head.startswith((b"PK\x03\x04", b"\x80")) and path.suffix != ".safetensors":
        return PytorchFile(path)
    if head[8:9] == b"{" or path.suffix == ".safetensors":
        opened = SafetensorsFile(path)
        if opened.metadata.get("format") == TASK_VECTOR:
            raise UserError(f"{path}: a task vector, not a model; use it as one (TaskVector.load)")
        if not opened.infos:
            raise UserError(f"{path}: holds no weights")
        return opened
    if path.name == "model.bin" or (head[1:4] == b"\0\0\0" and head[6:].startswith(b"Whisper")):
        return CTranslate2File(path)
    raise UserError(f"{path}: not a weight file; safetensors, PyTorch, CTranslate2 Whisper and GGUF can be read")
