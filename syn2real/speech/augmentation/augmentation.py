"""An ordered list of transforms, each with a probability, whose every draw depends on seed, clip and epoch alone."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from syn2real.documents import Document
from syn2real.errors import AudioError, UserError, did_you_mean
from syn2real.hashing import seed_from, sha256_file, sha256_json
from syn2real.speech.augmentation.presets import PRESETS
from syn2real.speech.augmentation.transform import TRANSFORMS, Transform


@dataclass(frozen=True)
class Step:
    """A transform by its name, and the share of clips it is applied to."""

    name: str
    transform: Transform
    probability: float = 1.0

    @classmethod
    def parse(cls, entry: Any) -> "Step":
        """From ``{"transform": name, "probability": p, parameter: value, …}``. Raises `UserError`."""
        if not isinstance(entry, Mapping) or not isinstance(entry.get("transform"), str):
            raise UserError("write each as {transform: NAME, probability: P, PARAMETER: VALUE, …}")
        parameters = {str(key): value for key, value in entry.items() if key not in ("transform", "probability")}
        name = entry["transform"]
        kind = TRANSFORMS.get(name)
        known = [parameter.name for parameter in fields(kind)]
        for key in parameters:
            if key not in known:
                raise UserError(f"{name}: unknown parameter {key!r}{did_you_mean(key, [*known, 'probability'])}")
        probability = entry.get("probability", 1.0)
        if isinstance(probability, bool) or not isinstance(probability, int | float) or not 0 <= probability <= 1:
            raise UserError(f"{name}: probability: write a number from 0 to 1, not {probability!r}")
        if "source" in known and "source" not in parameters:
            raise UserError(f"{name}: name its recordings: source: FOLDER, or a JSONL manifest")
        try:
            return cls(name, kind(**parameters), float(probability))
        except UserError as error:
            raise type(error)(f"{name}: {error}") from error

    def spec(self) -> dict[str, Any]:
        """What `parse` reads, every parameter written out, as plain JSON."""
        parameters = {name: list(v) if isinstance(v, tuple) else v for name, v in asdict(self.transform).items()}
        return {"transform": self.name, "probability": self.probability, **parameters}


@dataclass(frozen=True)
class Augmentation:
    """Transforms to apply in order. Create one with `from_spec`."""

    steps: tuple[Step, ...]
    seed: int = 0

    @classmethod
    def from_spec(cls, spec: str | Sequence[Mapping[str, Any]], seed: int = 0) -> "Augmentation":
        """From a preset's name, or a list of ``{"transform": name, "probability": p, parameter: value, …}``.

        Raises `UserError` for an unknown preset, transform or parameter and for a value out of bounds.
        """
        if isinstance(spec, str):
            if spec not in PRESETS:
                raise UserError(f"unknown preset {spec!r}{did_you_mean(spec, PRESETS)}")
            spec = PRESETS[spec]
        if not isinstance(spec, Sequence) or not spec:
            raise UserError(f"an augmentation is a preset ({', '.join(PRESETS)}) or a list of transforms, not {spec!r}")
        steps = []
        for number, entry in enumerate(spec, start=1):
            try:
                steps.append(Step.parse(entry))
            except UserError as error:
                raise type(error)(f"transform {number}: {error}") from error
        return cls(tuple(steps), seed)

    @classmethod
    def load(cls, path: Path, seed: int = 0) -> "Augmentation":
        """From the list ``transforms`` of a YAML file. Raises `UserError` with file and line."""
        document = Document.load(path)
        for key in document.content:
            if key != "transforms":
                raise document.error([str(key)], f"unknown key {key!r}{did_you_mean(str(key), ['transforms'])}")
        entries = document.content.get("transforms")
        if not isinstance(entries, list) or not entries:
            raise document.error(["transforms"], "write a list of transforms under the key 'transforms'")
        for number, entry in enumerate(entries):
            try:
                Step.parse(entry)
            except UserError as error:
                raise document.error(["transforms", str(number)], str(error)) from error
        return cls.from_spec(entries, seed)

    def spec(self) -> list[dict[str, Any]]:
        """The transforms with every parameter written out, as plain JSON: `from_spec` makes the same of it."""
        return [step.spec() for step in self.steps]

    @cached_property
    def fingerprint(self) -> str:
        """A hash of transforms, seed and the bytes of every recording they draw from: what a stage is keyed by."""
        used = {str(path): sha256_file(path) for step in self.steps for path in step.transform.recordings}
        return sha256_json([self.spec(), self.seed, sorted(used.items())])

    def __call__(self, samples: np.ndarray, key: str, epoch: int = 0) -> np.ndarray:
        """``samples`` (mono, 16 kHz, shape (n,)) changed: float32 and finite; its length changes with speed only.

        The same seed, ``key`` (the utterance's id) and ``epoch`` give the same result, whatever was asked before and
        wherever. What peaks above 1 at the end is scaled down to 1: nothing clips but by the transform that says so.
        Raises `AudioError` for samples that are empty, not one channel or not finite.
        """
        changed = np.asarray(samples, np.float32)
        if changed.ndim != 1 or changed.size == 0 or not np.isfinite(changed).all():
            raise AudioError(f"{key}: can only augment one channel of finite samples, not of shape {changed.shape}")
        random = np.random.default_rng(seed_from(self.seed, key, epoch))
        for step in self.steps:
            if random.random() < step.probability:
                changed = np.asarray(step.transform(changed, random), np.float32)
        peak = float(np.abs(changed).max())
        return changed / np.float32(peak) if peak > 1 else changed
