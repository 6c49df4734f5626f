"""`corpus import`, `export`, `split`, `overlap`, `info` and `validate`."""

from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from syn2real.cli.output import Json, Overwrite, console, print_json
from syn2real.errors import UserError, did_you_mean

if TYPE_CHECKING:
    from syn2real.speech.corpora import ImportReport
    from syn2real.speech.corpus import Corpus

app = typer.Typer(help="Corpora: recordings and their transcripts, as JSONL manifests.", no_args_is_help=True)
AudioRoot = Annotated[Path | None, typer.Option(help="Folder the audio paths are relative to, if not the manifest's.")]
Manifest = Annotated[Path, typer.Argument(help="A JSONL manifest.")]
Seed = Annotated[int, typer.Option(help="What is drawn depends on it.")]
KINDS = "asterisk, commonvoice, folder, hf, kaldi, librispeech, manifest, slurp, speechocean762 or tuxpaint."
_SHOWN = 20  # recordings named one by one; --json lists all
_Text = str | None


def _option(text: str, *names: str) -> Any:
    """An option of some kinds of corpus, under a heading of their own."""
    return typer.Option(*names, help=text, rich_help_panel="Options of some kinds")


@app.command("import")
def import_corpus(
    kind: Annotated[str, typer.Argument(help=KINDS)],
    output: Annotated[Path, typer.Option("--output", "-o", help="Where the corpus goes.")],
    source: Annotated[Path | None, typer.Option("--from", help="What to import: a folder, file or hub id.")] = None,
    limit: Annotated[int | None, typer.Option(help="Take at most so many, drawn by --seed.")] = None,
    seed: Seed = 0,
    split: Annotated[list[str] | None, _option("Splits or subsets to take; repeat for several.")] = None,
    subset: Annotated[_Text, _option("slurp: real (default) or synth; hf: the dataset's configuration.")] = None,
    language: Annotated[_Text, _option("Language to take, or to note.", "--language", "-l")] = None,
    licence: Annotated[_Text, _option("Licence to note; by default the corpus's own.")] = None,
    lower: Annotated[bool | None, _option("Transcripts in small letters, not capitals.", "--lower")] = None,
    audio_root: Annotated[Path | None, _option("Folder the audio paths are relative to.")] = None,
    folder: Annotated[Path | None, _option("slurp: fetch into this folder, resuming.", "--download")] = None,
    channel: Annotated[_Text, _option("slurp: headset or far only.")] = None,
    max_wer: Annotated[float | None, _option("slurp: the recogniser's stored WER at most.")] = None,
    status: Annotated[_Text, _option("slurp: this stored status only, as correct.")] = None,
    metadata: Annotated[Path | None, _option("slurp: metadata.json, which knows the speakers.")] = None,
    checksum: Annotated[_Text, _option("slurp: the archive's sum (md5:…), if not the record's.")] = None,
    record: Annotated[_Text, _option("slurp: API address of the record with the audio.")] = None,
    texts: Annotated[_Text, _option("slurp: address of the folder with the .jsonl files.")] = None,
    min_votes: Annotated[int | None, _option("commonvoice: up-votes less down-votes, at least.")] = None,
    min_age: Annotated[int | None, _option("speechocean762: speakers of this age or older.")] = None,
    audio_column: Annotated[_Text, _option("hf: the column with the audio, if there are several.")] = None,
    text_column: Annotated[_Text, _option("hf: the column with the transcript.")] = None,
    revision: Annotated[_Text, _option("hf: a branch, tag or commit on the hub.")] = None,
    overwrite: Overwrite = False,
    as_json: Json = False,
) -> None:
    """Bring recordings into a self-contained corpus: 16 kHz mono FLAC and a manifest.

    Stopped at any moment, the same command goes on where it was.

    What is left out, by which rule and why, is printed and kept in import.json. docs/corpora.md describes every kind.

    [bold]Examples[/bold]

      syn2real corpus import tuxpaint --language es --output stamps-es
      syn2real corpus import folder --from recordings/list.csv --output mine
      syn2real corpus import slurp --download slurp --channel headset --max-wer 0.5 --output slurp-headset
      syn2real corpus import slurp --from slurp --split test --limit 2000 --output slurp-test
      syn2real corpus import commonvoice --from cv-corpus-17.0/es --split train --min-votes 2 --output cv-es
      syn2real corpus import librispeech --from LibriSpeech --split dev-clean --lower --output libri-dev
      syn2real corpus import speechocean762 --from speechocean762 --min-age 18 --lower --output learners
      syn2real corpus import kaldi --from data/train --output train
      syn2real corpus import hf --from org/name --subset es --split validation --output hub-es
      syn2real corpus import asterisk --output prompts
    """
    from inspect import signature

    from syn2real.sealing import require_absent
    from syn2real.speech.corpora import IMPORTERS

    importer = IMPORTERS.get(kind)
    require_absent(output, overwrite=overwrite)
    options = {
        "source": ("--from", source),
        "folder": ("--download", folder),
        "audio_root": ("--audio-root", audio_root),
        "split": ("--split", split or None),
        "subset": ("--subset", subset),
        "language": ("--language", language),
        "licence": ("--licence", licence),
        "lower": ("--lower", lower),
        "channel": ("--channel", channel),
        "max_wer": ("--max-wer", max_wer),
        "status": ("--status", status),
        "metadata": ("--metadata", metadata),
        "checksum": ("--checksum", checksum),
        "record": ("--record", record),
        "texts": ("--texts", texts),
        "min_votes": ("--min-votes", min_votes),
        "min_age": ("--min-age", min_age),
        "audio_column": ("--audio-column", audio_column),
        "text_column": ("--text-column", text_column),
        "revision": ("--revision", revision),
        "limit": ("--limit", limit),
        "seed": ("--seed", seed or None),
    }
    given = {name: value for name, (_, value) in options.items() if value is not None}
    taken = signature(importer).parameters
    for name, parameter in taken.items():
        if name in options and name not in given and parameter.default is parameter.empty:
            raise UserError(f"importing {kind} needs {options[name][0]}")
    for name in given:
        if name not in taken:
            raise UserError(f"importing {kind} takes no {options[name][0]}")
    report = importer(output, overwrite=overwrite, **given)
    if as_json:
        skipped = [{"item": item, "reason": reason} for item, reason in report.skipped]
        record_ = {"manifest": str(output / "manifest.jsonl"), **summary(report.corpus)}
        print_json({**record_, "left_out": report.left_out, "skipped": skipped})
    else:
        _print_left_out(report)
        _print(summary(report.corpus), str(output))


@app.command("export")
def export_corpus(
    manifest: Manifest,
    form: Annotated[str, typer.Option("--to", help="nemo, hf (Parquet, for datasets), kaldi or webdataset.")],
    output: Annotated[Path, typer.Option("--output", "-o", help="The directory to write.")],
    split: Annotated[_Text, typer.Option(help="Only utterances of this split.")] = None,
    audio_root: AudioRoot = None,
    overwrite: Overwrite = False,
) -> None:
    """Write a corpus, audio included, in the form another tool reads.

    [bold]Examples[/bold]

      syn2real corpus export mine/manifest.jsonl --to hf --output mine-hf
      syn2real corpus export mine/manifest.jsonl --to kaldi --split train --output data/train
    """
    from syn2real.speech.corpora.export import export
    from syn2real.speech.corpus import Corpus

    corpus = Corpus.load(manifest, audio_root)
    if split is not None:
        there = {str(utterance.extra.get("split")) for utterance in corpus if utterance.extra.get("split")}
        if split not in there:
            raise UserError(f"{manifest}: no split {split!r}{did_you_mean(split, there)}")
        corpus = corpus.filter(lambda utterance: utterance.extra.get("split") == split)
    export(corpus, output, form, overwrite=overwrite)
    typer.echo(f"{output}: {len(corpus)} utterances", err=True)


@app.command("split")
def split_manifest(
    manifest: Manifest,
    output: Annotated[Path, typer.Option("--output", "-o", help="The manifest to write, in the same folder.")],
    by: Annotated[Literal["speaker", "text"], typer.Option(help="What no two splits share.")] = "speaker",
    dev: Annotated[float, typer.Option(help="Fraction of the speakers or sentences.")] = 0.1,
    test: Annotated[float, typer.Option(help="Fraction of the speakers or sentences.")] = 0.1,
    unseen: Annotated[bool, typer.Option("--unseen", help="Drop from train what dev or test say too.")] = False,
    seed: Seed = 0,
    overwrite: Overwrite = False,
    as_json: Json = False,
) -> None:
    """Divide a corpus into train, dev and test that share no speaker or no sentence: a field split in every line.

    [bold]Examples[/bold]

      syn2real corpus split learners/manifest.jsonl --by speaker --unseen -o learners/split.jsonl
      syn2real corpus split stamps-es/manifest.jsonl --by text --dev 0.05 --test 0.2 -o stamps-es/split.jsonl
    """
    from syn2real.sealing import require_absent_file
    from syn2real.speech.corpora.splits import NAMES, split_corpus
    from syn2real.speech.corpus import Corpus

    require_absent_file(output, overwrite=overwrite)
    splits = split_corpus(Corpus.load(manifest), dev, test, by=by, unseen=unseen, seed=seed)
    splits.corpus.save(output)
    parts = {name: splits.part(name) for name in NAMES}
    answer = {
        "manifest": str(output),
        "by": by,
        **{name: {"utterances": len(part), "minutes": round(part.duration / 60, 1)} for name, part in parts.items()},
        "left_out": splits.left_out,
        "sentences_of_dev_and_test_also_in_train": splits.shared_sentences(),
    }
    if as_json:
        print_json(answer)
    else:
        _print({name: value for name, value in answer.items() if name != "manifest"}, str(output))


@app.command()
def overlap(
    first: Annotated[Path, typer.Argument(help="A manifest, or a text file with one sentence a line.")],
    second: Annotated[Path, typer.Argument(help="Another, as the test set.")],
    output: Annotated[Path | None, typer.Option("--output", "-o", help="Write the first without these.")] = None,
    once: Annotated[bool, typer.Option("--once", help="Also keep each sentence only once.")] = False,
    overwrite: Overwrite = False,
    as_json: Json = False,
) -> None:
    """Which sentences two corpora or texts share, case and punctuation aside.

    [bold]Examples[/bold]

      syn2real corpus overlap menu.txt orders/manifest.jsonl
      syn2real corpus overlap menu.txt orders/manifest.jsonl --once --output menu-unseen.txt
    """
    from syn2real.sealing import require_absent_file
    from syn2real.speech.corpora.overlap import Overlap, write_rest

    if output is not None:
        require_absent_file(output, overwrite=overwrite)
    found = Overlap.of_files(first, second)
    kept = found.rest(once=once)
    if output is not None:
        write_rest(first, output, kept)
    answer = {
        "lines": len(found.first),
        "sentences": len(set(found.first)),
        "sentences_of_the_second": len(set(found.second)),
        "shared": len(found.shared),
        "lines_left": len(kept),
    }
    if as_json:
        print_json({**answer, "shared_sentences": found.shared})
        return
    _print(answer, f"{first} and {second}")
    for sentence in found.shared[:_SHOWN]:
        typer.echo(f"  both: {sentence}")
    if len(found.shared) > _SHOWN:
        typer.echo(f"  … and {len(found.shared) - _SHOWN} more; --json lists all")


@app.command()
def info(
    manifest: Manifest,
    audio_root: AudioRoot = None,
    as_json: Json = False,
) -> None:
    """How much of what a corpus holds.

    [bold]Example[/bold]

      syn2real corpus info stamps-es/manifest.jsonl
    """
    from syn2real.speech.corpus import Corpus

    record = summary(Corpus.load(manifest, audio_root))
    if as_json:
        print_json(record)
    else:
        _print(record, str(manifest))


@app.command()
def validate(
    manifest: Manifest,
    audio_root: AudioRoot = None,
    as_json: Json = False,
) -> None:
    """Decode every recording and list what is silent, damaged, not a number or too long. Status 1 if anything is.

    [bold]Example[/bold]

      syn2real corpus validate stamps-es/manifest.jsonl
    """
    from syn2real.speech.corpus import Corpus

    corpus = Corpus.load(manifest, audio_root)
    problems = corpus.problems()
    if as_json:
        print_json({"utterances": len(corpus), "problems": problems})
    else:
        for problem in problems:
            typer.echo(problem)
        typer.echo(f"{manifest}: {len(corpus)} utterances, {len(problems)} problems", err=True)
    if problems:
        raise typer.Exit(1)


def summary(corpus: "Corpus") -> dict[str, Any]:
    """Counts and minutes, whole and by domain."""
    domains = Counter(utterance.domain for utterance in corpus)
    return {
        "utterances": len(corpus),
        "minutes": round(corpus.duration / 60, 1),
        "longest": max(utterance.duration for utterance in corpus),
        "speakers": len(corpus.speakers),
        "voices": len({(u.engine, u.voice) for u in corpus if u.voice}),
        "sentences": len({u.text for u in corpus}),
        "splits": dict(Counter(str(u.extra["split"]) for u in corpus if u.extra.get("split"))),
        "domains": {name or "–": count for name, count in domains.most_common()},
        "licences": corpus.licences,
    }


def _print_left_out(report: "ImportReport") -> None:
    """Each recording that cannot be used, up to a screenful, and how many went by which rule."""
    for item, reason in report.skipped[:_SHOWN]:
        typer.echo(f"skipped {item}: {reason}", err=True)
    if len(report.skipped) > _SHOWN:
        typer.echo(f"… and {len(report.skipped) - _SHOWN} more, listed in import.json", err=True)
    for rule, count in report.left_out.items():
        typer.echo(f"left out {count}: {rule}", err=True)


def _print(record: dict[str, Any], title: str) -> None:
    screen = console()
    screen.print(title, style="bold", markup=False, highlight=False)
    for name, value in record.items():
        if isinstance(value, dict):
            value = ", ".join(f"{key} {count}" for key, count in value.items()) or "–"
        elif isinstance(value, list):
            value = ", ".join(value) or "–"
        screen.print(f"  {name}: {value}", markup=False, highlight=False)
