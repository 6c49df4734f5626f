"""What an engine can be set up with: a model's directory, a server's address. Given by name in a recipe or by the
command line, checked before anything runs, and carried by each voice so that every process makes the same engine."""

from collections.abc import Iterable, Mapping
from functools import cache
from pathlib import Path
from typing import Any

from syn2real.documents import Strict, parse_values
from syn2real.errors import UserError
from syn2real.hashing import sha256_file, sha256_json
from syn2real.speech.engines.prompts import read_prompts

Option = str | int | float | bool
Given = tuple[tuple[str, Option], ...]  # sorted by name
Options = Mapping[str, Mapping[str, Any]]  # by engine


class EngineOptions(Strict):
    """The options of an engine that has none, and the base of all others. A field of type `Path` is a path."""


def parse_options(model: type[EngineOptions], engine: str, values: Mapping[str, Any]) -> tuple[Any, Given]:
    """The options of an engine and, sorted, those that were given. Raises `UserError` naming engine and option."""
    for name, value in values.items():
        if not isinstance(value, Option):
            raise UserError(f"engine {engine!r}: option {name!r} must be a text, a number, or true or false")
    if values and not model.model_fields:
        raise UserError(f"engine {engine!r} has no options, and {min(values)!r} was given; remove it")
    try:
        return parse_values(model, values), tuple(sorted(values.items()))
    except UserError as error:
        raise UserError(f"engine {engine!r}: {error}") from error


def read_options(items: list[str]) -> dict[str, dict[str, Any]]:
    """``["bark.model=./weights"]`` → ``{"bark": {"model": "./weights"}}``; values are YAML.

    Raises `UserError` for an item of another form.
    """
    import yaml

    options: dict[str, dict[str, Any]] = {}
    for item in items:
        place, equals, value = item.partition("=")
        engine, dot, name = place.partition(".")
        if not (equals and dot and engine and name):
            raise UserError(f"--option {item}: write ENGINE.OPTION=VALUE, for instance speecht5.model=./speecht5_tts")
        try:
            options.setdefault(engine, {})[name] = yaml.safe_load(value)
        except yaml.YAMLError as error:
            raise UserError(f"--option {item}: the value is not YAML; put it in quotes") from error
    return options


WORDS = ("language", "device")  # options that are no path, whatever folders are called


def options_from(options: Options, base: Path) -> dict[str, dict[str, Any]]:
    """The options with paths relative to ``base``, a recipe's folder; see `path_from`."""
    return {
        engine: {name: path_from(value, base) for name, value in given.items()} for engine, given in options.items()
    }


def path_from(value: Any, base: Path) -> Any:
    """A value of a recipe in the folder ``base``. It is a path when it begins with ``./`` or ``../``; a name such as
    ``org/model`` is none."""
    return str(base / value) if isinstance(value, str) and value.startswith(("./", "../")) else value


def voice_from(voice: str, base: Path) -> str:
    """The same of a voice, as ``piper:./voice.onnx#speaker``."""
    engine, colon, name = voice.partition(":")
    return f"{engine}{colon}{path_from(name, base)}"


def by_content(given: Mapping[str, Any]) -> dict[str, Any]:
    """The options of one engine with every file and folder they name replaced by a hash of what it holds, of a manifest
    also the recordings that are cloned: what a result is keyed by, wherever the files lie."""
    return {
        name: _hash(value) if isinstance(value, str) and name not in WORDS and Path(value).exists() else value
        for name, value in given.items()
    }


def voices_by_content(voices: Iterable[str]) -> dict[str, str]:
    """A hash of what each voice holds that is named by a file, as ``piper:./voice.onnx#speaker``; of its settings, in
    ``voice.onnx.json``, too."""
    files = {voice: voice.partition(":")[2].partition("#")[0] for voice in voices}
    present = {voice: file for voice, file in files.items() if file and Path(file).is_file()}
    return {
        voice: sha256_json([_hash(part) for part in (file, f"{file}.json") if Path(part).is_file()])
        for voice, file in present.items()
    }


@cache
def _hash(path: str) -> str:
    place = Path(path)
    files = [place] if place.is_file() else sorted(file for file in place.rglob("*") if file.is_file())
    hashes = [[str(file.relative_to(place)), sha256_file(file)] for file in files]
    if place.suffix == ".jsonl":
        hashes += [[voice, sha256_file(prompt.path)] for voice, prompt in read_prompts(place).items()]
    return sha256_json(hashes)
