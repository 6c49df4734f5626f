"""What this machine has and lacks. Each finding says what to do about it."""

import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from pathlib import Path
from traceback import walk_tb
from typing import Literal

State = Literal["ok", "absent", "broken"]

EXTRAS = {
    "transformers": "speech",
    "accelerate": "speech",
    "soundfile": "speech",
    "soxr": "speech",
    "rapidfuzz": "speech",
    "matplotlib": "report",
    "jinja2": "report",
    "whisper_normalizer": "speech",
    "num2words": "speech",
    "peft": "lora",
    "trl": "llm",
    "gguf": "gguf",
}
LANGUAGE = {"transformers", "accelerate", "peft", "trl", "gguf"}  # what `llm` brings, and others in part
DISK = 10e9  # bytes: a study of Whisper base with its checkpoints


@dataclass(frozen=True)
class Finding:
    """One thing looked at."""

    what: str
    state: State
    detail: str
    remedy: str = ""


def extra_for(error: ModuleNotFoundError) -> str | None:
    """The extra that brings a module which was missing: of those that do, the one for what was asked for. None for a
    module that none brings."""
    places = (str(frame.f_globals.get("__name__")) for frame, _ in walk_tb(error.__traceback__))
    if error.name in LANGUAGE and any(place.startswith("syn2real.language.") for place in places):
        return "llm"
    return EXTRAS.get(str(error.name))


def diagnose() -> list[Finding]:
    """Everything `syn2real doctor` looks at, in order. A look that fails is itself a finding."""
    found = [_python()]
    for what, look, remedy in (
        ("torch", _torch, "it does not import: reinstall it, `pip install --force-reinstall torch`"),
        ("merge loops", _merge_loops, "reinstall syn2real"),
        ("packages", _packages, "reinstall syn2real with its extras"),
        ("packages", _traps, "uninstall torchaudio and torchcodec; nothing here needs them"),
        ("engines", _engines, "reinstall soundfile and soxr: `pip install --force-reinstall soundfile soxr`"),
        ("ffmpeg", _ffmpeg, ""),
        ("disk", _disk, "run doctor in a directory that can be read"),
    ):
        try:
            found += look()
        except Exception as error:
            lines = str(error).strip().splitlines() or [type(error).__name__]
            found.append(Finding(what, "broken", lines[-1][:160], remedy))
    return found


def _python() -> Finding:
    name = f"{sys.version_info.major}.{sys.version_info.minor}"
    good = sys.version_info >= (3, 11)
    return Finding("python", "ok" if good else "broken", name, "" if good else "use Python 3.11 or newer")


def _torch() -> list[Finding]:
    import torch

    cuda = f"CUDA {torch.version.cuda}, {torch.cuda.get_device_name()}" if torch.cuda.is_available() else "CPU"
    return [
        Finding("torch", "ok", f"{torch.__version__}, {cuda}"),
        Finding("threads", "ok", f"{torch.get_num_threads()} of {os.cpu_count()} cores used by torch"),
    ]


def _merge_loops() -> list[Finding]:
    from syn2real.merge import kernels

    if kernels.built():
        return [Finding("merge loops", "ok", "compiled")]
    remedy = "with a C compiler, pip install --force-reinstall --no-deps syn2real (-e . in a checkout)"
    return [
        Finding("merge loops", "absent", "not compiled: merges give the same bytes, two to three times as late", remedy)
    ]


def _packages() -> list[Finding]:
    found = []
    for package, extra in EXTRAS.items():
        try:
            found.append(Finding(package, "ok", version(package)))
        except PackageNotFoundError:
            found.append(Finding(package, "absent", "not installed", f"pip install 'syn2real[{extra}]'"))
    return found


def _traps() -> list[Finding]:
    """Packages that break others when they are present and do not import."""
    found = []
    for package, remedy in (
        (
            "torchaudio",
            "its last release links CUDA and breaks transformers beside CPU torch: pip uninstall torchaudio",
        ),
        (
            "torchcodec",
            "0.14 and later link CUDA: pip install 'torchcodec<0.14', or uninstall it; nothing here needs it",
        ),
    ):
        if find_spec(package) is None:
            found.append(Finding(package, "ok", "not installed, and not needed"))
            continue
        # In a process of its own: a failed import of these can take the interpreter along.
        tried = subprocess.run([sys.executable, "-c", f"import {package}"], capture_output=True, text=True, check=False)
        if tried.returncode == 0:
            found.append(Finding(package, "ok", version(package)))
        else:
            last = (tried.stderr.strip().splitlines() or ["does not import"])[-1]
            found.append(Finding(package, "broken", last[:160], remedy))
    return found


def _engines() -> list[Finding]:
    if find_spec("soundfile") is None:
        return []
    from syn2real.speech.engines import ENGINES, missing_engines

    missing = missing_engines(None)
    return [
        Finding(f"engine {name}", "absent", missing[name])
        if name in missing
        else Finding(f"engine {name}", "ok", "ready")
        for name in ENGINES.names()
    ]


def _ffmpeg() -> list[Finding]:
    path = shutil.which("ffmpeg")
    return [Finding("ffmpeg", "ok", path or "not installed, and not needed: audio is read with soundfile")]


def _disk() -> list[Finding]:
    free = shutil.disk_usage(Path.cwd()).free
    state: State = "ok" if free > DISK else "broken"
    return [Finding("disk", state, f"{free / 1e9:.0f} GB free here", "" if state == "ok" else "free at least 10 GB")]
