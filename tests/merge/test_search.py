"""Searching coefficients: the best is found, kept and not searched for twice."""

import json
import shutil
from pathlib import Path

import pytest

from syn2real.errors import UserError
from syn2real.merge import Checkpoint
from syn2real.merge.proposals import Span
from syn2real.merge.recipe import parse_recipe
from syn2real.merge.score import command_score
from syn2real.merge.search import search, with_values
from syn2real.sealing import Busy, Unwritable

NAME = "model.layers.0.fc1.weight"


@pytest.fixture
def problem(make):
    """Interpolating a and b, where 0.3 is best."""
    a, b = make("a", 1), make("b", 2)
    first, second = Checkpoint.open(a), Checkpoint.open(b)
    best = first.read(NAME) * 0.7 + second.read(NAME) * 0.3
    recipe = parse_recipe(method="prepost", base=str(a), models=[{"model": str(b)}], parameters={"scale": 0.5})

    def score(model: Path) -> float:
        return float((Checkpoint.open(model).read(NAME) - best).square().sum())

    return recipe, score


def require(sampler):
    if sampler != "grid":
        pytest.importorskip("optuna")
        pytest.importorskip("cmaes")


@pytest.mark.parametrize("sampler", ["grid", "tpe", "cmaes"])
def test_the_best_is_found_and_written(problem, tmp_path, sampler):
    require(sampler)
    recipe, score = problem
    spans = [Span.parse("parameters.scale=0:1:11")]
    trials = search(recipe, spans, score, tmp_path / "search", sampler=sampler, trials=25)
    best = min(trials, key=lambda trial: trial.score)
    assert len(trials) == (11 if sampler == "grid" else 25)
    assert abs(best.values["parameters.scale"] - 0.3) < (1e-9 if sampler == "grid" else 0.1)
    assert score(tmp_path / "search" / "model") == best.score
    assert len(json.loads((tmp_path / "search" / "trials.json").read_text())) == len(trials)
    assert not (tmp_path / "search" / ".trial").exists()


@pytest.mark.parametrize("sampler", ["grid", "tpe", "cmaes"])
def test_a_stopped_search_ends_as_if_it_had_not_been(problem, tmp_path, sampler):
    require(sampler)
    recipe, score = problem
    seen = []

    def interrupted(model: Path) -> float:
        seen.append(model)
        if len(seen) in (4, 8):
            raise KeyboardInterrupt
        return score(model)

    spans = [Span.parse("parameters.scale=0:1:14")]
    for _ in range(2):
        with pytest.raises(KeyboardInterrupt):
            search(recipe, spans, interrupted, tmp_path / "search", trials=14, sampler=sampler)
    log = tmp_path / "search" / "trials.jsonl"
    log.write_text(log.read_text() + '{"number": 6, "val')  # as a kill may leave it
    trials = search(recipe, spans, interrupted, tmp_path / "search", trials=14, sampler=sampler)
    assert len(seen) == 14 + 2
    assert len({tuple(trial.values.values()) for trial in trials}) == 14
    assert trials == search(recipe, spans, interrupted, tmp_path / "whole", trials=14, sampler=sampler)
    for name in ("trials.json", "model/model.safetensors"):
        assert (tmp_path / "search" / name).read_bytes() == (tmp_path / "whole" / name).read_bytes()
    with pytest.raises(UserError, match="another search"):
        search(recipe, spans, interrupted, tmp_path / "search", sampler=sampler, seed=1)


def test_more_trials_are_added_to_those_of_before(problem, tmp_path):
    require("tpe")
    recipe, score = problem
    spans = [Span.parse("parameters.scale=0:1")]
    few = search(recipe, spans, score, tmp_path / "search", trials=3)
    assert search(recipe, spans, score, tmp_path / "search", trials=5)[:3] == few


def test_what_another_release_proposed_is_learnt_from(problem, tmp_path):
    require("tpe")
    recipe, score = problem
    spans, log = [Span.parse("parameters.scale=0:1")], tmp_path / "search" / "trials.jsonl"
    search(recipe, spans, score, tmp_path / "search", trials=2)
    rows = [json.loads(line) for line in log.read_text().splitlines() if line]
    rows[1]["values"]["parameters.scale"] = 0.3
    log.write_text("".join(json.dumps(row) + "\n" for row in rows))
    found = search(recipe, spans, score, tmp_path / "search", trials=4)
    assert len(found) == 4 and found[1].values == {"parameters.scale": 0.3}


def test_two_searches_do_not_share_an_output(problem, tmp_path):
    recipe, score = problem
    spans = [Span.parse("parameters.scale=0:1:2")]

    def meanwhile(model: Path) -> float:
        with pytest.raises(Busy, match="another process is writing it"):
            search(recipe, spans, meanwhile, tmp_path / "search", sampler="grid")
        return score(model)

    assert len(search(recipe, spans, meanwhile, tmp_path / "search", sampler="grid")) == 2


def test_failures_are_kept_in_the_table(problem, tmp_path):
    recipe, _ = problem
    command = command_score("test -d {model} && echo no && false")
    with pytest.raises(
        UserError, match=r"none of 2 trials could be scored, .*: the scoring command ended with status 1"
    ):
        search(recipe, [Span.parse("parameters.scale=0:1:2")], command, tmp_path / "search", sampler="grid")
    for bad in ("scale", "parameters.scale=1:0", "parameters.scale=a:b", "parameters.scale=0:1:1"):
        with pytest.raises(UserError, match="--range"):
            Span.parse(bad)
    with pytest.raises(UserError, match="no such key"):
        search(recipe, [Span("modles.0.weight", 0, 1)], command, tmp_path / "other")


def test_what_was_in_the_way_of_all_trials_may_be_mended(problem, tmp_path):
    recipe, _ = problem
    spans, command = [Span.parse("parameters.scale=0:1:2")], command_score(f"cat {tmp_path}/score # {{model}}")
    with pytest.raises(UserError, match=r"none of 2 trials could be scored, mend it and start again: .*No such file"):
        search(recipe, spans, command, tmp_path / "search", sampler="grid")
    assert len(json.loads((tmp_path / "search" / "trials.json").read_text())) == 2
    (tmp_path / "score").write_text("0.5")
    assert [trial.score for trial in search(recipe, spans, command, tmp_path / "search", sampler="grid")] == [0.5, 0.5]


def test_a_full_disk_is_no_trial(problem, tmp_path, monkeypatch):
    recipe, score = problem
    spans = [Span.parse("parameters.scale=0:1:3")]
    free = shutil.disk_usage(tmp_path)._replace(free=1)
    with monkeypatch.context() as full:
        full.setattr(shutil, "disk_usage", lambda _: free)
        with pytest.raises(Unwritable, match="no space left"):
            search(recipe, spans, score, tmp_path / "search", sampler="grid")
    assert None not in {trial.score for trial in search(recipe, spans, score, tmp_path / "search", sampler="grid")}


def test_what_a_command_prints(tmp_path):
    assert command_score("echo '{\"wer\": 0.25}' # {model}")(tmp_path) == 0.25
    assert command_score("echo errors 3 of 12, WER 25.0 # {model}")(tmp_path) == 25.0
    with pytest.raises(UserError, match="no number"):
        command_score("echo none # {model}")(tmp_path)
    with pytest.raises(UserError, match="model"):
        command_score("true")


@pytest.mark.parametrize(
    ("printed", "score"),
    [
        (".25", 0.25),
        ("wer = .179", 0.179),
        ("loss: -1e-3", -0.001),
        ("+2.E2", 200.0),
        ("WER 25.0 in 12s, by scorer-1.2.3", 25.0),
        ("between 0.1-0.2", 0.2),
        ('reading 3 files\n{\n  "loss": 2,\n  "files": {"read": 3}\n}\n', 2.0),
        ('{"files": 3}\n0.5', 0.5),
    ],
)
def test_numbers_in_what_a_command_prints(tmp_path, printed, score):
    (tmp_path / "printed").write_text(printed)
    assert command_score("cat {model}/printed")(tmp_path) == score


@pytest.mark.parametrize(
    ("printed", "words"),
    [
        ("epoch 3 loss nan", "printed 'epoch 3 loss nan', which compares with no other score"),
        ("3\n-Infinity", "'-Infinity', which compares with no other"),
        ('{"wer": null, "words": 0}', "printed 'wer: null', which is no number"),
        ('{"wer": "0.2", "loss": 0.1}', r"""'wer: "0.2"', which is no number"""),
        ('{"score": true}', "'score: true', which is no number"),
        ('{"wer": NaN}', "'wer: NaN', which compares with no other"),
        ('{"cer": 0.1, "seconds": 12}', "none of wer, score, loss, value"),
        ("information on model2", "'information on model2', which is no number"),
        ("", "printed '', which is no number"),
    ],
)
def test_what_is_no_score_is_said(tmp_path, printed, words):
    (tmp_path / "printed").write_text(printed)
    with pytest.raises(UserError, match=words) as caught:
        command_score("cat {model}/printed")(tmp_path)
    assert "\n" not in str(caught.value)


def test_scores_of_another_kind_are_not_those_of_this_search(problem, tmp_path):
    recipe, score = problem
    spans, output = [Span.parse("parameters.scale=0:1:2")], tmp_path / "search"
    command = "test -d {model} && echo "
    assert {t.score for t in search(recipe, spans, command_score(f"{command} 1"), output, sampler="grid")} == {1}
    assert {t.score for t in search(recipe, spans, command_score(f"{command} 1"), output, sampler="grid")} == {1}
    for other in (command_score(f"{command} 2"), score):
        with pytest.raises(UserError, match=r"another search \(with another score\); choose another --output"):
            search(recipe, spans, other, output, sampler="grid")
    with pytest.raises(UserError, match=r"with another maximize"):
        search(recipe, spans, command_score(f"{command} 1"), output, sampler="grid", maximize=True)


def test_keys_of_a_range_are_the_recipes():
    recipe = parse_recipe(
        method="ties",
        base="z",
        models=["a", {"model": "b", "lambda": 1, "density": {"mlp": 0.1, "*": 1.0}}],
        parameters={"lambda": 0.5},
    )
    changed = with_values(
        recipe,
        {
            "parameters.lambda": 2.0,  # `scale`, under its other name
            "parameters.density": 0.5,  # not written, but known to the method
            "models.0.weight": 3.0,  # as recipes write it
            "models.1.parameters.scale": 4.0,
            "models.1.density.mlp": 0.2,
        },
    )
    assert changed.parameters == {"scale": 2.0, "density": 0.5}
    assert [entry.parameters for entry in changed.models] == [
        {"weight": 3.0},
        {"scale": 4.0, "density": {"mlp": 0.2, "*": 1.0}},
    ]
    summed = parse_recipe(expression="T + lambda * R", models={"T": "t", "R": "r"}, parameters={"lambda": 1})
    for name in ("lambda", "scale"):
        assert with_values(summed, {f"parameters.{name}": 0.25}).parameters == {"scale": 0.25}


@pytest.mark.parametrize(
    ("key", "words"),
    [
        ("parameters.scael", r"no such key \(did you mean 'scale'\?\)"),
        ("parameters.wieght", r"no such key \(did you mean 'weight'\?\)"),
        ("models.0.wieght", "no such key"),
        ("models.1.weight", "no such key"),
        ("models.first.weight", "no such key"),
        ("parameters.scale.encodre", r"no such key \(did you mean 'encoder'\?\)"),
        ("parameters.density.mlp", "no such key"),
        ("method.name", "no such key"),
        ("sede", r"no such key \(did you mean 'seed'\?\)"),
    ],
)
def test_keys_that_a_recipe_has_not(key, words):
    recipe = parse_recipe(
        method="ties", base="z", models=["a"], parameters={"scale": {"encoder": 1, "*": 0.5}, "density": 0.5}
    )
    with pytest.raises(UserError, match=f"--range {key}: .*{words}"):
        with_values(recipe, {key: 1.0})


def test_a_folder_that_holds_something_else_is_left_alone(problem, tmp_path):
    recipe, score = problem
    (tmp_path / "adapted" / "model").mkdir(parents=True)
    (tmp_path / "adapted" / "model" / "notes.txt").write_text("precious")
    with pytest.raises(UserError, match="already exists"):
        search(recipe, [Span.parse("parameters.scale=0:1:2")], score, tmp_path / "adapted", sampler="grid")
    assert [path.name for path in (tmp_path / "adapted").rglob("*")] == ["model", "notes.txt"]


def test_scores_of_other_models_are_not_those_of_this_search(problem, make, tmp_path):
    recipe, score = problem
    spans, output = [Span.parse("parameters.scale=0:1:3")], tmp_path / "search"
    search(recipe, spans, score, output, sampler="grid")
    changed = Path(recipe.models[0].model) / "model.safetensors"
    changed.write_bytes((make("another", 3) / "model.safetensors").read_bytes())
    with pytest.raises(UserError, match=r"another search \(with another models\)"):
        search(recipe, spans, score, output, sampler="grid")


@pytest.mark.parametrize(
    ("printed", "score"),
    [
        (b"score \xe2\x88\x920.5", -0.5),
        (b"\x1b[1;32m0.25\x1b[0m", 0.25),
        (b"\xff 0.5", 0.5),
        (b"clips,wer\n12,0.375", 0.375),
        (b"perplexity 1,234.5", "without commas"),
        (b"1,234,567", "without commas"),
        (b'{"wer": 1' + b"0" * 400 + b"}", "no other score"),
        (b'{"a":' * 100_000, "no number"),
    ],
)
def test_what_else_a_command_may_print(tmp_path, printed, score):
    (tmp_path / "printed").write_bytes(printed)
    command = command_score("cat {model}/printed")
    if isinstance(score, float):
        assert command(tmp_path) == score
    else:
        with pytest.raises(UserError, match=score):
            command(tmp_path)


def test_a_failing_command_that_prints_no_utf_8(tmp_path):
    with pytest.raises(UserError, match="status 3: �"):
        command_score("printf '\\377' >&2; exit 3 # {model}")(tmp_path)


def test_a_grid_ends_at_its_bounds():
    assert Span.parse("parameters.scale=-0.3:0.1:3").grid == [-0.3, pytest.approx(-0.1), 0.1]
    with pytest.raises(UserError, match="too far apart"):
        Span.parse("parameters.scale=-1e308:1e308")


def test_places_are_counted_from_the_front(problem, tmp_path):
    recipe, score = problem
    with pytest.raises(UserError, match="no such key"):
        search(recipe, [Span.parse("models.-1.weight=0:1")], score, tmp_path / "search", sampler="grid")


def test_ranges_within_each_other_are_refused(problem, tmp_path):
    recipe, score = problem
    recipe = recipe.model_copy(update={"parameters": {"scale": {"mlp": 1, "*": 0.5}}})
    spans = [Span.parse("parameters.scale.mlp=0:1:3"), Span.parse("parameters.lambda=0:2:2")]
    for pair in (spans, spans[::-1]):
        with pytest.raises(UserError, match=r"is given already|no such key"):
            search(recipe, pair, score, tmp_path / "search", sampler="grid")


@pytest.mark.parametrize("again", ["parameters.scale=0:2:2", "parameters.lambda=0:2:2"])
def test_a_key_has_one_range(problem, tmp_path, again):
    recipe, score = problem
    spans = [Span.parse("parameters.scale=0:1:3"), Span.parse(again)]
    with pytest.raises(UserError, match=r"is given already, as parameters.scale"):
        search(recipe, spans, score, tmp_path / "search", sampler="grid")
    assert not (tmp_path / "search").exists()
