"""How fast each engine speaks, what a second worker adds, and what starting again costs.

    python -m benchmarks.synthesis
    python -m benchmarks.synthesis --quick

Per engine that can speak here: utterances/s and real-time factor (seconds of speech a second) with one worker, and how
many times as fast two are. Then the command on a corpus of 10,000 lines whose clips are all there: unfinished, as a
kill before the end leaves it, and finished; seconds of the whole process.
"""

import argparse
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from syn2real.speech import audio
from syn2real.speech.corpus import Sentence, read_sentences
from syn2real.speech.engines import ENGINES, engine, missing_engines
from syn2real.speech.synthesis import Judges, SynthesisSettings, Workforce, render, synthesize
from syn2real.speech.synthesis.journal import AUDIO, JOURNALS, Journal
from syn2real.speech.synthesis.outcome import Outcome
from syn2real.speech.synthesis.record import RECORD
from syn2real.speech.synthesis.speaking import Work

LINES = 10_000
SECONDS = 20.0  # that one worker speaks, about


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--engines", nargs="+", default=ENGINES.names())
    parser.add_argument("--quick", action="store_true", help="a second an engine and 1,000 lines: does it run?")
    options = parser.parse_args()
    missing = missing_engines(options.engines)
    for name in options.engines:
        if name not in missing and engine(name).voices("en"):
            show(engine=name, **speeds(name, 1.0 if options.quick else SECONDS))
    show(what="restart", **restart(1_000 if options.quick else LINES))


def show(**row: object) -> None:
    print(json.dumps({k: round(v, 2) if isinstance(v, float) else v for k, v in row.items()}), flush=True)


def sentence(number: int) -> Sentence:
    return Sentence(f"lines-{number:05d}", f"This is sentence number {number}, and it is spoken.")


def speeds(name: str, seconds: float) -> dict[str, float]:
    """As many sentences as one worker speaks in so long, by one and by two; the engine is loaded before the clock of
    one starts, and within that of two."""
    settings = SynthesisSettings(engines=(name,), language="en")
    tried = Work.of([sentence(n) for n in range(3)], settings, "list", Judges(), Workforce()).renditions
    render(tried[0])
    start = time.monotonic()
    for rendition in tried[1:]:
        render(rendition)
    count = max(8, min(2_000, int(2 * seconds / (time.monotonic() - start))))
    taken = {}
    with tempfile.TemporaryDirectory() as folder:
        for workers in (1, 2):
            start = time.monotonic()
            made = synthesize([sentence(n) for n in range(count)], settings, Path(folder) / str(workers), workers)
            taken[workers] = time.monotonic() - start
    return {
        "utterances": count,
        "utterances_per_s": count / taken[1],
        "times_real_time": made.duration / taken[1],
        "two_workers": taken[1] / taken[2],
    }


def restart(lines: int) -> dict[str, float]:
    with tempfile.TemporaryDirectory() as folder:
        text, output = Path(folder) / "lines.txt", Path(folder) / "spoken"
        text.write_text("".join(sentence(n).text + "\n" for n in range(1, lines + 1)))
        command = [sys.executable, "-m", "syn2real", "synthesize", str(text), "-o", str(output), "--json"]
        fill(read_sentences(text), output.with_name(f".{output.name}.partial"))
        found = {"lines": lines, "unfinished_s": timed(command), "finished_s": timed(command)}
    return found | {"python_s": timed([sys.executable, "-c", "import numpy"])}


def fill(sentences: list[Sentence], directory: Path) -> None:
    """Leave what a run leaves that was killed after its last clip; one recording stands for all."""
    work = Work.of(sentences, SynthesisSettings(engines={"espeak": 1.0}, language="en"), "list", Judges(), Workforce())
    (directory / AUDIO).mkdir(parents=True)
    (directory / JOURNALS).mkdir()
    (directory / RECORD).write_text(work.record)
    samples = render(work.renditions[0])
    clip = audio.flac_bytes(samples)
    journal = Journal(directory, "1-of-1")
    for rendition in work.renditions:
        journal.keep(Outcome(rendition.file_name, 0, samples.size), clip)
    journal.close()


def timed(command: list[str]) -> float:
    start = time.monotonic()
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    return time.monotonic() - start


if __name__ == "__main__":
    main()
