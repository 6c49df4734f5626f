"""A run's place at a directory of speech."""

from syn2real.errors import UserError
from syn2real.speech import sharing
from syn2real.speech.synthesis.journal import AUDIO, JOURNAL, JOURNALS
from syn2real.speech.synthesis.record import RECORD, require_same


class Desk(sharing.Desk):
    """See `sharing.Desk`."""

    record_name = RECORD
    journals = JOURNALS
    done = "spoken"

    def require_same(self, before: str, now: str) -> None:
        """See `record.require_same`."""
        require_same(self._path, before, now)

    def require_unused(self) -> None:
        """What no record and no journal speaks for is not of a synthesis: it would be cleared away as left over."""
        audio = self.directory / AUDIO
        journals = (self.directory / JOURNALS, self.directory / JOURNAL)
        if audio.is_dir() and any(audio.iterdir()) and not any(path.exists() for path in journals):
            if not self._path.stat().st_size:
                self._path.unlink()  # made for the lock alone
            raise UserError(f"{audio}: holds recordings of something else; choose another directory")
