"""`synthesize`: text spoken into a corpus."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from syn2real.cli.output import (
    EngineOption,
    Json,
    LimitOption,
    Overwrite,
    Workers,
    parse_limits,
    parse_weights,
    print_json,
)
from syn2real.cli.workforce import Backend, RayAddress, RayGpus, ShardOption
from syn2real.errors import UserError, did_you_mean

if TYPE_CHECKING:
    from syn2real.speech.synthesis import Judges, Rejection

_SHOWN = 3  # rejections named one by one; rejected.jsonl has all


def add_to(app: typer.Typer) -> None:
    """Add the command."""
    app.command("synthesize")(synthesize)


def synthesize(
    text: Annotated[Path, typer.Argument(help="One sentence a line, or a JSONL manifest with text.")],
    output: Annotated[Path, typer.Option("--output", "-o", help="Where the result goes.")],
    language: Annotated[str, typer.Option("--language", "-l", help="Language of the text.")] = "en",
    engine: Annotated[list[str] | None, typer.Option("--engine", "-e", help="Engine[=weight]; repeatable.")] = None,
    voice: Annotated[list[str] | None, typer.Option("--voice", help="Only these voices, as engine:name.")] = None,
    option: EngineOption = None,
    renditions: Annotated[int, typer.Option(min=1, help="How often each sentence is spoken.")] = 1,
    seed: Annotated[int, typer.Option(help="Draws voices, rates and pitches.")] = 0,
    commercial: Annotated[bool, typer.Option("--commercial", help="Only voices free for commercial use.")] = False,
    domain: Annotated[str | None, typer.Option(help="Domain written to the manifest.")] = None,
    verbalise: Annotated[
        bool, typer.Option("--verbalise/--as-written", help="Numbers, signs and abbreviations in words first, or not.")
    ] = True,
    label: Annotated[str, typer.Option(help="What the transcript follows: spoken or written.")] = "spoken",
    style: Annotated[str, typer.Option(help="Of the transcript: plain, or slurp: small letters alone.")] = "plain",
    check: Annotated[
        str, typer.Option(help="signal: refuse broken clips; recogniser: also misheard ones; none.")
    ] = "signal",
    recogniser: Annotated[
        str | None, typer.Option("--recogniser", "-r", help="The model that hears clips; by default whisper-base.")
    ] = None,
    limit: LimitOption = None,
    strict: Annotated[bool, typer.Option("--strict", help="Stop at the first sentence that cannot be spoken.")] = False,
    workers: Workers = None,
    shard: ShardOption = None,
    backend: Backend = "processes",
    ray_address: RayAddress = None,
    ray_gpus: RayGpus = 0.0,
    overwrite: Overwrite = False,
    as_json: Json = False,
) -> None:
    """Speak text into a corpus of 16 kHz FLAC with a manifest. The same command goes on after an interruption.

    What cannot be spoken, or is spoken badly (docs/checking.md), is tried with a
    second voice and then listed in rejected.jsonl, beside the manifest.

    Shares of one output may be spoken at the same time, on one machine or on
    many; the last to end completes the corpus.

    [bold]Examples[/bold]

      syn2real synthesize menu.txt --language es --engine espeak --renditions 3 --output menu-spoken
      syn2real synthesize menu.txt -e hibari=2 -e piper -o menu-spoken
      syn2real synthesize menu.txt -e speecht5 --option speecht5.model=./speecht5_tts -o menu-spoken
      syn2real synthesize menu.txt -e hibari -e espeak --renditions 3 --check recogniser -o menu-spoken
      syn2real synthesize menu.txt -e hibari -o menu-spoken --shard $SLURM_ARRAY_TASK_ID/8
      syn2real synthesize menu.txt -e hibari -o menu-spoken --backend ray --ray-address auto
    """
    from syn2real.cli.corpus import summary
    from syn2real.sealing import partial_path
    from syn2real.speech.corpus import MANIFEST, read_sentences
    from syn2real.speech.engines import read_options
    from syn2real.speech.synthesis import (
        Shard,
        SharesLeft,
        SynthesisSettings,
        Workforce,
        read_rejections,
        synthesize_sealed,
    )

    settings = SynthesisSettings(
        engines=parse_weights(engine or ["espeak"]),
        language=language,
        voices=tuple(voice or ()),
        options=read_options(option or []),
        renditions=renditions,
        commercial_only=commercial,
        seed=seed,
        verbalise=verbalise,
        label=label,  # type: ignore[arg-type]
        style=style,  # type: ignore[arg-type]
    )
    try:
        corpus = synthesize_sealed(
            read_sentences(text, domain),
            settings,
            output,
            shard=Shard.parse(shard) if shard is not None else None,
            overwrite=overwrite,
            on_problem="stop" if strict else "list",
            judges=_judges(check, recogniser, limit or [], language),
            workforce=Workforce(workers, backend, ray_address, ray_gpus),
        )
    except SharesLeft as shares:
        unfinished = partial_path(output)
        if as_json:
            print_json({"manifest": None, "unfinished": str(unfinished), "left": shares.left, "total": shares.total})
        else:
            typer.echo(f"{shares}. So far they lie in {unfinished}")
        return
    rejected = read_rejections(output)
    _warn(rejected, output)
    record = summary(corpus) | {"rejected": len(rejected)}
    if as_json:
        print_json({"manifest": str(output / MANIFEST), **record})
    else:
        listed = f", {len(rejected)} rejected" if rejected else ""
        counts = f"{record['utterances']} utterances, {record['minutes']} min, {record['voices']} voices"
        typer.echo(f"{output / MANIFEST}: {counts}{listed}")


def _judges(check: str, recogniser: str | None, limits: list[str], language: str) -> "Judges":
    from syn2real.speech.checking import Limits
    from syn2real.speech.checking.judges import CheckSettings

    if check not in ("signal", "recogniser", "none"):
        raise UserError(f"--check {check}: unknown{did_you_mean(check, ('signal', 'recogniser', 'none'))}")
    if recogniser is not None and check != "recogniser":
        raise UserError(f"--recogniser {recogniser}: hears clips only with --check recogniser")
    if limits and check == "none":
        raise UserError(f"--limit {limits[0]}: clips are held to no limit with --check none")
    model = None
    if check == "recogniser":
        from syn2real.speech.pretrained import require_language, resolve_model

        model = resolve_model(recogniser or "whisper-base")
        require_language(model, language)
    return CheckSettings(check, model, Limits.of(parse_limits(limits))).judges()  # type: ignore[arg-type]


def _warn(rejected: "list[Rejection]", output: Path) -> None:
    from syn2real.speech.synthesis.rejection import REJECTED

    if not rejected:
        return
    typer.echo(f"warning: {len(rejected)} not spoken, see {output / REJECTED}", err=True)
    for rejection in rejected[:_SHOWN]:
        typer.echo(f"  {rejection.id} ({rejection.text[:40]!r}): {rejection.reason}", err=True)
