"""Recordings transcribed into a file: resumable, shared out over runs and workers, and whole or absent."""

import json
import shutil
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path

from syn2real.errors import UserError
from syn2real.sealing import require_absent, require_absent_file
from syn2real.speech import sharing
from syn2real.speech.pace import Pace
from syn2real.speech.pretrained import model_key
from syn2real.speech.sharing import Shard, SharesLeft
from syn2real.speech.transcription.outcome import Outcome, Outcomes
from syn2real.speech.transcription.plan import LongForm, Piece, Plan
from syn2real.speech.transcription.recordings import Recording
from syn2real.speech.transcription.settings import DEFAULTS, TranscriptionSettings
from syn2real.speech.transcription.transcript import Transcript, require_form, require_names, transcript, write
from syn2real.speech.transcription.workers import Ear, hear_all
from syn2real.speech.workforce import Workforce

Told = Callable[[Transcript], None]


class HeardInPart(SharesLeft):
    """This share is heard; others are not. ``rejected``: the recordings that could not be heard so far."""

    def __init__(self, shard: Shard, left: int, total: int, rejected: list[Transcript]) -> None:
        super().__init__(shard, left, total, "heard", "clips")
        self.rejected = rejected


class Desk(sharing.Desk):
    """A run's place at an unfinished output."""

    record_name = "transcription.json"
    done = "heard"

    def require_same(self, before: str, now: str) -> None:
        """Raise `UserError` naming what differs between the record that is there and this run's."""
        if before == now:
            return
        old, new = json.loads(before), json.loads(now)
        changed = ", ".join(name for name in sorted(new) if old.get(name) != new.get(name))
        raise UserError(
            f"{self.directory}: holds an unfinished transcription with other {changed}; run that one to its end, pass "
            "--overwrite, or choose another output"
        )


@dataclass(frozen=True)
class Transcription:
    """Recordings, the model that hears them, and how."""

    recordings: Sequence[Recording]
    model: Path
    language: str | None = None
    settings: TranscriptionSettings = DEFAULTS
    long_form: LongForm = "split"
    workforce: Workforce = field(default_factory=Workforce)
    strict: bool = False  # stop at the first recording that cannot be heard

    def hear(self, told: Told = lambda transcript: None) -> list[Transcript]:
        """The transcripts, in the recordings' order, kept nowhere. ``told`` gets each as soon as it is there.

        Raises `UserError` as loading the model does, and with ``strict`` for the first that cannot be heard.
        """
        plan = self._plan()
        outcomes: dict[str, Outcome] = {}

        def keep(keys: list[str], new: list[Outcome]) -> None:
            outcomes.update(zip(keys, new, strict=True))

        self._hear(plan, plan.batches, outcomes, keep, told)
        return self._assembled(plan, outcomes)

    def write(
        self,
        output: Path,
        form: str = "jsonl",
        *,
        shard: Shard | None = None,
        overwrite: bool = False,
        told: Told = lambda transcript: None,
    ) -> list[Transcript]:
        """Transcribe into ``output``, which appears when all is heard; till then outcomes are in a hidden folder beside
        it, and the same call goes on where a killed one was.

        Runs of several shares may fill the same output at the same time; the last to end writes it. Raises
        `HeardInPart` when this share is heard and others are not, and `UserError` as `hear` does, when the output
        exists, when two recordings would be written under one name, and when other settings or another run are at work
        on it.
        """
        shard = shard or Shard()
        single = form in ("jsonl", "trn")
        require_form(form, self.settings.times)
        require_names((recording.id for recording in self.recordings), form)
        if overwrite and not shard.whole:
            raise UserError("a share cannot overwrite what others may have finished; remove the old output first")
        (require_absent_file if single else require_absent)(output, overwrite=overwrite)
        plan = self._plan()
        directory = working_directory(output)
        record = self._record(plan)
        directory.mkdir(parents=True, exist_ok=True)
        with closing(Desk(directory, shard, record, overwrite=overwrite)) as desk:
            folder = directory / Desk.journals
            outcomes = Outcomes(folder, shard.tag)
            try:
                self._hear(plan, shard.each(plan.batches), outcomes, outcomes.keep, told)
            except UserError:
                if shard.whole and not outcomes:  # a run with other settings finds nothing in its way
                    shutil.rmtree(directory)
                raise
            if not shard.whole:
                outcomes = Outcomes(folder, shard.tag)
                left = sum(plan.keys[piece] not in outcomes for piece in plan.pieces)
                if left:
                    raise HeardInPart(shard, left, len(plan.pieces), self._rejected(plan, outcomes))
                if not desk.alone():  # another wrote the output in the meantime
                    return self._assembled(plan, outcomes)
            found = self._assembled(plan, outcomes)
            write(found, output, form, self.settings.times, overwrite=overwrite)
            shutil.rmtree(directory)
        return found

    def _plan(self) -> Plan:
        plan = Plan.of(self.recordings, self.settings.batch_size, self.long_form)
        if self.strict:
            plan.require_all()
        return plan

    def _record(self, plan: Plan) -> str:
        record = {
            "language": self.language,
            "model": model_key(self.model),
            "recordings": plan.fingerprint,
            "settings": self.settings.changed,
        }
        return json.dumps(record, indent=2, ensure_ascii=False, sort_keys=True) + "\n"

    def _hear(
        self,
        plan: Plan,
        batches: Sequence[tuple[Piece, ...]],
        outcomes: Mapping[str, Outcome],
        keep: Callable[[list[str], list[Outcome]], None],
        told: Told,
    ) -> None:
        """Hear the batches that are not known, and tell of every recording that is then complete.

        A batch is heard whole or not at all, for what else is in it may change the last bit of a sum.
        """
        missing = {name: len(pieces) for name, pieces in plan.pieces_of.items()}
        recordings = {recording.id: recording for recording in self.recordings}

        def settle(batch: Sequence[Piece]) -> None:
            for name in (piece.utterance.id for piece in batch):
                missing[name] -= 1
                if not missing[name]:
                    told(transcript(plan, recordings[name], outcomes))

        for name in plan.problems:
            told(transcript(plan, recordings[name], outcomes))
        due = []
        for batch in batches:
            if all(plan.keys[piece] in outcomes for piece in batch):
                settle(batch)
            else:
                due.append(batch)
        total, waiting = sum(map(len, batches)), sum(map(len, due))
        with closing(Pace("Hearing", "clips", total, total - waiting)) as pace:
            ear = Ear(self.model, self.language, self.settings)
            for batch, new in hear_all(ear, due, self.workforce):
                keep([plan.keys[piece] for piece in batch], new)
                if self.strict:
                    _require_heard(outcome.problem for outcome in new)
                for piece in batch:
                    pace.advance(piece.seconds)
                settle(batch)

    def _rejected(self, plan: Plan, outcomes: Mapping[str, Outcome]) -> list[Transcript]:
        """Those recordings of which it is known already that they cannot be heard."""
        found = []
        for recording in self.recordings:
            keys = [plan.keys[piece] for piece in plan.pieces_of.get(recording.id, [])]
            known = [plan.problems.get(recording.id), *(outcomes[key].problem for key in keys if key in outcomes)]
            if any(known):
                found.append(Transcript(recording, "", (), next(filter(None, known))))
        return found

    def _assembled(self, plan: Plan, outcomes: Mapping[str, Outcome]) -> list[Transcript]:
        found = [transcript(plan, recording, outcomes) for recording in self.recordings]
        if self.strict:
            _require_heard(one.problem for one in found)
        return found


def working_directory(output: Path) -> Path:
    """Where outcomes are kept until all are there: a hidden sibling."""
    return output.with_name(f".{output.name}.hearing")


def _require_heard(problems: Iterable[str | None]) -> None:
    for problem in problems:
        if problem is not None:
            raise UserError(problem)
