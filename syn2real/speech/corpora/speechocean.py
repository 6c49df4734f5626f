"""speechocean762: read English by learners, in the corpus's own layout of ``WAVE/`` beside ``train/`` and ``test/``.

``train/`` and ``test/`` are Kaldi data directories whose audio paths are relative to the corpus's folder; their
speakers differ. Half of the speakers are children (``--min-age``), and the transcripts are in capitals (``--lower``).
"""

from pathlib import Path
from typing import Any

from syn2real.errors import UserError
from syn2real.speech.corpora.importing import IMPORTERS, Clip, ImportReport, import_clips
from syn2real.speech.corpora.kaldi import read_kaldi
from syn2real.speech.corpora.selection import Sieve, splits_of

LICENCE = "CC-BY-4.0"


@IMPORTERS.register("speechocean762")
def import_speechocean762(
    output: Path,
    source: Path,
    split: list[str] | None = None,
    licence: str = LICENCE,
    *,
    min_age: int | None = None,
    lower: bool = False,
    limit: int | None = None,
    seed: int = 0,
    overwrite: bool = False,
) -> ImportReport:
    """Import the corpus unpacked at ``source``; ``min_age`` (years) leaves out younger speakers and those unknown."""
    there = [name for name in ("train", "test") if (source / name / "wav.scp").is_file()]
    if not there:
        raise UserError(f"{source}: no train/wav.scp or test/wav.scp; give the folder with WAVE, train and test in it")
    sieve = Sieve()
    clips: list[Clip] = []
    skipped: list[tuple[str, str]] = []
    for name in splits_of(split, there):
        known = {"language": "en", "licence": licence, "split": name}
        found, lacking = read_kaldi(source / name, source, known, lower=lower)
        rule = f"age under {min_age} or unknown"
        for clip in found:
            age = clip.fields["extra"].get("age")
            if not sieve.rejects(rule, min_age is not None and not (isinstance(age, int) and age >= min_age)):
                clips.append(clip)
        skipped += lacking
    settings = {"kind": "speechocean762", "split": split, "min_age": min_age, "lower": lower}
    options: dict[str, Any] = {"limit": limit, "seed": seed, "overwrite": overwrite}
    return import_clips(output, clips, origin=settings, skipped=skipped, filtered=sieve.left_out, **options)
