"""`transcribe`: what a recogniser hears."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from syn2real.cli.output import BatchSize, Language, Model, Overwrite
from syn2real.cli.startup import load_recognisers
from syn2real.cli.workforce import SCALE, Backend, RayAddress, RayGpus, ShardOption
from syn2real.errors import UserError, did_you_mean

if TYPE_CHECKING:
    from syn2real.speech.corpus import Corpus
    from syn2real.speech.transcription.transcript import Transcript

WindowOption = Annotated[
    str, typer.Option(help="full: pad to 30 s; short: cut to the longest clip; auto: short if trained so.")
]
REJECTED = 3  # exit status: some recordings could not be heard, all others were
_SHOWN = 3  # rejections named one by one
_WINDOWS = ("auto", "short", "full")
_SPEED = "Speed"


def add_to(app: typer.Typer) -> None:
    """Add the command."""
    app.command("transcribe")(transcribe)


def transcribe(
    recordings: Annotated[list[Path], typer.Argument(help="A JSONL manifest, or audio files and folders of them.")],
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="File, or directory for txt, srt and vtt; default stdout.")
    ] = None,
    model: Model = "whisper-base",
    language: Language = None,
    timestamps: Annotated[str | None, typer.Option(help="segment or word: say when it was said.")] = None,
    form: Annotated[
        str, typer.Option("--format", help="jsonl or trn: one file; txt, srt or vtt: one for each recording.")
    ] = "jsonl",
    prompt: Annotated[
        str | None, typer.Option(help="What was said before, or words that may come; for Whisper alone.")
    ] = None,
    long_form: Annotated[
        str, typer.Option(help="Recordings over 30 s: split where they are quiet, or refuse.")
    ] = "split",
    window: WindowOption = "auto",
    batch_size: BatchSize = 16,
    beams: Annotated[int, typer.Option(min=1, help="Beam width; 1 is greedy.")] = 1,
    runtime: Annotated[
        str, typer.Option(help="What runs the model: transformers or ctranslate2.", rich_help_panel=_SPEED)
    ] = "transformers",
    compute_type: Annotated[
        str, typer.Option(help="CTranslate2's: float32, int8, float16, …", rich_help_panel=_SPEED)
    ] = "float32",
    check_against_fp32: Annotated[
        int | None,
        typer.Option(min=1, help="Compare so many clips with transformers in float32 first.", rich_help_panel=_SPEED),
    ] = None,
    workers: Annotated[
        int | None, typer.Option(help="Processes, each with a model of its own; by default 1.", rich_help_panel=SCALE)
    ] = None,
    shard: ShardOption = None,
    backend: Backend = "processes",
    ray_address: RayAddress = None,
    ray_gpus: RayGpus = 0.0,
    stream: Annotated[bool, typer.Option("--stream", help="Print every row on stdout as soon as it is heard.")] = False,
    strict: Annotated[bool, typer.Option("--strict", help="Stop at the first that cannot be heard.")] = False,
    overwrite: Overwrite = False,
) -> None:
    """Transcribe recordings: every line of the manifest with pred_text added. The same command goes on after an
    interruption.

    What cannot be heard (damaged, silent, missing) is listed in OUTPUT.rejected.jsonl
    and all else is heard; the exit status is then 3, of a share as of the whole.
    CTC models hear greedily and at each clip's own length: --window, --beams and
    --prompt are Whisper's.

    [bold]Examples[/bold]

      syn2real transcribe test/manifest.jsonl --model adapted/model --language es --output hypotheses.jsonl
      syn2real transcribe meeting.mp3 -m whisper-tiny.en --timestamps segment --format srt -o subtitles
      syn2real transcribe calls/ -m whisper-tiny.en --runtime ctranslate2 --compute-type int8 -o calls.jsonl
      syn2real transcribe test/manifest.jsonl -m whisper-tiny.en -o heard.jsonl --shard $SLURM_ARRAY_TASK_ID/8
    """
    from syn2real.speech.sharing import Shard
    from syn2real.speech.workforce import Workforce

    if long_form not in ("split", "refuse"):
        raise UserError(f"--long-form {long_form}: unknown{did_you_mean(long_form, ('split', 'refuse'))}")
    _require_output(output, form, shard)
    share = Shard.parse(shard) if shard is not None else None
    workforce = Workforce(workers, backend, ray_address, ray_gpus)
    load_recognisers()
    from syn2real.speech.pretrained import resolve_model
    from syn2real.speech.transcription.files import HeardInPart, Transcription
    from syn2real.speech.transcription.recordings import read_recordings
    from syn2real.speech.transcription.settings import TranscriptionSettings
    from syn2real.speech.transcription.transcript import line, require_form

    settings = TranscriptionSettings(
        batch_size=batch_size,
        beams=beams,
        window=window,  # type: ignore[arg-type]
        prompt=prompt,
        times=timestamps,  # type: ignore[arg-type]
        runtime=runtime,  # type: ignore[arg-type]
        compute_type=compute_type,
    )
    require_form(form, settings.times)
    found = read_recordings(recordings)
    directory = resolve_model(model)
    if check_against_fp32 is not None:
        from syn2real.speech.transcription.agreement import agreement

        typer.echo(str(agreement(found, directory, language, settings, check_against_fp32)), err=True)
    work = Transcription(found, directory, language, settings, long_form, workforce, strict)  # type: ignore[arg-type]

    def tell(one: "Transcript") -> None:
        if stream:
            typer.echo(line(one, settings.times))

    if output is None:
        heard = work.hear(tell)
        for one in () if stream else heard:
            if one.problem is None:
                typer.echo(line(one, settings.times))
    else:
        try:
            heard = work.write(output, form, shard=share, overwrite=overwrite, told=tell)
        except HeardInPart as part:
            typer.echo(str(part), err=True)
            _name(part.rejected, len(found))
            return
    _answer(heard, output)


def heard(
    corpus: "Corpus", folder: Path, model: str, language: str | None, window: str, batch_size: int, beams: int
) -> list[dict[str, Any]]:
    """The rows of a corpus's manifest in ``folder``, each with what a model heard as ``pred_text``."""
    from syn2real.speech.pretrained import resolve_model

    if window not in _WINDOWS:
        raise UserError(f"--window {window}: unknown{did_you_mean(window, _WINDOWS)}")
    corpus.require_sound()
    load_recognisers()
    from syn2real.speech.transcription import TranscriptionSettings, transcribe

    settings = TranscriptionSettings(batch_size=batch_size, beams=beams, window=window)  # type: ignore[arg-type]
    texts = transcribe(resolve_model(model), corpus, settings, language=language)
    return [row | {"pred_text": texts[row["id"]]} for row in corpus.rows(folder)]


def _require_output(output: Path | None, form: str, shard: str | None) -> None:
    forms = ("jsonl", "trn", "txt", "srt", "vtt")
    if form not in forms:
        raise UserError(f"--format {form}: unknown{did_you_mean(form, forms)}")
    if output is None and form != "jsonl":
        raise UserError(f"--format {form}: needs --output; what is printed is JSONL")
    if output is None and shard is not None:
        raise UserError(f"--shard {shard}: needs --output, where the shares meet")


def _answer(heard: "list[Transcript]", output: Path | None) -> None:
    """Name what could not be heard. Raises `UserError` when that is all."""
    from syn2real.speech.transcription.transcript import rejected_path

    rejected = [one for one in heard if one.problem is not None]
    if len(rejected) == len(heard) == 1:
        raise UserError(str(rejected[0].problem))
    _name(rejected, len(heard), f", see {rejected_path(output)}" if output is not None else "")


def _name(rejected: "list[Transcript]", total: int, place: str = "") -> None:
    """Name the first that could not be heard, and leave with the status that says so, if there are any."""
    if not rejected:
        return
    typer.echo(f"warning: {len(rejected)} of {total} recordings could not be heard{place}", err=True)
    for one in rejected[:_SHOWN]:
        typer.echo(f"  {one.recording.id}: {one.problem}", err=True)
    raise typer.Exit(REJECTED)
