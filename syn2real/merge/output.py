"""Writing a merged model: a complete Hugging Face directory, tensor by tensor, whole or not at all."""

import json
import shutil
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from operator import attrgetter
from pathlib import Path
from typing import Any

import torch

import syn2real
from syn2real.errors import UserError, require_none
from syn2real.hashing import sha256_file, sha256_json
from syn2real.merge import chat_templates, references
from syn2real.merge.card import card
from syn2real.merge.checkpoint import SINGLE, Checkpoint
from syn2real.merge.engine import METADATA, Layout, execute
from syn2real.merge.formats.safetensors_writer import file_size
from syn2real.merge.journal import Journal
from syn2real.merge.merged import Merged
from syn2real.merge.plan import Plan, plan_merged, plan_recipe
from syn2real.merge.recipe import NO_TEMPLATE, MergeRecipe
from syn2real.merge.sidecars import configuration, copy_sidecars, sidecars
from syn2real.merge.tensors import dtype_name
from syn2real.merge.threads import default_threads, one_thread_each
from syn2real.merge.tokenizer_files import FAST, OTHERS
from syn2real.merge.vector import Source, TaskVector
from syn2real.sealing import Busy, partial_path, require_absent, require_space, sealed_directory

RECORD, CARD = "merge.json", "README.md"
DTYPES = (torch.float32, torch.float16, torch.bfloat16)
SLACK = 1 << 20  # bytes for the record and what a file system rounds up


@dataclass(frozen=True)
class WriteSettings:
    """How to write; none of it changes a weight, and only ``shard_size`` (bytes) changes which file holds it."""

    template: Path | str | None = None  # see `MergeRecipe.template`, before which it comes
    overwrite: bool = False
    threads: int | None = None  # None: one for each processor
    shard_size: int | None = None  # None: the anchor's shards
    max_memory: int | None = None  # bytes of working memory at most; fewer threads are used to keep to it
    on_tensor: Callable[[str], None] | None = None  # called with each name once it is computed
    on_start: Callable[[int, int], None] | None = None  # called with the number of tensors, and of those done before


def write(
    merged: Merged | MergeRecipe | Plan,
    output: Path | str,
    *,
    out_dtype: torch.dtype | None = None,
    **settings: Any,
) -> Path:
    """Write a model as a Hugging Face directory and return its path.

    ``merged`` is an expression, a recipe, or the plan of either (`plan_recipe` takes a device). ``settings`` are those
    of `WriteSettings`; ``out_dtype`` is an expression's (a recipe has its own). ``merge.json`` beside the weights says
    what was merged, with every input's hash. The same inputs give the same bytes, whatever the settings but
    ``shard_size``. A killed run is taken up by the same call and ends in the same bytes.

    Raises one `UserError` that lists everything wrong before anything is written: an output that exists or is an input,
    models that do not fit, a missing configuration, a full disk, too little memory; later only for weights that are not
    finite in the output's dtype.
    """
    chosen = WriteSettings(**settings)
    output = Path(output)
    if isinstance(merged, Merged):
        if out_dtype is not None and out_dtype not in DTYPES:
            raise UserError(f"{dtype_name(out_dtype)}: choose from {', '.join(map(dtype_name, DTYPES))}")
        plan = plan_merged(merged, out_dtype)
    elif out_dtype is not None:
        raise UserError("out_dtype: write it in the recipe")
    else:
        plan = plan_recipe(merged) if isinstance(merged, MergeRecipe) else merged
    threads = preflight(plan, output, chosen)
    layout = plan.layout(chosen.shard_size)
    with one_thread_each():
        plan.prepare()
    try:
        with sealed_directory(output, resume=True, overwrite=chosen.overwrite, alone=True) as partial:
            journal = Journal(partial, _identity(plan, layout))
            if chosen.on_start is not None:
                chosen.on_start(len(plan.pieces), len(journal.done))
            try:
                with _hashed(plan.inputs):
                    execute(layout, partial, journal, threads=threads, on_tensor=chosen.on_tensor)
                if list(layout) != [SINGLE]:
                    _write_json(partial / f"{SINGLE}.index.json", _index(layout))
                if (beside := _beside(plan, chosen)) is not None:
                    copy_sidecars(beside, partial, plan.out_dtype, plan.configuration)
                for name, content in plan.files.items():
                    (partial / name).unlink(missing_ok=True)
                    if content is not None:
                        (partial / name).write_bytes(content.encode() if isinstance(content, str) else content)
                if chat_templates.FILE in plan.files:
                    chat_templates.forget_other(partial)
                written = record(plan, output)
                _write_json(partial / RECORD, written)
                (partial / CARD).write_text(card(written), encoding="utf-8")
            except BaseException:
                journal.close()
                raise
            journal.close(remove=True)
    except Busy:
        raise
    except Exception:  # but an interrupted merge is kept, to be gone on with
        shutil.rmtree(partial_path(output), ignore_errors=True)
        raise
    return output


def apply(
    checkpoint: Checkpoint,
    vector: TaskVector,
    scale: float,
    output: Path | str,
    *,
    out_dtype: torch.dtype | None = None,
    allow_dtypes: bool = False,
    **settings: Any,
) -> Path:
    """Write θ + λτ for ``scale`` λ; see `write`."""
    merged = Merged(checkpoint, vector * scale, allow_dtypes=allow_dtypes)
    return write(merged, output, out_dtype=out_dtype, **settings)


def preflight(plan: Plan, output: Path, settings: WriteSettings) -> int:
    """Find everything that speaks against a merge, and return the number of threads to use.

    Raises one `UserError` with all of it. Reads no weights but tensors of integers, which must agree.
    """
    problems = {str(problem): problem for problem in plan.problems}
    threads = settings.threads or default_threads()

    def attempt(check: Callable[[], Any]) -> Any:
        try:
            return check()
        except UserError as error:
            problems.setdefault(str(error), error)
            return None

    attempt(lambda: references.require_apart(output, [(source.name, source.path) for source in plan.inputs]))
    attempt(lambda: require_absent(output, overwrite=settings.overwrite))
    beside = attempt(lambda: _beside(plan, settings))
    companions = attempt(lambda: sidecars(beside)) or [] if beside is not None else []
    if companions:
        attempt(lambda: configuration(beside))
    alike: dict[str, list[tuple[str, UserError]]] = {}  # the same problem of many tensors is said once
    for name, piece in plan.pieces.items():
        try:
            piece.check()
        except UserError as error:
            alike.setdefault(str(error).removeprefix(f"{name}: "), []).append((name, error))
    for problem, ((name, alone), *others) in alike.items():
        several = UserError(f"{name} (and {len(others)} tensors more): {problem}")
        problems[problem] = several if others else alone
    if plan.pieces:
        layout = plan.layout(settings.shard_size)
        needed = sum(file_size({n: p.info for n, p in part.items()}, METADATA) for part in layout.values())
        needed += sum(file.stat().st_size for file in companions) + SLACK
        attempt(lambda: require_space(output, needed - _occupied(partial_path(output))))
    if settings.max_memory is not None:
        while threads > 1 and plan.peak_memory(threads) > settings.max_memory:
            threads -= 1
        attempt(lambda: require_memory(plan.peak_memory(threads), settings.max_memory or 0))
    require_none(list(problems.values()), "problems, nothing was written")
    return threads


def require_memory(needed: int, allowed: int) -> None:
    """Raise `UserError` when ``needed`` bytes are more than ``allowed``."""
    if needed > allowed:
        raise UserError(f"max_memory: one thread needs {needed / 1e6:.0f} MB, {allowed / 1e6:.0f} MB are allowed")


def record(plan: Plan, output: Path) -> dict[str, Any]:
    """What was merged, from what. No times, and paths from ``output``: the same merge elsewhere is the same bytes."""
    named = [str(source.path) for source in plan.inputs] + plan.recipe.folders
    beside = {path: references.relative(path, output) for path in named}
    return {
        "format": "syn2real.merge",
        "version": 2,
        "anchor": plan.anchor.name,
        "inputs": [
            {"name": source.name, "path": beside[str(source.path)], "sha256": source.sha256}
            | ({"parents": source.parents} if source.parents else {})
            for source in plan.inputs
        ],
        "recipe": plan.recipe.with_paths(beside).model_dump(mode="json", exclude_defaults=True),
        "tensors": len(plan.pieces),
        "parameters": sum(piece.info.numel for piece in plan.pieces.values()),
        "versions": {"syn2real": syn2real.__version__, "torch": torch.__version__},
    }


@contextmanager
def _hashed(inputs: Sequence[Source]) -> Iterator[None]:
    """Hash the inputs beside the work, whose reading that warms; where the work fails, no more of them."""
    hashing = ThreadPoolExecutor(1, thread_name_prefix="hash")
    try:
        hashed = [hashing.submit(attrgetter("sha256"), source) for source in inputs]
        yield
        for each in hashed:
            each.result()
    finally:
        hashing.shutdown(cancel_futures=True)


def _beside(plan: Plan, settings: WriteSettings) -> Path | None:
    """Where configuration and tokenizer come from; None where nothing but weights is wanted."""
    template = settings.template or plan.recipe.template
    if str(template) == NO_TEMPLATE:
        return None
    beside = Path(template) if template is not None else plan.anchor.directory
    if beside is None:
        raise UserError(
            f"{plan.anchor.path}: no Hugging Face configuration lies beside these weights; "
            f"pass as template a directory of the same model, or {NO_TEMPLATE} to write weights alone"
        )
    return beside


def _identity(plan: Plan, layout: Layout) -> Any:
    """What the bytes depend on, without reading them."""
    return {
        "inputs": [repr(source.identity) for source in plan.inputs],
        "recipe": plan.recipe.model_dump(mode="json"),
        "layout": sha256_json(
            {
                shard: [[name, list(piece.info.shape), dtype_name(piece.info.dtype)] for name, piece in part.items()]
                for shard, part in layout.items()
            }
        ),
        "versions": [syn2real.__version__, torch.__version__],
    } | ({} if plan.recipe.vocabulary == "same" else {"vocabularies": vocabularies(plan)})


def vocabularies(plan: Plan) -> list[list[str]]:
    """The hashes of the files that say which token each row is for: of every input, and of the recipe's tokenizer."""
    folders = [source.directory if isinstance(source, Checkpoint) else None for source in plan.inputs]
    if plan.recipe.tokenizer is not None:
        folders.append(Path(plan.recipe.tokenizer))
    return [_hashes(folder) for folder in folders]


def _hashes(folder: Path | None) -> list[str]:
    files = [folder / name for name in (FAST, *OTHERS)] if folder is not None else []
    return [sha256_file(file) for file in files if file.is_file()]


def _occupied(partial: Path) -> int:
    """Bytes on disk of an unfinished output, which the merge that goes on with it need not have again."""
    files = partial.iterdir() if partial.is_dir() else ()
    return sum(512 * file.lstat().st_blocks for file in files)


def _index(layout: Layout) -> dict[str, Any]:
    placed = {name: shard for shard, part in layout.items() for name in part}
    size = sum(piece.info.nbytes for part in layout.values() for piece in part.values())
    return {"metadata": {"total_size": size}, "weight_map": dict(sorted(placed.items()))}


def _write_json(path: Path, value: Any) -> None:
    path.write_text(json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False) + "\n", encoding="utf-8")
