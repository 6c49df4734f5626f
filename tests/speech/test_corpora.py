import hashlib
import http.server
import io
import json
import shutil
import tarfile
import threading
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import soundfile

from syn2real.errors import UserError
from syn2real.hashing import sha256_file
from syn2real.speech.corpora import IMPORTERS, import_folder, import_manifest, import_tuxpaint
from syn2real.speech.corpora import tuxpaint as stamps_module
from syn2real.speech.corpora.archives import members
from syn2real.speech.corpora.fetching import cached, download
from syn2real.speech.corpora.importing import distinct, safe
from syn2real.speech.corpus import Corpus


def ogg(seconds: float = 1.0, pitch: float = 300.0, peak: float = 0.3) -> bytes:
    buffer = io.BytesIO()
    wave = peak * np.sin(2 * np.pi * pitch * np.arange(round(seconds * 44_100)) / 44_100)
    soundfile.write(buffer, np.stack([wave, wave], axis=1), 44_100, format="OGG", subtype="VORBIS")
    return buffer.getvalue()


def tarball(path: Path, files: dict[str, bytes], mode: str = "w:xz", links: dict[str, str] | None = None) -> Path:
    with tarfile.open(path, mode) as archive:  # type: ignore[call-overload]
        for name, content in files.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(content)
            archive.addfile(entry, io.BytesIO(content))
        for name, target in (links or {}).items():
            entry = tarfile.TarInfo(name)
            entry.type, entry.linkname = tarfile.SYMTYPE, target
            archive.addfile(entry)
    return path


def package(path: Path, files: dict[str, bytes], links: dict[str, str] | None = None, kind: str = "xz") -> Path:
    """A Debian package: an ar archive of debian-binary, control.tar.xz and data.tar.*."""
    data = tarball(path.with_suffix(".tar"), files, f"w:{kind}", links).read_bytes()
    parts = {"debian-binary": b"2.0\n", "control.tar.xz": b"odd", f"data.tar.{kind}": data}
    with path.open("wb") as out:
        out.write(b"!<arch>\n")
        for name, content in parts.items():
            header = f"{name:<16}{0:<12}{0:<6}{0:<6}{'100644':<8}{len(content):<10}`\n".encode()
            out.write(header + content + b"\n" * (len(content) % 2))
    return path


ROOT = "./usr/share/tuxpaint/stamps/"
COPY = ogg(pitch=500)
FILES = {
    ROOT + "animals/birds/owl.txt": "An owl.\nes.utf8=  Un  búho. \npt_BR.utf8=Uma coruja.\n".encode(),
    ROOT + "animals/birds/owl_desc.ogg": ogg(pitch=200),
    ROOT + "animals/birds/owl_desc_es.ogg": ogg(pitch=220),
    ROOT + "animals/birds/owl_desc_pt_BR.ogg": ogg(pitch=240),
    ROOT + "animals/birds/owl.ogg": ogg(),  # the picture's noise, not speech
    ROOT + "food/fig.txt": b"A fig.\nes.utf8=Un higo.\n",
    ROOT + "food/fig_desc_es.ogg": COPY,
    ROOT + "food/fig2.txt": b"A fig.\nes.utf8=Un higo.\n",
    ROOT + "food/fig2_desc_es.ogg": COPY,
    ROOT + "food/lime.txt": b"A lime.\n",
    ROOT + "food/lime_desc_es.ogg": ogg(pitch=250),
    ROOT + "food/kiwi_desc_es.ogg": ogg(pitch=260),
    ROOT + "food/mute.txt": b"A.\nes.utf8=Mudo.\n",
    ROOT + "food/mute_desc_es.ogg": ogg(peak=0),
    ROOT + "food/long.txt": b"A.\nes.utf8=Largo.\n",
    ROOT + "food/long_desc_es.ogg": ogg(31),
    ROOT + "food/bad.txt": b"A.\nes.utf8=Malo.\n",
    ROOT + "food/bad_desc_es.ogg": b"not a recording",
    ROOT + "food/fast.txt": f"A.\nes.utf8={'palabra ' * 20}\n".encode(),
    ROOT + "food/fast_desc_es.ogg": ogg(pitch=270),
    ROOT + "food/odd\u00f1 name.txt": b"A.\nes.utf8=Raro.\n",
    ROOT + "food/odd\u00f1 name_desc_es.ogg": ogg(pitch=280),
    "./usr/share/doc/copyright": b"GPL-2",
}


def test_stamps_become_a_corpus(tmp_path: Path) -> None:
    report = import_tuxpaint(tmp_path / "es", "es", package(tmp_path / "a.deb", FILES))
    assert [(u.id, u.text, u.domain) for u in report.corpus] == [
        ("animals-birds-owl_desc_es", "Un búho.", "animals"),
        ("food-fig_desc_es", "Un higo.", "food"),
        ("food-oddñ-name_desc_es", "Raro.", "food"),
    ]
    owl = report.corpus[0]
    assert (owl.speaker, owl.licence, owl.language, owl.source) == ("tuxpaint-es", "GPL-2.0", "es", "real")
    assert soundfile.info(owl.audio_filepath).samplerate == 16_000 and owl.duration == pytest.approx(1, abs=0.01)
    assert sorted(path.name for path in (tmp_path / "es").iterdir()) == ["audio", "manifest.jsonl"]
    assert Corpus.load(tmp_path / "es" / "manifest.jsonl") == report.corpus and report.corpus.problems() == []


def test_what_is_left_out_has_a_reason(tmp_path: Path) -> None:
    skipped = dict(import_tuxpaint(tmp_path / "es", "es", package(tmp_path / "a.deb", FILES)).skipped)
    expected = {
        "food/lime_desc_es.ogg": "no transcript (lime.txt has no line es.utf8=)",
        "food/kiwi_desc_es.ogg": "no transcript (no text beside it)",
        "food/mute_desc_es.ogg": "is silent",
        "food/long_desc_es.ogg": "lasts 31.0 s",
        "food/bad_desc_es.ogg": "cannot be read as audio",
        "food/fast_desc_es.ogg": "159 characters of text in 1.0 s cannot all be spoken",
    }
    assert skipped.pop("food/fig2_desc_es.ogg") == "the same recording as food/fig_desc_es.ogg"
    assert skipped.keys() == expected.keys()
    for item, reason in expected.items():
        assert skipped[item].startswith(reason) and "/tmp" not in skipped[item]


def test_english_is_the_first_line_and_variants_have_a_base_language(tmp_path: Path) -> None:
    archive = package(tmp_path / "a.deb", FILES, kind="gz")
    assert [u.text for u in import_tuxpaint(tmp_path / "en", "en", archive).corpus] == ["An owl."]
    brazil = import_tuxpaint(tmp_path / "pt", "pt_BR", archive).corpus[0]
    assert (brazil.text, brazil.language, brazil.speaker) == ("Uma coruja.", "pt", "tuxpaint-pt_BR")


def test_upstreams_tarball_is_read_alike(tmp_path: Path) -> None:
    files = {name.replace("./usr/share/tuxpaint/", "tuxpaint-stamps-2022.06.04/"): c for name, c in FILES.items()}
    one = import_tuxpaint(tmp_path / "1", "es", tarball(tmp_path / "a.tar.gz", files, "w:gz"))
    two = import_tuxpaint(tmp_path / "2", "es", package(tmp_path / "a.deb", FILES))
    assert [u.text for u in one.corpus] == [u.text for u in two.corpus] and one.skipped == two.skipped


def test_a_language_nobody_recorded(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"nobody recorded 'sw'.*choose from en, es, pt_BR"):
        import_tuxpaint(tmp_path / "sw", "sw", package(tmp_path / "a.deb", FILES))
    assert not (tmp_path / "sw").exists()


@pytest.mark.parametrize(
    "name", ["../../escape_desc_es.ogg", "/abs/stamps/a_desc_es.ogg", "stamps/../../x.txt", "..\\x"]
)
def test_names_that_leave_the_folder_are_refused(tmp_path: Path, name: str) -> None:
    inside = tmp_path / "in" / "deep"
    inside.mkdir(parents=True)
    archive = package(inside / "a.deb", {**FILES, name: b"x"})
    before = sorted(tmp_path.rglob("*"))
    with pytest.raises(UserError, match="would leave the folder"):
        import_tuxpaint(inside / "es", "es", archive)
    assert sorted(tmp_path.rglob("*")) == before


def test_links_are_passed_over(tmp_path: Path) -> None:
    archive = package(tmp_path / "a.deb", FILES, {ROOT + "food/link_desc_es.ogg": "/etc/passwd"})
    assert all("link" not in str(name) for name, _ in members(archive, lambda name: True))


def test_broken_archives_are_one_line(tmp_path: Path) -> None:
    whole = package(tmp_path / "a.deb", FILES).read_bytes()
    bad = tmp_path / "bad.deb"
    for content in (b"", b"nonsense" * 99, whole[: len(whole) // 2], b"!<arch>\n", whole[:100]):
        bad.write_bytes(content)
        with pytest.raises(UserError, match="is damaged or no archive") as caught:
            import_tuxpaint(tmp_path / "es", "es", bad)
        assert "\n" not in str(caught.value)
    with pytest.raises(UserError, match="no such archive"):
        import_tuxpaint(tmp_path / "es", "es", tmp_path / "none.deb")
    assert not (tmp_path / "es").exists()


def test_an_existing_output_is_kept(tmp_path: Path) -> None:
    (tmp_path / "es").mkdir()
    (tmp_path / "es" / "mine").write_text("x")
    with pytest.raises(UserError, match="already exists"):
        import_tuxpaint(tmp_path / "es", "es", package(tmp_path / "a.deb", FILES))
    assert (tmp_path / "es" / "mine").read_text() == "x"


@pytest.fixture
def server() -> Iterator[dict]:
    """A web server of one file that understands ranges; it notes what was asked and can break off."""
    state: dict = {"body": b"", "asked": [], "stop_after": None}

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked = self.headers.get("Range")
            state["asked"].append(asked)
            start = int(asked.removeprefix("bytes=").rstrip("-")) if asked else 0
            if start and start >= len(state["body"]):
                self.send_error(416)
                return
            rest = state["body"][start:]
            self.send_response(206 if asked else 200)
            self.send_header("Content-Length", str(len(rest)))
            self.end_headers()
            self.wfile.write(rest[: state["stop_after"]])

        def log_message(self, *_: object) -> None:
            pass

    http_server = http.server.HTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=http_server.serve_forever, daemon=True).start()
    state["url"] = f"http://127.0.0.1:{http_server.server_port}/stamps.tar.gz"
    yield state
    http_server.shutdown()
    http_server.server_close()


def test_downloads_resume_and_are_checked(tmp_path: Path, server: dict) -> None:
    body = server["body"] = np.random.default_rng(0).bytes(3_000_000)
    right, target = hashlib.sha256(body).hexdigest(), tmp_path / "cache" / "stamps.tar.gz"
    server["stop_after"] = 1_200_000
    with pytest.raises(UserError, match=r"broke off.*run the same command again to resume"):
        download(server["url"], target, right)
    assert not target.exists()
    server["stop_after"] = None
    assert download(server["url"], target, right).read_bytes() == body
    assert server["asked"] == [None, "bytes=1200000-"]
    target.unlink()
    with pytest.raises(UserError, match="expected 00"):
        download(server["url"], target, "00")
    assert list(target.parent.iterdir()) == []


def test_a_beginning_of_another_file_is_started_over(tmp_path: Path, server: dict) -> None:
    server["body"] = b"right" * 1_000
    for wrong in (b"wrong" * 100, b"wrong" * 9_000):
        (tmp_path / ".a.partial").write_bytes(wrong)
        right = hashlib.sha256(server["body"]).hexdigest()
        assert download(server["url"], tmp_path / "a", right).read_bytes() == server["body"]
    with pytest.raises(UserError, match="cannot be fetched"):
        download("http://127.0.0.1:9/none", tmp_path / "b", "00")


def test_the_cache_is_used_once_filled_and_mended_when_damaged(tmp_path: Path) -> None:
    calls = []

    def obtain(folder: Path) -> Path:
        calls.append(folder)
        (folder / "a_1_all.deb").write_bytes(b"contents")
        return folder / "a_1_all.deb"

    first = cached(tmp_path / "c", obtain)
    assert cached(tmp_path / "c", obtain) == first and len(calls) == 1
    first.write_bytes(b"rotten")
    assert cached(tmp_path / "c", obtain).read_bytes() == b"contents" and len(calls) == 2


def test_without_apt_and_net_both_reasons_are_given(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SYN2REAL_CACHE", str(tmp_path))
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(stamps_module, "UPSTREAM", "http://127.0.0.1:9/stamps.tar.gz")
    with pytest.raises(UserError, match=r"cannot be fetched.*apt-get is not on this system"):
        stamps_module.fetch()


def test_apt_failures_say_what_to_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, body in (("apt-get", "echo 'E: no net' >&2; exit 100"), ("apt-cache", 'cat "$(dirname $0)/shown"')):
        (tmp_path / name).write_text(f"#!/bin/sh\n{body}\n")
        (tmp_path / name).chmod(0o755)
    (tmp_path / "shown").write_text("Version: 9-1\nSHA256: aa\n\nVersion: 2022.06.04-1\nSHA256: bb\n")
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    with pytest.raises(UserError, match=r"default=2022.06.04-1` failed \(E: no net\); run `apt-get update`"):
        stamps_module._from_apt(tmp_path)
    (tmp_path / "shown").write_text("")
    with pytest.raises(UserError, match="does not know tuxpaint-stamps-default; run `apt-get update`"):
        stamps_module._from_apt(tmp_path)


def test_the_true_package(tmp_path: Path) -> None:
    from syn2real.speech.pretrained import cache_directory

    kept = sorted((cache_directory() / "tuxpaint").glob("*.sha256"))
    if not kept and not (shutil.which("apt-get") and stamps_module._offered()):
        pytest.skip("Tux Paint's stamps are not in the cache, and apt-get does not offer them")
    try:
        archive = stamps_module.fetch()
    except UserError as error:
        pytest.skip(f"Tux Paint's stamps cannot be fetched: {error}")
    if archive.suffix == ".deb" and stamps_module.VERSION in archive.name:
        assert sha256_file(archive) == stamps_module.DEB_SHA256[stamps_module.VERSION]
    report = import_tuxpaint(tmp_path / "en", "en", archive)
    assert len(report.corpus) == 65 and report.corpus.domains == ["animals"]
    assert [item for item, _ in report.skipped] == ["animals/marsupials/wallaby_desc.ogg"]
    assert "A wombat." in {u.text for u in report.corpus} and report.corpus.problems() == []


@pytest.fixture
def recordings(tmp_path: Path) -> Path:
    folder = tmp_path / "in"
    folder.mkdir()
    rate, wave = 22_050, 0.2 * np.sin(np.arange(22_050) / 9)
    for name in ("a.wav", "b.flac"):
        soundfile.write(folder / name, wave, rate)
    soundfile.write(folder / "mute.wav", np.zeros(500), rate)
    return folder


def test_a_folder_with_a_table(tmp_path: Path, recordings: Path) -> None:
    table = recordings / "t.csv"
    table.write_text(
        'file,text,speaker,domain\na.wav,"One, two.",s,food\nb.flac,Three.,,\nmute.wav,x,,\ngone.wav,x,,\n'
    )
    report = import_folder(tmp_path / "out", table, language="en", licence="CC0-1.0")
    assert [(u.id, u.text, u.speaker, u.domain) for u in report.corpus] == [
        ("a", "One, two.", "s", "food"),
        ("b", "Three.", None, None),
    ]
    assert {u.licence for u in report.corpus} == {"CC0-1.0"} and report.corpus.duration == pytest.approx(2)
    assert [(item, reason[:9]) for item, reason in report.skipped] == [
        ("mute.wav", "is silent"),
        ("gone.wav", "no such r"),
    ]


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        ("file,words\na.wav,x\n", r"t.csv:1: no column 'text'"),
        ("file,text\na.wav,x\na.wav, \n", r"t.csv:3: empty text for a.wav"),
        ("file,text\n,x\n", r"t.csv:2: no file name"),
        ("file,text\n../../x.wav,x\n", r"t.csv:2: ../../x.wav leaves"),
        ("file,text\n", "nothing to import"),
        ("file,text\nmute.wav,x\n", r"nothing to import; the first, mute.wav: is silent"),
    ],
)
def test_bad_tables(tmp_path: Path, recordings: Path, content: str, problem: str) -> None:
    (recordings / "t.csv").write_text(content)
    with pytest.raises(UserError, match=problem):
        import_folder(tmp_path / "out", recordings / "t.csv")
    assert not (tmp_path / "out").exists()


def test_a_manifest_from_anywhere(tmp_path: Path, recordings: Path) -> None:
    rows = [
        {"audio_filepath": str(recordings / "a.wav"), "text": "One.", "speaker": "s", "lang_id": 3, "seed": 5},
        {"audio_filepath": "b.flac", "text": "Two.", "id": "x/y z", "duration": 9},
        {"audio_filepath": "b.flac", "text": "Three.", "offset": 0.25, "duration": 0.5},
        {"audio_filepath": "b.flac", "text": "Four.", "offset": 0.9, "duration": 0.5},
    ]
    source = tmp_path / "m.jsonl"
    source.write_text("".join(json.dumps(row) + "\n" for row in rows))
    report = import_manifest(tmp_path / "out", source, audio_root=recordings)
    assert [(u.id, u.text, u.duration) for u in report.corpus] == [
        ("a", "One.", 1.0),
        ("x/y z", "Two.", 1.0),
        ("b", "Three.", 0.5),
    ]
    assert report.corpus[0].extra == {"lang_id": 3} and report.corpus[0].seed == 5
    assert [item for item, _ in report.skipped] == ["b.flac"] and "outside the recording" in report.skipped[0][1]
    shutil.rmtree(recordings)
    (tmp_path / "out").rename(tmp_path / "moved")
    assert len(Corpus.load(tmp_path / "moved" / "manifest.jsonl")) == 3


@pytest.mark.parametrize(
    ("row", "problem"),
    [
        ({"audio_filepath": "a.wav"}, "'text' is missing"),
        ({"audio_filepath": "a.wav", "text": "x", "offset": 1}, "'duration' must be a number of seconds"),
        ({"audio_filepath": "a.wav", "text": "x", "offset": "1", "duration": 1}, "'offset' must be"),
        ({"audio_filepath": "a.wav", "text": "x", "id": "one"}, r"duplicate id 'one' \(first on line 1\)"),
    ],
)
def test_bad_manifests(tmp_path: Path, recordings: Path, row: dict, problem: str) -> None:
    first = {"audio_filepath": "a.wav", "text": "x", "id": "one"}
    (recordings / "m.jsonl").write_text(json.dumps(first) + "\n" + json.dumps(row) + "\n")
    with pytest.raises(UserError, match=rf"m.jsonl:2: .*{problem}"):
        import_manifest(tmp_path / "out", recordings / "m.jsonl")


def test_names_are_safe_and_distinct() -> None:
    assert [safe(name) for name in ("a/b c", "../x", "..", "é-1.5", "a\0b")] == ["a-b-c", "x", "clip", "é-1.5", "a-b"]
    taken: set[str] = set()
    assert [distinct(name, taken) for name in ("a/b", "a b", "A-B", "a/b")] == ["a/b", "a b-2", "A-B-3", "a/b-4"]


def test_importers_have_names() -> None:
    assert IMPORTERS.get("tuxpaint") is import_tuxpaint and {"folder", "manifest"} <= set(IMPORTERS.names())
    with pytest.raises(UserError, match="did you mean 'tuxpaint'"):
        IMPORTERS.get("tuxpant")
