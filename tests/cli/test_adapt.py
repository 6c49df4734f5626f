"""`adapt --vector`, and published vectors by `vector info`, `push` and `pull`, the hub being a stand-in."""

import json
import os
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import get_args, get_type_hints

import pytest
from typer.testing import CliRunner

pytest.importorskip("transformers")
pytest.importorskip("espeakng_loader")
sys.path.insert(0, str(Path(__file__).parents[1]))

from hub_standin import REVISION, HubStandin

from syn2real.cli.adapt import adapt
from syn2real.cli.main import app
from syn2real.cli.study import READY
from syn2real.errors import UserError
from syn2real.experiments.pipeline import Pipeline
from syn2real.experiments.ready_vector import CARD, README, VECTOR
from syn2real.experiments.recipe import Wanted
from syn2real.speech.corpus import Corpus

QUICK = "{epochs: 1, batch_size: 8, learning_rate: 0.01, warmup: 0, full_windows: 0}"


def refused(*arguments: object) -> str:
    """The one line with which a command is refused."""
    done = CliRunner().invoke(app, [str(argument) for argument in arguments])
    assert isinstance(done.exception, UserError), done.output
    assert "\n" not in str(done.exception)
    return str(done.exception)


def ran(recipe: Path, text: str) -> dict:
    """What `syn2real run` says of a recipe that is written to this file, with ``run`` beside it as output."""
    recipe.write_text(text)
    done = CliRunner().invoke(app, ["run", str(recipe), "-o", str(recipe.with_name("run")), "--json"])
    assert done.exit_code == 0, done.output
    return json.loads(done.stdout)


@pytest.fixture(scope="module")
def run(terse_whisper, recordings, tmp_path_factory) -> Path:
    """`syn2real run` of a recipe that makes a vector with a λ that is given: no proxies, so two small trainings."""
    place = tmp_path_factory.mktemp("vector")
    ran(
        place / "mine.yaml",
        f"study: vector\nname: mine\nmodel: {terse_whisper}\nmodel_licence: MIT\n"
        f"corpus: {{manifest: {recordings}, name: ours, licence: CC BY 4.0}}\nscale: 0.5\ntraining: {QUICK}\n",
    )
    return place / "run"


@pytest.fixture
def folder(run, tmp_path) -> Path:
    """The published folder, copied."""
    return Path(shutil.copytree(run / READY, tmp_path / "mine"))


@pytest.fixture
def text(tmp_path) -> Path:
    path = tmp_path / "menu.txt"
    path.write_text("two coffees please\nthe soup of the day\n")
    return path


def test_info_shows_the_card(folder):
    shown = CliRunner().invoke(app, ["vector", "info", str(folder)]).stdout
    assert "real speech: ours, 24 clips" in shown and "λ = 0.5, as given" in shown and "espeak" in shown
    assert "Commercial use: every licence stated allows it" in shown
    record = json.loads(CliRunner().invoke(app, ["vector", "info", str(folder), "--json"]).stdout)
    assert record == json.loads((folder / CARD).read_text())
    assert record["commercial_ok"] is True and record["gain"] is None


def test_source_and_vector_exclude_each_other(folder, text, recordings, tmp_path):
    command = ["adapt", "-t", text, "-o", tmp_path / "out"]
    for message in (refused(*command), refused(*command, "--source", recordings, "--vector", folder)):
        assert "--source (real speech" in message and "--vector (one that was published" in message
    assert "--held-out" in refused(*command, "--vector", folder, "--held-out", "food")
    assert "--sum: is of models made from" in refused(*command, "--vector", folder, "--sum", "average")
    both = refused(*command, "--source", recordings, "--sum", "choose", "--lambda", 0.5)
    assert "--sum choose: chooses λ too" in both
    assert "--force" in refused(*command, "--source", recordings, "--force")
    for origin in (["--source", recordings, "-m", "whisper-tiny.en"], ["--vector", folder]):
        for option, value, words in (
            ("--lambda", 9, "--lambda: Input should be less"),
            ("--renditions", 0, "--renditions: Input should be greater"),
            ("--epochs", 0, "--epochs: Input should be greater"),
            ("--learning-rate", -1, "--learning-rate: Input should be greater"),
            ("--engine", "espeak=0", "--engine espeak: Input should be greater"),
        ):
            assert words in refused(*command, *origin, option, value)
    assert not (tmp_path / "out").exists()


def test_the_command_takes_the_sums_that_a_recipe_does():
    option = get_args(get_type_hints(adapt)["way"])[0]
    assert set(get_args(option)) == set(get_args(Wanted))


def test_another_model_is_refused_before_anything_is_made(folder, text, tiny_en, tmp_path):
    command = ["adapt", "-t", text, "-o", tmp_path / "out", "--vector", folder, "-m", tiny_en]
    assert "--force" in refused(*command)
    assert "cannot be combined" in refused(*command, "--force")
    assert not (tmp_path / "out" / "stages").exists()


def test_a_file_or_a_folder_without_a_card(folder, text, tmp_path):
    command = ["adapt", "-t", text, "-o", tmp_path / "out", "--vector"]
    assert "give the folder" in refused(*command, folder / VECTOR)
    (folder / CARD).unlink()
    assert f"{folder / CARD}: No such file" in refused(*command, folder)
    for absent in ("./typo", "myvector", tmp_path / "gone"):
        assert f"{absent}: no such folder here, nor a hub id; write org/name" in refused(*command, absent)


def test_a_folder_that_is_not_here_is_told_where_the_hub_has_it_not_either(text, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "rv").mkdir()
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    message = refused("adapt", "-t", text, "-o", tmp_path / "out", "--vector", "rv/nothing")
    assert message.startswith("rv/nothing: no such folder here, and not fetched before; the hub is switched off")


class TestHub:
    @pytest.fixture
    def hub(self, tmp_path):
        """An empty repository to send to."""
        (tmp_path / "remote").mkdir()
        with HubStandin({"org/mine": tmp_path / "remote"}) as standin:
            yield standin

    @pytest.fixture
    def command(self, hub, tmp_path):
        """Run the command line in a process for which the stand-in is the hub."""

        def command(*arguments: object) -> subprocess.CompletedProcess[str]:
            variables = hub.environment(tmp_path / "home") | {"HF_TOKEN": "x", "COLUMNS": "200"}
            line = [sys.executable, "-m", "syn2real.cli.main", *map(str, arguments)]
            return subprocess.run(line, capture_output=True, text=True, env=os.environ | variables, check=False)

        return command

    def test_there_and_back_and_used(self, command, folder, text, terse_whisper, tmp_path):
        sent = command("vector", "push", folder, "org/mine", "--json")
        assert sent.returncode == 0 and json.loads(sent.stdout)["url"].endswith("/org/mine"), sent.stderr
        fetched = command("vector", "pull", f"org/mine@{REVISION}", "-o", tmp_path / "back")
        assert fetched.returncode == 0 and "ours, 24 clips" in fetched.stdout, fetched.stderr
        for name in (VECTOR, CARD, README):
            assert (tmp_path / "back" / name).read_bytes() == (folder / name).read_bytes()
        adapted = command(
            "adapt", "-m", terse_whisper, "-t", text, "--vector", "org/mine", "--renditions", 1, "-o", tmp_path / "out"
        )
        assert adapted.returncode == 0, adapted.stderr
        assert "λ = 0.5, as the vector's card recommends" in adapted.stderr
        assert (tmp_path / "out" / "model" / "model.safetensors").is_file()
        assert "ours" in (tmp_path / "out" / "results.json").read_text()

    def test_what_was_changed_on_the_way_is_refused(self, command, folder, tmp_path):
        for name in (VECTOR, CARD):
            shutil.copyfile(folder / name, tmp_path / "remote" / name)
        with (tmp_path / "remote" / VECTOR).open("r+b") as file:
            file.seek(-1, 2)
            file.write(b"\x55")
        done = command("vector", "pull", "org/mine", "-o", tmp_path / "back")
        assert done.returncode == 1 and "damaged or replaced" in done.stderr
        assert not (tmp_path / "back").exists()


def test_a_text_that_nobody_can_speak_is_refused_before_anything_is_tuned(terse_whisper, recordings, tmp_path):
    text = tmp_path / "long.txt"
    text.write_text("all day " * 200 + "\n")
    given = ("--model", terse_whisper, "--text", text, "--source", recordings, "--output", tmp_path / "out")
    assert "nothing could be spoken" in refused("adapt", *given)
    assert not list((tmp_path / "out").rglob("*tuned*"))


def test_a_recipe_with_the_stricter_table(terse_whisper, recordings, tmp_path, monkeypatch):
    """Half of the phrases spoken, the other half tested; by a sum that is named. An untaught model would talk without
    end, so what is heard is the first word of what was said."""
    monkeypatch.setattr(Pipeline, "hear", lambda *given: {u.id: u.text.split()[0] for u in given[3]})
    record = ran(
        tmp_path / "mine.yaml",
        f"model: {terse_whisper}\ncorpus: {{manifest: {recordings}}}\ntarget: [second]\nsum: text-on-real\nscale: 0.5\n"
        f"evaluation: {{strict: true, full_window: []}}\ntraining: {QUICK}\n",
    )
    whole, half = (
        {system["name"]: system["counts"]["utterances"] for system in record[table]} for table in ("systems", "strict")
    )
    assert whole.keys() == half.keys() and "text-on-real" in half and "syn2real" not in half
    assert set(whole.values()) == {12} and set(half.values()) == {6}
    assert "Stricter: sentences never synthesised" in (tmp_path / "run" / "report.html").read_text()


def test_a_model_without_windows_is_heard_once(small_ctc, recordings, tmp_path):
    """To a CTC model a clip is as long as it is: there are no 30 s to compare with."""
    letters = recordings.with_name("letters.jsonl")  # it can write no figures
    corpus = Corpus.load(recordings)
    Corpus.of(replace(u, text="".join(c for c in u.text.lower() if c.isalpha() or c == " ")) for u in corpus).save(
        letters
    )
    record = ran(
        tmp_path / "mine.yaml",
        f"model: {small_ctc()}\ncorpus: {{manifest: {letters}}}\ntarget: [second]\nscale: 0.5\nlambdas: [0, 0.5]\n"
        f"training: {QUICK}\n",
    )
    assert record["systems"][0]["name"] == "zero-shot"
    assert {system["window"] for system in record["systems"]} == {"whole"} and len(record["systems"]) == 5
    assert "Clips as long as they are: WER" in (tmp_path / "run" / "report.html").read_text()
