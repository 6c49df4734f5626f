"""How far a faster way of running a model is from transformers in float32, on a sample of the recordings."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from syn2real.errors import UserError
from syn2real.speech.audio import WINDOW
from syn2real.speech.corpus import Corpus
from syn2real.speech.scoring import Pair, pairs_of, score
from syn2real.speech.statistics import PairedTest, paired_test
from syn2real.speech.transcription.corpora import transcribe
from syn2real.speech.transcription.recordings import Recording
from syn2real.speech.transcription.settings import TranscriptionSettings

NORMALISER = "basic"


@dataclass(frozen=True)
class Agreement:
    """What two ways of running a model wrote. ``differing``: word errors of the one with the other as reference."""

    clips: int
    same: int  # clips with the same text, normalised
    differing: float | None  # a rate; None where the reference way heard no word
    paired: PairedTest | None  # against transcripts, where every clip of the sample has one

    def __str__(self) -> str:
        text = f"{self.same} of {self.clips} clips as with transformers in float32"
        if self.differing is not None:
            text += f", {self.differing:.2%} of words differ"
        if self.paired is not None:
            test = self.paired
            text += (
                f"; WER {test.rate_a:.2%} against {test.rate_b:.2%}, a difference of "
                f"{100 * test.difference:+.2f} points ({100 * test.low:+.2f} to {100 * test.high:+.2f})"
            )
        return text


def agreement(
    recordings: Sequence[Recording], model: Path, language: str | None, settings: TranscriptionSettings, size: int
) -> Agreement:
    """Hear a sample both ways. Raises `UserError` when no recording of at most 30 s can be had, and as `transcribe`."""
    whole = Corpus.of(r.utterance for r in recordings if r.utterance is not None and r.utterance.duration <= WINDOW)
    sample = whole.sample(size)
    sample = sample.filter(lambda utterance: not Corpus.of([utterance]).problems())
    if not len(sample):
        raise UserError(f"no recording of at most {WINDOW:.0f} s can be heard, so that there is nothing to compare on")
    labelled = {r.id for r in recordings if r.row.get("text")}
    plain = TranscriptionSettings(settings.batch_size, settings.beams, settings.window, settings.prompt)
    here = transcribe(model, sample, settings, language=language, title="comparing")
    there = transcribe(model, sample, plain, language=language, title="comparing with transformers")
    between = score([Pair(name, there[name], here[name]) for name in here], NORMALISER)
    same = sum(1 for utterance in between if not utterance.counts.errors)
    paired = None
    if all(utterance.id in labelled for utterance in sample) and len(sample) > 1:
        first, second = (score(pairs_of(sample, texts), NORMALISER) for texts in (here, there))
        paired = paired_test(first, second)
    return Agreement(len(sample), same, between.rate if between.total.words else None, paired)
