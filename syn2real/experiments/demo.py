"""The demo, "teach Whisper the animals": real volunteers' recordings, and a domain known by its words alone."""

import re
from pathlib import Path

from syn2real.cache import cache_directory, only_one
from syn2real.errors import UserError
from syn2real.experiments.recipe import CorpusRecipe, EvaluationRecipe, Recipe, SynthesisRecipe, TrainingRecipe
from syn2real.speech.corpus import MANIFEST

TARGET = "animals"
PROXY = "food"  # kept whole for choosing λ, and in no vector
ENGINES = {"es": {"espeak": 2.0, "pico": 1.0}, "fr": {"espeak": 2.0, "pico": 1.0}}
NOTE = (
    "Each language of these recordings is spoken by one volunteer or a few, so the test hears a voice that the source "
    "recordings hold too: it shows how a known voice speaks words never heard from it, and cannot show how the model "
    "does on new voices. The phrase list is known, as a shop knows its catalogue; the stricter table tests phrases "
    "that were not synthesised."
)


def demo_corpus(language: str) -> Path:
    """The manifest of the spoken stamps in a language, fetched and unpacked once."""
    from syn2real.speech.corpora import import_tuxpaint

    directory = cache_directory() / "corpora" / f"tuxpaint-{language}"
    with only_one(directory.name):
        if not (directory / MANIFEST).is_file():
            import_tuxpaint(directory, language)
    return directory / MANIFEST


def demo_recipe(manifest: Path, language: str, model: str, quick: bool) -> Recipe:
    """The demo's study. ``quick`` takes fewer clips, one pass and fewer λ."""
    if not manifest.is_file():
        raise UserError(f"{manifest}: the demo's recordings are missing")
    return Recipe(
        title="Teach Whisper the animals" + (" (quick)" if quick else ""),
        note=NOTE,
        model=model,
        language=re.split("[_@]", language)[0],
        corpus=CorpusRecipe(manifest=manifest),
        target=[TARGET],
        sum="choose",
        held_out=[PROXY],
        synthesis=SynthesisRecipe(engines=ENGINES.get(language, {"espeak": 1.0}), target_renditions=1 if quick else 2),
        training=TrainingRecipe(
            epochs=1 if quick else 2, learning_rate=3e-5 if quick else 2e-5, batch_size=8, full_windows=0.03
        ),
        evaluation=EvaluationRecipe(
            normaliser="basic", strict=not quick, full_window=[] if quick else ["target-synthetic", "syn2real"]
        ),
        lambdas=[0, 0.5, 1.0] if quick else [0, 0.3, 0.6, 1.0, 1.3],
        source_limit=200 if quick else 360,
        test_limit=60 if quick else None,
    )
