"""A grid on real recordings with a small model of random weights: what is made, shared, chosen, opened and reported."""

import ctypes
import json
import os
import shutil
import struct
from dataclasses import replace
from pathlib import Path

import pytest

from syn2real.documents import parse_values
from syn2real.errors import UserError
from syn2real.experiments.grid import Grid
from syn2real.experiments.grid_recipe import GridRecipe, uninformed
from syn2real.experiments.grid_record import grid_record
from syn2real.experiments.lora_recipe import LoraRecipe
from syn2real.experiments.pipeline import effort_of, scale_of
from syn2real.experiments.recipe import SUMS, SynthesisRecipe
from syn2real.experiments.results import CurvePoint
from syn2real.experiments.stages import Workspace
from syn2real.experiments.studies import load_study
from syn2real.experiments.sums import likely_sum
from syn2real.experiments.systems import VECTORED
from syn2real.experiments.vectors import transfer_record, vectors_record
from syn2real.hashing import sha256_file
from syn2real.merge import Checkpoint
from syn2real.reports.grid_page import render_grid
from syn2real.speech.corpus import Corpus

RECIPES = Path(__file__).parents[2] / "recipes"
DOMAINS = ("a", "b", "c", "d")
SYSTEMS = (
    "zero-shot",
    "target-real",
    "target-synthetic",
    "source-real",
    "source-synthetic",
    "source-mixed",
    "mixed-target-synthetic",
    "target-synthetic-augmented",
    "average",
    "syn2real",
    "syn2real-mixed",
    "syn2real-domains",
    "syn2real-engines",
    "syn2real-augmented",
    "syn2real-groups",
    "syn2real-lora",
    "text-on-real",
    "best-sum",
)
LEAST = ("zero-shot", "target-synthetic-augmented", "syn2real")


@pytest.fixture(scope="module")
def manifest(spoken_english, tmp_path_factory) -> Path:
    """Real recordings in four domains, with two clips for training, development and test in each."""
    folder = tmp_path_factory.mktemp("domains")
    (folder / "audio").mkdir()
    found, said = [], set()
    for utterance in sorted(spoken_english, key=lambda u: u.duration):
        if utterance.text not in said and len(found) < 24:
            said.add(utterance.text)
            found.append(utterance)
    moved = []
    for place, utterance in enumerate(found):
        target = folder / "audio" / utterance.audio_filepath.name
        target.write_bytes(utterance.audio_filepath.read_bytes())
        split = ("train", "dev", "test")[place // 8]
        extra = {"split": split, "half": str(place % 2)}
        moved.append(replace(utterance, audio_filepath=target, domain=DOMAINS[place % 4], extra=extra))
    Corpus.of(moved).save(folder / "manifest.jsonl")
    return folder / "manifest.jsonl"


def recipe(manifest: Path, model: Path, **changes) -> GridRecipe:
    values = {
        "study": "grid",
        "models": [str(model)],
        "corpus": {
            "manifest": manifest,
            "train": {"split": "train"},
            "dev": {"split": "dev"},
            "test": {"split": "test"},
        },
        "synthesis": {"engines": {"espeak": 1}, "target_renditions": 1},
        "training": {"epochs": 1, "batch_size": 2, "learning_rate": 0.01, "warmup": 0, "full_windows": 0},
        "lambda": {"grid": [0, 1], "domains_grid": [0, 1], "groups": ["encoder"], "group_factors": [2]},
        "evaluation": {"draws": 100, "full_window": []},
    }
    return parse_values(GridRecipe, values | changes)


def run(recipe: GridRecipe, place: Path) -> tuple[Grid, dict]:
    grid = Grid(recipe, Workspace(place / "stages"))
    return grid, grid_record(grid, grid.run())


def stages(place: Path) -> list[str]:
    return sorted(path.name for path in (place / "stages").iterdir() if not path.name.startswith("."))


def test_of_several_models_the_sizes_of_their_vectors_are_told(manifest, terse_whisper, tmp_path):
    copy = shutil.copytree(terse_whisper, tmp_path / "copy")
    models = [str(terse_whisper), str(copy)]
    changes = {"models": models, "targets": ["a"], "systems": ["syn2real-augmented"], "lambda": {"by": "fixed"}}
    changes["lambda"] |= {"fixed": 1.0}
    _, record = run(recipe(manifest, terse_whisper, **changes), tmp_path)
    assert all(cell["status"] == "done" for cell in record["cells"]), record["cells"]
    assert [row["model"] for row in record["sizes"]] == models
    first, second = record["sizes"]
    assert first["parameters"] == second["parameters"] == Checkpoint.open(terse_whisper).parameters
    assert first["norm"] == second["norm"] > 0 and 0 < first["share"] < 1


def test_transfer_between_voices_is_of_the_first_seed(manifest, terse_whisper, tmp_path):
    changes = {"engines": {"one": {"espeak": 1}, "other": {"pico": 1}}, "seeds": [42, 7], "targets": ["a"]}
    grid = Grid(recipe(manifest, terse_whisper, transfer=True, **changes), Workspace(tmp_path / "stages", dry=True))
    found = transfer_record(grid)
    assert found["rows"] == found["columns"] == ["one", "other"]


def test_a_model_without_windows_is_heard_once(manifest, small_ctc, tmp_path):
    """To a CTC model a clip is as long as it is: there are no 30 s to compare with."""
    changes = {"targets": ["a"], "systems": ["zero-shot", "target-synthetic", "syn2real"]}
    changes["lambda"] = {"by": "fixed", "fixed": 1.0, "grid": [0, 1]}
    changes["evaluation"] = {"draws": 100, "full_window": ["zero-shot", "target-synthetic", "syn2real"]}
    _, record = run(recipe(manifest, small_ctc(), **changes), tmp_path)
    assert all(cell["status"] == "done" for cell in record["cells"]), record["cells"]
    (group,) = record["comparison"]["groups"]
    assert group["window"] == "whole" and {row["name"] for row in group["systems"]} >= set(changes["systems"])
    assert len([name for name in stages(tmp_path) if name.startswith("hypotheses")]) == 3
    assert record["utterances"] and set(record["utterances"][0]["hypotheses"]) == {"target-synthetic", "syn2real"}
    assert record["data"]["licences"][0] == f"{small_ctc().name}: not stated"
    page = render_grid(record, {})
    assert "All systems, clips as long as they are" in page and "short windows" not in page


class TestEverySystem:
    @pytest.fixture(scope="class")
    def ran(self, manifest, terse_whisper, tmp_path_factory):
        place = tmp_path_factory.mktemp("grid")
        whole = recipe(
            manifest,
            terse_whisper,
            folds=[["a", "b"], ["c", "d"]],
            targets=["a", "b"],
            systems=SYSTEMS,
            vectors=["domain", "engine", "half"],
            transfer=True,
            evaluation={"draws": 100, "full_window": ["syn2real"], "elsewhere": 2},
        )
        planned = Grid(whole, Workspace(place / "stages", dry=True))
        planned.run()
        vectors_record(planned)
        transfer_record(planned)
        return place, whole, planned.workspace.planned, *run(whole, place)

    def test_every_system_is_heard_on_every_target(self, ran):
        record = ran[4]
        assert all(cell["status"] == "done" for cell in record["cells"]), record["cells"]
        (table,) = [group for group in record["comparison"]["groups"] if group["window"] == "short"]
        heard = {system["name"]: system for system in table["systems"]}
        assert {name for name in heard if uninformed(name) == name} == set(SYSTEMS)
        informed = set(heard) - set(SYSTEMS)
        assert {f"{name} ({by})" for name in ("syn2real", "average") for by in ("oracle", "labelled")} <= informed
        assert all(system["cells"] == 2 and system["words"] == heard["zero-shot"]["words"] for system in heard.values())
        away = [system["elsewhere"] for name, system in heard.items() if "labelled" not in name]
        assert all(found["wer"] == pytest.approx(found["errors"] / found["words"]) for found in away)

    @pytest.mark.parametrize("system", SYSTEMS)
    def test_which_systems_make_the_vector_of_all_sources(self, manifest, terse_whisper, tmp_path, system):
        two = {"engines": {"espeak": 1, "pico": 1}, "target_renditions": 1}
        folds = [["a", "b"], ["c", "d"]]
        one = recipe(manifest, terse_whisper, folds=folds, targets=["a"], systems=[system], synthesis=two)
        grid = Grid(one, Workspace(tmp_path / "stages", dry=True))
        grid.run()
        before = len(grid.workspace.planned)
        grid.workshop(next(grid.conditions())).vector(["c", "d"])
        assert (len(grid.workspace.planned) == before) == (system in VECTORED)

    def test_a_dry_run_lists_what_is_made_and_makes_nothing(self, ran, manifest, tmp_path):
        place, whole, planned, _, _ = ran
        trained = [name for name in stages(place) if name.startswith("tuned")]
        listed = {f"tuned-{key[:12]}" for key, one in planned.items() if one.name == "tuned"}
        assert listed == set(trained)
        assert all(one.amount > 0 and one.seconds > 0 and not one.done for one in planned.values())
        again = Grid(whole, Workspace(place / "stages", dry=True))
        again.run()
        assert all(one.done for one in again.workspace.planned.values() if one.name == "tuned")
        nothing = Grid(whole, Workspace(tmp_path / "stages", dry=True))
        nothing.run()
        assert not (tmp_path / "stages").exists()

    def test_a_fold_shares_its_vector_and_chooses_for_each_other(self, ran):
        record = ran[4]
        chosen = {row["target"]: row for row in record["lambdas"] if row["system"] == "syn2real"}
        assert chosen["a"]["names"] == ["b"] and chosen["b"]["names"] == ["a"]
        assert ran[3].roles.fold("a").sources == ran[3].roles.fold("b").sources == ("c", "d")

    def test_choices_are_those_of_the_curves(self, ran):
        for row in ran[4]["lambdas"]:
            if row["groups"] is None and row["sum"] is None:
                assert row["chosen"] == min(row["curve"], key=lambda p: (p["errors"], abs(p["scale"])))["scale"]
            least = min(point["errors"] for point in row["target_curve"])
            assert next(p["errors"] for p in row["target_curve"] if p["scale"] == row["oracle"]) == least

    def test_the_best_sum_is_that_of_the_curves_and_heard_as_such(self, ran):
        record = ran[4]
        (short,) = [group for group in record["comparison"]["groups"] if group["window"] == "short"]
        heard = {row["name"]: {part["target"]: part for part in row["domains"]} for row in short["systems"]}
        for best in (row for row in record["lambdas"] if row["system"] == "best-sum"):
            rows = {row["system"]: row for row in record["lambdas"] if row["target"] == best["target"]}
            curves = {way: [CurvePoint(**point) for point in rows[way]["curve"]] for way in SUMS}
            assert (best["sum"], best["chosen"]) == likely_sum(curves)
            assert best["curve"] == rows[best["sum"]]["curve"]
            assert best["target_curve"] == rows[best["sum"]]["target_curve"]
            at = next(point for point in best["target_curve"] if point["scale"] == best["chosen"])
            assert heard["best-sum"][best["target"]]["wer"] == pytest.approx(at["errors"] / at["words"])
        assert not {"best-sum (oracle)", "best-sum (labelled)"} & set(heard)

    def test_vectors_and_transfer(self, ran):
        vectors, transfer = ran[4]["vectors"], ran[4]["transfer"]
        assert vectors["names"] == [*(f"domain {name}" for name in DOMAINS), "engine espeak", "half 0", "half 1"]
        assert all(row[place] == pytest.approx(1) for place, row in enumerate(vectors["cosine"]))
        assert set(vectors["groups"]) >= {"encoder", "decoder"} and all(norm > 0 for norm in vectors["norms"])
        assert transfer["rows"] == list(DOMAINS) and transfer["columns"] == ["a", "b"]
        assert transfer["wer"][0][0] is None and transfer["wer"][1][0] is not None

    def test_running_again_makes_nothing_new(self, ran):
        place, whole, _, _, record = ran
        before = stages(place)
        _, again = run(whole, place)
        assert stages(place) == before
        assert again == record

    def test_a_blend_heard_in_memory_is_the_one_that_is_written(self, ran):
        import torch
        from safetensors.torch import load_file

        _, _, _, grid, _ = ran
        workshop = grid.workshop(next(grid.conditions()))
        blend = workshop.blend("syn2real", "a", ("c", "d"))
        written = load_file(workshop.pipeline.write(blend, 0.7).directory / "model.safetensors")
        read = workshop.pipeline._shifted(blend.anchor, blend.difference, 0.7)
        assert all(torch.equal(read(name), tensor) for name, tensor in written.items())


def test_each_layer_has_its_lambda(manifest, terse_whisper, tmp_path, monkeypatch):
    by = {"grid": [0, 1], "groups": "layers", "group_factors": [0.5]}
    grid = Grid(recipe(manifest, terse_whisper, systems=["syn2real-groups"], **{"lambda": by}), Workspace(tmp_path))

    def errors(scale):  # the first layer of the encoder wants less, the last of the decoder does not
        if isinstance(scale, int | float):
            return (10 - round(scale), 20)
        return (9 - (scale["model.encoder.layers.0."] == 0.5) + (scale["model.decoder.layers.1."] == 0.5), 20)

    monkeypatch.setattr(grid, "_trials", lambda *_: ((), ""))
    monkeypatch.setattr(grid, "_errors", lambda *_: errors)
    workshop = grid.workshop(next(grid.conditions()))
    found = grid._choice(workshop, grid.roles.fold("a", None, 0), "syn2real-groups", workshop.blend).scale
    stacks = ("encoder", "decoder")
    assert list(found) == [*(f"model.{s}.layers.{i}." for s in sorted(stacks) for i in range(2)), "other"]
    assert scale_of(found, "model.encoder.layers.0.fc1.weight") == 0.5
    assert {scale_of(found, f"model.{s}.layers.1.fc1.weight") for s in stacks} == {1.0}
    assert scale_of(found, "model.decoder.embed_tokens.weight") == 1.0


def test_groups_are_filters_too():
    scale = {"decoder.layers.1.": 0.5, "*.layers.*": 0.7, "/bias$/": 0.2, "other": 1.0}
    names = ("model.decoder.layers.1.fc1.bias", "model.decoder.layers.11.fc1.bias", "conv.bias", "conv.weight")
    assert [scale_of(scale, name) for name in names] == [0.5, 0.7, 0.2, 1.0]


def test_the_lambda_that_groups_begin_with_is_said(manifest, terse_whisper, tmp_path, monkeypatch):
    grid = Grid(recipe(manifest, terse_whisper, systems=["syn2real-groups"]), Workspace(tmp_path))
    falling = {0: (10, 20), 1: (5, 20)}
    monkeypatch.setattr(grid, "_trials", lambda *_: ((), ""))
    monkeypatch.setattr(grid, "_errors", lambda *_: lambda scale: falling.get(scale if scale in (0, 1) else 2, (4, 20)))
    said = []
    monkeypatch.setattr("syn2real.experiments.grid.say", said.append)
    workshop = grid.workshop(next(grid.conditions()))
    choice = grid._choice(workshop, grid.roles.fold("a", None, 0), "syn2real-groups", workshop.blend)
    assert choice.number is None
    assert said == ["a, syn2real-groups: λ = 1; it is the largest tried: widen `lambda.grid`"]


class TestProtocol:
    def test_tested_sentences_are_in_no_training(self, manifest, terse_whisper, tmp_path):
        rows = list(Corpus.load(manifest))
        tested = next(u for u in rows if u.extra["split"] == "test" and u.domain == "a")
        # One training clip of the target and one of a source say what is tested.
        for domain in ("a", "b"):
            place = next(i for i, u in enumerate(rows) if u.extra["split"] == "train" and u.domain == domain)
            rows[place] = replace(rows[place], text=f"{tested.text.upper()}!")
        path = manifest.parent / "doubled.jsonl"
        Corpus.of(rows).save(path)
        roles = Grid(recipe(path, terse_whisper), Workspace(tmp_path)).roles
        assert roles.removed("a") == 1 and len(roles.text("a")) == 1
        assert len(roles.train("b")) == 1 and len(roles.train("c")) == 2
        kept = Grid(recipe(path, terse_whisper, keep_duplicates=True), Workspace(tmp_path)).roles
        assert kept.removed("a") == 0 and len(kept.train("b")) == 1
        assert roles.tested("a") == 0 and kept.tested("a") == 1 and kept.tested("c") == 0

    def test_random_sources(self, manifest, terse_whisper, tmp_path):
        wanted = {"count": [1, 2], "draws": 2}
        by = {"by": "source-dev", "grid": [0, 1]}  # a single source domain has no other to take turns with
        whole = recipe(manifest, terse_whisper, targets=["a"], sources=wanted, **{"lambda": by})
        grid = Grid(whole, Workspace(tmp_path))
        conditions = list(grid.conditions())
        assert [(c.sources, c.draw, c.repetition) for c in conditions] == [(1, 0, 0), (1, 1, 1), (2, 0, 0), (2, 1, 1)]
        folds = [grid.roles.fold("a", c.sources, c.draw) for c in conditions]
        assert [len(fold.sources) for fold in folds] == [1, 1, 2, 2] and all("a" not in f.sources for f in folds)
        assert folds == [grid.roles.fold("a", c.sources, c.draw) for c in conditions]

    def test_balanced_and_limited_sources(self, manifest, terse_whisper, tmp_path):
        grid = Grid(recipe(manifest, terse_whisper, sources={"balanced": True, "limit": 3}), Workspace(tmp_path))
        assert sorted(u.domain for u in grid.roles.source(("b", "c", "d"))) == ["b", "c", "d"]

    @pytest.mark.parametrize(
        "changes, words",
        [
            ({"selection": "target-dev"}, "allow_leak"),
            ({"targets": ["e"]}, "no domain 'e'"),
            ({"folds": [["a", "b"], ["b", "c"]]}, "one fold only"),
            ({"lambda": {"grid": [1]}}, "must contain 0"),
            ({"lambda": {"by": "fixed"}}, "fixed"),
            ({"lambda": {"groups": ["encodr"]}}, "unknown group"),
            ({"sources": {"count": [4]}}, "4 domains wanted"),
            ({"systems": ["syn2reel"]}, "systems"),
            ({"synthesis": {"voices": ["espeak:en"]}, "vectors": ["engine"]}, "engines cannot be compared"),
            ({"systems": ["zero-shot", "zero-shot"]}, "systems: 'zero-shot' is named twice"),
            ({"systems": []}, "systems: "),
            ({"seeds": [0, 0]}, "seeds: 0 is named twice"),
            ({"sources": {"count": [2, 2]}}, "sources.count: 2 is named twice"),
            ({"lambda": {"by": "fixed", "fixed": 1}, "systems": ["syn2real-groups"]}, "rules out"),
            ({"lambda": {"by": "fixed", "fixed": 1}, "systems": ["best-sum"]}, "best-sum searches"),
            ({"sources": {"count": [1]}}, "no proxy is left"),
            ({"vectors": ["dialect"]}, "no line of .* has a field 'dialect'"),
            ({"evaluation": {"elsewhere": 1}}, "at least 2 clips"),
            ({"language": "es"}, "English-only model cannot take language 'es'"),
            (
                {"corpus": {"test": {"split": "tset"}}},
                r"corpus.test: no line has the split 'tset' \(did you mean 'test'",
            ),
            (
                {"corpus": {"train": {"splt": "train"}}},
                r"corpus.train: no line has a field 'splt' \(did you mean 'split'",
            ),
            ({"corpus": {"dev": {"split": "dev", "half": "2"}}}, r"corpus.dev: no line has the half '2' \(.*0, 1\)"),
            ({"corpus": {"test": {"source": "synthetic"}}}, "no line has the source 'synthetic'"),
            ({"corpus": {}}, r"has no text that is not tested: every line is; say .* corpus.test: {split: test}"),
        ],
    )
    def test_a_recipe_that_cannot_be(self, manifest, terse_whisper, tmp_path, changes, words):
        if "corpus" in changes:
            changes = {"corpus": {"manifest": manifest} | changes["corpus"]}
        with pytest.raises(UserError, match=words):
            Grid(recipe(manifest, terse_whisper, **changes), Workspace(tmp_path))

    def test_a_corpus_without_domains(self, manifest, terse_whisper, tmp_path):
        plain = manifest.with_name("plain.jsonl")
        Corpus.of(replace(utterance, domain=None) for utterance in Corpus.load(manifest)).save(plain)
        with pytest.raises(UserError, match=r"plain\.jsonl: no line has a `domain`"):
            Grid(recipe(plain, terse_whisper), Workspace(tmp_path))

    def test_repetitions_are_named_by_their_seeds(self, manifest, terse_whisper, tmp_path):
        for draws, wanted in ((1, [42, 7]), (2, [0, 1, 2, 3])):
            given = recipe(manifest, terse_whisper, seeds=[42, 7], sources={"count": [2], "draws": draws})
            found = [condition.repetition for condition in Grid(given, Workspace(tmp_path)).conditions()]
            assert found == wanted

    @pytest.mark.parametrize("changes", [{"selection": "source-dev"}, {"lambda": {"by": "source-dev"}}])
    def test_what_trained_a_model_does_not_judge_it(self, manifest, terse_whisper, tmp_path, changes):
        corpus = {"manifest": manifest, "train": {"split": "train"}, "test": {"split": "test"}}
        with pytest.raises(UserError, match=r"corpus\.dev"):
            recipe(manifest, terse_whisper, corpus=corpus, **changes)

    def test_domains_that_lack_a_role_are_not_given_it(self, manifest, terse_whisper, tmp_path):
        rows = list(Corpus.load(manifest))
        tested = next(u for u in rows if u.extra["split"] == "test" and u.domain == "a")
        rows = [u for u in rows if (u.domain, u.extra["split"]) != ("b", "dev")]
        rows = [replace(u, text=tested.text) if (u.domain, u.extra["split"]) == ("c", "train") else u for u in rows]
        path = manifest.parent / "lacking.jsonl"
        Corpus.of(rows).save(path)
        roles = Grid(recipe(path, terse_whisper, targets=["a"]), Workspace(tmp_path)).roles
        assert roles.fold("a").sources == ("b", "d") and roles.fold("a").proxies == ("d",)
        assert {u.domain for u in roles.source_dev(("b", "d"))} == {"d"}
        with pytest.raises(UserError, match="no proxy is left"):
            Grid(recipe(path, terse_whisper, targets=["a"], folds=[["a", "b"]]), Workspace(tmp_path))

    def test_the_few_that_may_be_proxies_are_those_with_the_most_recordings(self, manifest, terse_whisper, tmp_path):
        rows = list(Corpus.load(manifest))
        least = {name: next(u.id for u in rows if (u.domain, u.extra["split"]) == (name, "dev")) for name in "bc"}
        path = manifest.parent / "uneven.jsonl"
        Corpus.of(u for u in rows if u.id not in least.values()).save(path)
        for count, wanted in ((1, ("d",)), (2, ("b", "d")), (3, ("b", "c", "d"))):
            given = recipe(path, terse_whisper, targets=["a"], **{"lambda": {"grid": [0, 1], "proxies": count}})
            assert Grid(given, Workspace(tmp_path)).roles.fold("a").proxies == wanted

    def test_groups_are_searched_on_what_chose_the_whole(self, manifest, terse_whisper, tmp_path):
        by = {"by": "source-dev", "grid": [0, 1], "groups": ["encoder"], "group_factors": [2]}
        whole = recipe(manifest, terse_whisper, targets=["a"], systems=["syn2real-groups"], **{"lambda": by})
        grid = Grid(whole, Workspace(tmp_path / "stages", dry=True))
        grid.run()
        heard = [one.title for one in grid.workspace.planned.values() if one.name == "hypotheses"]
        assert any("λ by group" in title for title in heard)
        assert all("source dev for a" in title for title in heard if "λ by group" in title)
        assert not any("proxies" in title for title in heard)

    def test_a_leak_is_marked(self, manifest, terse_whisper, tmp_path):
        systems = ["target-synthetic"]
        leaking = recipe(
            manifest, terse_whisper, targets=["a"], systems=systems, selection="target-dev", allow_leak=True
        )
        assert "target-dev" in leaking.leaks[0]
        _, record = run(leaking, tmp_path)
        assert record["leaks"] == leaking.leaks

    @pytest.mark.parametrize("elsewhere", [0, 100])
    def test_one_cell_that_fails_stops_no_other(self, manifest, terse_whisper, tmp_path, elsewhere):
        """Not even where recordings of one target are those that show what others have forgotten."""
        evaluation = {"draws": 100, "full_window": [], "elsewhere": elsewhere}
        systems = ["target-synthetic", "source-real"]
        whole = recipe(manifest, terse_whisper, targets=["a", "b"], systems=systems, evaluation=evaluation)
        grid = Grid(whole, Workspace(tmp_path / "stages"))
        broken = next(u for u in grid.roles.test("a"))
        sound = broken.audio_filepath.read_bytes()
        try:
            broken.audio_filepath.write_bytes(sound[: len(sound) // 2])
            outcome = grid.run()
        finally:
            broken.audio_filepath.write_bytes(sound)
        b = "failed" if elsewhere else "done"
        assert [(cell.target, cell.status) for cell in outcome.cells] == [("a", "failed"), ("b", b)]
        assert [(heard.target, heard.system, heard.elsewhere) for heard in outcome.heard] == [
            ("b", system, None) for system in systems
        ]
        for cell in outcome.failed:
            assert broken.audio_filepath.name in cell.error
        if elsewhere:  # said once, and not of every system
            assert cell.error.startswith("other domains: ") and cell.error.count(broken.audio_filepath.name) == 1
        assert all(cell.status == "done" for cell in Grid(grid.recipe, grid.workspace).run().cells)

    def test_one_system_that_fails_stops_no_other(self, manifest, terse_whisper, tmp_path):
        lora = {"targets": ["no such layer"]}
        whole = recipe(manifest, terse_whisper, targets=["a"], systems=["syn2real-lora", "target-synthetic"], lora=lora)
        grid = Grid(whole, Workspace(tmp_path / "stages"))
        outcome = grid.run()
        (cell,) = outcome.failed
        assert cell.error.startswith("syn2real-lora: ") and "no such layer" in cell.error
        assert [heard.system for heard in outcome.heard] == ["target-synthetic"]
        data = grid_record(grid, outcome)["data"]
        assert list(data["targets"]) == ["a"] and data["voices"] and data["source_clips"] == 0

    def test_a_name_that_is_none_is_found_before_anything_is_made(self, manifest, terse_whisper, tmp_path, capsys):
        broken = recipe(manifest, terse_whisper, systems=["target-synthetic-augmented"], augmentation="brod")
        with pytest.raises(UserError, match="broad"):
            Grid(broken, Workspace(tmp_path / "stages"))
        Grid(recipe(manifest, terse_whisper, training_of={"whisper-tyni": {"epochs": 2}}), Workspace(tmp_path / "s"))
        assert "whisper-tyni" in capsys.readouterr().err

    def test_a_plan_knows_slow_engines(self):
        slow, fast = SynthesisRecipe(engines={"bark": 1, "espeak": 1}), SynthesisRecipe(voices=["espeak:en-US"])
        assert effort_of(slow) == pytest.approx(30, rel=0.01)
        assert effort_of(fast) == effort_of(SynthesisRecipe(engines={"espeak": 3})) < 0.1

    def test_ways_of_speaking_differ_in_what_they_say_and_in_nothing_else(self, manifest, terse_whisper, tmp_path):
        ways = {"once": {}, "twice": {"target_renditions": 2}, "one voice": {"voices": ["espeak:en-US"]}}
        whole = recipe(manifest, terse_whisper, targets=["a"], systems=["target-synthetic"], syntheses=ways)
        grid = Grid(whole, Workspace(tmp_path / "stages"))
        spoken = {c.engines: grid.workshop(c).target_speech("a") for c in grid.conditions()}
        assert list(spoken) == list(ways)
        assert spoken["twice"].count == 2 * spoken["once"].count
        assert {u.voice for u in spoken["one voice"].load()} == {"en-US"}
        plain = Grid(recipe(manifest, terse_whisper, targets=["a"]), Workspace(tmp_path / "stages"))
        assert plain.workshop(next(plain.conditions())).target_speech("a").key == spoken["once"].key

    @pytest.mark.parametrize(
        ("given", "words"),
        [({"a": {"rendition": 2}}, "rendition"), ({"a": {"voices": ["espeak:en-US"]}, "b": {"engines": {}}}, "engine")],
    )
    def test_a_way_of_speaking_that_is_none_is_refused(self, manifest, terse_whisper, tmp_path, given, words):
        with pytest.raises(UserError, match=words):
            Grid(recipe(manifest, terse_whisper, syntheses=given), Workspace(tmp_path / "stages"))

    def test_adapters_learn_at_a_rate_of_their_own(self, manifest, terse_whisper, tmp_path):
        grid = Grid(recipe(manifest, terse_whisper, lora={"rank": 2, "rate": 5}), Workspace(tmp_path / "stages"))
        training = grid.workshop(next(grid.conditions())).by_adapters().training
        assert training.learning_rate == pytest.approx(0.05)
        assert training.lora == LoraRecipe(rank=2)

    def test_what_fails_after_the_cells_loses_nothing(self, manifest, terse_whisper, tmp_path, monkeypatch):
        """A target whose recordings are gone, and an analysis that comes to no end."""
        copied = tmp_path / "corpus"
        shutil.copytree(manifest.parent, copied)
        changes = {"targets": ["a", "b"], "systems": ["zero-shot", "target-synthetic"], "vectors": ["domain"]}
        whole = recipe(copied / "manifest.jsonl", terse_whisper, **changes)
        for utterance in Corpus.load(copied / "manifest.jsonl"):
            if (utterance.domain, utterance.extra["split"]) in (("a", "test"), ("c", "train")):
                utterance.audio_filepath.unlink()
        _, record = run(whole, tmp_path)
        failed = [cell["target"] for cell in record["cells"] if cell["status"] == "failed"]
        assert failed == ["a", "analysis: vectors"] and record["vectors"] is None
        assert list(record["data"]["targets"]) == ["b"] and record["comparison"]["groups"][0]["targets"] == ["b"]


class Watch:
    """Every file under watch that any process opens, as the kernel tells it (Linux's inotify)."""

    OPENED = 0x20

    def __init__(self, files: list[Path]) -> None:
        self.libc = ctypes.CDLL(None, use_errno=True)
        self.descriptor = self.libc.inotify_init1(os.O_NONBLOCK)
        self.files = {self.libc.inotify_add_watch(self.descriptor, bytes(f), self.OPENED): f for f in files}
        assert -1 not in self.files

    def opened(self) -> set[Path]:
        found = set()
        try:
            while events := os.read(self.descriptor, 1 << 16):
                for start in range(0, len(events), 16):
                    found.add(self.files[struct.unpack_from("iIII", events, start)[0]])
        except BlockingIOError:
            return found
        return found


@pytest.mark.skipif(not hasattr(ctypes.CDLL(None), "inotify_init1"), reason="needs Linux's inotify")
class TestLeak:
    def private(self, manifest: Path) -> list[Path]:
        """The target's real recordings that a domain known by its text does not have."""
        return [u.audio_filepath for u in Corpus.load(manifest) if u.domain == "a" and u.extra["split"] != "test"]

    @pytest.mark.parametrize(
        "changes",
        [
            {"folds": [["a", "b"], ["c", "d"]], "systems": [name for name in SYSTEMS if name != "target-real"]},
            {"systems": LEAST, "evaluation": {"draws": 100, "elsewhere": 2}, "lambda": {"grid": [0, 1], "proxies": 1}},
            {"systems": LEAST, "selection": "source-dev", "lambda": {"by": "source-dev", "grid": [0, 1]}},
        ],
        ids=["folds", "one domain left out", "source dev"],
    )
    def test_no_stage_opens_real_speech_of_the_target(self, manifest, terse_whisper, tmp_path, changes):
        whole = recipe(manifest, terse_whisper, targets=["a"], **changes)
        watch = Watch(self.private(manifest))
        run(whole, tmp_path)
        assert watch.opened() == set()

    @pytest.mark.parametrize(
        "name", ["model_sizes", "number_of_sources", "slurp_paper", "slurp_small_gpu", "speechocean762_full"]
    )
    def test_nor_does_a_recipe_that_ships(self, name, manifest, terse_whisper, tmp_path):
        """As it is, but for the model, the corpus and the amounts; without the topline, which is real speech of the
        target, and vectors of every domain."""
        shipped = load_study(RECIPES / f"{name}.yaml", absent=True)
        changes = {"corpus.manifest": manifest, "models": [str(terse_whisper)], "targets": ["a"], "engines": {}}
        changes |= {"training_of": {}, "training.epochs": 1, "synthesis.engines": {"espeak": 1}}
        changes |= {"synthesis.target_renditions": 1, "lambda.grid": [0, 1], "vectors": [], "transfer": False}
        changes |= {"evaluation.draws": 100, "systems": [one for one in shipped.systems if one != "target-real"]}
        changes |= {"folds": [["a", "b"], ["c", "d"]]} if shipped.folds else {}
        changes |= {"sources.count": [2]} if shipped.sources.count else {}
        changes |= {"evaluation.elsewhere": 2} if shipped.evaluation.elsewhere else {}
        watch = Watch(self.private(manifest))
        given = {key: json.dumps(value, default=str) for key, value in changes.items()}
        _, record = run(load_study(RECIPES / f"{name}.yaml", given), tmp_path)
        assert {cell["status"] for cell in record["cells"]} == {"done"}
        assert watch.opened() == set()

    @pytest.mark.parametrize(
        "changes",
        [
            {"systems": ["target-real"]},
            {"selection": "target-dev", "allow_leak": True, "systems": ["target-synthetic"]},
        ],
    )
    def test_the_watch_sees_what_does(self, manifest, terse_whisper, tmp_path, changes):
        whole = recipe(manifest, terse_whisper, targets=["a"], **changes)
        watch = Watch(self.private(manifest))
        Grid(whole, Workspace(tmp_path / "stages")).run()
        assert watch.opened()


def test_files_of_a_stage_do_not_depend_on_the_role(manifest, terse_whisper, tmp_path):
    """What the source model of one cell is, the domain's own model in another is: one stage, one set of bytes."""
    one = recipe(
        manifest, terse_whisper, targets=["a"], sources={"domains": ["b"]}, **{"lambda": {"by": "fixed", "fixed": 1}}
    )
    grid = Grid(one, Workspace(tmp_path / "stages"))
    workshop = grid.workshop(next(grid.conditions()))
    pooled, alone = workshop.source_real(("b",)), workshop.vector_on(grid.roles.train("b"), "b").terms[0][1]
    assert pooled == alone and sha256_file(pooled.directory / "model.safetensors")
