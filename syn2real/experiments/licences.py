"""Whether what went into a model or a vector may be used commercially, licence by licence, with the reason."""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from syn2real.speech.corpus import Corpus
from syn2real.speech.pretrained import licence_of

# How licences begin that allow commercial use, as whole words; some of them ask for something in return.
_NAMES = (
    *("cc0", "cc by", "apache", "mit", "bsd", "isc", "gpl", "lgpl", "agpl", "mpl", "openrail"),
    *("public domain", "unlicense", "odc by", "pddl", "cdla permissive", "ofl"),
)
_FREE = re.compile(rf"({'|'.join(_NAMES)})(v?\d+)?\b")  # with a version, as gplv3
_BARRED = re.compile(
    r"\b(nc|non ?commercial|(not for|no) (any )?commercial|(research|academic) (use|purposes?|only)|cpml)\b"
)


@dataclass(frozen=True)
class Licence:
    """The licence of one part, and whether it allows commercial use."""

    what: str
    licence: str | None
    commercial_ok: bool
    why: str


def stated(licence: str | None) -> str:
    """A licence in words; also that there is none."""
    return licence or "not stated"


def of_model(name: str) -> str:
    """``whisper-base: MIT``; a model in a directory goes by that one's name."""
    return f"{Path(name).resolve().name if Path(name).is_dir() else name}: {stated(licence_of(name))}"


def of_recordings(corpus: Corpus) -> list[str]:
    """The licences that recordings name, and whether some name none."""
    unnamed = any(not utterance.licence for utterance in corpus)
    return [*corpus.licences, *(["not stated, of some"] if unnamed else [])]


def judge(what: str, licence: str | None, declared: bool | None = None) -> Licence:
    """A part's licence. ``declared`` is what is known otherwise, as an engine knows it of its voices.

    A licence that is missing or unknown does not count as free: nobody has said that it is.
    """
    if licence is None:
        return Licence(what, None, False, "no licence is stated")
    if declared is not None:
        return Licence(what, licence, declared, "is declared free for it" if declared else "is declared not to be")
    words = " ".join(re.findall(r"[a-z0-9]+", licence.lower()))
    if _BARRED.search(words):
        return Licence(what, licence, False, "forbids commercial use")
    if _FREE.match(words):
        return Licence(what, licence, True, "allows commercial use")
    return Licence(what, licence, False, "is not known to allow commercial use")


def obstacles(licences: Iterable[Licence]) -> list[str]:
    """What stands against commercial use; nothing when all parts allow it."""
    barred = [one for one in licences if not one.commercial_ok]
    return [
        f"{one.what}: {one.licence}, which {one.why}" if one.licence else f"{one.what}: {one.why}" for one in barred
    ]
