"""The engine: one result for every way of running it, and for every moment at which it is killed."""

import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from syn2real.errors import UserError
from syn2real.merge import Checkpoint, engine, pieces, stack, sums, write
from syn2real.merge.plan import plan_recipe
from syn2real.merge.recipe import parse_recipe

SHAPES = {f"model.layers.{i}.mlp.fc1.weight": (300, 257) for i in range(4)} | {
    "model.embed_tokens.weight": (1500, 64),
    "model.norm.weight": (64,),
    "model.scalar": (),
    "model.empty": (0, 8),
}


def model(root: Path, name: str, seed: int, dtype: torch.dtype = torch.bfloat16, shards: int = 1) -> Path:
    directory = root / name
    directory.mkdir()
    generator = torch.Generator().manual_seed(seed)
    weights = {key: torch.randn(shape, generator=generator).to(dtype) for key, shape in SHAPES.items()}
    weights["model.ids"] = torch.arange(5)
    names = list(weights)
    if shards == 1:
        save_file(weights, directory / "model.safetensors", metadata={"format": "pt"})
    else:
        placed = {}
        for i in range(shards):
            file = f"model-{i + 1:05}-of-{shards:05}.safetensors"
            part = {key: weights[key] for key in names[i::shards]}
            save_file(part, directory / file, metadata={"format": "pt"})
            placed |= dict.fromkeys(part, file)
        (directory / "model.safetensors.index.json").write_text(json.dumps({"weight_map": placed}))
    (directory / "config.json").write_text('{"model_type": "toy"}')
    return directory


@pytest.fixture
def recipe(tmp_path):
    base, a, b = (model(tmp_path, name, seed) for name, seed in (("base", 1), ("a", 2), ("b", 3)))

    def make(method: str = "ties", **values):
        weights = {} if method == "sce" else {"weight": 0.6}
        models = [{"model": str(a), **weights}, {"model": str(b)}]
        return parse_recipe(method=method, base=str(base), models=models, **values)

    return make


def tensors(directory: Path) -> dict[str, torch.Tensor]:
    opened = Checkpoint.open(directory)
    return {name: opened.read(name) for name in opened}


def same(first: dict[str, torch.Tensor], second: dict[str, torch.Tensor]) -> bool:
    return first.keys() == second.keys() and all(torch.equal(first[name], second[name]) for name in first)


@pytest.mark.parametrize("method", ["task_arithmetic", "ties", "dare_ties", "della", "breadcrumbs", "sce", "karcher"])
def test_threads_shards_and_slices_change_no_bit(recipe, tmp_path, monkeypatch, method):
    plan = lambda: plan_recipe(recipe(method, seed=7))  # noqa: E731
    first = tensors(write(plan(), tmp_path / "one", threads=1))
    assert same(first, tensors(write(plan(), tmp_path / "four", threads=4)))
    sharded = write(plan(), tmp_path / "sharded", shard_size=200_000)
    index = json.loads((sharded / "model.safetensors.index.json").read_text())
    assert len(set(index["weight_map"].values())) > 2
    assert same(first, tensors(sharded))
    for module in (pieces, sums):
        monkeypatch.setattr(module, "SLICE", 1000)
    assert same(first, tensors(write(plan(), tmp_path / "small")))


def test_a_giant_tensor_is_computed_in_blocks(recipe, tmp_path, monkeypatch):
    seen = []
    monkeypatch.setattr(stack, "UNIT", 1 << 12)
    monkeypatch.setattr(sums, "SLICE", 1 << 12)
    plan = plan_recipe(recipe("task_arithmetic"))
    for source in plan.inputs:
        original = source.read_range

        def watched(name, start, stop, original=original):
            seen.append(stop - start)
            return original(name, start, stop)

        monkeypatch.setattr(source, "read_range", watched)
        monkeypatch.setattr(source, "read", lambda name: pytest.fail(f"{name} was read whole"))
    write(plan, tmp_path / "out")
    assert max(seen) == 1 << 12


def test_an_error_in_one_thread_stops_all_and_leaves_nothing(recipe, tmp_path):
    plan = plan_recipe(recipe("task_arithmetic"))
    name = "model.layers.2.mlp.fc1.weight"
    broken = plan.pieces[name]

    class Broken:
        info = broken.info

        def check(self):
            pass

        def blocks(self):
            raise OSError(5, "Input/output error", "base/model.safetensors")

    plan.pieces[name] = Broken()
    with pytest.raises(UserError, match="Input/output error"):
        write(plan, tmp_path / "out", threads=2)
    assert not (tmp_path / "out").exists() and not (tmp_path / ".out.partial").exists()


def test_nan_in_an_input_is_named(tmp_path, recipe):
    weights = load_file(tmp_path / "a" / "model.safetensors")
    weights["model.norm.weight"][3] = float("nan")
    save_file(weights, tmp_path / "a" / "model.safetensors", metadata={"format": "pt"})
    for method in ("task_arithmetic", "ties", "slerp"):
        chosen = recipe("ties") if method == "ties" else recipe("task_arithmetic")
        with pytest.raises(UserError, match=r"model\.norm\.weight"):
            write(plan_recipe(chosen), tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_everything_wrong_is_listed_at_once(tmp_path, recipe):
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "thesis.txt").write_text("mine")
    (tmp_path / "base" / "config.json").unlink()
    weights = load_file(tmp_path / "b" / "model.safetensors")
    weights["model.ids"] += 1
    save_file(weights, tmp_path / "b" / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(UserError) as raised:
        write(plan_recipe(recipe()), tmp_path / "out", max_memory=1000)
    message = str(raised.value)
    assert message.startswith("4 problems, nothing was written")
    for part in ("already exists", "no config.json", "model.ids", "max_memory"):
        assert part in message
    write(plan_recipe(recipe(carried="anchor")), tmp_path / "other", template=tmp_path / "a")


def test_memory_is_kept_to_by_using_fewer_threads(recipe, tmp_path):
    plan = plan_recipe(recipe())
    assert plan.peak_memory(4) > plan.peak_memory(1) > 0
    write(plan, tmp_path / "out", threads=4, max_memory=plan.peak_memory(1))
    with pytest.raises(UserError, match="max_memory"):
        write(plan, tmp_path / "again", threads=4, max_memory=plan.peak_memory(1) - 1)


def test_many_tensors(tmp_path):
    for name, seed in (("base", 1), ("a", 2)):
        directory = tmp_path / name
        directory.mkdir()
        generator = torch.Generator().manual_seed(seed)
        weights = {f"layers.{i}.w": torch.randn(3, 2, generator=generator) for i in range(3000)}
        save_file(weights, directory / "model.safetensors", metadata={"format": "pt"})
        (directory / "config.json").write_text("{}")
    merged = parse_recipe(method="slerp", base=str(tmp_path / "base"), models=[{"model": str(tmp_path / "a")}])
    assert len(Checkpoint.open(write(plan_recipe(merged), tmp_path / "out"))) == 3000


# Imports once, then forks a child for every attempt. Slowed down so that a kill falls inside; all else is as ever.
KILLER = """
import os, random, shutil, signal, sys, time
from pathlib import Path
from syn2real.merge import engine, write
from syn2real.merge.plan import plan_recipe
from syn2real.merge.recipe import load_recipe
engine.FLUSHED = 1
recipe, out = load_recipe(Path(sys.argv[1])), Path(sys.argv[2])
journal = out.parent / ".out.partial" / ".journal"
moments, kills, resumed = random.Random(5), 0, 0
while kills < 20 or not out.exists():
    shutil.rmtree(out, ignore_errors=True)
    heard, told = os.pipe()
    child = os.fork()
    if child == 0:
        begun = lambda *_: os.write(told, b"!")
        write(plan_recipe(recipe), out, threads=2, on_start=begun, on_tensor=lambda _: time.sleep(0.02))
        os._exit(0)
    os.close(told)
    os.read(heard, 1)  # the merge has begun, or the child is gone
    os.close(heard)
    if kills < 20:
        time.sleep(moments.uniform(0.0, 0.16))
        os.kill(child, signal.SIGKILL)
        kills += 1
    os.waitpid(child, 0)
    resumed += journal.is_file() and journal.read_text().count("\\n") > 2
print(kills, resumed)
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_killed_at_20_moments_it_resumes_to_the_same_bytes(recipe, tmp_path):
    file = tmp_path / "recipe.yaml"
    file.write_text(json.dumps(recipe("dare_ties", seed=3).model_dump(mode="json")))
    clean = write(plan_recipe(recipe("dare_ties", seed=3)), tmp_path / "clean")
    out = tmp_path / "out"
    done = subprocess.run(
        [sys.executable, "-c", KILLER, str(file), str(out)], capture_output=True, text=True, check=True
    )
    kills, resumed = map(int, done.stdout.split())
    assert kills == 20 and resumed > 0
    assert {p.name: p.read_bytes() for p in out.iterdir()} == {p.name: p.read_bytes() for p in clean.iterdir()}


class Killed(BaseException):
    """What no handler of errors catches, as a kill."""


def interrupted(recipe, out: Path) -> None:
    """A merge by TIES that ends at its fourth tensor."""
    count = []

    def die(name):
        count.append(name)
        if len(count) == 4:
            raise Killed

    with pytest.raises(Killed):
        write(plan_recipe(recipe("ties")), out, on_tensor=die, threads=1)


def test_what_another_merge_left_is_not_gone_on_with(recipe, tmp_path):
    interrupted(recipe, tmp_path / "out")
    assert (tmp_path / ".out.partial" / ".journal").is_file()
    started = []
    write(plan_recipe(recipe("dare_ties")), tmp_path / "out", on_start=lambda total, done: started.append(done))
    assert started == [0]
    assert same(tensors(tmp_path / "out"), tensors(write(plan_recipe(recipe("dare_ties")), tmp_path / "clean")))


def test_the_journal_is_taken_up(recipe, tmp_path, monkeypatch):
    monkeypatch.setattr(engine, "FLUSHED", 1)
    interrupted(recipe, tmp_path / "out")
    started, again = [], []
    write(plan_recipe(recipe("ties")), tmp_path / "out", on_start=lambda *n: started.append(n), on_tensor=again.append)
    assert started[0][1] >= 3 and len(again) == started[0][0] - started[0][1]
    assert same(tensors(tmp_path / "out"), tensors(write(plan_recipe(recipe("ties")), tmp_path / "clean")))


def test_settings_are_a_closed_set(recipe, tmp_path):
    with pytest.raises(TypeError):
        write(plan_recipe(recipe()), tmp_path / "out", treads=2)
    assert replace(plan_recipe(recipe()), notes=["x"]).notes == ["x"]
