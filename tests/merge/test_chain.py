"""Files with several merges."""

import json

import pytest
import torch

from syn2real.errors import UserError
from syn2real.merge import Checkpoint, write
from syn2real.merge.chain import load_chain, make_stages
from syn2real.merge.plan import plan_recipe
from syn2real.merge.recipe import load_recipe

RECIPES = """
name: outer
merge_method: slerp
base_model: inner
models: [{model: c}]
parameters: {t: 0.25}
---
name: inner
method: linear
models: [a, b]
---
method: task_arithmetic
base: base
models: [{model: outer, weight: 0.5}, {model: a, weight: 2}]
"""


@pytest.fixture
def file(make, tmp_path):
    for seed, name in enumerate(("base", "a", "b", "c")):
        make(name, seed)
    (tmp_path / "several.yaml").write_text(RECIPES)
    return tmp_path / "several.yaml"


def made(file, name="out", **overrides):
    chain, folder = load_chain(file, overrides), file.parent / "stages"
    written = []

    def writing(plan, output, **how):
        written.append(output.name)
        write(plan, output, **how)

    make_stages(chain, folder, writing=writing)
    return write(plan_recipe(chain.placed(chain.result, folder)), file.parent / name), written


def test_results_are_models_of_others(file, tmp_path):
    out, written = made(file)
    assert written == ["inner", "outer"]
    assert json.loads((out / "merge.json").read_text())["recipe"]["allow_dtypes"]  # of stages wider than other models
    name = "model.layers.0.fc1.weight"
    base, a, b, c = (Checkpoint.open(tmp_path / model).read(name).double() for model in ("base", "a", "b", "c"))
    inner = ((a + b) / 2).float().double()
    angle = torch.arccos((inner * c).sum() / inner.norm() / c.norm())
    outer = (torch.sin(0.75 * angle) * inner + torch.sin(0.25 * angle) * c) / torch.sin(angle)
    torch.testing.assert_close(
        Checkpoint.open(out).read(name).double(), base + 0.5 * (outer - base) + 2 * (a - base), rtol=1e-5, atol=1e-6
    )
    record = json.loads((out / "merge.json").read_text())
    assert "../stages/outer" in [entry["path"] for entry in record["inputs"]]


def test_only_what_changed_is_made_again(file, make, tmp_path):
    made(file)
    assert made(file, "again")[1] == []
    assert (tmp_path / "again/model.safetensors").read_bytes() == (tmp_path / "out/model.safetensors").read_bytes()
    assert made(file, "other", **{"outer.parameters.t": "0.5"})[1] == ["outer"]
    assert made(file, "third", **{"outer.parameters.t": "0.5", "models.1.weight": "1"})[1] == []
    (tmp_path / "a/model.safetensors").write_bytes((tmp_path / "b/model.safetensors").read_bytes())
    assert made(file, "fourth", **{"outer.parameters.t": "0.5"})[1] == ["inner", "outer"]


def test_what_no_merge_made_is_not_overwritten(file, tmp_path):
    (tmp_path / "stages/inner").mkdir(parents=True)
    (tmp_path / "stages/inner/mine").write_text("kept")
    with pytest.raises(UserError, match="inner: already exists"):
        made(file)
    assert (tmp_path / "stages/inner/mine").read_text() == "kept"


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (("name: inner", "name: a/b"), r":8: name: 'a/b' is none for a folder"),
        (("name: inner", "name: outer"), r":8: name: 'outer' is another merge's"),
        (("name: inner\n", ""), r":11: a second merge without a name; name all but one"),
        (("models: [a, b]", "models: [outer, b]"), r"several\.yaml: these merges wait for each other: .*outer"),
        (("method: linear", "method: linear\nmodls: [a]"), r":10: unknown key 'modls'"),
        (("merge_method: slerp", "merge_method: slurp"), r":3: mergekit's 'slurp' is not supported"),
    ],
)
def test_mistakes_are_pointed_at(file, change, words):
    file.write_text(RECIPES.replace(*change))
    with pytest.raises(UserError, match=words):
        load_chain(file)


def test_where_all_have_names_the_last_is_the_result(file):
    file.write_text(RECIPES.replace("method: task_arithmetic", "name: last\nmethod: task_arithmetic"))
    chain = load_chain(file)
    assert list(chain.stages) == ["inner", "outer"] and chain.result.method == "task_arithmetic"


def test_one_recipe_is_a_chain_without_stages(file):
    file.write_text(RECIPES.split("---")[1].replace("name: inner\n", ""))
    assert load_chain(file, {"models.1": "c"}).result == load_recipe(file, {"models.1": "c"})
    assert not load_chain(file).stages


def test_elsewhere_several_documents_are_refused(file):
    with pytest.raises(UserError, match=r"several\.yaml:8: a second document begins here; only `merge` takes several"):
        load_recipe(file)


def test_stages_may_be_wider_than_other_models(make, tmp_path):
    for seed, name in enumerate(("base", "a")):
        make(name, seed, torch.float16)
    inner = "name: inner\nmethod: linear\nmodels: [a]\nout_dtype: float32\n"
    (tmp_path / "several.yaml").write_text(f"{inner}---\nmethod: linear\nmodels: [base, inner]\n")
    out, _ = made(tmp_path / "several.yaml")
    assert {info.dtype for info in Checkpoint.open(out).infos.values() if info.is_float} == {torch.float16}
