"""What the share of clips padded to 30 s costs in training, and what it holds: WER in short windows and at 30 s.

    python -m benchmarks.windows --manifest corpus/manifest.jsonl

The manifest is of any corpus whose lines have ``split``, train and test. Whisper tiny.en is tuned on 500 real training
utterances for 2 epochs with each share, and scored on 150 test utterances of unseen speakers. Times are ratios to
training with every clip padded to 30 s, estimated from 3 steps.
"""

import argparse
import json
import tempfile
import time
from pathlib import Path

from syn2real.speech.corpus import Corpus
from syn2real.speech.finetuning import finetune
from syn2real.speech.pretrained import resolve_model
from syn2real.speech.scoring import Pair, score
from syn2real.speech.statistics import bootstrap_interval
from syn2real.speech.training import TrainingSettings
from syn2real.speech.transcription import TranscriptionSettings, transcribe

BATCH = 16


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--manifest", type=Path, required=True)
    parser.add_argument("--shares", type=float, nargs="+", default=[0.0, 0.03, 0.06, 0.12])
    options = parser.parse_args()
    corpus = Corpus.load(options.manifest)
    train = corpus.filter(lambda u: u.extra.get("split") == "train").sample(500, 1)
    test = corpus.filter(lambda u: u.extra.get("split") == "test").sample(150, 1)
    model = resolve_model("whisper-tiny.en")
    with tempfile.TemporaryDirectory() as folder:
        stock = timed(model, train.sample(3 * BATCH), Path(folder) / "stock", 1.0, epochs=1) / 3
        for share in options.shares:
            output = Path(folder) / f"share-{share}"
            seconds = timed(model, train, output, share, epochs=2)
            steps = json.loads((output / "training.json").read_text())["steps"]
            row = {
                "full_windows": share,
                "seconds": round(seconds),
                "speedup_over_30s": round(stock * steps / seconds, 2),
            }
            for window in ("short", "full"):
                texts = transcribe(output, test, TranscriptionSettings(window=window))
                scores = score([Pair(u.id, u.text, texts[u.id], u.speaker) for u in test], "english")
                interval = bootstrap_interval(scores)
                row[window] = f"{scores.rate:.4f} ({interval.low:.4f}-{interval.high:.4f})"
            print(json.dumps(row), flush=True)


def timed(model: Path, corpus: Corpus, output: Path, share: float, epochs: float) -> float:
    output.mkdir()
    start = time.monotonic()
    finetune(model, corpus, output, TrainingSettings(epochs=epochs, full_windows=share, batch_size=BATCH))
    return time.monotonic() - start


if __name__ == "__main__":
    main()
