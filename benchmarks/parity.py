"""Every merge method beside mergekit's of the same name, element by element, on a small Llama of random weights.

    python -m benchmarks.parity --mergekit PATH/TO/mergekit-yaml
    python -m benchmarks.parity --mergekit PATH/TO/mergekit-yaml --write tests/merge/data/mergekit_parity.json

mergekit runs as a program of its own, in float32; ours computes in float64. The largest difference over all tensors is
printed for each case, with the reason where the two disagree. ``--write`` freezes what mergekit made of two tensors.
"""

import argparse
import json
import subprocess
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
import yaml
from safetensors.torch import load_file, save_file
from torch import Tensor

from benchmarks.llama import Llama
from syn2real.hashing import seed_from
from syn2real.merge import METHODS, Stack
from syn2real.merge.draws import words

MODEL = Llama(hidden=32, inner=48, layers=2, vocabulary=64, head=8, groups=1)
FROZEN = ("model.layers.0.self_attn.k_proj.weight", "model.norm.weight")  # 256 and 32 elements
TOLERANCE = 1e-6  # a few roundings of float32 at weights of about 0.1
WEIGHTS = {"a": 0.5, "b": 0.3, "c": 0.9}


@dataclass(frozen=True)
class Case:
    """One merge in both dialects. ``theirs`` and ``ours`` are parameters; ``per_model`` those of theirs for each."""

    method: str
    models: tuple[str, ...] = ("a", "b", "c")
    base: str | None = "base"
    theirs: Mapping[str, Any] = field(default_factory=dict)
    per_model: Mapping[str, float] = field(default_factory=dict)
    ours: Mapping[str, Any] = field(default_factory=dict)
    listed: bool = False  # whether mergekit wants the base among the models
    differs: str = ""  # why, where it is not meant to agree
    chance: bool = False  # whether only what is kept can be compared

    @property
    def weighted(self) -> bool:
        return "weight" in METHODS.get(self.method).parameters

    def recipe(self) -> dict[str, Any]:
        models = []
        for model in (self.base, *self.models) if self.listed else self.models:
            given = dict(self.per_model) | ({"weight": WEIGHTS[model]} if self.weighted and model in WEIGHTS else {})
            models.append({"model": f"./{model}", "parameters": given})
        recipe = {"merge_method": self.method, "dtype": "float32", "models": models, "parameters": dict(self.theirs)}
        return recipe | ({"base_model": f"./{self.base}"} if self.base else {})

    def merge(self, name: str) -> Tensor:
        """Our result for one tensor."""
        method = METHODS.get(self.method)
        base = None if self.base is None or method.base == "none" else tensor(self.base, name)
        stack = Stack.of([tensor(model, name) for model in self.models], base, name=name)
        weights = {"weight": [WEIGHTS[model] for model in self.models]} if self.weighted else {}
        return stack.collect(method(stack, **weights | self.ours))


PAIR = ("a", "b")
CASES = {
    "linear": Case("linear", base=None),
    "linear, sum": Case("linear", base=None, theirs={"normalize": False}, ours={"normalize": False}),
    "task_arithmetic": Case("task_arithmetic", theirs={"lambda": 0.7}, ours={"scale": 0.7}),
    "task_arithmetic, normalize": Case("task_arithmetic", theirs={"normalize": True}, ours={"normalize": True}),
    "slerp": Case("slerp", PAIR, "a", theirs={"t": 0.3}, ours={"t": 0.3}),
    "slerp, antiparallel": Case(
        "slerp",
        ("a", "opposite"),
        "a",
        theirs={"t": 0.5},
        ours={"t": 0.5},
        differs="no arc is shortest: ours takes the nearer end, mergekit erases the tensor",
    ),
    "slerp, beside zero": Case(
        "slerp",
        ("zero", "a"),
        "zero",
        theirs={"t": 0.5},
        ours={"t": 0.5},
        differs="a zero vector has no direction: ours is linear, mergekit shortens the other vector",
    ),
    "nuslerp": Case("nuslerp", PAIR, None),
    "nuslerp, base": Case("nuslerp", PAIR),
    "nuslerp, rows": Case("nuslerp", PAIR, theirs={"nuslerp_flatten": False}, ours={"flatten": False}),
    "nuslerp, columns": Case(
        "nuslerp",
        PAIR,
        theirs={"nuslerp_flatten": False, "nuslerp_row_wise": True},
        ours={"flatten": False, "columns": True},
    ),
    "multislerp, mergekit": Case("multislerp", base=None, ours={"variant": "mergekit"}),
    "multislerp, base, mergekit": Case("multislerp", ours={"variant": "mergekit"}),
    "multislerp, sum, mergekit": Case(
        "multislerp", theirs={"normalize_weights": False}, ours={"variant": "mergekit", "normalize": False}
    ),
    "multislerp": Case(
        "multislerp",
        differs="mergekit's tangent vectors are not logarithms: they cancel at its mean, which it returns",
    ),
    "karcher": Case(
        "karcher", base=None, theirs={"max_iter": 200, "tol": 1e-12}, ours={"weight": 1.0, "max_iter": 200, "tol": 1e-9}
    ),
    "ties": Case("ties", per_model={"density": 0.3}, ours={"density": 0.3}),
    "ties, lambda": Case(
        "ties", theirs={"lambda": 0.7}, per_model={"density": 0.5}, ours={"density": 0.5, "scale": 0.7}
    ),
    "ties, sum": Case(
        "ties", theirs={"normalize": False}, per_model={"density": 0.5}, ours={"density": 0.5, "normalize": False}
    ),
    "ties, one element": Case("ties", per_model={"density": 0.01}, ours={"density": 0.01}),
    "breadcrumbs": Case("breadcrumbs", per_model={"density": 0.5, "gamma": 0.05}, ours={"density": 0.5, "gamma": 0.05}),
    "breadcrumbs, wide": Case(
        "breadcrumbs", per_model={"density": 0.97, "gamma": 0.05}, ours={"density": 0.97, "gamma": 0.05}
    ),
    "breadcrumbs, one element": Case(
        "breadcrumbs",
        per_model={"density": 0.01, "gamma": 0.01},
        ours={"density": 0.01, "gamma": 0.01},
        differs="ours keeps one element at least, mergekit erases small tensors' differences",
    ),
    "breadcrumbs_ties": Case(
        "breadcrumbs_ties",
        theirs={"normalize": True},
        per_model={"density": 0.5, "gamma": 0.05},
        ours={"density": 0.5, "gamma": 0.05},
    ),
    "breadcrumbs_ties, sum": Case(
        "breadcrumbs_ties",
        per_model={"density": 0.5, "gamma": 0.05},
        ours={"density": 0.5, "gamma": 0.05, "normalize": False},
    ),
    "model_stock": Case("model_stock"),
    "model_stock, two": Case("model_stock", PAIR),
    "model_stock, rows": Case("model_stock", ("a", "b", "far"), theirs={"filter_wise": True}, ours={"rows": True}),
    "model_stock, small": Case(
        "model_stock",
        ("small a", "small b"),
        "small base",
        differs="weights of 1e-5: mergekit's constant swallows the cosine; ours knows no scale",
    ),
    "model_stock, disagreeing": Case(
        "model_stock",
        ("a", "mirrored"),
        differs="a negative cosine: ours goes back to the base, mergekit beyond it",
    ),
    "sce": Case("sce"),
    "sce, top": Case("sce", theirs={"select_topk": 0.3}, ours={"select_topk": 0.3}),
    "sce, one element": Case(
        "sce",
        theirs={"select_topk": 0.01},
        ours={"select_topk": 0.01},
        differs="ours selects one element at least, mergekit none of small tensors",
    ),
    "arcee_fusion": Case("arcee_fusion", ("far",), listed=True),
    "passthrough": Case("passthrough", ("a",), None),
    "passthrough, scale": Case("passthrough", ("a",), None, per_model={"scale": 0.3}, ours={"scale": 0.3}),
    "dare_linear, all": Case("dare_linear", per_model={"density": 1.0}, ours={"density": 1.0}),
    "dare_ties, all": Case("dare_ties", per_model={"density": 1.0}, ours={"density": 1.0, "normalize": False}),
    "della_linear, all": Case("della_linear", per_model={"density": 1.0, "epsilon": 0.0}, ours={"density": 1.0}),
    "della, all": Case("della", per_model={"density": 1.0, "epsilon": 0.0}, ours={"density": 1.0}),
    "dare_linear": Case(
        "dare_linear", ("a",), per_model={"density": 0.4}, ours={"density": 0.4, "variant": "mergekit"}, chance=True
    ),
    "della_linear": Case(
        "della_linear",
        ("a",),
        per_model={"density": 0.5, "epsilon": 0.2},
        ours={"density": 0.5, "epsilon": 0.2, "variant": "mergekit"},
        chance=True,
    ),
    "dare_linear, rescale": Case(
        "dare_linear",
        ("a",),
        theirs={"rescale": False},
        per_model={"density": 0.4},
        ours={"density": 0.4, "rescale": False},
        chance=True,
    ),
}


def noise(label: str, name: str) -> np.ndarray:
    """Even numbers in [−1, 1), the same everywhere."""
    shape = MODEL.shapes[name]
    count = int(np.prod(shape))
    numbers = words(seed_from("parity", label, name), 0, -(-count // 2)).astype("<u8", copy=False).view("<u4")[:count]
    return (numbers / 2.0**31 - 1).reshape(shape)


@cache
def tensor(model: str, name: str) -> Tensor:
    """One tensor of one model, float32: the three models share a part of their way from the base."""
    base = 0.1 * noise("base", name)
    if model == "zero":
        values = np.zeros(MODEL.shapes[name])
    elif model == "opposite":
        return -tensor("a", name)
    elif model == "mirrored":
        values = 2 * base - tensor("a", name).double().numpy() + 0.01 * noise("b", name)
    elif model == "far":  # near its threshold, Arcee Fusion in float32 is decided by rounding
        values = base + 0.5 * noise("a", name)
    elif model.startswith("small "):
        return tensor(model.removeprefix("small "), name) * 2.0**-13
    else:
        values = base if model == "base" else base + 0.03 * noise("common", name) + 0.03 * noise(model, name)
    return torch.from_numpy(values.astype(np.float32))


def kept_alone(case: Case, name: str, result: Tensor) -> Tensor:
    """What our variant makes of those elements of a random merge that ``result`` kept."""
    base, model = (tensor(which, name).double() for which in ("base", case.models[0]))
    delta = model - base
    kept = delta * ((result.double() - base).abs() > 1e-7)
    factor = delta.abs().sum() / kept.abs().sum() if case.ours.get("rescale", True) else 1.0
    return base + WEIGHTS[case.models[0]] * kept * factor


def difference(case: Case, name: str, theirs: Tensor) -> float:
    ours = kept_alone(case, name, theirs) if case.chance else case.merge(name)
    return float((theirs.double() - ours).abs().max())


def run(mergekit: Path, case: Case) -> dict[str, Tensor]:
    """mergekit's result for one case. Its recipe and models lie in a temporary folder."""
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        for model in {*case.models, *([case.base] if case.base else [])}:
            (place / model).mkdir()
            weights = {name: tensor(model, name).clone() for name in MODEL.shapes}
            save_file(weights, place / model / "model.safetensors", metadata={"format": "pt"})
            (place / model / "config.json").write_text(json.dumps(MODEL.config(rms_norm_eps=1e-6)))
        (place / "recipe.yaml").write_text(yaml.safe_dump(case.recipe(), sort_keys=False))
        options = ["--no-copy-tokenizer", "--no-write-model-card", "--quiet", "--random-seed", "1"]
        command = [str(mergekit), "recipe.yaml", "out", *options]
        done = subprocess.run(command, cwd=place, capture_output=True, text=True)
        if done.returncode:
            raise SystemExit(f"{case.recipe()}\n{done.stderr[-2000:]}")
        return {key: value for file in (place / "out").glob("*.safetensors") for key, value in load_file(file).items()}


def version(mergekit: Path) -> str:
    asked = "import importlib.metadata as m; print(m.version('mergekit'))"
    return subprocess.run(
        [str(mergekit.with_name("python")), "-c", asked], capture_output=True, text=True, check=True
    ).stdout.strip()


def compared(mergekit: Path, labels: Sequence[str]) -> Iterator[tuple[str, Case, dict[str, Tensor], float]]:
    for label in labels:
        case = CASES[label]
        theirs = run(mergekit, case)
        yield label, case, theirs, max(difference(case, name, theirs[name]) for name in MODEL.shapes)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--mergekit", type=Path, required=True, help="mergekit-yaml in an environment of its own")
    parser.add_argument("--write", type=Path, help="freeze mergekit's results of two tensors here")
    parser.add_argument("--only", nargs="+", choices=CASES, metavar="CASE", help="the others stay as they are")
    arguments = parser.parse_args()
    mergekit = arguments.mergekit.absolute()
    kept = arguments.write and arguments.write.exists() and arguments.only
    frozen = json.loads(arguments.write.read_text())["results"] if kept else {}
    wrong = []
    print(f"| method | largest difference | mergekit {version(mergekit)} |\n|---|---|---|")
    for label, case, theirs, largest in compared(mergekit, arguments.only or list(CASES)):
        if (largest > TOLERANCE) != bool(case.differs):
            wrong.append(label)
        print(f"| {label} | {largest:.1e} | {case.differs or ('equal' if largest <= TOLERANCE else 'DIFFERS')} |")
        frozen[label] = {name: [float(f"{x:.9g}") for x in theirs[name].flatten().tolist()] for name in FROZEN}
    if arguments.write:
        arguments.write.parent.mkdir(parents=True, exist_ok=True)
        ordered = {label: frozen[label] for label in CASES if label in frozen}
        lines = ",\n".join(f"{json.dumps(label)}: {json.dumps(values)}" for label, values in ordered.items())
        head = json.dumps({"mergekit": version(mergekit)})[:-1]
        arguments.write.write_text(f'{head},\n"results": {{\n{lines}\n}}}}\n')
    if wrong:
        raise SystemExit(f"not as described: {', '.join(wrong)}")


if __name__ == "__main__":
    main()
