"""`augment`: noise, rooms, telephone lines and codecs for a corpus, applied when it is read or written out."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from syn2real.cli.corpus import AudioRoot
from syn2real.cli.output import Json, Overwrite, print_json
from syn2real.errors import UserError

if TYPE_CHECKING:
    from syn2real.speech.augmentation import Augmentation


def add_to(app: typer.Typer) -> None:
    """Add the command."""
    app.command("augment")(augment)


def augment(
    manifest: Annotated[Path, typer.Argument(help="A JSONL manifest.")],
    output: Annotated[
        Path, typer.Option("--output", "-o", help="A manifest beside the audio; with --materialise, a directory.")
    ],
    preset: Annotated[str | None, typer.Option(help="broad, codec, far_field or telephone.")] = None,
    recipe: Annotated[Path | None, typer.Option(help="A YAML file with a list of transforms.")] = None,
    seed: Annotated[int, typer.Option(help="Seed of all that is drawn.")] = 0,
    materialise: Annotated[bool, typer.Option("--materialise", help="Write the changed audio as FLAC.")] = False,
    audio_root: AudioRoot = None,
    overwrite: Overwrite = False,
    as_json: Json = False,
) -> None:
    """Give a corpus noise, rooms, telephone lines or codecs: the same for the same seed.

    Without --materialise only a manifest is written, whose lines say what to do
    when they are read. It shares the audio, so it goes into the audio's folder.
    With --materialise, a manifest that says so already needs no preset.

    [bold]Examples[/bold]

      syn2real augment menu/manifest.jsonl --preset far_field --output menu/far_field.jsonl
      syn2real augment menu/manifest.jsonl --preset telephone --materialise --output menu-telephone
    """
    from syn2real.sealing import require_absent, require_absent_file
    from syn2real.speech import augmentation as speech
    from syn2real.speech.corpus import MANIFEST, Corpus

    chosen = _chosen(preset, recipe, seed)
    if chosen is None and not materialise:
        raise UserError("name what to do: --preset (broad, codec, far_field, telephone) or --recipe FILE")
    if materialise:
        require_absent(output, overwrite=overwrite)
    elif output.suffix != ".jsonl":
        raise UserError(f"{output}: name a manifest (….jsonl) in the folder of the audio, or pass --materialise")
    else:
        require_absent_file(output, overwrite=overwrite)
    corpus = Corpus.load(manifest, audio_root)
    if chosen is not None:
        corpus = speech.augmented(corpus, chosen)
    if materialise:
        corpus = speech.materialise(corpus, output, overwrite=overwrite)
        output = output / MANIFEST
    else:
        corpus.save(output)
    if as_json:
        minutes = round(corpus.duration / 60, 1)
        transforms = chosen.spec() if chosen else None
        print_json({"manifest": str(output), "utterances": len(corpus), "minutes": minutes, "transforms": transforms})
    else:
        typer.echo(f"{output}: {len(corpus)} utterances" + ("" if materialise else ", changed as they are read"))


def _chosen(preset: str | None, recipe: Path | None, seed: int) -> "Augmentation | None":
    """What the options name, or None."""
    from syn2real.speech.augmentation import Augmentation

    if preset is not None and recipe is not None:
        raise UserError("give --preset or --recipe, not both")
    if recipe is not None:
        return Augmentation.load(recipe, seed)
    return Augmentation.from_spec(preset, seed) if preset is not None else None
