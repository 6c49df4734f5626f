"""Fine-tuning, transcribing and scoring beside stock, in one run: same clips, same seeds, WER beside each speed.

    make bench-speech                                          # about half an hour on 2 cores
    make bench-speech ARGS="--parts scoring"
    make bench-speech ARGS="--clips 849 --test 318"            # all of speechocean762's training and test clips: hours

training        `finetune` beside transformers' Seq2SeqTrainer with every clip padded to 30 s; the models are then
                heard in 30 s windows, as plain transformers runs them, on clips of speakers that none has met; stock
                in float32, as it comes, and again in the precision that ours takes on this machine
transcription   the model that `training` made with ours, by us, by transformers' pipeline and by faster-whisper
scoring         counts and a bootstrap by speaker, beside jiwer; with starting Python

Every system runs in a process of its own: peak memory is that process's. Ratios are to the first system of its table in
the same run, intervals resample speakers, and differences are in points of WER to that system (negative: fewer errors).
One line of JSON a system, then each part as a table.
"""

import argparse
import json
import os
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from benchmarks import scoring, training_systems, transcription_systems
from benchmarks.measuring import measure, show
from benchmarks.run import SPEECHOCEAN
from syn2real.reports.wording import bounds, percent, signed
from syn2real.speech.corpus import Corpus
from syn2real.speech.pretrained import resolve_model
from syn2real.speech.scoring import Scores, pairs_of, score
from syn2real.speech.statistics import bootstrap_interval, paired_test
from syn2real.speech.transcription import TranscriptionSettings, transcribe

COMPUTE_TYPES = ("float32", "int8")
PARTS = ("training", "transcription", "scoring")
STOCK = {"training": "stock", "transcription": "HF pipeline, one by one", "scoring": "jiwer, counts"}
Row = dict[str, Any]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--manifest", type=Path, default=SPEECHOCEAN, help="with a field split: train and test")
    parser.add_argument("--parts", nargs="+", default=list(PARTS), choices=PARTS)
    parser.add_argument("--models", nargs="+", default=["whisper-tiny.en", "whisper-base"])
    parser.add_argument("--clips", type=int, default=120, help="to train on")
    parser.add_argument("--test", type=int, default=64, help="clips to hear")
    parser.add_argument("--epochs", type=float, default=1)
    parser.add_argument("--batch-size", type=int, default=16)
    parser.add_argument("--learning-rate", type=float, default=2e-5)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--lines", type=int, nargs="+", default=[20_000, 1_000_000], help="utterances to score")
    parser.add_argument("--faster-whisper", type=Path, help="the Python of an environment with faster-whisper in it")
    parser.add_argument("--folder", type=Path, help="where to work; default: a temporary directory")
    options = parser.parse_args()
    if not options.manifest.is_file():
        raise SystemExit(f"{options.manifest}: not here; pass a manifest with --manifest")
    with tempfile.TemporaryDirectory(dir=options.folder) as folder:
        bench = Bench(options, Path(folder))
        for model in options.models:
            if {"training", "transcription"} & set(options.parts):
                bench.speech(model)
        if "scoring" in options.parts:
            for lines in options.lines:
                bench.scoring(lines)


class Bench:
    """One run: its clips, and where it works."""

    def __init__(self, options: argparse.Namespace, folder: Path) -> None:
        self.options, self.folder = options, folder
        self.corpus = Corpus.load(options.manifest)
        self.train = self._split("train").sample(options.clips, options.seed)
        self.test = self._split("test").sample(options.test, options.seed)

    def speech(self, name: str) -> None:
        """Train with each system, and hear the test clips with the model that ours made."""
        language = None if name.endswith(".en") else "en"
        ours = self.folder / f"{name}-ours"
        if "training" in self.options.parts:
            self._training(name, language)
        elif not ours.exists():
            self._train("ours", name, language)
        if "transcription" in self.options.parts:
            self._transcription(name, ours, language)

    def scoring(self, lines: int) -> None:
        """Score so many utterances with each system."""
        sentences = [utterance.text for utterance in self.corpus]
        files = scoring.make(sentences, lines, self.folder)
        with table(f"Scoring {lines:,} utterances", STOCK["scoring"]) as rows:
            for system in sorted(scoring.SYSTEMS, key=lambda one: one != STOCK["scoring"]):
                run = child("scoring", system, *files)
                answer = run["answer"]
                shown = {"WER": percent(answer["wer"])}
                if "low" in answer:
                    shown["95 % interval"] = bounds(answer["low"], answer["high"])
                rows.append(row(system, lines / run["seconds"], "utterances/s", run, **shown))
        for file in files:
            file.unlink()

    def _training(self, name: str, language: str | None) -> None:
        settings = self.options
        title = (
            f"Training {name}: {len(self.train)} clips, {settings.epochs:g} epochs, batches of {settings.batch_size}"
        )
        heard: dict[str, Scores] = {}
        with table(title, STOCK["training"]) as rows:
            for system in sorted(training_systems.SYSTEMS, key=lambda one: one != STOCK["training"]):
                run = self._train(system, name, language)
                seconds = run["answer"]["seconds"]
                full = TranscriptionSettings(window="full")
                texts = transcribe(self.folder / f"{name}-{system}", self.test, full, language=language)
                speed = len(self.train) * settings.epochs / seconds
                rows.append(row(system, speed, "clips/s", run, **self._scored(system, texts, heard, "training")))

    def _train(self, system: str, name: str, language: str | None) -> Row:
        job = {
            **{key: getattr(self.options, key) for key in ("epochs", "batch_size", "learning_rate", "seed")},
            **self._job(self.train, language),
            "model": str(resolve_model(name)),
            "output": str(self.folder / f"{name}-{system}"),
        }
        return child("training_systems", system, self._written(job))

    def _transcription(self, name: str, model: Path, language: str | None) -> None:
        seconds = sum(utterance.duration for utterance in self.test)
        heard: dict[str, Scores] = {}
        job = self._job(self.test, language) | {"model": str(model), "output": str(self.folder / "texts.json")}
        with table(
            f"Transcribing with {name}: {len(self.test)} clips, {seconds:.0f} s", STOCK["transcription"]
        ) as rows:
            for system, run in self._heard(job, model):
                texts = json.loads(Path(job["output"]).read_text())
                took = run["answer"]["seconds"]
                shown = {
                    "times real time": f"{seconds / took:.1f}",
                    **self._scored(system, texts, heard, "transcription"),
                }
                rows.append(row(system, len(self.test) / took, "clips/s", run, **shown))

    def _heard(self, job: Row, model: Path) -> Iterator[tuple[str, Row]]:
        from syn2real.speech.ctranslate2_whisper import converted

        for compute_type in COMPUTE_TYPES:  # now, for it takes memory
            converted(model, compute_type)
        for system in transcription_systems.SYSTEMS:
            yield system, child("transcription_systems", system, self._written(job))
        if self.options.faster_whisper is None:
            return
        clips = [[utterance.id, str(utterance.audio_filepath)] for utterance in self.test]
        place = self._written(job | {"model": str(converted(model, "float32")), "clips": clips})
        script = Path(__file__).with_name("faster_whisper_system.py")
        threads = os.environ.get("OMP_NUM_THREADS") or str(len(os.sched_getaffinity(0)))
        for compute_type in COMPUTE_TYPES:
            command = [str(self.options.faster_whisper), str(script), compute_type, threads, str(place)]
            yield f"faster-whisper, {compute_type}", answered(command)

    def _scored(self, system: str, texts: Mapping[str, str], heard: dict[str, Scores], part: str) -> Row:
        """WER with its interval, and the difference to stock, which comes first."""
        heard[system] = score(pairs_of(self.test, texts), "english")
        interval = bootstrap_interval(heard[system])
        shown = {"WER": percent(heard[system].rate), "95 % interval": bounds(interval.low, interval.high)}
        if system != STOCK[part]:
            test = paired_test(heard[system], heard[STOCK[part]])
            low, high = signed(100 * test.low), signed(100 * test.high)
            shown["points to stock"] = f"{signed(100 * test.difference)} ({low} to {high}, p {test.p:.3f})"
        return shown

    def _split(self, name: str) -> Corpus:
        return self.corpus.filter(lambda u: u.extra.get("split") == name)

    def _job(self, corpus: Corpus, language: str | None) -> Row:
        manifest = str(self.options.manifest.resolve())
        return {"manifest": manifest, "ids": [utterance.id for utterance in corpus], "language": language}

    def _written(self, job: Row) -> Path:
        place = self.folder / "job.json"
        place.write_text(json.dumps(job))
        return place


def child(module: str, system: str, *arguments: Path) -> Row:
    """A system in a process of its own, measured, with what it answers."""
    return answered([sys.executable, "-m", f"benchmarks.{module}", system, *map(str, arguments)])


def answered(command: list[str]) -> Row:
    run = measure(command)
    return run | {"answer": json.loads(run["stdout"].splitlines()[-1])}  # libraries may print before it


def row(system: str, speed: float, unit: str, run: Row, **shown: str) -> Row:
    return {"system": system, unit: speed, "peak MB": round(run["rss"]), "CPU s": round(run["cpu"], 1), **shown}


@contextmanager
def table(title: str, stock: str) -> Iterator[list[Row]]:
    """Rows that are printed as they come, each with its ratio to stock, and at the end as a table."""
    rows = Rows(title, stock)
    yield rows
    columns = list(dict.fromkeys(name for one in rows for name in one))
    lines = [columns, ["---", *("---:" for _ in columns[1:])]]
    lines += [[cell(one.get(name, "")) for name in columns] for one in rows]
    print(f"\n{title}\n\n" + "\n".join(f"| {' | '.join(cells)} |" for cells in lines) + "\n", flush=True)


class Rows(list[Row]):
    """The systems of one table, stock first."""

    def __init__(self, title: str, stock: str) -> None:
        self.title, self.stock = title, stock

    def append(self, found: Row) -> None:
        unit = next(name for name in found if name.endswith("/s"))
        first = self[0] if self else found
        assert first["system"] == self.stock
        name, speed, *others = found.items()
        ratios = {"times as fast": round(found[unit] / first[unit], 2)}
        super().append(dict([name, speed, *ratios.items(), *others]))
        show(what=self.title, **self[-1])


def cell(value: Any) -> str:
    return f"{value:,.2f}" if isinstance(value, float) else str(value)


if __name__ == "__main__":
    main()
