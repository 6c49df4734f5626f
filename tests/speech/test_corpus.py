import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
from hypothesis import given
from hypothesis import strategies as st

from syn2real.errors import AudioError, UserError
from syn2real.speech.corpus import Corpus, Fields, Utterance, read_sentences

SPEECH = Path(__file__).parents[3] / "shared" / "data" / "speechocean762" / "manifest.jsonl"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "audio").mkdir()
    tone = 0.1 * np.sin(np.arange(8_000) / 5)
    for index in range(4):
        soundfile.write(tmp_path / "audio" / f"{index}.wav", tone, 16_000)
    return tmp_path


def row(index: int = 0, **fields: Any) -> dict[str, Any]:
    return {"audio_filepath": f"audio/{index}.wav", "text": f"text {index}", **fields}


def manifest(folder: Path, *rows: dict[str, Any] | str | bytes) -> Path:
    lines = [r if isinstance(r, bytes) else (r if isinstance(r, str) else json.dumps(r)).encode() for r in rows]
    path = folder / "manifest.jsonl"
    path.write_bytes(b"\n".join(lines) + b"\n")
    return path


def made_up(*units: tuple[str, str]) -> Corpus:
    return Corpus.of(Utterance(f"u{i}", Path(f"/x/{i}.wav"), 1.0, t, speaker=s) for i, (t, s) in enumerate(units))


def test_a_manifest_is_read_and_kept_whole(folder: Path) -> None:
    corpus = Corpus.load(
        manifest(
            folder, row(0, id="a", speaker="s", domain="food", seed=3, mood="glad"), "", row(1, text=" two\t words ")
        )
    )
    first, second = corpus
    assert (first.id, first.speaker, first.domain, first.seed, first.extra) == ("a", "s", "food", 3, {"mood": "glad"})
    assert (second.id, second.text, second.duration, second.source) == ("audio/1", "two words", 0.5, "real")
    assert first.audio_filepath == (folder / "audio/0.wav").resolve()
    assert corpus.domains == ["food"] and corpus.duration == 1.0


def test_a_byte_order_mark_and_dos_lines_do_no_harm(folder: Path) -> None:
    path = manifest(folder, b"\xef\xbb\xbf" + json.dumps(row(0)).encode() + b"\r", json.dumps(row(1)) + "\r")
    assert len(Corpus.load(path)) == 2


def test_saving_and_loading_give_the_same(folder: Path) -> None:
    corpus = Corpus.load(manifest(folder, row(0, id="é", licence="CC0", extra_field=[1]), row(1, source="synthetic")))
    corpus.save(folder / "again.jsonl")
    again = Corpus.load(folder / "again.jsonl")
    assert again == corpus and again.fingerprint == corpus.fingerprint
    assert json.loads((folder / "again.jsonl").read_text().splitlines()[0])["audio_filepath"] == "audio/0.wav"
    with pytest.raises(UserError, match="lies outside the manifest's folder"):
        corpus.save(folder / "elsewhere" / "m.jsonl")


BAD: list[tuple[dict[str, Any] | str | bytes, str]] = [
    (row(9), r"audio/9.wav: no such recording"),
    (row(0, text=" \t"), "empty text; write the transcript"),
    ({"audio_filepath": "audio/0.wav"}, "field 'text' is missing"),
    ({"text": "a"}, "field 'audio_filepath' is missing"),
    (row(0, text=7), "field 'text' must be a string, not 7"),
    (row(0, duration="1"), "field 'duration' must be a number"),
    (row(0, duration=True), "field 'duration' must be a number"),
    (row(0, duration=-1), "field 'duration' must be seconds, 0 or more, not -1"),
    (row(0, duration=math.inf), "field 'duration' must be seconds, 0 or more, not inf"),
    (row(0, seed=1.5), "field 'seed' must be a number"),
    (row(0, id=3), "field 'id' must be a string"),
    (row(0, speaker=["s"]), "field 'speaker' must be a string"),
    (row(0, offset="0.1"), "field 'offset' must be a number"),
    (row(0, offset=0.1), r"is a segment \(offset 0.1 s\) of a recording of 0.5 s; cut it first: `syn2real corpus"),
    (row(0, offset=0, duration=0.3), r"is a segment \(offset 0 s, duration 0.3 s\)"),
    (row(0, source="dream"), "'real' or 'synthetic', not 'dream'"),
    (row(0, audio_filepath="../outside.wav"), r"\.\./outside.wav leaves .*corpus import manifest"),
    (row(0, audio_filepath="/etc/hostname"), "/etc/hostname leaves"),
    (row(0, audio_filepath=""), "is not a file name"),
    (row(0, audio_filepath="/"), '"/" is not a file name'),
    (row(0, audio_filepath="a\0b"), "is not a file name"),
    (row(0, audio_filepath="x" * 5_000), "too long; correct the path"),
    (row(0, audio_filepath="audio"), "no such recording"),
    (row(1), r"duplicate id 'audio/1' \(first on line 1\); give each its own"),
    ("{oops", "not JSON"),
    ("[1, 2]", "not a JSON object"),
    ("null", "not a JSON object"),
    (b'{"text": "\xff"}', "is not UTF-8; re-save"),
]


@pytest.mark.parametrize(("bad", "problem"), BAD, ids=[problem[:25] for _, problem in BAD])
def test_a_bad_line_is_named(folder: Path, bad: dict[str, Any] | str | bytes, problem: str) -> None:
    with pytest.raises(UserError, match=problem) as caught:
        Corpus.load(manifest(folder, row(1), bad))
    assert str(caught.value).startswith(f"{folder / 'manifest.jsonl'}:2: ") and "\n" not in str(caught.value)


def test_a_segment_that_is_the_whole_recording_is_read(folder: Path) -> None:
    path = manifest(folder, row(0, offset=0, duration=0.48), row(1, offset=0.0), row(2, offset=None, duration=0.1))
    assert [u.duration for u in Corpus.load(path)] == [0.5] * 3


def test_unreadable_and_zero_length_audio_is_named_by_line(folder: Path) -> None:
    (folder / "audio/1.wav").write_bytes(b"no sound")
    soundfile.write(folder / "audio/2.wav", np.zeros(0), 16_000)
    for index, problem in ((1, "cannot be read as audio"), (2, "zero-length")):
        with pytest.raises(AudioError, match=rf"manifest.jsonl:2: audio/{index}.wav: {problem}"):
            Corpus.load(manifest(folder, row(0), row(index)))


def test_a_link_out_of_the_folder_is_refused(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    outside = tmp_path_factory.mktemp("outside") / "a.wav"
    (folder / "audio/0.wav").rename(outside)
    (folder / "audio/0.wav").symlink_to(outside)
    with pytest.raises(UserError, match=r"manifest.jsonl:1: audio/0.wav leaves"):
        Corpus.load(manifest(folder, row(0)))
    assert len(Corpus.load(manifest(folder, row(0, audio_filepath=outside.name)), audio_root=outside.parent)) == 1


def test_empty_and_missing_manifests(folder: Path) -> None:
    with pytest.raises(UserError, match="holds no utterances"):
        Corpus.load(manifest(folder, "", "  "))
    with pytest.raises(UserError, match="no such manifest"):
        Corpus.load(folder / "none.jsonl")
    (folder / "manifest.jsonl").unlink()
    with pytest.raises(UserError, match=r"manifest.jsonl: no such manifest; `syn2real corpus import`"):
        Corpus.load(folder)
    assert Corpus.load(manifest(folder, row(0)).parent) == Corpus.load(folder / "manifest.jsonl")


def test_what_only_decoding_shows(folder: Path) -> None:
    soundfile.write(folder / "audio/1.wav", np.zeros(8_000), 16_000)
    soundfile.write(folder / "audio/2.wav", np.full(8_000, np.nan), 16_000, subtype="FLOAT")
    soundfile.write(folder / "audio/3.wav", np.tile(0.1, 31 * 16_000), 16_000)
    corpus = Corpus.load(manifest(folder, *(row(i) for i in range(4))))
    found = corpus.problems()
    for problem, name, words in zip(found, "123", ("is silent", "NaN or infinite", "lasts 31.0 s"), strict=True):
        assert f"audio/{name}.wav" in problem and words in problem and "\n" not in problem
    with pytest.raises(AudioError, match=r"1.wav: is silent.*\(2 more; `syn2real corpus validate` lists all\)"):
        corpus.require_sound()
    corpus.filter(lambda u: u.id == "audio/0").require_sound()


units = st.lists(st.tuples(st.sampled_from("abcdefgh"), st.sampled_from("xyz")), min_size=1, max_size=30)


@given(units, st.floats(0, 1), st.integers(0, 5), st.sampled_from(["id", "text", "speaker"]))
def test_splits_share_nothing(texts: list[tuple[str, str]], fraction: float, seed: int, by: Any) -> None:
    corpus = made_up(*texts)
    first, second = corpus.split(fraction, seed, by=by)
    assert {u.id for u in first} | {u.id for u in second} == {u.id for u in corpus}
    assert not {getattr(u, by) for u in first} & {getattr(u, by) for u in second}
    assert corpus.split(fraction, seed, by=by) == (first, second)


def test_a_split_depends_on_the_units_alone() -> None:
    corpus = made_up(*((chr(97 + i), "s") for i in range(20)))
    backwards = Corpus(corpus.utterances[::-1])
    sets = [{u.text for u in part.split(0.5, by="text")[0]} for part in (corpus, backwards)]
    assert sets[0] == sets[1] and len(sets[0]) == 10
    assert sets[0] != {u.text for u in corpus.split(0.5, seed=1, by="text")[0]}


@given(units, st.integers(0, 40), st.integers(0, 3))
def test_a_sample_keeps_the_order(texts: list[tuple[str, str]], size: int, seed: int) -> None:
    corpus = made_up(*texts)
    drawn = corpus.sample(size, seed)
    assert len(drawn) == min(size, len(corpus)) and drawn == corpus.sample(size, seed)
    order = [u.id for u in corpus]
    assert [order.index(u.id) for u in drawn] == sorted(order.index(u.id) for u in drawn)


def test_ids_stay_distinct_when_corpora_join() -> None:
    one = made_up(("a", "s"))
    with pytest.raises(UserError, match="duplicate utterance id 'u0'"):
        _ = one + one


def test_domains_choose() -> None:
    corpus = Corpus.of(Utterance(d, Path("/x"), 1.0, "t", domain=d) for d in "abc")
    assert [u.id for u in corpus.domain("a", "c")] == ["a", "c"] and [u.id for u in corpus.without("a")] == ["b", "c"]


def test_domain_text_is_read_from_both_forms(tmp_path: Path) -> None:
    (tmp_path / "food.txt").write_text("\ufeffOne.\n\n  Two. \r\n", encoding="utf-8")
    assert [(s.id, s.text, s.domain) for s in read_sentences(tmp_path / "food.txt", "food")] == [
        ("food-00001", "One.", "food"),
        ("food-00003", "Two.", "food"),
    ]
    (tmp_path / "f.jsonl").write_text('{"text": "One.", "domain": "d"}\n{"text": "Two.", "id": "x"}\n')
    assert [(s.id, s.domain) for s in read_sentences(tmp_path / "f.jsonl")] == [("f-00001", "d"), ("x", None)]
    for content, problem in ((b"", "holds no text"), (b"a\n\xff", r"f.txt:2: is not UTF-8")):
        (tmp_path / "f.txt").write_bytes(content)
        with pytest.raises(UserError, match=problem):
            read_sentences(tmp_path / "f.txt")
    (tmp_path / "f.jsonl").write_text('{"text": "One."}\n{"text": ""}\n')
    with pytest.raises(UserError, match=r"f.jsonl:2: empty text"):
        read_sentences(tmp_path / "f.jsonl")
    (tmp_path / "f.jsonl").write_text('{"text": "One.", "domain": ["food"]}\n')
    with pytest.raises(UserError, match=r"f.jsonl:1: field 'domain' must be a string"):
        read_sentences(tmp_path / "f.jsonl")
    with pytest.raises(UserError, match="no such file"):
        read_sentences(tmp_path / "none.txt")


def test_real_speech() -> None:
    if not SPEECH.is_file():
        pytest.skip("speechocean762 is not beside the repository")
    corpus = Corpus.load(SPEECH)
    assert len(corpus) == 1_324 and corpus.duration / 3_600 == pytest.approx(1.7, abs=0.05)
    assert len({u.speaker for u in corpus}) == 67 and len(corpus.domains) == 6
    train, test = corpus.split(0.7, by="speaker")
    assert not {u.speaker for u in train} & {u.speaker for u in test}
    assert corpus.sample(25).problems() == []


@pytest.mark.parametrize(
    ("wanted", "found"),
    [
        ({}, ["a", "b", "c"]),
        ({"domain": "a"}, ["a"]),
        ({"domain": ["a", "c"]}, ["a", "c"]),
        ({"domain": ["a", "c"], "split": "test"}, ["c"]),
        ({"domain": []}, []),
        ({"source": "real"}, ["a", "b", "c"]),
    ],
)
def test_fields_choose_lines(wanted: dict[str, Any], found: list[str]) -> None:
    rows = [{"domain": "a", "split": "train"}, {"domain": "b", "split": "test"}, {"domain": "c", "split": "test"}]
    assert [line["domain"] for line in rows if Fields(wanted)(line)] == found
