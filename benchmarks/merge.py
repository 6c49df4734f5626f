"""Merging beside mergekit, in one run: time, memory and rounding, on Llama-shaped models of random weights in bfloat16.

    make bench-merge                                  # SmolLM2-135M's shapes: three models of 269 MB
    make bench-merge ARGS="--size 1.5GB --rounds 1"

Whole-process times include starting Python. The floor reads all inputs, writes as many bytes as one of them, and
flushes them to the disk. Memory is the peak over the process: resident, and the anonymous part (what is not a view of
a file). ``misrounded`` is the share of elements of the task-arithmetic merge that are not the float64 result rounded
once. The two take turns; times are the fastest of the rounds, which other work on the machine disturbs least, and
peaks the median. Processor seconds stay comparable on a machine that is never idle. Ratios are to mergekit in the same
run, and to our own linear merge where that was asked for first.
"""

import argparse
import json
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
import yaml
from safetensors import safe_open
from safetensors.torch import save_file

from benchmarks.llama import Llama
from benchmarks.measuring import measure, show
from syn2real.cli.merge import parse_size

METHODS: dict[str, dict[str, Any]] = {
    "linear": {"base": False, "weights": True, "parameters": {}},
    "task_arithmetic": {"base": True, "weights": True, "parameters": {"lambda": 0.7}},
    "slerp": {"base": True, "weights": False, "parameters": {"t": 0.4}},
    "ties": {"base": True, "weights": True, "parameters": {"density": 0.3}},
    "dare_ties": {"base": True, "weights": True, "parameters": {"density": 0.5}},
    "della": {"base": True, "weights": True, "parameters": {"density": 0.5, "epsilon": 0.1}},
}
WEIGHTS = (0.6, 0.4)
HIDDEN, INTERMEDIATE, VOCABULARY, HEAD = 576, 1536, 49152, 64


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--mergekit", type=Path, help="mergekit-yaml of an environment of its own; without: ours alone")
    parser.add_argument("--size", default="269MB", help="bytes of each model, reached by adding layers")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--methods", nargs="+", default=list(METHODS), choices=list(METHODS))
    parser.add_argument("--folder", type=Path, help="where to put the models; default: a temporary directory")
    options = parser.parse_args()
    size = parse_size(options.size, "--size") or 0
    with tempfile.TemporaryDirectory(dir=options.folder) as folder:
        root = Path(folder)
        models = [make(root / name, seed, size) for seed, name in enumerate(("base", "a", "b"))]
        actual = (models[0] / "model.safetensors").stat().st_size
        floors = [floor(models, root) for _ in range(options.rounds)]
        show(what="floor", model_mb=round(actual / 1e6), seconds=min(floors))
        linear_s = None
        for method in options.methods:
            took = compare(method, root, models, options.rounds, options.mergekit, min(floors), linear_s)
            linear_s = took if method == "linear" else linear_s


def compare(
    method: str,
    root: Path,
    models: list[Path],
    rounds: int,
    mergekit: Path | None,
    floor_s: float,
    linear_s: float | None,
) -> float:
    """Print one row; seconds that our engine took."""
    recipe = root / f"{method}.yaml"
    recipe.write_text(yaml.safe_dump(mergekit_recipe(method, models)))
    ours = [sys.executable, "-m", "syn2real.cli.main", "merge", str(recipe), "-o", str(root / "ours")]
    ours += ["--overwrite", "--json"]
    theirs = [str(mergekit), str(recipe), str(root / "theirs"), "--no-copy-tokenizer", "--no-write-model-card"]
    runs = [(measure(ours), None if mergekit is None else measure(theirs)) for _ in range(rounds)]
    row: dict[str, Any] = {"what": method, **summary([our for our, _ in runs], "ours")}
    row["ours_engine_s"] = min(json.loads(our["stdout"])["seconds"] for our, _ in runs)
    row["engine_over_floor"] = round(row["ours_engine_s"] / floor_s, 2)
    if linear_s is not None:
        row["engine_over_linear"] = round(row["ours_engine_s"] / linear_s, 2)
    if mergekit is not None:
        row |= summary([their for _, their in runs if their is not None], "mergekit")
        row["times_faster"] = round(row["mergekit_s"] / row["ours_s"], 2)
    if method == "task_arithmetic":
        row["ours_misrounded"] = misrounded(root / "ours", models)
        if mergekit is not None:
            row["mergekit_misrounded"] = misrounded(root / "theirs", models)
    show(**row)
    return float(row["ours_engine_s"])


def mergekit_recipe(method: str, models: list[Path]) -> dict[str, Any]:
    """The dialect that both read."""
    traits = METHODS[method]
    base, *others = map(str, models)
    parts: list[dict[str, Any]] = [
        {"model": path} | ({"parameters": {"weight": weight}} if traits["weights"] else {})
        for path, weight in zip(others, WEIGHTS, strict=True)
    ]
    recipe: dict[str, Any] = {"merge_method": method, "models": parts, "dtype": "bfloat16"}
    if method == "slerp":
        recipe["models"] = [{"model": base}, parts[0]]
    if traits["base"]:
        recipe["base_model"] = base
    if traits["parameters"]:
        recipe["parameters"] = traits["parameters"]
    return recipe


def make(directory: Path, seed: int, size: int) -> Path:
    """A Llama-shaped model: the first one random, the others near it."""
    directory.mkdir()
    layer = 2 * (2 * HIDDEN**2 + 2 * HIDDEN * 3 * HEAD + 3 * HIDDEN * INTERMEDIATE + 2 * HIDDEN)
    layers = max(1, round((size - 2 * VOCABULARY * HIDDEN) / layer))
    llama = Llama(HIDDEN, INTERMEDIATE, layers, VOCABULARY, HEAD, groups=3, tied=True)
    common, own = torch.Generator().manual_seed(0), torch.Generator().manual_seed(seed + 1)
    weights = {}
    for name, shape in llama.shapes.items():
        values = torch.randn(shape, generator=common).mul_(0.02)
        if seed:
            values += torch.randn(shape, generator=own).mul_(0.002)
        weights[name] = values.bfloat16()
    save_file(weights, directory / "model.safetensors", metadata={"format": "pt"})
    config = llama.config(max_position_embeddings=2048, dtype="bfloat16")
    (directory / "config.json").write_text(json.dumps(config))
    return directory


def floor(models: list[Path], root: Path) -> float:
    """Seconds to read all inputs and to write and flush the size of one."""
    start = time.perf_counter()
    block = bytearray(1 << 22)
    for model in models:
        with (model / "model.safetensors").open("rb", buffering=0) as file:
            while file.readinto(block):
                pass
    target = root / "floor.bin"
    left = (models[0] / "model.safetensors").stat().st_size
    with target.open("wb", buffering=0) as file:
        while left > 0:
            left -= file.write(block[: min(left, len(block))])
        os.fsync(file.fileno())
    seconds = time.perf_counter() - start
    target.unlink()
    return seconds


def summary(runs: list[dict[str, Any]], who: str) -> dict[str, Any]:
    middle: Callable[[str], float] = lambda key: statistics.median(run[key] for run in runs)  # noqa: E731
    return {
        f"{who}_s": round(min(run["seconds"] for run in runs), 2),
        f"{who}_cpu_s": round(min(run["cpu"] for run in runs), 2),
        f"{who}_rss_mb": round(middle("rss")),
        f"{who}_anonymous_mb": round(middle("anonymous")),
    }


def misrounded(directory: Path, models: list[Path]) -> float:
    """Share of elements that are not the nearest bfloat16 to the float64 result."""
    wrong = total = 0
    files = [safe_open(path / "model.safetensors", "pt") for path in models]
    for shard in sorted(directory.glob("*.safetensors")):
        with safe_open(shard, "pt") as merged:
            for name in merged.keys():  # noqa: SIM118 (not a dict)
                base, a, b = (file.get_tensor(name).double() for file in files)
                exact = base + 0.7 * (WEIGHTS[0] * (a - base) + WEIGHTS[1] * (b - base))
                got = merged.get_tensor(name)
                error = (got.double() - exact).abs()
                bits = got.view(torch.int16)
                near = torch.minimum(*((bits + s).view(torch.bfloat16).double().sub(exact).abs() for s in (-1, 1)))
                wrong += int((error > near).sum())
                total += got.numel()
    return round(wrong / total, 6)


if __name__ == "__main__":
    main()
