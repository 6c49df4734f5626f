import json
import pickle
import shutil
import subprocess
import sys

import pytest
import torch
from safetensors.torch import load_file, save_file

from syn2real.errors import UserError
from syn2real.merge import Checkpoint, TaskVector, apply
from syn2real.merge.compression import compress

from .conftest import SHAPES, tensors


def same(checkpoint, weights):
    assert set(checkpoint) == set(weights)
    for name, tensor in weights.items():
        assert checkpoint[name].shape == tuple(tensor.shape) and checkpoint[name].dtype == tensor.dtype
        assert torch.equal(checkpoint.read(name), tensor)
        flat = tensor.reshape(-1)
        for start, stop in ((0, flat.numel()), (flat.numel() // 3, flat.numel() // 2 + 1), (0, 0)):
            assert torch.equal(checkpoint.read_range(name, start, stop), flat[start:stop])
        with pytest.raises(IndexError):
            checkpoint.read_range(name, 0, flat.numel() + 1)


def shard(directory, weights, save, pattern, index):
    """Split over two files with an index."""
    directory.mkdir()
    names = list(weights)
    placed = {}
    for i, part in enumerate((names[:2], names[2:]), 1):
        file = pattern.format(i)
        save({name: weights[name] for name in part}, directory / file)
        placed |= dict.fromkeys(part, file)
    (directory / index).write_text(json.dumps({"metadata": {}, "weight_map": placed}))
    (directory / "config.json").write_text("{}")
    return directory


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16, torch.float64])
def test_safetensors(make, dtype):
    path = make("a", 3, dtype, {"counts": torch.arange(5), "mask": torch.tensor([True, False])})
    for place in (path, path / "model.safetensors"):  # named a, and a/model.safetensors
        checkpoint = Checkpoint.open(place)
        same(checkpoint, load_file(path / "model.safetensors"))
        assert checkpoint.directory == path and checkpoint.config["model_type"] == "toy"
        assert list(checkpoint.layout) == ["model.safetensors"]
    assert repr(checkpoint) == "Checkpoint(a/model.safetensors: 8 tensors, 112 parameters)"


def test_sharded_safetensors(tmp_path):
    index, pattern = "model.safetensors.index.json", "model-{}-of-2.safetensors"
    checkpoint = Checkpoint.open(shard(tmp_path / "s", tensors(1), save_file, pattern, index))
    same(checkpoint, tensors(1))
    assert list(checkpoint.layout) == ["model-1-of-2.safetensors", "model-2-of-2.safetensors"]
    assert len(checkpoint.files) == 2 and len(checkpoint.sha256) == 64
    same(Checkpoint.open(tmp_path / "s" / index), tensors(1))


def test_pytorch_files(tmp_path):
    for name, value in {
        "plain.bin": tensors(1),
        "nested.pt": {"epoch": 3, "state_dict": tensors(1)},
        "whisper.pth": {"dims": {"n": 1}, "model_state_dict": tensors(1)},
    }.items():
        torch.save(value, tmp_path / name)
        same(Checkpoint.open(tmp_path / name), tensors(1))
    torch.save(tensors(1), tmp_path / "old.bin", _use_new_zipfile_serialization=False)
    same(Checkpoint.open(tmp_path / "old.bin"), tensors(1))
    torch.save({"x": torch.arange(6.0).view(2, 3).T}, tmp_path / "strided.pt")
    same(Checkpoint.open(tmp_path / "strided.pt"), {"x": torch.arange(6.0).view(2, 3).T})
    sharded = shard(tmp_path / "s", tensors(1), torch.save, "part{}.bin", "pytorch_model.bin.index.json")
    checkpoint = Checkpoint.open(sharded)
    same(checkpoint, tensors(1))
    assert list(checkpoint.layout) == ["model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors"]


class Malice:
    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return open, (self.path, "w")


def test_a_malicious_pickle_is_refused_and_not_run(tmp_path):
    target = tmp_path / "owned"
    torch.save({"w": torch.ones(2), "x": Malice(str(target))}, tmp_path / "evil.bin")
    (tmp_path / "evil.pt").write_bytes(pickle.dumps({"x": Malice(str(target))}))
    for name in ("evil.bin", "evil.pt"):
        with pytest.raises(UserError, match="safetensors") as caught:
            Checkpoint.open(tmp_path / name)
        assert "\n" not in str(caught.value)
    assert not target.exists()
    with pytest.raises(UserError, match="refused"):
        Checkpoint.open(tmp_path / "evil.bin")


def test_other_pickles(tmp_path):
    torch.save({"w": torch.ones(2), "step": 3}, tmp_path / "mixed.pt")
    with pytest.raises(UserError, match="'step' is not a plain tensor"):
        Checkpoint.open(tmp_path / "mixed.pt")
    torch.save([1, 2], tmp_path / "list.pt")
    with pytest.raises(UserError, match="no state dict"):
        Checkpoint.open(tmp_path / "list.pt")
    torch.save(tensors(1), tmp_path / "whole.pt")
    (tmp_path / "cut.pt").write_bytes((tmp_path / "whole.pt").read_bytes()[:-300])
    with pytest.raises(UserError, match=r"cut\.pt"):
        Checkpoint.open(tmp_path / "cut.pt")


def test_nothing_there(tmp_path):
    with pytest.raises(UserError, match="no such file"):
        Checkpoint.open(tmp_path / "missing")
    with pytest.raises(UserError, match=r"looked for model\.safetensors"):
        Checkpoint.open(tmp_path)
    (tmp_path / "empty.safetensors").touch()
    with pytest.raises(UserError, match="empty"):
        Checkpoint.open(tmp_path / "empty.safetensors")
    (tmp_path / "notes.bin").write_text("nothing to see here at all")
    with pytest.raises(UserError, match="not a weight file"):
        Checkpoint.open(tmp_path / "notes.bin")
    (tmp_path / "adapter").mkdir()
    save_file({"a": torch.ones(1)}, tmp_path / "adapter" / "adapter_model.safetensors")
    with pytest.raises(UserError, match=r"holds an adapter.*BASE\+"):
        Checkpoint.open(tmp_path / "adapter")


def test_truncated_safetensors(make):
    file = make("a") / "model.safetensors"
    whole = file.read_bytes()
    for size in (4, 8, 20, len(whole) // 2, len(whole) - 1):
        file.write_bytes(whole[:size])
        with pytest.raises(UserError, match="not a sound safetensors file"):
            Checkpoint.open(file)
    file.write_bytes(whole + b"\0")
    with pytest.raises(UserError, match="describes"):
        Checkpoint.open(file)


def entry(begin, end, shape=(2,), dtype="F32"):
    return {"dtype": dtype, "shape": list(shape), "data_offsets": [begin, end]}


@pytest.mark.parametrize(
    ("header", "problem"),
    [
        ({"a": entry(0, 8), "b": entry(4, 12)}, "begins at byte 4"),
        ({"a": entry(0, 8), "b": entry(12, 20)}, "begins at byte 12"),
        ({"a": entry(0, 1 << 40, (1 << 38,))}, "describes"),
        ({"a": entry(-8, 0)}, "impossible"),
        ({"a": entry(8, 0)}, "claims -8 bytes"),
        ({"a": entry(0, 16)}, "claims 16 bytes"),
        ({"a": entry(0, 8, (-1, -2))}, "impossible"),
        ({"a": entry(0, 8, (1 << 62, 1 << 62))}, "impossible"),
        ({"a": entry(0, 8, dtype="F3")}, "not supported"),
        ({"a": {"dtype": "F32"}}, "lacks"),
        ({"a": [1]}, "lacks"),
        ({"__metadata__": {"x": 1}, "a": entry(0, 8)}, "metadata"),
        ([1], "not a weight file|not a JSON object"),
        (b'{"a":1,"a":2}', "twice"),
        (b"{" + b"[" * 100_000, "not valid JSON"),
        ({"a\x1b[31m": entry(0, 8)}, "cannot be printed"),
        (b'{"\\ud800": 1}', "cannot be printed"),
    ],
)
def test_lying_headers(tmp_path, header, problem):
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    (tmp_path / "x.safetensors").write_bytes(len(text).to_bytes(8, "little") + text + bytes(8))
    with pytest.raises(UserError, match=problem):
        Checkpoint.open(tmp_path / "x.safetensors")


def test_a_truncated_shard_is_named(tmp_path):
    index, pattern = "model.safetensors.index.json", "model-{}-of-2.safetensors"
    directory = shard(tmp_path / "s", tensors(1), save_file, pattern, index)
    second = directory / "model-2-of-2.safetensors"
    second.write_bytes(second.read_bytes()[:-5])
    with pytest.raises(UserError, match=r"model-2-of-2\.safetensors: not a sound safetensors file"):
        Checkpoint.open(directory)
    second.unlink()
    with pytest.raises(UserError, match=r"1 of 2 shards are missing, the first is model-2-of-2\.safetensors"):
        Checkpoint.open(directory)


def test_a_name_in_two_shards(tmp_path):
    index, pattern = "model.safetensors.index.json", "model-{}-of-2.safetensors"
    directory = shard(tmp_path / "s", tensors(1), save_file, pattern, index)
    save_file(tensors(2), directory / "model-2-of-2.safetensors")
    with pytest.raises(UserError, match="which the index does not place there"):
        Checkpoint.open(directory)


@pytest.mark.parametrize("place", ["/etc/passwd", "..", "a/b.safetensors", "a\\b.safetensors", "", ".", 3, None])
def test_an_index_cannot_leave_its_folder(tmp_path, place):
    (tmp_path / "model.safetensors.index.json").write_text(json.dumps({"weight_map": {"x": place}}))
    with pytest.raises(UserError, match="not a plain file name"):
        Checkpoint.open(tmp_path)


@pytest.mark.parametrize("bad", [float("nan"), float("inf"), float("-inf")])
def test_what_is_not_finite_is_named_when_merging(make, tmp_path, bad):
    a, b = Checkpoint.open(make("a", 1)), Checkpoint.open(make("b", change={"model.scale": torch.tensor(bad)}))
    for attempt in (
        lambda: apply(a, b - a, 0.5, tmp_path / "out"),
        lambda: (b - a).save(tmp_path / "tau"),
        lambda: compress(b - a, tmp_path / "small", "int8"),
        lambda: compress(b - a, tmp_path / "small", "sparse"),
    ):
        with pytest.raises(UserError, match=r"model\.scale is not finite") as caught:
            attempt()
        assert "\n" not in str(caught.value)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a", "b"]


def test_tensors_of_no_element_and_of_one(make, tmp_path):
    small = {"none": torch.zeros(0), "rows": torch.zeros(0, 4), "flat": torch.zeros(3, 0), "one": torch.ones(1)}
    a, b = (Checkpoint.open(make(n, i, change={k: v + i for k, v in small.items()})) for i, n in enumerate("ab"))
    out = Checkpoint.open(apply(a, b - a, 0.5, tmp_path / "out"))
    assert {name: out[name].shape for name in small} == {name: tuple(value.shape) for name, value in small.items()}
    assert out.read("one").item() == 1.5 and out.read("rows").numel() == 0
    (b - a).save(tmp_path / "tau.safetensors")
    back = TaskVector.load(tmp_path / "tau.safetensors")
    assert back.tensor("rows").shape == (0, 4) and back.tensor("one").item() == 1


def test_indices_that_lie(tmp_path):
    index, pattern = "model.safetensors.index.json", "model-{}-of-2.safetensors"
    directory = shard(tmp_path / "s", tensors(1), save_file, pattern, index)
    good = json.loads((directory / index).read_text())["weight_map"]
    cases = [
        (good | {"extra": "model-1-of-2.safetensors"}, "lacks extra"),
        ({k: v for k, v in good.items() if k != "model.scale"}, "does not place"),
        (good | {"model.scale": "gone.safetensors"}, "shards are missing"),
        (good | {"model.scale": "../s/model-2-of-2.safetensors"}, "not a plain file name"),
        ({}, "empty"),
    ]
    for weight_map, problem in cases:
        (directory / index).write_text(json.dumps({"weight_map": weight_map}))
        with pytest.raises(UserError, match=problem):
            Checkpoint.open(directory)
    (directory / index).write_text("{")
    with pytest.raises(UserError, match="not an index"):
        Checkpoint.open(directory)


def test_hashes_and_identity(make, tmp_path):
    a = Checkpoint.open(make("a", 1))
    shutil.copytree(tmp_path / "a", tmp_path / "copy")
    again, copy = Checkpoint.open(tmp_path / "a"), Checkpoint.open(tmp_path / "copy")
    assert a.sha256 == copy.sha256 != Checkpoint.open(make("b", 2)).sha256
    assert a.identity == again.identity != copy.identity
    assert a != again and len({a, again}) == 2
    assert a.parameters == sum(torch.Size(shape).numel() for shape in SHAPES.values())


def test_broken_config(make):
    path = make("a")
    (path / "config.json").write_text("{")
    with pytest.raises(UserError, match="not valid JSON"):
        _ = Checkpoint.open(path).config


def test_importing_the_merge_core_leaves_the_heavy_ones_alone():
    code = "import sys, syn2real.merge; sys.exit(any(m in sys.modules for m in ('transformers', 'gguf', 'rich')))"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_models_of_a_common_name_are_told_apart(tmp_path):
    for width, run in enumerate(("slow", "fast"), start=1):
        (tmp_path / run / "checkpoint-500").mkdir(parents=True)
        save_file({"a": torch.zeros(width)}, tmp_path / run / "checkpoint-500" / "model.safetensors")
    slow, fast = (Checkpoint.open(tmp_path / run / "checkpoint-500") for run in ("slow", "fast"))
    assert (slow.name, fast.name) == ("slow/checkpoint-500", "fast/checkpoint-500")
    with pytest.raises(UserError, match="slow/checkpoint-500 and fast/checkpoint-500 cannot be combined"):
        slow - fast
