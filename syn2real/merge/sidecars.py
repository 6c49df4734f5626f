"""The files beside the weights that make a Hugging Face directory whole: configuration, tokenizer, templates."""

import json
import shutil
from collections.abc import Mapping
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

from torch import dtype

from syn2real.errors import UserError
from syn2real.merge.tensors import dtype_name

# What transformers loads, and licences. Everything else in a training directory (optimizer, logs, other weights,
# results of the unmerged model, its card) would be wrong or useless beside merged weights.
PATTERNS = (
    "config.json",
    "generation_config.json",
    "tokenizer*",
    "special_tokens_map.json",
    "added_tokens.json",
    "vocab*",
    "merges.txt",
    "normalizer.json",
    "*preprocessor_config.json",
    "processor_config.json",
    "feature_extractor_config.json",
    "chat_template*",
    "*.model",
    "*.tiktoken",
    "LICENSE*",
    "LICENCE*",
    "NOTICE*",
)
_DTYPE_KEYS = ("dtype", "torch_dtype")  # transformers 5 and 4


def sidecars(directory: Path) -> list[Path]:
    """The sidecar files of a model directory, by name. Raises `UserError` without a ``config.json``."""
    if not (directory / "config.json").is_file():
        raise UserError(
            f"{directory}: no config.json, so the result could not be loaded; give another template, or "
            "none for weights alone"
        )
    files = (file for file in directory.iterdir() if file.is_file())
    return sorted(file for file in files if any(fnmatch(file.name, pattern) for pattern in PATTERNS))


def configuration(directory: Path) -> dict[str, Any]:
    """A model directory's ``config.json``. Raises `UserError` for one that cannot be read or is no JSON object."""
    file = directory / "config.json"
    try:
        config = json.loads(file.read_text(encoding="utf-8"))
    except OSError as error:
        raise UserError(f"{file}: {error.strerror or error}") from error
    except (ValueError, RecursionError) as error:
        raise UserError(f"{file}: not valid JSON ({error})") from error
    if not isinstance(config, dict):
        raise UserError(f"{file}: not a JSON object; take it from the model's own directory")
    return config


def copy_sidecars(
    source: Path, target: Path, out_dtype: dtype | None, changes: Mapping[str, Any] | None = None
) -> None:
    """Copy the sidecars; ``config.json`` gets ``out_dtype`` and ``changes``, and loses what GGUF left in it.

    Code files go along only where the configuration names them (``auto_map``).
    """
    for file in sidecars(source):
        shutil.copyfile(file, target / file.name)
    config = configuration(source)
    if "auto_map" in config:
        for file in sorted(source.glob("*.py")):
            shutil.copyfile(file, target / file.name)
    changed = adapted(config, out_dtype) | dict(changes or {})
    if changed != config:
        # Only then: a configuration that needs no change keeps its bytes.
        (target / "config.json").write_text(json.dumps(changed, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")


def adapted(config: dict[str, Any], out_dtype: dtype | None) -> dict[str, Any]:
    """A configuration for floating-point weights of ``out_dtype`` (None keeps what it says), nested ones included."""
    changed = _with_dtype(config, dtype_name(out_dtype)) if out_dtype else dict(config)
    if out_dtype and not any(key in changed for key in _DTYPE_KEYS):
        changed["dtype"] = dtype_name(out_dtype)
    quantisation = changed.get("quantization_config")
    if isinstance(quantisation, dict) and quantisation.get("quant_method") == "gguf":
        del changed["quantization_config"]  # the weights are floats now, and transformers would not save the model
    return changed


def _with_dtype(config: dict[str, Any], name: str) -> dict[str, Any]:
    return {
        key: name if key in _DTYPE_KEYS else _with_dtype(value, name) if isinstance(value, dict) else value
        for key, value in config.items()
    }
