"""What is exported comes back the same through the importer."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import soundfile
from made import tone

from syn2real.errors import UserError
from syn2real.speech.corpora import import_huggingface, import_kaldi, import_manifest
from syn2real.speech.corpora.export import EXPORTERS, export
from syn2real.speech.corpus import Corpus, Utterance


@pytest.fixture
def corpus(tmp_path: Path) -> Corpus:
    folder = tmp_path / "corpus"

    def utterance(name: str, seconds: float, text: str, **fields: object) -> Utterance:
        sound = tone(folder / "audio" / f"{len(list(folder.rglob('*.flac')))}.flac", seconds, 200 + 99 * seconds)
        return Utterance(name, sound, seconds, text, **fields)  # type: ignore[arg-type]

    made = Corpus.of(
        [
            utterance("z/one", 0.5, "Ein Käse, bitte!", speaker="s 2", domain="food", language="de", extra={
                "split": "train", "age": 31, "note": "42", "stored_wer": 0.0, "tags": ["a", "b"],
            }),
            utterance("Z one", 0.75, 'say "yes"', extra={"split": "test", "age": 7, "stored_wer": 0.5}),
            utterance("syn", 1.0, "three", source="synthetic", engine="espeak", voice="en+f2", seed=12, speaker="s1",
                      licence="CC0-1.0", extra={"split": "dev", "age": 9, "stored_wer": 1.0}),
        ]
    )  # fmt: skip
    made.save(folder / "manifest.jsonl")
    return Corpus.load(folder / "manifest.jsonl")


def same(returned: Corpus, corpus: Corpus) -> None:
    """Fields alike, whatever the order, and the sound to the sample."""
    order = {u.id: u for u in returned}
    assert set(order) == {u.id for u in corpus}
    for ours in corpus:
        theirs = order[ours.id]
        assert replace(theirs, audio_filepath=ours.audio_filepath) == ours
        pair = [soundfile.read(u.audio_filepath, dtype="int16")[0] for u in (ours, theirs)]
        assert np.array_equal(*pair)


@pytest.mark.parametrize("split", [True, False])
@pytest.mark.parametrize("form", ["nemo", "hf", "kaldi"])
def test_round_trips(tmp_path: Path, corpus: Corpus, form: str, split: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    if not split:
        kept = ({k: v for k, v in u.extra.items() if k != "split"} for u in corpus)
        corpus = Corpus.of(replace(u, extra=extra) for u, extra in zip(corpus, kept, strict=True))
    export(corpus, tmp_path / "out", form)
    if form == "nemo":
        same(import_manifest(tmp_path / "back", tmp_path / "out" / "manifest.jsonl").corpus, corpus)
    elif form == "kaldi":
        same(import_kaldi(tmp_path / "back", tmp_path / "out").corpus, corpus)
    else:
        datasets = pytest.importorskip("datasets")
        monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "hf")
        loaded = datasets.load_dataset(str(tmp_path / "out"))
        assert {name: part.num_rows for name, part in loaded.items()} == (
            {"train": 1, "validation": 1, "test": 1} if split else {"train": 3}
        )
        returned = import_huggingface(tmp_path / "back", tmp_path / "out").corpus
        same(returned, corpus)


def test_kaldi_directories_are_what_kaldi_demands(tmp_path: Path, corpus: Corpus) -> None:
    export(corpus, tmp_path / "out", "kaldi")
    tables = {
        path.name: [line.split(" ", 1) for line in path.read_text(encoding="utf-8").splitlines()]
        for path in (tmp_path / "out").iterdir()
        if path.is_file()
    }
    for rows in tables.values():
        assert [name for name, _ in rows] == sorted(name for name, _ in rows)
    speakers = dict(tables["utt2spk"])
    assert list(speakers) == [name for name, _ in tables["text"]] == [name for name, _ in tables["wav.scp"]]
    assert all(name.startswith(speaker) and not set(name) & set(" \t/") for name, speaker in speakers.items())
    assert {utterance: speaker for speaker, all_ in tables["spk2utt"] for utterance in all_.split()} == speakers
    for _, path in tables["wav.scp"]:
        header = soundfile.info(path)
        assert (header.samplerate, header.channels, header.format, header.subtype) == (16_000, 1, "WAV", "PCM_16")


@pytest.mark.parametrize(
    ("speakers", "named"),
    [
        (("19", "198"), {"19", "198"}),
        (("ann", "ann-b"), {"ann", "ann_b"}),
        (("ann b", "ann-b"), {"ann_b", "ann_b_2"}),
    ],
)
def test_kaldis_utterances_sort_as_their_speakers_do(
    tmp_path: Path, corpus: Corpus, speakers: tuple[str, str], named: set[str]
) -> None:
    pairs = zip(corpus, (*speakers, speakers[0]), (f"{speakers[0]}_1", f"{speakers[1]}_1", "zz"), strict=True)
    export(Corpus.of(replace(u, speaker=s, id=name) for u, s, name in pairs), tmp_path / "out", "kaldi")
    rows = [line.split() for line in (tmp_path / "out" / "utt2spk").read_text().splitlines()]
    assert rows == sorted(rows) == sorted(rows, key=lambda row: row[::-1])
    assert {speaker for _, speaker in rows} == named


@pytest.mark.parametrize("form", ["nemo", "hf", "kaldi", "webdataset"])
def test_what_is_augmented_as_it_is_read_is_not_exported_clean(tmp_path: Path, corpus: Corpus, form: str) -> None:
    changed = replace(corpus[1], extra=corpus[1].extra | {"augmentation": {"preset": "telephone"}})
    with pytest.raises(UserError, match=rf"{changed.id}: is augmented as it is read; .* --materialise"):
        export(Corpus.of([corpus[0], changed]), tmp_path / "out", form)
    assert not (tmp_path / "out").exists()


def test_tars_are_read_by_webdataset(tmp_path: Path, corpus: Corpus, monkeypatch: pytest.MonkeyPatch) -> None:
    webdataset = pytest.importorskip("webdataset", reason="needs webdataset (syn2real[webdataset])")
    monkeypatch.setattr("syn2real.speech.corpora.export.SHARD", 2)
    dotted = [replace(corpus[0], id="a.b", extra={}), replace(corpus[1], id="a_b", extra={}), corpus[2]]
    one_split = Corpus.of(replace(u, extra=u.extra | {"split": "train"}) for u in dotted)
    export(one_split, tmp_path / "out", "webdataset")
    index = json.loads((tmp_path / "out" / "index.json").read_text())
    assert [(tar["file"], tar["utterances"]) for tar in index["tars"]] == [
        ("train-000000.tar", 2),
        ("train-000001.tar", 1),
    ]
    tars = [tmp_path / "out" / tar["file"] for tar in index["tars"]]
    assert [tar.stat().st_size for tar in tars] == [tar["bytes"] for tar in index["tars"]]
    samples = list(webdataset.WebDataset([str(tar) for tar in tars], shardshuffle=False).decode())
    assert [sample["__key__"] for sample in samples] == ["a_b", "a_b-2", "syn"]
    for sample, utterance in zip(samples, one_split, strict=True):
        assert sample["flac"] == utterance.audio_filepath.read_bytes()
        (row,) = Corpus.of([utterance]).rows(utterance.audio_filepath.parent)
        assert {"audio_filepath": row["audio_filepath"], **sample["json"]} == row


def test_odd_fields_become_text_in_parquet(tmp_path: Path, corpus: Corpus, monkeypatch: pytest.MonkeyPatch) -> None:
    datasets = pytest.importorskip("datasets")
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "hf")
    odd = [{"mixed": 1, "map": {"a": 1}}, {"mixed": "x", "map": {}, "split": "dev-clean"}, {"mixed": 2.5}]
    made = Corpus.of(replace(u, extra=extra) for u, extra in zip(corpus, odd, strict=True))
    export(made, tmp_path / "out", "hf")
    back = {u.id: u.extra for u in import_huggingface(tmp_path / "back", tmp_path / "out").corpus}
    assert back["z/one"] == {"mixed": "1", "map": '{"a": 1}', "split": "train"}
    assert back["Z one"] == {"mixed": "x", "map": "{}", "split": "dev-clean"}
    with pytest.raises(UserError, match="a field is called 'audio'"):
        export(Corpus.of([replace(corpus[0], extra={"audio": "x"})]), tmp_path / "none", "hf")


@pytest.mark.parametrize("field", ["../../x", "a b", "dur"])
def test_fields_that_cannot_name_a_kaldi_map(tmp_path: Path, corpus: Corpus, field: str) -> None:
    made = Corpus.of([replace(corpus[0], extra={field: "x"})])
    with pytest.raises(UserError, match=r"cannot become a file utt2.* of a Kaldi directory"):
        export(made, tmp_path / "out", "kaldi")
    assert [path.name for path in tmp_path.iterdir()] == ["corpus"]


def test_an_export_is_whole_or_absent(tmp_path: Path, corpus: Corpus) -> None:
    corpus[2].audio_filepath.write_bytes(b"broken")
    with pytest.raises(UserError, match="cannot be read as audio"):
        export(corpus, tmp_path / "out", "kaldi")
    assert [path.name for path in tmp_path.iterdir()] == ["corpus"]
    export(corpus, tmp_path / "out", "nemo")
    with pytest.raises(UserError, match="already exists"):
        export(corpus, tmp_path / "out", "nemo")
    with pytest.raises(UserError, match=r"unknown export format 'kalid' \(did you mean 'kaldi'\?\)"):
        export(corpus, tmp_path / "x", "kalid")
    assert EXPORTERS.names() == ["hf", "kaldi", "nemo", "webdataset"]


def test_the_same_corpus_gives_the_same_bytes(tmp_path: Path, corpus: Corpus) -> None:
    for form in ("nemo", "hf", "webdataset"):
        for name in ("1", "2"):
            export(corpus, tmp_path / form / name, form)
        first, second = (
            {str(p.relative_to(tmp_path / form / n)): p.read_bytes() for p in (tmp_path / form / n).rglob("*.*")}
            for n in ("1", "2")
        )
        assert first == second and len(first) >= 3
