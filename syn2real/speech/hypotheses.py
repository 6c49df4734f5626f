"""Hypotheses kept between runs: what a recogniser wrote for a clip, by the clip's bytes, in a file that only grows."""

from collections.abc import Sequence
from functools import cached_property
from pathlib import Path

from syn2real.hashing import sha256_file, sha256_json
from syn2real.lines import append_jsonl, appended_jsonl
from syn2real.speech.augmentation.manifest import FIELD
from syn2real.speech.corpus import Utterance


class KeptHypotheses:
    """The hypotheses of one recogniser, under one setting, in a JSONL file; made when the first is kept.

    A batch is appended by one write, and a line that a kill cut short is passed over, so that a run which is started
    again hears again at most the batch it was killed in.
    """

    def __init__(self, path: Path) -> None:
        self.path = path

    def recall(self, batch: Sequence[Utterance]) -> list[str] | None:
        """What was heard in every clip of a batch; None unless all are known.

        A batch is heard whole or not at all, for what else is in it may change the last bit of a sum.
        """
        keys = [clip_key(utterance) for utterance in batch]
        return [self._known[key] for key in keys] if all(key in self._known for key in keys) else None

    def keep(self, batch: Sequence[Utterance], texts: Sequence[str]) -> None:
        """Note what was heard. Raises `UserError` when the disk is full."""
        new = {clip_key(utterance): text for utterance, text in zip(batch, texts, strict=True)}
        append_jsonl(self.path, ({"clip": key, "text": text} for key, text in new.items()))
        self._known.update(new)

    @cached_property
    def _known(self) -> dict[str, str]:
        pairs = ((row.get("clip"), row.get("text")) for row in appended_jsonl(self.path))
        return {clip: text for clip, text in pairs if isinstance(clip, str) and isinstance(text, str)}


def clip_key(utterance: Utterance) -> str:
    """Equal for clips that sound the same: the recording's bytes, and the augmentation that its line asks for, which
    draws by the line's id."""
    asked = utterance.extra.get(FIELD)
    return sha256_json([sha256_file(utterance.audio_filepath), *([asked, utterance.id] if asked else [])])
