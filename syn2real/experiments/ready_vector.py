"""A published vector: a folder with the vector, a card for machines (`vector.json`) and one for people.

The card says which model it belongs to, what it was made of, and how much of it to add. It is checked whole before
anything of the folder is used.
"""

import json
import shutil
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Annotated, Any, Literal

import yaml
from pydantic import Field

from syn2real.documents import Document, Strict
from syn2real.errors import UserError, at
from syn2real.experiments.licences import Licence, obstacles
from syn2real.experiments.recipe import Lambda, NormaliserName, SynthesisRecipe, TrainingRecipe
from syn2real.experiments.results import CurvePoint, SystemResult
from syn2real.hashing import remembered_sha256, sha256_file
from syn2real.merge import Checkpoint, TaskVector
from syn2real.merge.hub import fetch, send
from syn2real.progress import say
from syn2real.sealing import sealed_directory

VECTOR, CARD, README = "vector.safetensors", "vector.json", "README.md"
FILES = (VECTOR, CARD, README)
FORMAT, VERSION = "syn2real.vector", 1
Sha256 = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]


class Base(Strict):
    """The model that a vector belongs to. ``sha256`` is that of its weights, as `Checkpoint.sha256` has it."""

    name: str
    sha256: Sha256
    architecture: str
    parameters: int
    licence: str | None


class Speech(Strict):
    """Real recordings, and whether they made the ``vector`` or only chose ``lambda``."""

    name: str
    use: Literal["vector", "lambda"]
    clips: int
    hours: float
    speakers: int
    domains: list[str]
    licences: list[str]


class Spoken(Strict):
    """What one engine spoke for a vector."""

    engine: str
    voices: list[str]
    licences: list[str]


class Synthesis(Strict):
    """The synthetic half: its settings, the ranges from which each clip was drawn, and who spoke."""

    recipe: SynthesisRecipe
    rate_range: tuple[float, float]
    pitch_range: tuple[float, float]
    level_range: tuple[float, float]  # dBFS
    spoken: Annotated[list[Spoken], Field(min_length=1)]


class Recommended(Strict):
    """How much of the vector to add, and what says so: errors on proxy domains, none of them a user's target."""

    recommended: Lambda
    chosen_on: list[str]  # empty when it was given and not chosen
    curve: list[CurvePoint]
    normaliser: NormaliserName


class Storage(Strict):
    """The file. ``relative_error`` is ‖τ − τ̂‖/‖τ‖ against the vector in double precision."""

    sha256: Sha256
    bytes: int
    tensors: int
    parameters: int
    norm: float
    dtype: str
    method: str
    relative_error: float


class Gain(Strict):
    """What the stored vector was worth on domains known by their text alone."""

    domains: list[str]
    sentences: int
    clips: int
    speakers: int
    systems: list[SystemResult]


class VectorCard(Strict):
    """What `vector.json` holds."""

    format: Literal["syn2real.vector"]
    version: Literal[1]
    name: str
    title: str
    note: str
    language: str
    base: Base
    corpora: Annotated[list[Speech], Field(min_length=1)]
    synthesis: Synthesis
    training: TrainingRecipe
    scale: Annotated[Recommended, Field(alias="lambda")]
    storage: Storage
    gain: Gain | None
    licences: Annotated[list[Licence], Field(min_length=1)]
    made_with: dict[str, str]

    @property
    def obstacles(self) -> list[str]:
        """What stands against commercial use."""
        return obstacles(self.licences)

    @property
    def engines(self) -> list[str]:
        """The engines that spoke."""
        return [spoken.engine for spoken in self.synthesis.spoken]

    def record(self) -> dict[str, Any]:
        """The card as JSON, with the verdict on commercial use."""
        content = self.model_dump(mode="json", by_alias=True, exclude_none=False)
        content["training"] = self.training.model_dump(mode="json", exclude_none=True)
        return content | {"commercial_ok": not self.obstacles, "commercial_obstacles": self.obstacles}

    @classmethod
    def read(cls, path: Path) -> "VectorCard":
        """A card from a file. Raises `UserError` with file, line and key for what is missing or wrong."""
        try:
            text = path.read_text(encoding="utf-8")
            content = json.loads(text)
        except OSError as error:
            raise UserError(f"{path}: {error.strerror}; a published vector has this card beside {VECTOR}") from error
        except json.JSONDecodeError as error:
            raise UserError(at(path, error.lineno, f"not JSON ({error.msg}); fetch the vector again")) from error
        except (ValueError, RecursionError) as error:
            raise UserError(f"{path}: not JSON ({error}); fetch the vector again") from error
        if not isinstance(content, dict) or content.get("format") != FORMAT:
            raise UserError(f"{path}: not the card of a vector (format must be {FORMAT!r})")
        if isinstance(content.get("version"), int) and content["version"] > VERSION:
            raise UserError(f"{path}: a card of version {content['version']}; update syn2real to read it")
        # Derived from the licences, so it is no place to contradict them.
        content = {key: value for key, value in content.items() if not key.startswith("commercial_")}
        return Document(path, content, _positions(text)).parse(cls)


@dataclass(frozen=True)
class Stored:
    """A vector in a file, as something that may be added to a model."""

    path: Path

    @cached_property
    def key(self) -> str:
        """The file's SHA-256."""
        return sha256_file(self.path)

    def vector(self) -> TaskVector:
        """The merge core's vector."""
        return TaskVector.load(self.path)


@dataclass(frozen=True)
class ReadyVector:
    """A published vector that was checked: its card can be read and its file is the one that the card describes."""

    reference: str
    folder: Path
    card: VectorCard

    @classmethod
    def open(cls, reference: str | Path) -> "ReadyVector":
        """A vector from its folder, or from the hub (``org/name[@revision]``), fetched once.

        Raises `UserError` for a card that is missing or wrong, and a file that is not the one the card describes.
        """
        folder = Path(reference)
        if folder.is_file():
            raise UserError(f"{folder}: a file; give the folder that holds {VECTOR} and {CARD}")
        if not folder.exists():
            folder = _fetched(str(reference), "folder")
        card = VectorCard.read(folder / CARD)
        file = folder / VECTOR
        if not file.is_file():
            raise UserError(f"{file}: no such file beside its card; fetch the vector again")
        found = remembered_sha256(file)
        if found != card.storage.sha256:
            raise UserError(
                f"{file}: SHA-256 {found[:12]}…, its card says {card.storage.sha256[:12]}…; damaged or replaced: "
                "fetch the vector again"
            )
        return cls(str(reference), folder, card)

    @property
    def stored(self) -> Stored:
        """Its file."""
        return Stored(self.folder / VECTOR)

    def require_base(self, model: Path, name: str, *, force: bool = False) -> None:
        """Raise `UserError` unless the vector was made for the weights in ``model``, which the user calls ``name``;
        with ``force`` names and shapes suffice (`CheckpointMismatch` when they differ)."""
        base, found = self.card.base, Checkpoint.open(model)
        if found.sha256 != base.sha256:
            differ = f"{self.reference}: made for {base.name} (weights {base.sha256[:12]}…), not for {name}"
            if not force:
                raise UserError(
                    f"{differ} ({found.sha256[:12]}…); adapt that model, make a vector for this one, or pass --force"
                )
            say(f"{differ}; added all the same, and λ was not chosen for this")
        # Checks every name and shape; nothing is read.
        found + self.stored.vector()


def push(path: Path, repository: str, *, private: bool = False, message: str | None = None) -> str:
    """Send the folder of a published vector to ``org/name``. Returns its address.

    Raises `UserError` for a folder that is not whole, and when the hub refuses.
    """
    ReadyVector.open(path)
    files: dict[str, Path | bytes] = {name: path / name for name in FILES if (path / name).is_file()}
    return send(files, repository, private=private, message=message)


def pull(reference: str, output: Path, *, overwrite: bool = False) -> ReadyVector | None:
    """Fetch a published vector to the folder ``output``, whole, checked or not at all; None where ``org/name`` holds
    no card, and so no published vector."""
    if fetch(reference, CARD) is None:
        return None
    found = ReadyVector.open(_fetched(reference))
    with sealed_directory(output, overwrite=overwrite) as partial:
        for name in FILES:
            if (found.folder / name).is_file():
                shutil.copyfile(found.folder / name, partial / name)
    return ReadyVector.open(output)


def _fetched(reference: str, sought: str | None = None) -> Path:
    """The folder in the hub's cache; what was ``sought`` here before is told where the hub has none."""
    card = fetch(reference, CARD, sought)
    if card is None:
        raise UserError(f"{reference}: holds no {CARD}, so it is no published vector")
    if fetch(reference, VECTOR) is None:
        raise UserError(f"{reference}: holds no {VECTOR}; ask its maker to publish it again")
    fetch(reference, README)
    return card.parent


def _positions(text: str) -> yaml.Node | None:
    """Where the keys stand: JSON is read as YAML for its line numbers."""
    try:
        return yaml.compose(text, Loader=yaml.SafeLoader)
    except yaml.YAMLError:
        return None
