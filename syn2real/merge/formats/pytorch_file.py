"""Reading PyTorch's ``.bin``, ``.pt`` and ``.pth`` without running any code that they may carry."""

import pickle
import re
import zipfile
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

import torch
from torch import Tensor

from syn2real.errors import UserError, one_line
from syn2real.merge.tensors import TensorInfo, check_range

NESTS = ("state_dict", "model_state_dict")  # where training scripts and Whisper's own files keep the weights


class PytorchFile:
    """A pickled state dict as a `TensorSource`, memory-mapped where it is in the zip format (torch ≥ 1.6).

    Raises `UserError` for a damaged file, for one that holds anything but tensors, and for one that holds code.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._tensors = _state_dict(path, _load(path))
        self.infos: Mapping[str, TensorInfo] = MappingProxyType(
            {name: TensorInfo(tuple(tensor.shape), tensor.dtype) for name, tensor in self._tensors.items()}
        )

    def read(self, name: str) -> Tensor:
        """See `TensorSource.read`."""
        return self._tensors[name].contiguous()

    def read_range(self, name: str, start: int, stop: int) -> Tensor:
        """See `TensorSource.read_range`."""
        check_range(self.infos[name], start, stop)
        return self._tensors[name].reshape(-1)[start:stop]


def _load(path: Path) -> Any:
    try:
        return torch.load(path, map_location="cpu", weights_only=True, mmap=zipfile.is_zipfile(path))
    except pickle.UnpicklingError as error:
        name = re.search(r"GLOBAL (\S+)", str(error))
        what = f" ({name.group(1)})" if name else ""
        raise UserError(
            f"{path}: refused: the pickle asks to run code or build objects{what}; nothing was run: "
            "get a safetensors file, or convert it where you trust it"
        ) from error
    except OSError as error:
        raise UserError(f"{path}: cannot be read: {error.strerror or error}") from error
    except Exception as error:  # a damaged pickle or zip can fail in any way
        reason = one_line(error, 120)
        raise UserError(f"{path}: damaged or not a PyTorch file ({reason}); copy or download it again") from error


def _state_dict(path: Path, loaded: Any) -> dict[str, Tensor]:
    for nest in NESTS:
        if isinstance(loaded, Mapping) and isinstance(loaded.get(nest), Mapping):
            loaded = loaded[nest]
            break
    if not isinstance(loaded, Mapping) or not loaded:
        raise UserError(f"{path}: holds no state dict (a map of names to tensors)")
    strange = [
        name
        for name, value in loaded.items()
        if not (isinstance(name, str) and isinstance(value, Tensor) and value.layout == torch.strided)
        or value.is_quantized
    ]
    if strange:
        raise UserError(f"{path}: {strange[0]!r} is not a plain tensor ({len(strange)} of {len(loaded)} entries)")
    return {name: value.detach() for name, value in loaded.items()}
