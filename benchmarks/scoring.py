"""Scoring beside jiwer alone: one system of `benchmarks.speech`, in a process of its own.

    python -m benchmarks.scoring SYSTEM REFERENCES HYPOTHESES

Both read the same JSONL and use the same normaliser. jiwer takes all texts at once, as it is used; it has no bootstrap,
so its counts by speaker are drawn from with numpy.
"""

import json
import random
import sys
from pathlib import Path

import numpy as np

NORMALISER = "basic"
DRAWS = 1000
SPEAKERS = 200


def ours(references: Path, hypotheses: Path, draws: int) -> dict[str, float]:
    from syn2real.speech.normalisation import normaliser
    from syn2real.speech.statistics import bootstrap_interval
    from syn2real.speech.survey import survey
    from syn2real.speech.transcripts import iterate_pairs

    clean = normaliser(NORMALISER)
    (found,) = survey([(iterate_pairs(references, hypotheses), ())], clean)
    table = found.table(str(clean))
    if not draws:
        return {"wer": table.rate}
    interval = bootstrap_interval(table, draws=draws)
    return {"wer": table.rate, "low": interval.low, "high": interval.high}


def theirs(references: Path, hypotheses: Path, draws: int) -> dict[str, float]:
    import jiwer
    from transformers.models.whisper.english_normalizer import BasicTextNormalizer

    clean = BasicTextNormalizer(remove_diacritics=False, split_letters=False)
    said = [json.loads(line) for line in references.open(encoding="utf-8")]
    heard = {row["id"]: row["pred_text"] for row in map(json.loads, hypotheses.open(encoding="utf-8"))}
    found = jiwer.process_words([clean(row["text"]) for row in said], [clean(heard[row["id"]]) for row in said])
    if not draws:
        return {"wer": found.wer}
    by_speaker: dict[str, np.ndarray] = {row["speaker"]: np.zeros(2) for row in said}
    for row, chunks, words in zip(said, found.alignments, found.references, strict=True):
        sizes = [max(c.ref_end_idx - c.ref_start_idx, c.hyp_end_idx - c.hyp_start_idx) for c in chunks]
        wrong = sum(size for size, chunk in zip(sizes, chunks, strict=True) if chunk.type != "equal")
        by_speaker[row["speaker"]] += (wrong, len(words))
    counts, generator = np.stack(list(by_speaker.values())), np.random.default_rng(0)
    sums = np.array([counts[generator.integers(0, len(counts), len(counts))].sum(axis=0) for _ in range(draws)])
    low, high = np.quantile(sums[:, 0] / sums[:, 1], [0.025, 0.975])
    return {"wer": found.wer, "low": float(low), "high": float(high)}


SYSTEMS = {
    "ours, counts": (ours, 0),
    "jiwer, counts": (theirs, 0),
    f"ours, {DRAWS} draws by speaker": (ours, DRAWS),
    f"jiwer, {DRAWS} draws by speaker": (theirs, DRAWS),
}


def make(sentences: list[str], count: int, folder: Path) -> tuple[Path, Path]:
    """``count`` utterances of one or two of the sentences each, and what a recogniser with an error in eight words may
    make of them."""
    draw = random.Random(0)
    vocabulary = sorted({word for sentence in sentences for word in sentence.split()})
    references, hypotheses = folder / f"references-{count}.jsonl", folder / f"hypotheses-{count}.jsonl"
    with references.open("w", encoding="utf-8") as said, hypotheses.open("w", encoding="utf-8") as heard:
        for number in range(count):
            name, words = f"utterance-{number:07d}", " ".join(draw.choices(sentences, k=draw.randint(1, 2))).split()
            row = {"id": name, "text": " ".join(words), "speaker": f"speaker-{number % SPEAKERS}"}
            said.write(json.dumps(row) + "\n")
            written = []
            for word in words:
                chance = draw.random()
                written += [] if chance < 0.03 else [draw.choice(vocabulary) if chance < 0.1 else word]
                written += [draw.choice(vocabulary)] if chance > 0.975 else []
            heard.write(json.dumps({"id": name, "pred_text": " ".join(written).capitalize() + "."}) + "\n")
    return references, hypotheses


if __name__ == "__main__":
    system, draws = SYSTEMS[sys.argv[1]]
    print(json.dumps(system(Path(sys.argv[2]), Path(sys.argv[3]), draws)))
