"""Datasets made here with the library itself; nothing is fetched."""

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from made import tone

from syn2real.errors import UserError
from syn2real.speech.corpora import import_huggingface

datasets = pytest.importorskip("datasets")


@pytest.fixture(autouse=True)
def cache_here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "hf")


def rows(folder: Path, number: int = 3) -> dict[str, list[Any]]:
    return {
        "audio": [str(tone(folder / f"clip{n}.flac", 0.5, 200 + 9 * n, 22_050)) for n in range(number)],
        "sentence": [f"Say  {n}." if n else "" for n in range(number)],
        "speaker_id": list(range(number)),
        "up_votes": [None, 4, 5][:number],
        "licence": ["CC0-1.0"] * number,
    }


def dataset(folder: Path, number: int = 3) -> Any:
    return datasets.Dataset.from_dict(rows(folder, number)).cast_column("audio", datasets.Audio(sampling_rate=22_050))


def saved(folder: Path) -> Path:
    undecoded = dataset(folder / "a").cast_column("audio", datasets.Audio(decode=False))
    undecoded.save_to_disk(str(folder / "saved"))
    return folder / "saved"


def parquet(folder: Path) -> Path:
    columns = rows(folder / "a")
    columns["audio"] = [{"bytes": Path(name).read_bytes(), "path": Path(name).name} for name in columns["audio"]]
    made = datasets.Dataset.from_dict(columns).cast_column("audio", datasets.Audio(decode=False))
    (folder / "parquet").mkdir()
    made.to_parquet(str(folder / "parquet" / "train.parquet"))
    for sound in (folder / "a").iterdir():
        sound.unlink()
    return folder / "parquet"


def audiofolder(folder: Path) -> Path:
    columns = rows(folder / "a")
    columns["file_name"] = [Path(name).name for name in columns.pop("audio")]
    lines = (dict(zip(columns, cells, strict=True)) for cells in zip(*columns.values(), strict=True))
    (folder / "a" / "metadata.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    return folder / "a"


@pytest.mark.parametrize("make", [saved, parquet, audiofolder])
def test_saved_datasets_and_parquet(tmp_path: Path, make: Callable[[Path], Path]) -> None:
    source = make(tmp_path)
    report = import_huggingface(tmp_path / "out", source, language="en")
    assert [(u.id, u.text, u.speaker, u.extra) for u in report.corpus] == [
        ("clip1", "Say 1.", "1", {"up_votes": 4}),
        ("clip2", "Say 2.", "2", {"up_votes": 5}),
    ]
    assert {(u.licence, u.language, u.duration) for u in report.corpus} == {("CC0-1.0", "en", 0.5)}
    assert report.filtered == {"no transcript": 1}
    assert "torchcodec" not in sys.modules


def test_splits(tmp_path: Path) -> None:
    parts = datasets.DatasetDict(train=dataset(tmp_path / "a"), validation=dataset(tmp_path / "b", 2))
    parts.cast_column("audio", datasets.Audio(decode=False)).save_to_disk(str(tmp_path / "d"))
    report = import_huggingface(tmp_path / "out", tmp_path / "d")
    assert [(u.id, u.extra["split"]) for u in report.corpus] == [
        ("clip1", "train"), ("clip2", "train"), ("clip1-2", "dev"),
    ]  # fmt: skip
    for name in ("dev", "validation"):
        (utterance,) = import_huggingface(tmp_path / name, tmp_path / "d", split=[name]).corpus
        assert utterance.extra["split"] == "dev"
    with pytest.raises(UserError, match=r"no split 'dve'"):
        import_huggingface(tmp_path / "none", tmp_path / "d", split=["dve"])


def test_columns_that_mean_something_else_here(tmp_path: Path) -> None:
    tone(tmp_path / "d" / "clip.flac")
    row = {"file_name": "clip.flac", "text": "x", "source": "radio", "duration": "long", "seed": "a", "license": "MIT"}
    (tmp_path / "d" / "metadata.jsonl").write_text(json.dumps(row) + "\n")
    (utterance,) = import_huggingface(tmp_path / "out", tmp_path / "d").corpus
    assert (utterance.source, utterance.seed, utterance.licence, utterance.duration) == ("real", None, "MIT", 1.0)
    assert utterance.extra == {"source_column": "radio", "seed_column": "a"}


def test_columns_that_are_not_there(tmp_path: Path) -> None:
    source = saved(tmp_path)
    for options, problem in (
        ({"audio_column": "sound"}, r"no audio column 'sound' \(choose from audio\)"),
        ({"text_column": "sentense"}, r"no text column 'sentense' \(did you mean 'sentence'\?\)"),
    ):
        with pytest.raises(UserError, match=problem):
            import_huggingface(tmp_path / "out", source, **options)
    datasets.Dataset.from_dict({"text": ["x"]}).save_to_disk(str(tmp_path / "mute"))
    with pytest.raises(UserError, match="no audio column; name one with --audio-column"):
        import_huggingface(tmp_path / "out", tmp_path / "mute")


def test_audio_folders_by_split_and_as_csv(tmp_path: Path) -> None:
    for name in ("train", "validation"):
        tone(tmp_path / "d" / name / "clip.flac")
        (tmp_path / "d" / name / "metadata.csv").write_text(f'file_name,text\nclip.flac,"Well, {name}"\n')
    report = import_huggingface(tmp_path / "out", tmp_path / "d")
    assert [(u.text, u.extra["split"]) for u in report.corpus] == [
        ("Well, train", "train"),
        ("Well, validation", "dev"),
    ]
    (tmp_path / "d" / "train" / "metadata.csv").write_text("file_name,text\n../validation/clip.flac,x\n")
    with pytest.raises(UserError, match=r"metadata.csv:2: ../validation/clip.flac leaves"):
        import_huggingface(tmp_path / "none", tmp_path / "d")


def test_what_is_no_dataset(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(UserError, match="cannot be loaded as a dataset") as caught:
        import_huggingface(tmp_path / "out", tmp_path / "empty")
    assert "\n" not in str(caught.value)


def test_without_the_library_the_extra_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "datasets", None)
    with pytest.raises(UserError, match=r"pip install 'syn2real\[hf\]'"):
        import_huggingface(tmp_path / "out", tmp_path)
