import shutil
from pathlib import Path

import pytest
import soundfile
from made import ogg, package, tarball

from syn2real.errors import UserError
from syn2real.hashing import sha256_file
from syn2real.speech.corpora import import_tuxpaint
from syn2real.speech.corpora import tuxpaint as stamps_module
from syn2real.speech.corpora.archives import members
from syn2real.speech.corpora.debian import offered
from syn2real.speech.corpus import Corpus

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
    assert sorted(path.name for path in (tmp_path / "es").iterdir()) == ["audio", "import.json", "manifest.jsonl"]
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


def test_without_apt_and_net_both_reasons_are_given(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SYN2REAL_CACHE", str(tmp_path))
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(stamps_module, "UPSTREAM", "http://127.0.0.1:9/stamps.tar.gz")
    with pytest.raises(UserError, match=r"cannot be fetched.*apt-get is not on this system"):
        stamps_module.fetch()


def test_the_true_package(tmp_path: Path) -> None:
    from syn2real.speech.pretrained import cache_directory

    kept = sorted((cache_directory() / "tuxpaint").glob("*.sha256"))
    if not kept and not (shutil.which("apt-get") and offered(stamps_module.PACKAGE)):
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
