"""`evaluate`, `score` and `compare`: error rates that can be defended."""

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from syn2real.cli.output import BatchSize, Json, Language, Manifest, Model, Overwrite, console, print_json, print_record
from syn2real.cli.transcription import WindowOption, heard

if TYPE_CHECKING:
    from syn2real.speech.corpus import Corpus
    from syn2real.speech.normalisation import Normaliser
    from syn2real.speech.scoring import Pair
    from syn2real.speech.survey import Worst

NormaliserOption = Annotated[
    str, typer.Option("--normaliser", "-n", help="none, basic, unicode, english or spoken-LANGUAGE; on both sides.")
]
MapOption = Annotated[
    Path | None, typer.Option("--map", help="Words that count as equal, after the normaliser: lines like okay => ok.")
]
ByOption = Annotated[list[str] | None, typer.Option("--by", help="speaker, or a field of the references; repeatable.")]
KeywordsOption = Annotated[
    Path | None, typer.Option("--keywords", help="Words and phrases that matter, one a line: their recall is added.")
]
TextOption = Annotated[
    Path | None,
    typer.Option("--domain-text", help="The domain's text: its rare words that the system of --against misses."),
]
ShowOption = Annotated[int, typer.Option("--show", min=0, help="Print so many of the worst utterances, aligned.")]
HtmlOption = Annotated[Path | None, typer.Option("--html", help="Write a page with every error, aligned.")]
FormatOption = Annotated[
    str | None,
    typer.Option("--format", help="jsonl, csv, tsv, text, kaldi, trn, stm or ctm; told by the name if absent."),
]


def add_to(app: typer.Typer) -> None:
    """Add the commands."""
    for command in (evaluate, score, compare):
        app.command(command.__name__)(command)


def evaluate(
    manifest: Manifest,
    model: Model = "whisper-base",
    language: Language = None,
    window: WindowOption = "auto",
    batch_size: BatchSize = 16,
    normaliser: NormaliserOption = "basic",
    word_map: MapOption = None,
    by: ByOption = None,
    keywords: KeywordsOption = None,
    show: ShowOption = 0,
    html: HtmlOption = None,
    output: Annotated[Path | None, typer.Option("--output", "-o", help="Keep the hypotheses in this JSONL.")] = None,
    overwrite: Overwrite = False,
    as_json: Json = False,
) -> None:
    """Transcribe a corpus and score it: WER with its interval, counts, CER, by domain.

    [bold]Examples[/bold]

      syn2real evaluate test/manifest.jsonl --model whisper-tiny.en
      syn2real evaluate test/manifest.jsonl -m adapted/model -l es --json
      syn2real evaluate test/manifest.jsonl -m adapted/model --by gender --html report.html
    """
    from syn2real.lines import write_jsonl
    from syn2real.sealing import require_absent_file
    from syn2real.speech.corpus import Corpus, named_from
    from syn2real.speech.scoring import Pair

    for file in (output, html):
        if file is not None:
            require_absent_file(file, overwrite=overwrite)
    asked = _Asked(manifest, None, normaliser, word_map, by or [], keywords)
    corpus = Corpus.load(manifest)
    asked.require(corpus)
    rows = heard(corpus, manifest.parent, model, language, window, batch_size, 1)
    if output is not None:
        for utterance, row in zip(corpus, rows, strict=True):
            row["audio_filepath"] = named_from(output.parent, utterance.audio_filepath, row["audio_filepath"])
        write_jsonl(output, rows)
    pairs = [Pair(r["id"], r["text"], r["pred_text"], r.get("speaker"), r.get("domain")) for r in rows]
    asked.answer(lambda: iter(pairs), None, show, html, as_json)


def score(
    reference: Annotated[Path, typer.Argument(help="References; or, alone, rows holding text and pred_text.")],
    hypothesis: Annotated[Path | None, typer.Argument(help="Hypotheses with the same ids.")] = None,
    baseline: Annotated[
        Path | None, typer.Option("--against", help="Another system's hypotheses: a paired test is added.")
    ] = None,
    normaliser: NormaliserOption = "basic",
    word_map: MapOption = None,
    form: FormatOption = None,
    by: ByOption = None,
    keywords: KeywordsOption = None,
    domain_text: TextOption = None,
    show: ShowOption = 0,
    html: HtmlOption = None,
    overwrite: Overwrite = False,
    as_json: Json = False,
) -> None:
    """Score hypotheses against references: WER with its bootstrap interval, counts, CER, by domain.

    Reads JSONL (NeMo), CSV and TSV with id and text, text with one utterance a line, Kaldi's text, and sclite's trn and
    stm with ctm. Ids must be the same on both sides.

    [bold]Examples[/bold]

      syn2real score test/manifest.jsonl hypotheses.jsonl --normaliser english
      syn2real score test/manifest.jsonl new.jsonl --against old.jsonl --keywords dishes.txt --html report.html
      syn2real score test/manifest.jsonl new.jsonl --against base.jsonl --domain-text menu.txt
      syn2real score reference.stm hypothesis.ctm --by speaker --json
    """
    from syn2real.errors import UserError
    from syn2real.sealing import require_absent_file
    from syn2real.speech.transcripts import iterate_pairs

    if html is not None:
        require_absent_file(html, overwrite=overwrite)
    if domain_text is not None and baseline is None:
        raise UserError("--domain-text asks which words a system misses; name it by --against")
    asked = _Asked(reference, form, normaliser, word_map, by or [], keywords)
    other = (lambda: iterate_pairs(reference, baseline, form, asked.clean)) if baseline else None
    if domain_text is not None and other is not None:
        asked.add_missed(domain_text, other())
    asked.answer(lambda: iterate_pairs(reference, hypothesis, form, asked.clean), other, show, html, as_json)


def compare(
    reference: Annotated[Path, typer.Argument(help="References.")],
    hypotheses: Annotated[list[str], typer.Argument(help="Two or more systems: a file each, or NAME=FILE.")],
    normaliser: NormaliserOption = "basic",
    word_map: MapOption = None,
    form: FormatOption = None,
    as_json: Json = False,
) -> None:
    """Compare recognisers on the same recordings: every two of them, by paired bootstrap, sign flips and MAPSSWE.

    p-values are corrected for the number of comparisons (Holm). Speakers are resampled where the references name them.

    [bold]Examples[/bold]

      syn2real compare test/manifest.jsonl base.jsonl adapted.jsonl -n english
      syn2real compare reference.trn before=one.trn after=two.trn other=three.trn --json
    """
    from syn2real.errors import UserError
    from syn2real.reports.scores import print_comparison
    from syn2real.speech.evaluation import comparison
    from syn2real.speech.transcripts import iterate_pairs

    clean = _normaliser(normaliser, word_map)
    systems: dict[str, Iterator[Pair]] = {}
    for given in hypotheses:
        name, separator, file = given.partition("=")
        path = Path(file) if separator and not Path(given).exists() else Path(given)
        name = name if path != Path(given) else path.stem
        if name in systems:
            raise UserError(f"two systems are called {name!r}; name them: first={path} second=…")
        systems[name] = iterate_pairs(reference, path, form, clean)
    if len(systems) < 2:
        raise UserError("give the hypotheses of two systems or more; `syn2real score` is for one")
    record = comparison(systems, clean)
    print_record(record, print_comparison, as_json=as_json)


class _Asked:
    """How a system is to be scored. All that could be wrong in it is found before anything is heard."""

    def __init__(
        self,
        reference: Path,
        form: str | None,
        normaliser: str,
        word_map: Path | None,
        by: Sequence[str],
        keywords: Path | None,
    ) -> None:
        from syn2real.errors import UserError
        from syn2real.lines import read_lines
        from syn2real.speech.transcripts import read_field

        self.reference = reference
        self.form = form
        self.clean = _normaliser(normaliser, word_map)
        self.fields = {field: read_field(reference, field, form) for field in by if field != "speaker"}
        self.by = by
        self.keywords = [line.strip() for _, line in read_lines(keywords)] if keywords else []
        if keywords and not self.keywords:
            raise UserError(f"{keywords}: holds no keywords; write a word or phrase a line")

    def add_missed(self, text: Path, other: Iterator["Pair"]) -> None:
        """Make keywords of the rare words of a text that a system misses."""
        from syn2real.lines import read_lines
        from syn2real.speech.survey import survey
        from syn2real.speech.words import WordRecall, rare_and_missed

        survey([(other, [heard := WordRecall()])], self.clean)
        self.keywords += rare_and_missed((line for _, line in read_lines(text)), heard, self.clean)

    def require(self, corpus: "Corpus") -> None:
        """Raise as `answer` would of what is not in the references."""
        from syn2real.speech.scoring import Pair

        self._scored(Pair(u.id, u.text, u.text, u.speaker, u.domain) for u in corpus)

    def answer(
        self,
        pairs: Callable[[], Iterator["Pair"]],
        other: Callable[[], Iterator["Pair"]] | None,
        show: int,
        html: Path | None,
        as_json: bool,
    ) -> None:
        """Score, print, and write the page where one is wanted. ``pairs`` and ``other`` read the pairs."""
        from syn2real.reports.scores import print_alignments, print_evaluation
        from syn2real.reports.scores_page import SHOWN
        from syn2real.speech.survey import Worst

        worst = Worst(max(show, SHOWN if html is not None else 0))
        record = self._scored(pairs(), other() if other else None, worst if worst.most else None)
        if html is not None:
            self._write_page(html, record, worst, other)
        if as_json:
            print_json(record)
            return
        print_evaluation(record, console())
        print_alignments(worst.pairs[:show], self.clean, console())

    def _scored(
        self, pairs: Iterator["Pair"], baseline: Iterator["Pair"] | None = None, worst: "Worst | None" = None
    ) -> dict[str, Any]:
        from syn2real.errors import UserError
        from syn2real.speech.evaluation import evaluation

        groups = {field: self._group(field) for field in self.by}
        record = evaluation(pairs, self.clean, baseline=baseline, groups=groups, keywords=self.keywords, worst=worst)
        if "speaker" in self.by and not record["groups"]["speaker"]:
            raise UserError("--by speaker: the references name no speakers")
        return record

    def _group(self, field: str) -> Callable[["Pair"], str | None]:
        if field == "speaker":
            return lambda pair: pair.speaker
        values = self.fields[field]
        return lambda pair: values.get(pair.id)

    def _write_page(
        self, html: Path, record: dict[str, Any], worst: "Worst", other: Callable[[], Iterator["Pair"]] | None
    ) -> None:
        from syn2real.reports.scores_page import render_evaluation
        from syn2real.sealing import write_text
        from syn2real.speech.transcripts import read_recordings

        shown = {pair.id for pair in worst.pairs}
        others = {pair.id: pair.hypothesis for pair in (other() if other else ()) if pair.id in shown}
        sounds = read_recordings(self.reference, self.form)
        name = self.reference.name.encode(errors="replace").decode()  # which may be no UTF-8
        write_text(html, render_evaluation(record, worst, others, sounds, self.clean, name))


def _normaliser(name: str, word_map: Path | None) -> "Normaliser":
    from syn2real.speech.mapping import mapped
    from syn2real.speech.normalisation import normaliser

    return mapped(normaliser(name), word_map) if word_map else normaliser(name)
