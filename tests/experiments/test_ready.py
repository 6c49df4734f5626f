"""Vectors made to be published, and adapting with one: real recordings, a small model of random weights."""

import json
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

pytest.importorskip("transformers")
pytest.importorskip("espeakng_loader")

from syn2real.cli.study import READY, run_ready, run_vector
from syn2real.errors import CheckpointMismatch, UserError
from syn2real.experiments.licences import judge, obstacles
from syn2real.experiments.ready import ready_recipe, voices_of
from syn2real.experiments.ready_vector import CARD, README, VECTOR, ReadyVector, VectorCard
from syn2real.experiments.recipe import CheckRecipe, SynthesisRecipe
from syn2real.experiments.studies import load_study
from syn2real.experiments.vector_recipe import VectorRecipe
from syn2real.experiments.vector_study import publishable
from syn2real.hashing import sha256_file
from syn2real.merge import Checkpoint, TaskVector
from syn2real.speech.corpus import Corpus

RECIPES = Path(__file__).parents[2] / "recipes"
QUICK = {
    "synthesis": "{engines: {espeak: 1}}",
    "training": "{epochs: 1, batch_size: 4, learning_rate: 0.01, warmup: 0, full_windows: 0}",
    "evaluation": "{draws: 100, full_window: []}",
    "lambdas": "[0, 1]",
    "rotate": "[topic0]",
}


@pytest.fixture(scope="module")
def manifest(recordings) -> Path:
    """The recordings as topics: two that make the vector, one that tests it, and speakers' splits."""
    rows = []
    for place, utterance in enumerate(Corpus.load(recordings)):
        topic = ("topic0", "topic3", "topic4")[place % 3]
        split = "test" if topic == "topic4" and place % 2 else "train"
        rows.append(replace(utterance, domain=topic, extra={"split": split}))
    path = recordings.with_name("topics.jsonl")
    Corpus.of(rows).save(path)
    return path


def recipe(manifest: Path, model: Path, **changes: str) -> VectorRecipe:
    """The shipped recipe for speechocean762, cut down to a few clips, one epoch and a narrow model."""
    given = {"model": str(model), "corpus.manifest": str(manifest), "target": "[topic4]", **QUICK}
    loaded = load_study(RECIPES / "vector_speechocean762_tiny.yaml", given | changes)
    assert isinstance(loaded, VectorRecipe)
    return loaded


@pytest.fixture(scope="module")
def made(manifest, terse_whisper, tmp_path_factory) -> Path:
    """The run's directory."""
    output = tmp_path_factory.mktemp("made") / "run"
    run_vector(recipe(manifest, terse_whisper), output)
    return output


@pytest.fixture
def folder(made, tmp_path) -> Path:
    """A published vector, copied as anyone might."""
    return Path(shutil.copytree(made / READY, tmp_path / "published"))


@pytest.fixture
def text(tmp_path) -> Path:
    path = tmp_path / "menu.txt"
    path.write_text("two coffees please\nthe soup of the day\na glass of water\n")
    return path


class TestMaking:
    def test_the_folder_is_whole_and_checks(self, made, terse_whisper):
        assert sorted(path.name for path in (made / READY).iterdir()) == [README, CARD, VECTOR]
        card = ReadyVector.open(made / READY).card
        assert card.base.sha256 == Checkpoint.open(terse_whisper).sha256
        assert card.base.name == terse_whisper.name and card.base.architecture == "WhisperForConditionalGeneration"
        assert str(terse_whisper.parent) not in (made / READY / CARD).read_text()
        assert card.storage.method == "int8" and 0 < card.storage.relative_error < 0.05
        assert card.storage.sha256 == sha256_file(made / READY / VECTOR)
        assert card.engines == ["espeak"] and card.synthesis.spoken[0].voices

    def test_real_speech_by_use(self, made, manifest):
        card = VectorCard.read(made / READY / CARD)
        (speech,) = card.corpora
        licences = Corpus.load(manifest).licences or ["CC BY 4.0"]  # the recipe's word, where the lines have none
        assert (speech.use, speech.domains, speech.licences) == ("vector", ["topic0", "topic3"], licences)
        assert speech.clips == 16 and speech.hours > 0
        assert card.gain is not None and card.gain.domains == ["topic4"] and card.gain.clips == 4
        assert {system.name for system in card.gain.systems} == {"zero-shot", "target-synthetic", "syn2real"}

    def test_the_recommended_scale_is_that_of_the_proxies(self, made):
        scale = VectorCard.read(made / READY / CARD).scale
        assert scale.chosen_on == ["topic0"] and [point.scale for point in scale.curve] == [0, 1]
        assert scale.recommended == min(scale.curve, key=lambda p: (p.errors, abs(p.scale))).scale

    def test_the_vector_is_real_minus_synthetic(self, made):
        stored = TaskVector.load(made / READY / VECTOR)
        parents = [path.parent for path in (made / "stages").glob("tuned-*/model.safetensors")]
        known = {Checkpoint.open(path).sha256: path for path in parents}
        terms = {parent["coefficient"]: known[parent["sha256"]] for parent in stored.provenance[0]["parents"]}
        real, synthetic = (load_file(terms[sign] / "model.safetensors") for sign in (1.0, -1.0))
        name = "model.encoder.layers.0.fc1.weight"
        difference = real[name] - synthetic[name]
        assert difference.abs().max() > 0
        # Rows this short share a scale, which int8 divides in 127 steps.
        assert (stored.tensor(name) - difference).abs().max() <= 0.51 * difference.abs().max() / 127

    def test_a_run_that_stops_anywhere_ends_in_the_same_bytes(
        self, made, manifest, terse_whisper, tmp_path, monkeypatch
    ):
        """Stopped while the vector is written, and again while its folder is; what was trained is reused."""
        from syn2real.cli import study
        from syn2real.merge import compression

        shutil.copytree(made / "stages", tmp_path / "run" / "stages")
        for stage in (tmp_path / "run" / "stages").glob("vector-*"):
            shutil.rmtree(stage)
        whole = recipe(manifest, terse_whisper)

        def killed(*_: object, **__: object) -> None:
            raise KeyboardInterrupt

        for module, name in ((compression, "relative_error"), (study, "vector_readme")):
            with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
                patch.setattr(module, name, killed)
                run_vector(whole, tmp_path / "run")
            assert not (tmp_path / "run" / READY).exists()
        run_vector(whole, tmp_path / "run")
        for name in (VECTOR, CARD, README):
            assert (tmp_path / "run" / READY / name).read_bytes() == (made / READY / name).read_bytes()

    def test_what_cannot_be_stored_so(self, manifest, terse_whisper):
        with pytest.raises(UserError, match=r"storage\.method"):
            recipe(manifest, terse_whisper, **{"storage.method": "int4"})
        with pytest.raises(UserError, match="'topic4' is the target"):
            recipe(manifest, terse_whisper, rotate="[topic4]")


class TestAdapting:
    def test_text_and_vector_suffice(self, folder, text, terse_whisper, tmp_path):
        ready = ReadyVector.open(folder)
        given = ready_recipe(ready, text, model=str(terse_whisper), renditions=1, scale=0.5)
        assert given.training == ready.card.training and given.language == "en"
        record = run_ready(given, ready, text, None, tmp_path / "out")
        assert (record["lambda"]["chosen"], record["lambda"]["chosen_by"]) == (0.5, [])
        assert record["vector"]["sha256"] == sha256_file(folder / VECTOR)
        (tuned,) = (tmp_path / "out" / "stages").glob("tuned-*/model.safetensors")
        before, after = load_file(tuned), load_file(tmp_path / "out" / "model" / "model.safetensors")
        vector = TaskVector.load(folder / VECTOR)
        moved = {name: before[name].double() + 0.5 * vector.tensor(name).double() for name in vector.names}
        assert all(torch.allclose(after[name].double(), values, atol=1e-7) for name, values in moved.items())
        card = (tmp_path / "out" / "model" / README).read_text()
        assert ready.card.name in card and ready.card.storage.sha256 in card
        assert ready.card.corpora[0].licences[0] in card
        assert "Not evaluated" in card and not (tmp_path / "out" / VECTOR).exists()

    def test_with_recordings_the_gain_is_reported(self, folder, text, manifest, terse_whisper, tmp_path):
        test = manifest.with_name("tested.jsonl")
        Corpus.of(u for u in Corpus.load(manifest) if u.extra["split"] == "test").save(test)
        ready = ReadyVector.open(folder)
        given = ready_recipe(ready, text, model=str(terse_whisper), renditions=1)
        record = run_ready(given, ready, text, test, tmp_path / "out")
        recommended = ready.card.scale
        assert record["lambda"]["chosen"] == recommended.recommended
        assert record["lambda"]["chosen_by"] == recommended.chosen_on
        assert {s["name"] for s in record["systems"]} == {"zero-shot", "target-synthetic", "syn2real"}
        assert ready.card.name in (tmp_path / "out" / "report.html").read_text()

    def test_another_base_model_is_refused_unless_forced(self, folder, terse_whisper, tiny_en, tmp_path):
        ready = ReadyVector.open(folder)
        ready.require_base(terse_whisper, "it")
        other = Path(shutil.copytree(terse_whisper, tmp_path / "other"))
        weights = load_file(other / "model.safetensors")
        from safetensors.torch import save_file

        save_file(
            {name: tensor + 0.01 for name, tensor in weights.items()}, other / "model.safetensors", {"format": "pt"}
        )
        with pytest.raises(UserError, match=r"made for .*, not for mine .*--force"):
            ready.require_base(other, "mine")
        ready.require_base(other, "mine", force=True)
        with pytest.raises(CheckpointMismatch):
            ready.require_base(tiny_en, "mine", force=True)

    def test_other_voices_are_told_of(self, folder, capsys):
        card = ReadyVector.open(folder).card
        assert voices_of(card) == card.synthesis.recipe
        assert capsys.readouterr().err == ""
        assert voices_of(card, {"pico": 2.0}).engines == {"pico": 2.0}
        line = " ".join(capsys.readouterr().err.split())  # a narrow terminal wraps it
        assert "speaking with pico" in line and "made with espeak" in line and "--engine espeak=1" in line

    def test_engines_that_are_not_here(self, folder, capsys):
        card = ReadyVector.open(folder).card
        (spoken,) = card.synthesis.spoken
        gone = spoken.model_copy(update={"engine": "my-engine"})
        both = card.synthesis.model_copy(update={"spoken": [spoken, gone]})
        assert voices_of(card.model_copy(update={"synthesis": both})).engines == {"espeak": 1.0}
        assert "unknown engine 'my-engine'" in " ".join(capsys.readouterr().err.split())
        alone = card.synthesis.model_copy(update={"spoken": [gone]})
        with pytest.raises(UserError, match="--engine"):
            voices_of(card.model_copy(update={"synthesis": alone}))

    def test_no_option_of_a_card_is_obeyed(self, folder, capsys):
        """A card could otherwise have the engine `command` run a program."""
        card = ReadyVector.open(folder).card
        (spoken,) = card.synthesis.spoken
        options = {"command": {"run": "touch {output}"}, "espeak": {"x": 1}}
        recipe = card.synthesis.recipe.model_copy(
            update={"engines": {"command": 1.0, "espeak": 1.0}, "options": options}
        )
        both = [spoken, spoken.model_copy(update={"engine": "command"})]
        harmful = card.model_copy(
            update={"synthesis": card.synthesis.model_copy(update={"recipe": recipe, "spoken": both})}
        )
        found = voices_of(harmful)
        assert found.options is None and list(found.engines) == ["espeak"]
        said = " ".join(capsys.readouterr().err.split())
        assert "'command' needs a program" in said and "espeak was set up with {'x': 1}" in said

    @pytest.mark.parametrize("engines", [None, {"espeak": 1.0}])
    def test_no_recogniser_of_a_card_is_heard(self, folder, capsys, engines):
        """It might not be here, or be fetched on a stranger's word."""
        card = ReadyVector.open(folder).card
        check = CheckRecipe(by="recogniser", recogniser="someone/listener", limits={"offset": 0.9})
        recipe = card.synthesis.recipe.model_copy(update={"check": check})
        heard = card.model_copy(update={"synthesis": card.synthesis.model_copy(update={"recipe": recipe})})
        assert voices_of(heard, engines).check == check.model_copy(update={"recogniser": None})
        assert "checked by someone/listener" in " ".join(capsys.readouterr().err.split())

    def test_another_language_is_refused(self, folder, text):
        with pytest.raises(UserError, match="made for 'en'"):
            ready_recipe(ReadyVector.open(folder), text, language="es")


class TestCard:
    @pytest.mark.parametrize(
        ("keys", "value", "words"),
        [
            (["lambda", "recommended"], None, "lambda.recommended"),
            (["lambda", "recommended"], "much", "lambda.recommended"),
            (["base", "sha256"], "abc", "base.sha256"),
            (["storage"], None, "storage"),
            (["licences"], [], "licences"),
            (["training", "epoks"], 3, "epoks"),
            (["format"], "other", "not the card of a vector"),
            (["version"], 2, "update syn2real"),
        ],
    )
    def test_what_is_missing_or_wrong_is_named(self, folder, keys, value, words):
        path = folder / CARD
        content = json.loads(path.read_text())
        *parents, last = keys
        inner = content
        for key in parents:
            inner = inner[key]
        inner.pop(last, None)
        if value is not None:
            inner[last] = value
        path.write_text(json.dumps(content, indent=2))
        with pytest.raises(UserError) as caught:
            ReadyVector.open(folder)
        assert str(caught.value).startswith(f"{path}:") and words in str(caught.value)
        assert "\n" not in str(caught.value)

    def test_files_that_are_missing_or_changed(self, folder):
        with (folder / VECTOR).open("r+b") as file:
            file.seek(-1, 2)
            last = file.read(1)
            file.seek(-1, 2)
            file.write(bytes([last[0] ^ 1]))
        with pytest.raises(UserError, match="damaged or replaced"):
            ReadyVector.open(folder)
        (folder / VECTOR).unlink()
        with pytest.raises(UserError, match="no such file"):
            ReadyVector.open(folder)
        (folder / CARD).write_text('{"format": "syn2real.vector",\n  broken')
        with pytest.raises(UserError, match=f"{CARD}:2: not JSON"):
            ReadyVector.open(folder)
        (folder / CARD).unlink()
        with pytest.raises(UserError, match="No such file"):
            ReadyVector.open(folder)

    def test_commercial_use_is_derived_and_not_claimed(self, folder):
        content = json.loads((folder / CARD).read_text())
        assert content["commercial_ok"] is False and "no licence is stated" in content["commercial_obstacles"][0]
        (folder / CARD).write_text(json.dumps(content | {"commercial_ok": True}))
        assert VectorCard.read(folder / CARD).obstacles


def test_a_card_names_no_folder_of_its_maker(terse_whisper, tmp_path):
    (tmp_path / "voices.json").write_text("{}")
    recipe = SynthesisRecipe(
        options={"command": {"voices": str(tmp_path / "voices.json"), "language": "", "run": 300 * "a"}},
        check=CheckRecipe(by="recogniser", recogniser=str(terse_whisper)),
    )
    shown = publishable(recipe)
    assert shown.options == {"command": {"voices": "voices.json", "language": "", "run": 300 * "a"}}
    assert shown.check is not None and shown.check.recogniser == terse_whisper.name
    assert str(tmp_path) not in shown.model_dump_json() and publishable(SynthesisRecipe()) == SynthesisRecipe()
    packaged = SynthesisRecipe(check=CheckRecipe(by="recogniser", recogniser="whisper-tiny.en"))
    assert publishable(packaged) == packaged


@pytest.mark.parametrize(
    ("licence", "free"),
    [
        *(("CC BY 4.0", True), ("CC-BY-SA-3.0", True), ("CC0-1.0", True), ("MIT", True), ("GPL-2.0", True)),
        *(("CC BY-NC 4.0", False), ("CC-BY-NC-SA-4.0", False), ("Coqui CPML", False), ("see the readme", False)),
        *(("gplv3", True), ("Apache2", True), ("BSD-3-Clause", True), ("CC BY, also for commercial use", True)),
        *(("ISCA members only", False), ("Mitsubishi research licence", False), ("CC BYOB", False)),
        *(("CC BY 4.0, not for commercial use", False), ("MIT (no commercial use)", False)),
        *(("Apache-2.0 code, weights for academic use only", False), ("MIT, for research purposes", False)),
        (None, False),
    ],
)
def test_licences(licence, free):
    found = judge("it", licence)
    assert found.commercial_ok is free and bool(obstacles([found])) is not free


def test_what_an_engine_declares_counts():
    assert judge("voices", "a licence of its own", True).commercial_ok
    assert not judge("voices", "Apache-2.0", False).commercial_ok
