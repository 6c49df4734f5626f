"""Recordings to clone, by voice: the files of a folder, or one for each speaker of a corpus."""

from dataclasses import dataclass
from pathlib import Path

from syn2real.errors import UserError

RECORDINGS = (".wav", ".flac", ".ogg", ".mp3")
BEST = 8.0  # s, about as long as XTTS wants a prompt: of a speaker's clips the nearest to it is taken


@dataclass(frozen=True)
class Prompt:
    """A recording whose voice is to be cloned, and its licence where that is known."""

    path: Path
    licence: str | None = None


def read_prompts(source: Path) -> dict[str, Prompt]:
    """Prompts by voice: of a folder every recording, by its name; of a manifest (``.jsonl``) for every speaker of real
    speech the clip nearest to 8 s, by the speaker's name with ``@`` and commas made ``_``.

    Raises `UserError` for what holds neither, naming file and line where a manifest is at fault.
    """
    if source.suffix == ".jsonl":
        return _of_corpus(source)
    found = {path.stem: Prompt(path) for path in sorted(source.glob("*")) if path.suffix.lower() in RECORDINGS}
    if not found:
        raise UserError(f"{source}: no folder of recordings ({', '.join(RECORDINGS)}) and no manifest (.jsonl)")
    return found


def _of_corpus(manifest: Path) -> dict[str, Prompt]:
    from syn2real.speech.corpus import Corpus

    clips = [u for u in Corpus.load(manifest) if u.speaker and u.source == "real"]
    if not clips:
        raise UserError(f"{manifest}: no real recording names its speaker; give every line a 'speaker'")
    clips.sort(key=lambda u: (abs(u.duration - BEST), u.id))
    prompts: dict[str, Prompt] = {}
    for clip in clips:
        name = str(clip.speaker).replace("@", "_").replace(",", "_")
        prompts.setdefault(name, Prompt(clip.audio_filepath, clip.licence))
    return dict(sorted(prompts.items()))
