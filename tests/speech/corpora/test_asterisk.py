import gzip
import shutil
from pathlib import Path

import pytest
from made import package, tone

from syn2real.cache import cache_directory
from syn2real.errors import UserError
from syn2real.speech.corpora import import_asterisk
from syn2real.speech.corpora.asterisk import SOUNDS, TEXTS
from syn2real.speech.corpora.debian import offered

ROOT = "./usr/share/asterisk/sounds/en_US_f_Allison/"
TABLE = """; Core sounds

agent-pass:  Please enter your password  followed by the pound key.
beep: [this is a simple beep tone]
digits/4: four
letters/at: at [@]
silence/1: (1 second of silence)
confbridge-join: <beep ascending>
conf-gone: Not recorded.
"""


def packages(folder: Path, table: bytes | None = None) -> Path:
    folder.mkdir()
    names = ("agent-pass", "beep", "digits/4", "letters/at", "silence/1", "confbridge-join", "unknown")
    sounds = {f"{ROOT}{n}.wav": tone(folder / "t.wav", 1, 200 + 9 * i, 8_000).read_bytes() for i, n in enumerate(names)}
    package(folder / f"{SOUNDS}_1.6.1-1_all.deb", sounds | {"./usr/share/doc/copyright": b"x"})
    table = gzip.compress(TABLE.encode()) if table is None else table
    package(folder / f"{TEXTS}_1.6.1-1_all.deb", {f"./usr/share/doc/{TEXTS}/core-sounds-en.txt.gz": table})
    return folder


def test_prompts_become_a_corpus(tmp_path: Path) -> None:
    report = import_asterisk(tmp_path / "out", packages(tmp_path / "in"))
    assert [(u.id, u.text, u.domain, u.duration) for u in report.corpus] == [
        ("agent-pass", "Please enter your password followed by the pound key.", "agent", 1.0),
        ("digits-4", "four", "digits", 1.0),
        ("letters-at", "at", "letters", 1.0),
    ]
    assert {(u.speaker, u.licence, u.language) for u in report.corpus} == {("asterisk-allison", "CC-BY-SA-3.0", "en")}
    silent = dict.fromkeys(("beep", "confbridge-join", "silence/1"), "is no speech")
    assert dict(report.skipped) == silent | {"unknown": "no transcript"}


def test_packages_that_are_missing_or_broken(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"no asterisk-core-sounds-en-wav_\*.deb; `apt-get download"):
        import_asterisk(tmp_path / "out", tmp_path)
    with pytest.raises(UserError, match=r"its core-sounds-en.txt is damaged"):
        import_asterisk(tmp_path / "out", packages(tmp_path / "in", b"\x1f\x8bno"))


def test_the_true_packages(tmp_path: Path) -> None:
    kept = all(list((cache_directory() / "asterisk" / name).glob("*.sha256")) for name in (SOUNDS, TEXTS))
    if not kept and not (shutil.which("apt-get") and offered(SOUNDS)):
        pytest.skip("Asterisk's prompts are not in the cache, and apt-get does not offer them")
    try:
        report = import_asterisk(tmp_path / "out", limit=80)
    except UserError as error:
        pytest.skip(f"Asterisk's prompts cannot be fetched: {error}")
    assert len(report.corpus) + len(report.skipped) > 80 and len(report.corpus) > 70
    assert not any(mark in utterance.text for utterance in report.corpus for mark in "[]<>()")
    assert {"conf", "vm", "digits"} <= set(report.corpus.domains) and report.corpus.problems() == []
    assert ("beep", "is no speech") in report.skipped and ("silence/10", "is no speech") in report.skipped
