"""A corpus that is complete or does not exist, made by one run or by the runs of several shares."""

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager
from dataclasses import replace
from pathlib import Path

from syn2real.errors import UserError
from syn2real.sealing import sealed_directory
from syn2real.speech.corpus import MANIFEST, Corpus, Sentence
from syn2real.speech.sharing import Shard
from syn2real.speech.synthesis.journal import AUDIO
from syn2real.speech.synthesis.judging import Judges
from syn2real.speech.synthesis.settings import SynthesisSettings
from syn2real.speech.synthesis.sharing import Desk
from syn2real.speech.synthesis.speaking import OnProblem, Work
from syn2real.speech.synthesis.workforce import Workforce


class _SealedByAnother(Exception):
    pass


def synthesize_sealed(
    sentences: Sequence[Sentence],
    settings: SynthesisSettings,
    output: Path,
    *,
    shard: Shard | None = None,
    overwrite: bool = False,
    on_problem: OnProblem = "list",
    judges: Judges | None = None,
    workforce: Workforce | None = None,
) -> Corpus:
    """`synthesize` into a directory that appears when the corpus is whole; till then its clips lie in a hidden sibling.

    Runs of different shares may fill the same sibling at the same time; the last to end completes the corpus. A
    finished corpus of the same work is returned as it is. Raises `SharesLeft` when this share is spoken and others
    are not, and `UserError` as `synthesize` does or when ``output`` holds anything else.
    """
    shard = shard or Shard()
    if overwrite and not shard.whole:
        raise UserError("a share cannot overwrite what others may have finished; remove the old output first")
    work = Work.of(sentences, settings, on_problem, judges or Judges(), workforce or Workforce())
    if not overwrite and (done := work.finished(output)) is not None:
        return done
    with ExitStack() as stack:  # left after the directory, so that nobody else works in it while it is moved
        try:
            with sealed_directory(output, resume=True, overwrite=overwrite) as partial, _kept(partial):
                desk = stack.enter_context(closing(Desk(partial, shard, work.record)))
                work.speak(partial, shard)
                if not shard.whole:
                    work.require_all(partial, shard)
                    if not desk.alone():
                        raise _SealedByAnother
                corpus = work.finish(partial)
        except _SealedByAnother:
            return work.finished(output) or Corpus.load(output / MANIFEST)
    return Corpus.of(replace(u, audio_filepath=output / AUDIO / u.audio_filepath.name) for u in corpus)


@contextmanager
def _kept(directory: Path) -> Iterator[None]:
    """What the system refuses, a full disk above all, in words that fit work which is kept."""
    try:
        yield
    except OSError as error:
        problem = f"{error.filename or directory}: {error.strerror or error}"
        raise UserError(f"{problem}; what was spoken is kept, and the same command goes on with it") from error
