"""What is known of every rendition of a directory, by its journals: whether its clip is there, and what went wrong."""

import os
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from syn2real.speech.synthesis.journal import AUDIO, JOURNAL, JOURNALS, read_journal
from syn2real.speech.synthesis.outcome import Outcome
from syn2real.speech.synthesis.rendition import Rendition

Retry = Callable[[Rendition, frozenset[str]], Rendition | None]


@dataclass(frozen=True)
class Standing:
    """How far a rendition has come: ``clip`` of ``take``; without a clip ``take`` is to be spoken; without a take the
    rendition is rejected."""

    first: Rendition
    tried: tuple[tuple[Rendition, Outcome], ...]  # attempts that failed, with the reasons
    take: Rendition | None
    clip: Outcome | None

    @property
    def due(self) -> Rendition | None:
        """What is to be spoken next, if anything."""
        return self.take if self.clip is None else None

    @property
    def unjudged(self) -> bool:
        """Whether there is a clip without a judge's figures."""
        return self.clip is not None and self.clip.figures is None

    @property
    def outcomes(self) -> list[Outcome]:
        """Of all attempts, in order."""
        return [outcome for _, outcome in self.tried] + ([self.clip] if self.clip else [])


class Ledger:
    """Outcomes by file name and attempt. A clip counts when its file has the size its line says, and, unless it is
    known to have reached the disk, the same bytes."""

    def __init__(self, directory: Path) -> None:
        self._audio = directory / AUDIO
        self._clips: dict[tuple[str, int], Outcome] = {}
        self._problems: dict[tuple[str, int], Outcome] = {}
        self._judged: dict[tuple[str, int], Outcome] = {}
        self.unflushed: list[Path] = []  # clips that may not have reached the disk
        folded = directory / JOURNAL
        paths = [folded] if folded.is_file() else []
        sizes = {entry.name: entry.stat().st_size for entry in os.scandir(self._audio)} if self._audio.is_dir() else {}
        for path in [*paths, *sorted((directory / JOURNALS).glob("*.jsonl"))]:
            for outcome, flushed in read_journal(path):
                if outcome.problem is not None or outcome.size == 0:
                    self.add(outcome)
                elif sizes.get(outcome.file) == outcome.size and (flushed or path == folded or self._is_whole(outcome)):
                    self.add(outcome)
                    if not flushed and path != folded:
                        self.unflushed.append(self._audio / outcome.file)

    def add(self, outcome: Outcome) -> None:
        """Take note of an outcome, or of a judge's figures for an earlier one."""
        key = (outcome.file, outcome.attempt)
        if outcome.problem is not None:
            self._problems[key] = outcome
        elif outcome.size:
            self._clips[key] = outcome
        if outcome.figures is not None:
            self._judged[key] = outcome

    def clip(self, take: Rendition) -> Outcome | None:
        """The clip of this attempt, with its figures where it was judged."""
        key = (take.file_name, take.attempt)
        found, judged = self._clips.get(key), self._judged.get(key)
        if found is None or judged is None or found.figures is not None:
            return found
        return Outcome(**{**found.row, "figures": judged.figures})

    def standing(self, first: Rendition, retry: Retry) -> Standing:
        """How far a rendition has come; ``retry`` gives the next attempt by a voice not among those tried."""
        take: Rendition | None = first
        tried: list[tuple[Rendition, Outcome]] = []
        while take is not None:
            problem = self._problems.get((take.file_name, take.attempt))
            if problem is None:
                return Standing(first, tuple(tried), take, self.clip(take))
            tried.append((take, problem))
            take = retry(first, frozenset(t.voice.id for t, _ in tried))
        return Standing(first, tuple(tried), None, None)

    def _is_whole(self, outcome: Outcome) -> bool:
        return zlib.crc32((self._audio / outcome.file).read_bytes()) == outcome.crc
