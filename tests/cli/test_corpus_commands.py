"""`syn2real corpus`, as a person would type it."""

import io
import json
import sys
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest
import soundfile

from syn2real.cli.main import main


class Done(NamedTuple):
    stdout: str
    stderr: str
    returncode: int


def corpus(*arguments: object, check: bool = True) -> Done:
    """The command line in this process."""
    out, err, code = io.StringIO(), io.StringIO(), 0
    with pytest.MonkeyPatch.context() as patch, redirect_stdout(out), redirect_stderr(err):
        patch.setattr(sys, "argv", ["syn2real", "corpus", *map(str, arguments)])
        patch.setenv("COLUMNS", "160")
        try:
            main()
        except SystemExit as leaving:
            code = int(leaving.code or 0)
    assert not check or code == 0, err.getvalue()
    return Done(out.getvalue(), err.getvalue(), code)


def refused(*arguments: object) -> str:
    done = corpus(*arguments, check=False)
    errors = [line for line in done.stderr.splitlines() if line.startswith("error: ")]
    assert done.returncode == 1 and len(errors) == 1, done.stderr
    return errors[0]


@pytest.fixture
def slurp(tmp_path: Path) -> Path:
    """SLURP's layout: 12 sentences, each recorded near and far, but for one."""
    folder = tmp_path / "slurp"
    (folder / "slurp_real").mkdir(parents=True)
    lines, people = [], {}
    for number in range(12):
        files = [f"audio-{number}{near}.flac" for near in ("", "-headset")]
        for place, file in enumerate(files):
            wave = 0.2 * np.sin(np.arange(8_000) / (4 + number + place))
            soundfile.write(folder / "slurp_real" / file, wave, 16_000)
        recordings = [{"file": file, "wer": number / 10, "status": "correct"} for file in files]
        scenario = ("play", "email")[number % 2]
        lines.append({"slurp_id": number, "sentence": f"Do {number}", "scenario": scenario, "recordings": recordings})
        people[str(number)] = {"recordings": {file: {"usrid": f"u{number}"} for file in files}}
    (folder / "slurp_real" / "audio-0.flac").unlink()
    (folder / "train.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    (folder / "metadata.json").write_text(json.dumps(people))
    return folder


def test_an_import_says_what_was_left_out_by_which_rule(tmp_path: Path, slurp: Path) -> None:
    output = tmp_path / "out"
    options = ("--from", slurp, "--channel", "far", "--max-wer", 0.5, "-o", output)
    done = corpus("import", "slurp", *options)
    assert "utterances: 5" in done.stdout and "speakers: 5" in done.stdout
    for line in (
        "left out 12: channel is not far",
        "left out 6: stored WER above 0.5 or unknown",
        "left out 1: recording not in slurp_real",
    ):
        assert line in done.stderr
    assert "already exists" in refused("import", "slurp", *options)
    answer = json.loads(corpus("import", "slurp", *options, "--overwrite", "--json").stdout)
    assert answer["left_out"]["channel is not far"] == 12 and answer["skipped"] == []
    assert answer["domains"] == {"email": 3, "play": 2} and answer["manifest"] == str(output / "manifest.jsonl")
    limited = json.loads(corpus("import", "slurp", *options, "--limit", 2, "--overwrite", "--json").stdout)
    assert limited["utterances"] == 2


def test_many_unusable_recordings_are_summed_up(tmp_path: Path, slurp: Path) -> None:
    table = tmp_path / "list.csv"
    rows = [f"slurp/slurp_real/audio-{n}-headset.flac,words" for n in range(12)] + [
        f"gone{n}.wav,words" for n in range(30)
    ]
    table.write_text("file,text\n" + "\n".join(rows) + "\n")
    done = corpus("import", "folder", "--from", table, "-o", tmp_path / "out")
    assert done.stderr.count("skipped gone") == 20 and "… and 10 more, listed in import.json" in done.stderr
    assert "left out 30: no such recording" in done.stderr


def test_options_belong_to_kinds(tmp_path: Path, slurp: Path) -> None:
    output = tmp_path / "out"
    for kind, options, problem in (
        ("folder", ("--from", slurp, "--channel", "far"), "importing folder takes no --channel"),
        ("slurp", ("--from", slurp, "--min-age", 18), "importing slurp takes no --min-age"),
        ("manifest", ("--from", slurp, "--split", "dev"), "importing manifest takes no --split"),
        ("tuxpaint", ("-l", "es", "--lower"), "importing tuxpaint takes no --lower"),
        ("librispeech", (), "importing librispeech needs --from"),
        ("slurp", (), "needs either --from, where it lies, or --download"),
        ("slurp", ("--from", slurp, "--channel", "faar"), "unknown channel 'faar' (did you mean 'far'?)"),
        ("slrup", ("--from", slurp), "did you mean 'slurp'?"),
    ):
        assert problem in refused("import", kind, *options, "-o", output)
    assert not output.exists()


def test_every_importers_options_are_on_the_command_line() -> None:
    from inspect import signature

    from syn2real.cli.corpus import KINDS, import_corpus
    from syn2real.speech.corpora import IMPORTERS

    offered = set(signature(import_corpus).parameters)
    for kind in IMPORTERS.names():
        assert set(signature(IMPORTERS.get(kind)).parameters) <= offered, kind
        assert kind in KINDS


def test_split_export_and_back(tmp_path: Path, slurp: Path) -> None:
    folder = tmp_path / "corpus"
    corpus("import", "slurp", "--from", slurp, "-o", folder)
    manifest, split = folder / "manifest.jsonl", folder / "split.jsonl"
    answer = json.loads(corpus("split", manifest, "-o", split, "--dev", 0.25, "--test", 0.25, "--json").stdout)
    assert sum(answer[name]["utterances"] for name in ("train", "dev", "test")) == 23
    assert answer["sentences_of_dev_and_test_also_in_train"] == 0
    assert "already exists" in refused("split", manifest, "-o", split)
    assert "lies outside the manifest's folder" in refused(
        "split", manifest, "-o", tmp_path / "elsewhere" / "split.jsonl"
    )
    corpus("export", split, "--to", "kaldi", "--split", "test", "-o", tmp_path / "data")
    assert len((tmp_path / "data" / "text").read_text().splitlines()) == answer["test"]["utterances"]
    corpus("import", "kaldi", "--from", tmp_path / "data", "-o", tmp_path / "back")
    rows = [json.loads(line) for line in (tmp_path / "back" / "manifest.jsonl").read_text().splitlines()]
    assert {row["split"] for row in rows} == {"test"} and rows[0]["slurp_id"] in range(12)
    assert "did you mean 'test'" in refused("export", split, "--to", "nemo", "--split", "tset", "-o", tmp_path / "x")
    assert "did you mean 'nemo'" in refused("export", split, "--to", "nmeo", "-o", tmp_path / "x")


def test_overlap(tmp_path: Path) -> None:
    menu, tested = tmp_path / "menu.txt", tmp_path / "tested.txt"
    menu.write_text("One coffee!\nTwo teas\nTwo  teas.\nCake\n")
    tested.write_text("one coffee\nsoup\n")
    done = corpus("overlap", menu, tested)
    assert "shared: 1" in done.stdout and "both: one coffee" in done.stdout
    answer = json.loads(corpus("overlap", menu, tested, "--once", "-o", tmp_path / "unseen.txt", "--json").stdout)
    assert answer == {
        "lines": 4,
        "sentences": 3,
        "sentences_of_the_second": 2,
        "shared": 1,
        "lines_left": 2,
        "shared_sentences": ["one coffee"],
    }
    assert (tmp_path / "unseen.txt").read_text() == "Two teas\nCake\n"
    assert "already exists" in refused("overlap", menu, tested, "-o", tmp_path / "unseen.txt")
