"""Writing a merged model: a complete Hugging Face directory, tensor by tensor, whole or not at all."""

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch

import syn2real
from syn2real.errors import UserError
from syn2real.merge.checkpoint import SINGLE, Checkpoint
from syn2real.merge.formats.safetensors_writer import SafetensorsWriter, file_size
from syn2real.merge.measures import SLICE, ranges
from syn2real.merge.merged import Merged
from syn2real.merge.sidecars import copy_sidecars, sidecars
from syn2real.merge.tensors import TensorInfo, dtype_name
from syn2real.merge.vector import TaskVector, Term, check_carried, provenance_of
from syn2real.sealing import require_absent, require_space, sealed_directory

RECORD = "merge.json"
DTYPES = (torch.float32, torch.float16, torch.bfloat16)
METADATA = {"format": "pt"}  # transformers refuses safetensors that do not say so
SLACK = 1 << 20  # bytes for the record and what a file system rounds up


def write(
    merged: Merged,
    output: Path | str,
    *,
    out_dtype: torch.dtype | None = None,
    template: Path | str | None = None,
    overwrite: bool = False,
    on_tensor: Callable[[str], None] | None = None,
    recipe: Mapping[str, Any] | None = None,
) -> Path:
    """Write ``merged`` as a Hugging Face directory, in the anchor's shards, and return its path.

    ``template`` is a directory of the same model for configuration and tokenizer, needed when the anchor is a lone
    file. ``on_tensor`` is called with each name once it is written. ``recipe`` is kept in ``merge.json``, which also
    names every input with hash and coefficient. The same inputs give the same bytes.

    Raises `UserError` for an output that exists or is an input, a missing configuration, a full disk, and weights that
    are not finite in the output's dtype; `CheckpointMismatch` for integer tensors that differ.
    """
    output = Path(output)
    _check_output(merged, output, out_dtype, overwrite)
    beside = Path(template) if template is not None else merged.anchor.directory
    if beside is None:
        raise UserError(
            f"{merged.anchor.path}: no Hugging Face configuration lies beside these weights; "
            "pass as template a directory of the same model"
        )
    companions = sidecars(beside)
    infos = merged.output_infos(out_dtype)
    layout = {shard: {name: infos[name] for name in names} for shard, names in merged.anchor.layout.items()}
    needed = sum(file_size(part, METADATA) for part in layout.values())
    require_space(output, needed + sum(file.stat().st_size for file in companions) + SLACK)
    for name, info in infos.items():
        if not info.is_float:
            check_carried([Term(1.0, merged.anchor), *merged.terms], name)
    record = _record(merged, out_dtype, recipe or {})
    with sealed_directory(output, overwrite=overwrite) as partial:
        for shard, part in layout.items():
            _write_shard(merged, partial / shard, part, on_tensor)
        if list(layout) != [SINGLE]:
            _write_json(partial / f"{SINGLE}.index.json", _index(layout))
        copy_sidecars(beside, partial, out_dtype)
        _write_json(partial / RECORD, record)
    return output


def apply(
    checkpoint: Checkpoint,
    vector: TaskVector,
    scale: float,
    output: Path | str,
    *,
    out_dtype: torch.dtype | None = None,
    template: Path | str | None = None,
    overwrite: bool = False,
    allow_dtypes: bool = False,
    on_tensor: Callable[[str], None] | None = None,
) -> Path:
    """Write θ + λτ for ``scale`` λ, which ``merge.json`` records; see `write`."""
    return write(
        Merged(checkpoint, vector * scale, allow_dtypes=allow_dtypes),
        output,
        out_dtype=out_dtype,
        template=template,
        overwrite=overwrite,
        on_tensor=on_tensor,
        recipe={"method": "task_arithmetic", "scale": float(scale)},
    )


def _check_output(merged: Merged, output: Path, out_dtype: torch.dtype | None, overwrite: bool) -> None:
    if out_dtype is not None and out_dtype not in DTYPES:
        raise UserError(f"{dtype_name(out_dtype)}: choose from {', '.join(map(dtype_name, DTYPES))}")
    place = output.resolve()
    for term in merged.terms:
        source = term.source.path.resolve()
        if place == source or place in source.parents:
            raise UserError(f"{output}: holds {term.source.name}, an input of the merge; choose another output")
    require_absent(output, overwrite=overwrite)


def _write_shard(
    merged: Merged, path: Path, infos: Mapping[str, TensorInfo], on_tensor: Callable[[str], None] | None
) -> None:
    with SafetensorsWriter(path, infos, METADATA) as writer:
        for name, info in writer.infos.items():
            for start, stop in ranges(info.numel, SLICE):
                if not info.is_float:
                    values = merged.anchor.read_range(name, start, stop)
                else:
                    values = merged.range(name, start, stop, info.dtype)
                    _check_finite(merged, name, values)
                writer.write(name, start, values)
            if on_tensor is not None:
                on_tensor(name)


def _check_finite(merged: Merged, name: str, values: torch.Tensor) -> None:
    """An overflow would be found only as a model that says nothing; a plain copy keeps what its source has."""
    unchanged = merged.is_copy and values.dtype == merged.infos[name].dtype
    if not unchanged and not torch.isfinite(values).all():
        kind = dtype_name(values.dtype)
        raise UserError(f"{name} is not finite in {kind}; lower the scale, use out_dtype float32, or check the inputs")


def _index(layout: Mapping[str, Mapping[str, TensorInfo]]) -> dict[str, Any]:
    placed = {name: shard for shard, part in layout.items() for name in part}
    size = sum(info.nbytes for part in layout.values() for info in part.values())
    return {"metadata": {"total_size": size}, "weight_map": dict(sorted(placed.items()))}


def _record(merged: Merged, out_dtype: torch.dtype | None, recipe: Mapping[str, Any]) -> dict[str, Any]:
    """What was merged. No times and no directories: the same merge elsewhere is the same bytes."""
    return {
        "format": "syn2real.merge",
        "version": 1,
        "anchor": {"name": merged.anchor.name, "sha256": merged.anchor.sha256},
        "terms": [provenance_of(term) for term in merged.terms],
        "recipe": dict(recipe),
        "out_dtype": merged.describe_dtype(out_dtype),
        "tensors": len(merged.infos),
        "parameters": merged.anchor.parameters,
        "versions": {"syn2real": syn2real.__version__, "torch": torch.__version__},
    }


def _write_json(path: Path, value: Any) -> None:
    path.write_text(json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False) + "\n", encoding="utf-8")
