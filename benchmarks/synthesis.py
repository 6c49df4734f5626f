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
from contextlib import redirect_stdout
from pathlib import Path
from unittest.mock import patch

from syn2real.cli.synthesis import synthesize as synthesize_command
from syn2real.errors import UserError
from syn2real.sealing import partial_path
from syn2real.speech import audio
from syn2real.speech.corpus import MANIFEST, Sentence
from syn2real.speech.engines import ENGINES, engine, missing_engines
from syn2real.speech.synthesis import Judges, SynthesisSettings, Workforce, backends, render, synthesize
from syn2real.speech.synthesis.journal import JOURNAL, JOURNALS
from syn2real.speech.synthesis.speaking import Work

LINES = 10_000
WORDS = ("apple", "bread", "cheese", "dinner", "garlic", "honey", "lemon", "onion", "pepper", "sugar")
SECONDS = 20.0  # that one worker speaks, about


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--engines", nargs="+", default=ENGINES.names())
    parser.add_argument("--quick", action="store_true", help="a second an engine and 1,000 lines: does it run?")
    options = parser.parse_args()
    missing = missing_engines(options.engines)
    for name in options.engines:
        if name in missing or not engine(name).voices("en"):
            continue
        try:
            show(engine=name, **speeds(name, 1.0 if options.quick else SECONDS))
        except UserError as error:  # weights that are neither here nor to be had
            show(engine=name, cannot=str(error))
    show(what="restart", **restart(1_000 if options.quick else LINES))


def show(**row: object) -> None:
    print(json.dumps({k: round(v, 2) if isinstance(v, float) else v for k, v in row.items()}), flush=True)


def sentence(number: int) -> Sentence:
    """Sentences of one length, so that one clip may stand for all."""
    words = " ".join(WORDS[int(digit)] for digit in f"{number:05d}")
    return Sentence(f"lines-{number:05d}", f"Please say {words} and no more.")


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
        pretend(text, output)
        command = [sys.executable, "-m", "syn2real", "synthesize", str(text), "-o", str(output), "--json"]
        finished = timed(command)
        break_off(output)
        found = {"lines": lines, "unfinished_s": timed(command), "finished_s": finished}
    return found | {"python_s": timed([sys.executable, "-c", "import numpy"])}


def pretend(text: Path, output: Path) -> None:
    """The command on this text, one clip standing for all: what is timed later is all but speaking."""
    first = Work.of([sentence(1)], SynthesisSettings(), "list", Judges(), Workforce()).renditions[0]
    samples = render(first)
    clip = audio.flac_bytes(samples)
    with (
        patch.object(backends, "render", lambda _: samples),
        patch.object(audio, "flac_bytes", lambda _: clip),
        redirect_stdout(sys.stderr),
    ):
        synthesize_command(text, output, workers=1)


def break_off(output: Path) -> None:
    """Leave of a finished corpus what a run leaves that was killed after its last clip."""
    unfinished = partial_path(output)
    output.rename(unfinished)
    (unfinished / MANIFEST).unlink()
    (unfinished / JOURNALS).mkdir()
    (unfinished / JOURNAL).rename(unfinished / JOURNALS / "1-of-1-0.jsonl")


def timed(command: list[str]) -> float:
    start = time.monotonic()
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    return time.monotonic() - start


if __name__ == "__main__":
    main()
