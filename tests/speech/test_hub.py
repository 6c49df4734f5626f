"""A model named by its hub id is downloaded once and loads; one that cannot be had is a one-line error."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("transformers")

from hub_standin import HubStandin

LOAD = """
import sys
from syn2real.errors import UserError
from syn2real.speech.pretrained import resolve_model
from syn2real.speech.recogniser import load_recogniser

try:
    directory = resolve_model(sys.argv[1])
    print(directory, load_recogniser(directory).model.config.encoder_layers)
except UserError as error:
    sys.exit(f"error: {error}")
"""


@pytest.fixture(scope="module")
def small(tiny_en, tmp_path_factory) -> Path:
    """A Whisper of one layer with random weights, as a repository that also holds what nobody needs."""
    from transformers import WhisperConfig, WhisperForConditionalGeneration

    folder = tmp_path_factory.mktemp("small")
    for path in tiny_en.iterdir():
        if path.suffix != ".safetensors":
            shutil.copy(path, folder)
    sizes = dict.fromkeys(("encoder_layers", "decoder_layers", "encoder_attention_heads", "decoder_attention_heads"), 1)
    widths = dict.fromkeys(("d_model", "encoder_ffn_dim", "decoder_ffn_dim"), 64)
    config = WhisperConfig.from_pretrained(tiny_en, **sizes, **widths)
    WhisperForConditionalGeneration(config).save_pretrained(folder)
    (folder / "training.bin").write_bytes(b"not to be fetched")
    return folder


def load(name: str, environment: dict[str, str]) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", LOAD, name]
    return subprocess.run(command, capture_output=True, text=True, check=False, env=environment)


def looked(name: str, environment: dict[str, str]) -> str:
    """Where a dry run has the model."""
    script = "import sys; from syn2real.speech.pretrained import located; print(located(sys.argv[1], look=True)[0])"
    command = [sys.executable, "-c", script, name]
    return subprocess.run(command, capture_output=True, text=True, check=True, env=environment).stdout.strip()


def refusal(name: str, environment: dict[str, str]) -> str:
    done = load(name, environment)
    assert done.returncode == 1 and "Traceback" not in done.stderr, done.stderr
    return done.stderr.splitlines()[-1]


def test_names_of_whisper_are_its_authors(small, tmp_path):
    with HubStandin({"openai/whisper-small.en": small}) as hub:
        done = load("whisper-small.en", hub.environment(tmp_path))
        assert done.returncode == 0, done.stderr
    assert "did you mean 'whisper-small'" in refusal("whisper-smal", hub.environment(tmp_path))


def test_it_is_downloaded_once_and_loads(small, tmp_path):
    with HubStandin({"acme/whisper-small": small}) as hub:
        done = load("acme/whisper-small", hub.environment(tmp_path))
        assert done.returncode == 0, done.stderr
        directory, layers = done.stdout.split()
        assert layers == "1"
        assert (Path(directory) / "model.safetensors").read_bytes() == (small / "model.safetensors").read_bytes()
        fetched = [request for request in hub.requests if request.startswith("GET") and "/resolve/" in request]
        assert not any("training.bin" in request for request in fetched)
        hub.requests.clear()
        assert load("acme/whisper-small", hub.environment(tmp_path)).stdout == done.stdout
        assert not any(request.startswith("GET") and "/resolve/" in request for request in hub.requests)
        assert looked("acme/whisper-small", hub.environment(tmp_path)) == directory
        hub.requests.clear()
        assert looked("acme/whisper-small", hub.environment(tmp_path / "empty")) == "acme/whisper-small"
        assert not any("/resolve/" in request for request in hub.requests)
    # What was downloaded is used without the hub too.
    assert load("acme/whisper-small", hub.environment(tmp_path)).stdout == done.stdout


def test_a_model_without_safetensors(small, tmp_path):
    """Pickled weights are fetched where there are no others, and no second set in another dtype where there are."""
    import torch
    from safetensors.torch import load_file

    pickled, several = tmp_path / "pickled", tmp_path / "several"
    shutil.copytree(small, several)
    (several / "model.fp32-00001-of-00001.safetensors").write_bytes(b"not to be fetched")
    shutil.copytree(small, pickled, ignore=shutil.ignore_patterns("*.safetensors"))
    torch.save(load_file(small / "model.safetensors"), pickled / "pytorch_model.bin")
    with HubStandin({"acme/pickled": pickled, "acme/several": several}) as hub:
        for name in ("acme/pickled", "acme/several"):
            done = load(name, hub.environment(tmp_path / "home"))
            assert done.returncode == 0, done.stderr
        assert not any("fp32" in request for request in hub.requests if "/resolve/" in request)


def test_what_cannot_be_had_is_one_line(small, tmp_path):
    (tmp_path / "llama").mkdir()
    (tmp_path / "llama" / "config.json").write_text('{"model_type": "llama"}')
    with HubStandin({"acme/whisper-small": small, "acme/llama": tmp_path / "llama"}) as hub:
        environment = hub.environment(tmp_path / "home")
        missing = refusal("acme/whisper-smal", environment)
        other = refusal("acme/llama", environment)
    unreachable = refusal("acme/whisper-base", environment)
    assert missing.startswith("error: acme/whisper-smal: no such path here, and no such model on the hub")
    assert "model_type is 'llama', which is not supported; give Whisper, or CTC models of type wav2vec2" in other
    assert unreachable.startswith("error: acme/whisper-base: no such path here, and the hub refused or cannot be asked")
