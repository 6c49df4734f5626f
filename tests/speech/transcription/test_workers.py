"""A batch that kills the process which hears it costs itself alone."""

import os
from pathlib import Path

import pytest

pytest.importorskip("transformers")

from syn2real.speech.corpus import Utterance
from syn2real.speech.transcription import TranscriptionSettings
from syn2real.speech.transcription.outcome import Outcome
from syn2real.speech.transcription.plan import Piece
from syn2real.speech.transcription.workers import Ear, hear_all
from syn2real.speech.workforce import Workforce


class Mortal(Ear):
    """Hears the name of a clip, and dies of one."""

    def hear(self, batch):
        if any(piece.utterance.id == "deadly" for piece in batch):
            os._exit(1)
        return [Outcome(piece.utterance.id) for piece in batch]


def test_one_deadly_batch_is_named_and_all_others_are_heard():
    batches = [(Piece(Utterance(name, Path(f"{name}.wav"), 1.0, "x")),) for name in ("deadly", "a")]
    found = hear_all(Mortal(Path("model"), None, TranscriptionSettings()), batches, Workforce(2))
    heard = {batch[0].utterance.id: outcomes[0] for batch, outcomes in found}
    assert {name for name, outcome in heard.items() if outcome.text == name} == {"a"}
    assert (
        heard["deadly"].problem == "deadly.wav: the process that listened to it died; hear it again in smaller batches"
    )
