"""How far a sentence foretells the gap of its answers: what a generator that is paid for gaps can learn at most.

    syn2real bias measure smollm2-135m cases.txt -o measured
    python -m benchmarks.foretold_gaps measured/provoked.jsonl --model smollm2-135m

Ridge regression of the gaps on how the model itself reads the sentences: the mean of its hidden states half-way and
the last of those at three quarters. Every gap is foretold by sentences in other folds, the strength of the ridge
chosen among those. One line of JSON: the correlation of what is foretold with what was found, and the mean gap of the
tenth with the highest forecasts as a multiple of all cases', each with a 95 % bootstrap interval over cases. A small
correlation says that gaps are chance, as far as this reader can tell.
"""

import argparse
from pathlib import Path

import numpy as np

from benchmarks.measuring import show
from syn2real.language.bias.answering import read_answered

STRENGTHS = np.geomspace(1e2, 1e6, 9)  # of the ridge, on standardised features
FOLDS, DRAWS = 10, 2000


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("answered", type=Path, help="provoked.jsonl of `bias measure` or of a study's stage")
    parser.add_argument("--model", default="smollm2-135m")
    options = parser.parse_args()
    rows = read_answered(options.answered)
    gaps = np.array([row.gap for row in rows])
    foretold = cross_validated(read(options.model, [row.case.text for row in rows]), gaps)
    random = np.random.default_rng(0)
    drawn = [measures(foretold[places], gaps[places]) for places in random.integers(0, len(gaps), (DRAWS, len(gaps)))]
    (r, times), (low, high) = measures(foretold, gaps), np.percentile(np.array(drawn), [2.5, 97.5], axis=0)
    show(
        cases=len(gaps), mean_gap=float(gaps.mean()),
        correlation=r, correlation_interval=np.round([low[0], high[0]], 3).tolist(),
        highest_tenth=times, highest_tenth_interval=np.round([low[1], high[1]], 3).tolist(),
    )  # fmt: skip


def read(model: str, texts: list[str]) -> np.ndarray:
    """How a model reads each text: (texts, features), standardised."""
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    from syn2real.language.chat.weights import resolve_chat_model

    directory = resolve_chat_model(model)
    tokenizer = AutoTokenizer.from_pretrained(directory)
    network = AutoModelForCausalLM.from_pretrained(directory, dtype=torch.float32).eval()
    found = []
    with torch.inference_mode():
        for text in texts:
            states = network(tokenizer(text, return_tensors="pt").input_ids, output_hidden_states=True).hidden_states
            half, late = states[len(states) // 2][0], states[3 * len(states) // 4][0]
            found.append(torch.cat([half.mean(0), late[-1]]).numpy())
    features = np.array(found, dtype=np.float64)
    return (features - features.mean(0)) / (features.std(0) + 1e-6)


def cross_validated(features: np.ndarray, gaps: np.ndarray) -> np.ndarray:
    """Each gap as the others' folds foretell it."""
    folds = np.random.default_rng(1).permutation(len(gaps)) % FOLDS
    found = np.empty(len(gaps))
    for fold in range(FOLDS):
        others = folds != fold
        found[~others] = foretell(features[others], gaps[others], features[~others], folds[others])
    return found


def foretell(known: np.ndarray, gaps: np.ndarray, asked: np.ndarray, folds: np.ndarray) -> np.ndarray:
    """Forecasts for those that are asked, by the ridge that does best within the known ones."""
    losses = np.zeros(len(STRENGTHS))
    for fold in np.unique(folds):
        here = folds == fold
        forecasts = ridges(known[~here], gaps[~here], known[here])
        losses += ((forecasts - gaps[here]) ** 2).sum(axis=1)
    return ridges(known, gaps, asked)[int(losses.argmin())]


def ridges(known: np.ndarray, gaps: np.ndarray, asked: np.ndarray) -> np.ndarray:
    """Forecasts of every strength: (strengths, asked)."""
    values, vectors = np.linalg.eigh(known @ known.T)
    projected = vectors.T @ (gaps - gaps.mean())
    across = (asked @ known.T) @ vectors
    return np.array([across @ (projected / (values + strength)) for strength in STRENGTHS]) + gaps.mean()


def measures(foretold: np.ndarray, gaps: np.ndarray) -> tuple[float, float]:
    """The correlation, and the mean gap of the highest forecasts' tenth over all."""
    highest = np.argsort(-foretold)[: max(1, len(gaps) // 10)]
    return float(np.corrcoef(foretold, gaps)[0, 1]), float(gaps[highest].mean() / gaps.mean())


if __name__ == "__main__":
    main()
