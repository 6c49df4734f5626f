"""Models and vectors by hub id, against a stand-in for the hub, each in a process that has not met another."""

import json
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

pytest.importorskip("huggingface_hub", reason="downloads with huggingface_hub")
sys.path.insert(0, str(Path(__file__).parents[1]))

from hub_standin import REVISION, HubStandin

from syn2real.errors import UserError
from syn2real.merge import Checkpoint
from syn2real.merge.hub import card, local_path, resolve


@pytest.fixture
def hub(tmp_path, make):
    """Repositories: two models, an adapter, one of pickles, an empty one to send to."""
    adapter = tmp_path / "lora"
    adapter.mkdir()
    name = "base_model.model.model.layers.0.fc1"
    save_file(
        {f"{name}.lora_A.weight": torch.ones(2, 4), f"{name}.lora_B.weight": torch.ones(6, 2)},
        adapter / "adapter_model.safetensors",
    )
    settings = {"peft_type": "LORA", "r": 2, "lora_alpha": 2, "target_modules": ["layers.0.fc1"]}
    (adapter / "adapter_config.json").write_text(json.dumps(settings))
    first, second = make("first", 1), make("second", 2)
    for junk in ("optimizer.bin", "pytorch_model.bin", "onnx/model.safetensors"):
        (first / junk).parent.mkdir(exist_ok=True)
        (first / junk).write_bytes(b"junk")
    pickled = tmp_path / "pickled"
    pickled.mkdir()
    torch.save({"x": torch.ones(2)}, pickled / "pytorch_model.bin")
    (tmp_path / "empty").mkdir()
    places = {"org/first": first, "org/second": second, "org/lora": adapter, "org/pickled": pickled}
    with HubStandin(places | {"org/tau": tmp_path / "empty"}) as standin:
        yield standin


@pytest.fixture
def run(hub, tmp_path):
    """Run Python or the command line in a fresh process for which the stand-in is the hub."""

    def run(*arguments, check=True, **changes):
        if len(arguments) == 1:
            command = [sys.executable, "-c", textwrap.dedent(arguments[0])]
        else:
            command = [sys.executable, "-m", "syn2real.cli.main", *map(str, arguments)]
        variables = hub.environment(tmp_path / "home") | {"HF_TOKEN": "x"} | changes
        done = subprocess.run(command, capture_output=True, text=True, env=variables, cwd=tmp_path, check=False)
        assert not check or done.returncode == 0, done.stderr
        return done

    return run


def refused(done):
    errors = [line for line in done.stderr.splitlines() if line.startswith("error: ")]
    assert done.returncode == 1 and len(errors) == 1 and "Traceback" not in done.stderr, done.stderr
    return errors[0]


def test_recipes_take_hub_ids(run, hub, tmp_path):
    expression = ["merge", "-e", "A + 0.5*(B - A)", "-m", "A=org/first", "-m", "B=org/second@main", "-o", "out"]
    run(*expression)
    merged, a, b = (load_file(tmp_path / p / "model.safetensors") for p in ("out", "first", "second"))
    assert all(torch.allclose(merged[name], (a[name] + b[name]) / 2, atol=1e-6) for name in merged)
    fetched = {
        request.rpartition("/")[2] for request in hub.requests if request.startswith("GET") and "/resolve/" in request
    }
    assert "model.safetensors" in fetched and not fetched & {"optimizer.bin", "pytorch_model.bin"}
    assert not any("onnx" in request for request in hub.requests if "/resolve/" in request)
    record = json.loads((tmp_path / "out" / "merge.json").read_text())
    assert record["anchor"] == "org/first"
    assert [entry["path"] for entry in record["inputs"]] == [f"org/{n}@{REVISION}" for n in ("first", "second")]
    assert record["recipe"]["models"] == {"A": f"org/first@{REVISION}", "B": f"org/second@{REVISION}"}
    run("merge", "--check", "out")
    run("merge", "--check", "out", HF_HUB_OFFLINE="1")


def test_base_and_adapter_from_the_hub(run, tmp_path):
    run("vector", "make", "org/first+org/lora", "org/first", "-o", "tau.safetensors")
    moved = load_file(tmp_path / "tau.safetensors")["model.layers.0.fc1.weight"]
    assert torch.allclose(moved, torch.full((6, 4), 2.0))


def test_pickles_where_there_is_nothing_else(run, tmp_path):
    done = run(
        "from syn2real.merge.hub import local_path; print(sorted(p.name for p in local_path('org/pickled').iterdir()))"
    )
    assert done.stdout.strip() == "['pytorch_model.bin']"


@pytest.mark.parametrize(
    ("names", "fetched"),
    [
        (["model.safetensors", "model.fp16.safetensors", "pytorch_model.bin"], ["model.safetensors"]),
        (["model.fp16.safetensors", "pytorch_model.bin", "pytorch_model.fp16.bin"], ["pytorch_model.bin"]),
        (["model.fp16.safetensors", "onnx/model.safetensors"], ["model.fp16.safetensors"]),
    ],
)
def test_no_weights_are_fetched_twice(hub, run, tmp_path, names, fetched):
    for name in names:
        (tmp_path / "empty" / name).parent.mkdir(exist_ok=True)
        (tmp_path / "empty" / name).write_bytes(name.encode())
    script = "from syn2real.merge.hub import local_path; print([p.name for p in local_path('org/tau').iterdir()])"
    assert run(script).stdout.strip() == str(fetched)
    assert run(script, HF_HUB_OFFLINE="1").stdout.strip() == str(fetched)
    assert run(script, HF_ENDPOINT="http://127.0.0.1:9").stdout.strip() == str(fetched)


def test_push_and_pull(run, tmp_path, make):
    vector = Checkpoint.open(tmp_path / "first") - Checkpoint.open(tmp_path / "second")
    vector.save(tmp_path / "tau.safetensors")
    sent = json.loads(run("vector", "push", "tau.safetensors", "org/tau", "--json").stdout)
    assert sent["url"].endswith("/org/tau")
    text = (tmp_path / "empty" / "README.md").read_text()
    assert text.startswith("---\nlibrary_name: syn2real\n") and "syn2real vector pull org/tau" in text
    for parent in vector.provenance:
        assert f"| {parent['coefficient']:g} | {parent['name']} | `{parent['sha256']}` |" in text
    assert str(tmp_path) not in text
    run("vector", "pull", f"org/tau@{REVISION}", "-o", "back.safetensors")
    assert (tmp_path / "back.safetensors").read_bytes() == (tmp_path / "tau.safetensors").read_bytes()
    assert "already exists" in refused(run("vector", "pull", "org/tau", "-o", "back.safetensors", check=False))
    assert "holds no task_vector" in refused(run("vector", "pull", "org/first", "-o", "x", check=False))
    assert "not a task vector" in refused(run("vector", "push", "first/model.safetensors", "org/tau", check=False))
    assert "org/name" in refused(run("vector", "push", "tau.safetensors", "tau", check=False))


@pytest.mark.parametrize(
    ("changes", "problems"),
    [
        (
            {},
            {
                "org/absent": "no such path here, and no such model on the hub",
                "org/first@gone": "has no revision 'gone' on the hub",
                "org/bad--name": "neither a path nor a hub id",
                "a/b/c": "nor a hub id",
            },
        ),
        ({"HF_HUB_OFFLINE": "1"}, {"org/absent": "the hub is switched off or unreachable"}),
        ({"HF_ENDPOINT": "http://127.0.0.1:9"}, {"org/first": "the hub refused or cannot be asked"}),
    ],
    ids=["online", "offline", "unreachable"],
)
def test_refusals_are_one_line(run, changes, problems):
    script = f"""
        from syn2real.errors import UserError
        from syn2real.merge.hub import local_path
        for reference in {list(problems)}:
            try:
                local_path(reference)
            except UserError as error:
                print(error)
    """
    said = run(script, **changes).stdout.splitlines()
    for line, (reference, problem) in zip(said, problems.items(), strict=True):
        assert line.startswith(f"{reference.partition('@')[0]}: ") and problem in line


def test_what_is_here_is_not_asked_for(make, monkeypatch):
    path = make("a")
    assert local_path(path) == path and resolve(f"{path}+{path}") == f"{path}+{path}"
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)
    assert local_path(str(path)) == path
    with pytest.raises(UserError, match=r"syn2real\[llm\]"):
        local_path("org/name")


def test_cards_are_safe_and_say_what_was_lost(make, tmp_path):
    vector = Checkpoint.open(make("a", 1)) - Checkpoint.open(make("b", 2))
    info = vector.info() | {"compression": {"method": "sparse", "density": 0.1, "relative_error": 0.25}}
    info["parents"] = [{"name": "x|<b>`\n# y", "sha256": "0", "coefficient": 1.0, "parents": info["parents"]}]
    text = card(info, "org/name")
    assert "sparse (density 0.1, relative error 0.25)" in text and "| 1 | x b # y |" in text and "↳ a" in text
