"""How a merge's time grows with the number of tensors, and its memory with the size of the model.

    python -m benchmarks.merge_scaling                      # 1,000 to 10,000 tensors; 0.3 and 1.5 GB
    python -m benchmarks.merge_scaling --sizes 0.3 1.5 5    # needs four times the largest size of disk

The sizes are of two bfloat16 models and a base, merged by TIES with two threads; a quarter of each, at most 1.2 GB, is
a single tensor.
"""

import argparse
import json
import sys
import tempfile
from pathlib import Path

import torch
from safetensors.torch import save_file

from benchmarks.measuring import measure, show

WIDTH = 4096


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tensors", type=int, nargs="+", default=[1000, 3000, 10000])
    parser.add_argument("--sizes", type=float, nargs="+", default=[0.3, 1.5], help="GB of each model")
    options = parser.parse_args()
    for count in options.tensors:
        with tempfile.TemporaryDirectory() as folder:
            for name in ("base", "a", "b"):
                generator = torch.Generator().manual_seed(len(name) + ord(name[0]))
                weights = {f"layers.{i}.w": torch.randn(64, 64, generator=generator) for i in range(count)}
                save(weights, Path(folder) / name)
            found = merged(Path(folder))
            show(what="tensors", count=count, engine_s=found["engine_s"], ms_per_tensor=found["engine_s"] * 1e3 / count)
    for size in options.sizes:
        with tempfile.TemporaryDirectory() as folder:
            for seed, name in enumerate(("base", "a", "b")):
                large(Path(folder) / name, size, seed)
            show(what="size", gigabytes=size, **merged(Path(folder)))


def merged(root: Path) -> dict[str, float]:
    """Merge a and b onto base by TIES: engine seconds and peak memory in MB."""
    models = [{"model": str(root / name), "density": 0.3} for name in ("a", "b")]
    recipe = root / "recipe.yaml"
    recipe.write_text(json.dumps({"method": "ties", "base": str(root / "base"), "models": models}))
    command = [sys.executable, "-m", "syn2real.cli.main", "merge", str(recipe), "-o", str(root / "out"), "--json"]
    run = measure([*command, "--threads", "2"])
    seconds = json.loads(run["stdout"])["seconds"]
    return {"engine_s": seconds, "anonymous_mb": round(run["anonymous"]), "rss_mb": round(run["rss"])}


def large(directory: Path, size: float, seed: int) -> None:
    """A model of ``size`` GB; every layer has the same random values, scaled: making them must not take all day."""
    generator = torch.Generator().manual_seed(seed)
    rows = int(size * 1e9 / 2 / WIDTH)
    giant = min(rows // 4, 150_000)
    block = torch.randn(WIDTH, WIDTH, generator=generator)
    weights = {"model.embed_tokens.weight": block.repeat(-(-giant // WIDTH), 1)[:giant].bfloat16()}
    for i in range(max(1, (rows - giant) // WIDTH)):
        weights[f"model.layers.{i}.w"] = (block * (1 + i / 1000)).bfloat16()
    save(weights, directory)


def save(weights: dict[str, torch.Tensor], directory: Path) -> None:
    directory.mkdir()
    save_file(weights, directory / "model.safetensors", metadata={"format": "pt"})
    (directory / "config.json").write_text("{}")


if __name__ == "__main__":
    main()
