"""What the engines on transformers have in common: weights from a directory or the hub, and draws that depend on the
seed alone."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any, ClassVar, TypeVar

from syn2real.errors import NotInstalled, UserError, one_line
from syn2real.speech.engines.base import Engine
from syn2real.speech.engines.options import EngineOptions

Loaded = TypeVar("Loaded")

UNKNOWN_LICENCE = "unknown (see the model's card)"


class ModelOptions(EngineOptions):
    """Of an engine that speaks with a model of the user's choice."""

    model: str | None = None  # a directory, or a hub id; the engine's own default when absent
    language: str | None = None  # ISO 639-1, of a model that is not the engine's own
    licence: str | None = None  # of such a model: without it, it counts as not free for commercial use
    commercial: bool | None = None  # whether you may use its speech commercially
    device: str | None = None  # such as cpu or cuda:1; by default the GPU where there is one


@dataclass(frozen=True)
class Terms:
    """What a model may be used for."""

    licence: str
    commercial_ok: bool

    @classmethod
    def of(cls, options: ModelOptions, known: "Terms | None") -> "Terms":
        """The terms of a model: those known of it unless the options say otherwise."""
        licence = options.licence or (known.licence if known else UNKNOWN_LICENCE)
        allowed = known.commercial_ok if known is not None and options.licence is None else False
        return cls(licence, allowed if options.commercial is None else options.commercial)


class PretrainedEngine(Engine):
    """An engine whose model transformers loads. A model is loaded once a process, when it first speaks."""

    options: ModelOptions = ModelOptions()
    packages = ("torch", "transformers")
    memory: ClassVar[float]  # bytes that a process needs for the model and what passes through it, in float32

    def most_processes(self) -> int | None:
        """As many as fit into free memory, of the GPU where that speaks."""
        free = _free_memory(device_of(self.options))
        return None if free is None else max(1, int(free // self.memory))

    def require(self) -> None:
        """Raise `NotInstalled` without transformers, and `UserError` for a model directory that is none."""
        if find_spec("transformers") is None:
            raise NotInstalled(f"transformers, which {self.name} runs on,", "speech")
        if self.options.model is not None:
            require_source(self.name, "model", self.options.model)


def require_source(engine: str, option: str, source: str) -> None:
    """Raise `UserError` for what is neither a directory with a configuration nor looks like a hub id."""
    path = Path(source)
    if path.is_dir():
        if not (path / "config.json").is_file():
            raise UserError(f"engine {engine!r}: {option} {source} has no config.json; give a Hugging Face directory")
    elif source.count("/") != 1 or source.startswith((".", "/", "~")):
        raise UserError(f"engine {engine!r}: {option} {source}: no such directory; give one, or a hub id (org/name)")


def fetch(engine: str, source: str) -> Path:
    """The directory of a model: as it is, or fetched from the hub, once. Raises `UserError` naming the engine."""
    from syn2real.merge.hub import local_path

    try:
        return local_path(source)
    except UserError as error:
        raise UserError(f"engine {engine!r}: {error}; or give a directory: option {engine}.model") from error


def fetch_file(engine: str, what: str, source: str, file: str, *, kind: str = "model", remedy: str = "") -> Path:
    """One file of a hub id (of a ``kind``, model or dataset), fetched once. Raises `UserError` naming the engine and
    ``what`` it is, with the ``remedy``."""
    from huggingface_hub import hf_hub_download

    try:
        return Path(hf_hub_download(source, file, repo_type=kind))
    except Exception as error:  # the hub's own, the system's, and those of an HTTP library that changes with releases
        raise UserError(f"engine {engine!r}: {what} cannot be fetched ({one_line(error, 120)}){remedy}") from error


def is_here(source: str, file: str = "config.json", kind: str = "model") -> bool:
    """Whether a directory or file is here, or a hub id (of a ``kind``, model or dataset) was fetched before."""
    if Path(source).exists():
        return True
    from huggingface_hub import try_to_load_from_cache

    return isinstance(try_to_load_from_cache(source, file, repo_type=kind), str)


def load(kind: Callable[..., Loaded], directory: Path, **options: Any) -> Loaded:
    """``kind`` (a class's ``from_pretrained``) of what lies in a directory; pickles are not executed.

    Raises `UserError` for files that are missing, damaged, or of another architecture.
    """
    try:
        with _quiet():
            return kind(directory, local_files_only=True, **options)
    except Exception as error:  # of json, safetensors, torch and transformers alike
        reason = one_line(error)
        raise UserError(f"{directory}: cannot be loaded ({reason}); fetch it again") from error


def load_model(model: Any, directory: Path, device: str) -> Any:
    """A model in float32, ready to speak. Raises `UserError` as `load` does, and for weights that do not fit it."""
    import torch

    def whole(place: Path, **options: Any) -> Any:
        loaded, found = model.from_pretrained(place, output_loading_info=True, **options)
        missing = sorted(found["missing_keys"])
        if missing:
            raise UserError(f"{len(missing)} tensors are missing, {missing[0]} first")
        return loaded

    return load(whole, directory, dtype=torch.float32).to(device).eval()


def device_of(options: ModelOptions) -> str:
    """The device to speak on. Raises `UserError` for one that is not here."""
    import torch

    if options.device is None:
        from syn2real.speech.recogniser import pick_device

        return str(pick_device())
    try:
        torch.empty(0, device=options.device)
    except Exception as error:  # torch raises several kinds, none of them its own
        reason = one_line(error, 100)
        raise UserError(f"device {options.device!r} cannot be used here ({reason}); leave it out or say cpu") from error
    return options.device


def _free_memory(device: str) -> float | None:
    """Bytes; None where the system does not say."""
    import os

    import torch

    if device.startswith("cuda"):
        return float(torch.cuda.mem_get_info(device)[0])
    try:
        return float(os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE"))
    except (AttributeError, ValueError, OSError):
        return None


@contextmanager
def drawing(seed: int) -> Iterator[None]:
    """Let torch draw by this seed, and sum in an order that does not depend on how many processes share the cores;
    afterwards its generator and its threads are as they were."""
    import torch

    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        cudnn = torch.backends.cudnn.flags(enabled=True, benchmark=False, deterministic=True, allow_tf32=False)
        with torch.random.fork_rng(), torch.inference_mode(), cudnn, _quiet():
            torch.manual_seed(seed)
            yield
    finally:
        torch.set_num_threads(threads)


@contextmanager
def _quiet() -> Iterator[None]:
    """Without transformers' progress bars, and its advice at every sentence to whoever wrote it."""
    from transformers.utils import logging

    before, bars = logging.get_verbosity(), logging.is_progress_bar_enabled()
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        logging.set_verbosity(before)
        if bars:
            logging.enable_progress_bar()
