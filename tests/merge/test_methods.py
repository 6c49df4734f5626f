"""Every merge method against its paper's equations written in plain numpy over whole tensors, and its properties."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from syn2real.errors import UserError
from syn2real.merge import METHODS, Block, PerModel, Stack, kernels, method
from syn2real.merge import stack as stack_module
from syn2real.merge.methods import della
from syn2real.merge.stack import InMemory

SHAPES = [(300, 257), (70_000,), (5, 3, 4), (1,), (0,), ()]
W3 = [0.5, 0.3, 0.9]

# How each method is called for the properties below: what it needs besides models, and whether it takes a base.
CALLS = {
    "linear": {"weight": W3},
    "task_arithmetic": {"weight": W3, "scale": 0.7},
    "slerp": {"t": 0.3},
    "nuslerp": {"weight": [0.4, 0.6]},
    "nuslerp rows": {"weight": [0.4, 0.6], "flatten": False},
    "nuslerp columns": {"weight": [0.4, 0.6], "flatten": False, "columns": True},
    "multislerp": {"weight": W3},
    "multislerp mergekit": {"weight": W3, "variant": "mergekit"},
    "karcher": {"weight": W3, "max_iter": 100, "tol": 1e-13},
    "ties": {"weight": W3, "density": 0.4},
    "ties peft": {"weight": W3, "density": 0.4, "variant": "peft"},
    "ties paper": {"density": 0.4, "variant": "paper"},
    "breadcrumbs": {"weight": W3, "density": 0.6, "gamma": 0.1},
    "breadcrumbs_ties": {"weight": W3, "density": 0.6, "gamma": 0.1},
    "dare_linear": {"weight": W3, "density": 0.6},
    "dare_ties": {"weight": W3, "density": 0.6},
    "della": {"weight": W3, "density": 0.6},
    "della_linear": {"weight": W3, "density": 0.6},
    "model_stock": {},
    "model_stock mean_angle": {"angle": "mean_angle"},
    "model_stock rows": {"rows": True},
    "sce": {"select_topk": 0.3},
    "arcee_fusion": {},
    "nearswap": {"t": 0.2},
    "ram": {"epsilon": 0.3},
    "ram_plus": {"epsilon": 0.3, "r": 0.5, "alpha": 0.9},
    "ram_plus mergekit": {"epsilon": 0.3, "r": 0.5, "alpha": 0.9, "variant": "mergekit"},
    "mergealign": {"alpha": 0.3},
    "prepost": {"scale": 0.3},
    "passthrough": {"scale": 0.3},
}
RANDOM = ("dare_linear", "dare_ties", "della", "della_linear")


def merge(name, models, base=None, seed=0, label="tensor", **parameters):
    """A method's result for one tensor, float64."""
    chosen = METHODS.get(name.split()[0])
    stack = Stack.of(models, base, name=label, seed=seed)
    shared = chosen.prepare([stack], chosen.complete(parameters, len(models)))
    return stack.collect(chosen(stack, **parameters, **({} if shared is None else {"shared": shared})))


def call(name, models, base, **more):
    chosen = METHODS.get(name.split()[0])
    return merge(name, models, base if chosen.base in ("required", "optional") else None, **(CALLS[name] | more))


def tensors(shape, count=3, seed=0, spread=0.3, dtype=torch.float32):
    """Models that share half of their way from the base, and the base."""
    generator = torch.Generator().manual_seed(seed)
    draw = lambda: torch.randn(shape, generator=generator)  # noqa: E731
    base, common = draw(), draw()
    return [(base + spread * (common + draw())).to(dtype) for _ in range(count)], base.to(dtype)


def count_of(name):
    least, most = METHODS.get(name.split()[0]).models
    return most or max(3, least)


def wide(values):
    return [np.asarray(value.double()) for value in values]


# --- The equations


def ref_linear(models, base, weight, normalize=True):
    return sum(w * x for w, x in zip(weight, models, strict=True)) / (sum(weight) if normalize else 1)


def ref_task_arithmetic(models, base, weight, scale=1.0):
    return base + scale * sum(w * (x - base) for w, x in zip(weight, models, strict=True))


def ref_arc(a, b, t):
    na, nb = np.linalg.norm(a), np.linalg.norm(b)
    omega = math.acos(max(-1, min(1, float((a * b).sum() / (na * nb)))))
    return (math.sin((1 - t) * omega) * a + math.sin(t * omega) * b) / math.sin(omega)


def ref_slerp(models, base, t):
    return ref_arc(*models, t)


def ref_nuslerp(models, base, weight, flatten=True):
    t = weight[1] / sum(weight)
    a, b = (x - base for x in models)
    if flatten or a.ndim < 2:
        return base + ref_arc(a, b, t)
    lines = [ref_arc(x, y, t) for x, y in zip(a.reshape(-1, a.shape[-1]), b.reshape(-1, a.shape[-1]), strict=True)]
    return base + np.array(lines).reshape(a.shape)


def ref_directions(models, base, weight, steps):
    weight = np.array(weight) / sum(weight)
    deltas = np.array([(x - base).ravel() for x in models])
    norms = np.linalg.norm(deltas, axis=1)
    units = deltas / norms[:, None]
    mean = weight @ units
    mean /= np.linalg.norm(mean)
    for _ in range(steps):
        tangent = np.zeros_like(mean)
        for w, u in zip(weight, units, strict=True):
            across = u - (u @ mean) * mean
            if np.linalg.norm(across) > 1e-13:
                tangent += w * np.arccos(np.clip(u @ mean, -1, 1)) * across / np.linalg.norm(across)
        step = np.linalg.norm(tangent)
        if step < 1e-13:
            break
        mean = math.cos(step) * mean + math.sin(step) * tangent / step
    return base + (weight @ norms * mean).reshape(base.shape)


def ref_nuslerp_columns(models, base, weight, flatten, columns):
    if base.ndim < 2:
        return ref_nuslerp(models, base, weight)
    turned = lambda x: x.reshape(-1, x.shape[-1]).T  # noqa: E731
    return ref_nuslerp([turned(x) for x in models], turned(base), weight, flatten=False).T.reshape(base.shape)


def ref_multislerp(models, base, weight):
    return ref_directions(models, base, weight, 1)


def ref_multislerp_mergekit(models, base, weight, variant):
    return ref_directions(models, base, weight, 0)


def ref_karcher(models, base, weight, **_):
    return ref_directions(models, base, weight, 100)


def ref_band(delta, skip, keep):
    """``keep`` elements after the ``skip`` largest; of equals the earliest are larger."""
    order = np.argsort(-np.abs(delta).ravel(), kind="stable")[skip : skip + keep]
    kept = np.zeros(delta.size)
    kept[order] = delta.ravel()[order]
    return kept.reshape(delta.shape)


def ref_count(density, size):
    return max(1, math.floor(density * size)) if size else 0


def ref_elect(deltas, weight, variant="mergekit"):
    deltas = np.array(deltas)
    w = np.array(weight).reshape((-1,) + (1,) * (deltas.ndim - 1))
    votes = w * deltas if variant == "mergekit" else deltas
    sign = np.sign(votes.sum(0))
    if variant == "peft":
        sign = np.where(sign == 0, 1, sign)
    agree = np.sign(votes) * sign == 1
    values = deltas if variant == "paper" else w * deltas
    share = (agree * (w if variant == "mergekit" else 1)).sum(0)
    return (values * agree).sum(0) / np.where(share == 0, 1, share)


def ref_ties(models, base, weight=(1, 1, 1), density=1.0, variant="mergekit", scale=1.0):
    deltas = [ref_band(x - base, 0, ref_count(density, base.size)) for x in models]
    return base + scale * ref_elect(deltas, weight, variant)


def ref_crumbs(models, base, density, gamma):
    return [ref_band(x - base, math.floor(gamma * base.size), ref_count(density, base.size)) for x in models]


def ref_breadcrumbs(models, base, weight, density, gamma):
    return base + sum(w * d for w, d in zip(weight, ref_crumbs(models, base, density, gamma), strict=True))


def ref_breadcrumbs_ties(models, base, weight, density, gamma):
    return base + ref_elect(ref_crumbs(models, base, density, gamma), weight)


def ref_model_stock(models, base, angle="mean_cosine"):
    deltas = [(x - base).ravel() for x in models]
    n = len(deltas)
    cosines = [float(a @ b / np.linalg.norm(a) / np.linalg.norm(b)) for i, a in enumerate(deltas) for b in deltas[:i]]
    cosines = np.clip(cosines, -1, 1)
    c = float(np.mean(cosines)) if angle == "mean_cosine" else math.cos(np.mean(np.arccos(cosines)))
    t = max(0.0, n * c / (1 + (n - 1) * c))
    return t * np.mean(models, axis=0) + (1 - t) * base


def ref_model_stock_rows(models, base, rows):
    if base.ndim < 2:
        return ref_model_stock(models, base)
    lines = [x.reshape(-1, x.shape[-1]) for x in (*models, base)]
    return np.array([ref_model_stock(row[:-1], row[-1]) for row in zip(*lines, strict=True)]).reshape(base.shape)


def ref_sce(models, base, select_topk):
    deltas = np.array([x - base for x in models])
    chosen = ref_band(deltas.var(0), 0, ref_count(select_topk, np.count_nonzero(deltas.var(0)))) != 0
    deltas = deltas * chosen
    squares = (deltas**2).reshape(len(deltas), -1).sum(1)
    weight = squares / squares.sum()
    w = weight.reshape((-1,) + (1,) * base.ndim)
    agree = np.sign(deltas) * np.sign(deltas.sum(0)) == 1
    share = (agree * w).sum(0)
    return base + (w * deltas * agree).sum(0) / np.where(share == 0, 1, share)


def ref_arcee_fusion(models, base):
    model = models[0]
    rows = model.shape if model.ndim > 1 else (1, model.size)
    softmax = lambda x: np.exp(x - x.max(-1, keepdims=True))  # noqa: E731
    p, q = softmax(model.reshape(rows)), softmax(base.reshape(rows))
    p, q = p / p.sum(-1, keepdims=True), q / q.sum(-1, keepdims=True)
    divergence = (p * np.log(p / q)).sum(-1, keepdims=True)
    importance = (np.abs(model - base).reshape(rows) * divergence).reshape(model.shape)
    lower, median, upper = np.quantile(importance, [0.25, 0.5, 0.75], method="lower")
    return np.where(importance >= median + 1.5 * (upper - lower), model, base)


def ref_nearswap(models, base, t):
    delta = models[0] - base
    with np.errstate(divide="ignore"):
        return base + delta * np.minimum(1, t / np.abs(delta))


def ref_ram(models, base, epsilon):
    deltas = np.stack(models) - base
    changed = np.abs(deltas) > epsilon
    return base + (deltas * changed).sum(0) / np.maximum(1, changed.sum(0))


def ref_ram_plus(models, base, epsilon, r, alpha, variant="paper"):
    deltas = np.stack(models) - base
    changed = np.abs(deltas) > epsilon
    alone = changed & (changed.sum(0) == 1)
    result = ref_ram(models, base, epsilon)
    for delta, mine, own in zip(deltas, changed, alone, strict=True):
        result += own * delta * r * min(alpha, (mine & ~own).sum() / max(1, own.sum()))
    return result


def ref_mergealign(models, base, alpha):
    return base + alpha * (models[0] - base) + (1 - alpha) * (models[1] - base)


def ref_prepost(models, base, scale):
    return (1 - scale) * base + scale * models[0]


def ref_passthrough(models, base, scale):
    return scale * models[0]


EXACT = [name for name in CALLS if name not in RANDOM]


@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("name", EXACT)
def test_equations(name, shape):
    models, base = tensors(shape, count_of(name), seed=len(shape))
    result = call(name, models, base)
    assert result.shape == shape and result.dtype == torch.float64
    if not result.numel():
        return
    words = name.replace(" ", "_")
    reference = globals().get(f"ref_{words}") or globals()[f"ref_{name.split()[0]}"]
    size = base.numel()
    if size == 1 and "slerp" in name and name != "multislerp":
        pytest.skip("one number has no angle")
    expected = reference(wide(models), np.asarray(base.double()), **CALLS[name])
    np.testing.assert_allclose(np.asarray(result), expected, rtol=1e-9, atol=1e-11)


@pytest.mark.parametrize("name", [name for name in EXACT if METHODS.get(name.split()[0]).base == "optional"])
def test_without_a_base_the_weights_themselves(name):
    models, _ = tensors((40, 30), count_of(name))
    zero = torch.zeros(40, 30)
    torch.testing.assert_close(merge(name, models, None, **CALLS[name]), call(name, models, zero))


def test_ties_of_the_paper_trims_over_the_whole_model():
    ties = METHODS.get("ties")
    parts = [tensors(shape, 2, seed=i, spread=0.1 * 3**i) for i, shape in enumerate([(40, 30), (500,), (0,), (7, 9)])]
    stacks = [Stack.of(models, base, name=str(i)) for i, (models, base) in enumerate(parts)]
    given = {"density": [0.3, 0.1], "variant": "paper"}
    shared = ties.prepare(stacks, ties.complete(given, 2))
    flat = [torch.cat([models[i].reshape(-1) for models, _ in parts]) for i in range(2)]
    base = torch.cat([base.reshape(-1) for _, base in parts])
    deltas = [
        ref_band(np.asarray(x.double() - base.double()), 0, math.floor(share * base.numel()))
        for x, share in zip(flat, given["density"], strict=True)
    ]
    expected = np.asarray(base.double()) + ref_elect(deltas, [1, 1], "paper")
    found = torch.cat([stack.collect(ties(stack, **given, shared=shared)).reshape(-1) for stack in stacks])
    np.testing.assert_allclose(np.asarray(found), expected, rtol=1e-12, atol=1e-14)


def test_ties_of_the_paper_takes_of_equals_the_first_over_all_tensors():
    ties = METHODS.get("ties")
    stacks = [Stack.of([torch.ones(4)], torch.zeros(4), name=name) for name in "abc"]
    shared = ties.prepare(stacks, ties.complete({"density": 0.5, "variant": "paper"}, 1))
    found = [stack.collect(ties(stack, density=0.5, variant="paper", shared=shared)).tolist() for stack in stacks]
    assert found == [[1, 1, 1, 1], [1, 1, 0, 0], [0, 0, 0, 0]]


def test_ties_of_the_paper_takes_no_weights():
    with pytest.raises(UserError, match="takes no weights"):
        merge("ties", [torch.ones(3)] * 2, torch.zeros(3), weight=[1, 2], variant="paper")


@pytest.mark.parametrize(
    ("election", "normalize", "expected"),
    [
        # Columns: agreement, conflict, an exact balance, one model alone.
        ("mergekit", True, [(0.5 * 2 + 2 * 4) / 2.5, -4, -2, 3]),
        ("mergekit", False, [0.5 * 2 + 2 * 4, -2 * 4, -2 * 2, 0.5 * 3]),
        ("peft", True, [(0.5 * 2 + 2 * 4) / 2, -8, 0.5 * 2, 0.5 * 3]),
        ("paper", True, [3, -4, 0, 3]),
    ],
)
def test_elections(election, normalize, expected):
    models = [torch.tensor([2.0, 3.0, 2.0, 3.0]), torch.tensor([4.0, -4.0, -2.0, 0.0])]
    weight = [1, 1] if election == "paper" else [0.5, 2]
    given = {"weight": weight, "density": 1, "variant": election, "normalize": normalize}
    assert merge("ties", models, torch.zeros(4), **given).tolist() == expected


def test_weights_that_cancel_leave_a_sum():
    models = [torch.tensor([1.0]), torch.tensor([-3.0])]
    assert merge("ties", models, torch.zeros(1), weight=[0.5, -0.5], density=1).tolist() == [2.0]


@pytest.mark.parametrize("compiled", [True, False])
def test_weights_that_cancel_but_for_rounding(compiled, monkeypatch):
    """0.1 + 0.2 − 0.3 is 5.6 · 10⁻¹⁷."""
    if not compiled:
        monkeypatch.setattr(kernels, "_LIBRARY", None)
    weight, base = [0.1, 0.2, -0.3], torch.zeros(1)
    models = [torch.tensor([1.0]), torch.tensor([1.0]), torch.tensor([-1.0])]  # weighted, all of one sign
    assert merge("ties", models, base, weight=weight, density=1).tolist() == pytest.approx([0.6])
    for name in ("linear", "karcher", "multislerp", "task_arithmetic", "dare_linear", "breadcrumbs"):
        with pytest.raises(UserError, match="weights sum to 0"):
            merge(
                name,
                models,
                base if name[0] not in "lkm" else None,
                weight=weight,
                **({"normalize": True} if name[0] in "tdb" else {}),
            )


# --- Chance


def masks_of(name, shape, count, **given):
    """What each model contributes: every other model's weight is 0."""
    models, base = tensors(shape, count)
    each = []
    for i in range(count):
        weight = [float(i == j) for j in range(count)]
        each.append(np.asarray(merge(name, models, base, weight=weight, **given) - base.double()))
    return models, base, each


@pytest.mark.parametrize("name", ["dare", "della"])
@pytest.mark.parametrize("shape", SHAPES[:4], ids=str)
def test_elections_of_random_methods_are_those_of_what_was_kept(name, shape):
    models, base, kept = masks_of(f"{name}_linear", shape, 3, density=[0.3, 0.6, 1.0])
    given = {"weight": W3, "density": [0.3, 0.6, 1.0]}
    elected = merge({"dare": "dare_ties", "della": "della"}[name], models, base, **given)
    np.testing.assert_allclose(elected, base.double() + ref_elect(kept, W3), rtol=1e-9, atol=1e-11)
    summed = merge(f"{name}_linear", models, base, **given, normalize=True)
    expected = base.double() + sum(w * d for w, d in zip(W3, kept, strict=True)) / sum(W3)
    np.testing.assert_allclose(summed, expected, rtol=1e-9, atol=1e-11)


@pytest.mark.parametrize("density", [0.1, 1 / 3, 0.5, 0.97])
def test_dare_rescales_by_what_it_keeps(density):
    models, base = tensors((70_000,), 1)
    delta = np.asarray(models[0].double() - base.double())
    change = np.asarray(merge("dare_linear", models, base, density=density) - base.double())
    kept = change != 0
    share = round(density * 2**16) / 2**16
    np.testing.assert_allclose(change[kept], delta[kept] / share, rtol=1e-9, atol=1e-12)
    deviation = (kept.mean() - share) / math.sqrt(share * (1 - share) / len(kept))
    assert abs(deviation) < 5


@pytest.mark.parametrize("name", ["dare_linear", "della_linear"])
def test_expectation_is_the_task_vector(name):
    """z-scores of 300 seeds' mean, for every element; those of paper's DARE and DELLA, which are without bias."""
    (model,), base = tensors((5, 40), 1)
    delta = np.asarray(model.double() - base.double())
    changes = np.array(
        [np.asarray(merge(name, [model], base, seed=seed, density=0.4) - base.double()) for seed in range(300)]
    )
    z = (changes.mean(0) - delta) / (changes.std(0, ddof=1) / math.sqrt(len(changes)))
    assert np.abs(z).max() < 5
    assert abs((z**2).mean() - 1) < 5 * math.sqrt(2 / z.size)


@pytest.mark.parametrize(("variant", "half"), [("paper", 0.1), ("mergekit", 0.2)])
@pytest.mark.parametrize("shape", [(300, 257), (7, 1), (70_000,)], ids=str)
def test_della_keeps_by_rank(variant, half, shape):
    (model,), base = tensors(shape, 1)
    delta = (model.double() - base.double()).numpy().reshape(-1, shape[-1])
    count = shape[-1]
    rank = np.argsort(np.argsort(np.abs(delta).astype(np.float32), axis=1, kind="stable"), axis=1)
    keep = 0.5 - half + 2 * half * rank / (count - 1) if count > 1 else np.full(delta.shape, 0.5)
    given = {"density": 0.5, "epsilon": 0.2, "variant": variant}
    change = merge("della_linear", [model], base, rescale=False, **given) - base.double()
    kept = change.numpy().reshape(delta.shape) != 0
    np.testing.assert_allclose(change.numpy().reshape(delta.shape)[kept], delta[kept], rtol=1e-9, atol=1e-12)
    # The share kept of the larger half is that of its probabilities, and so is that of the smaller.
    for part in (keep >= 0.5, keep < 0.5):
        if part.any():
            expected, deviation = keep[part].mean(), math.sqrt((keep[part] * (1 - keep[part])).sum()) / part.sum()
            assert abs(kept[part].mean() - expected) < 5 * deviation + 2**-16
    change = (merge("della_linear", [model], base, **given) - base.double()).numpy().reshape(delta.shape)
    if variant == "paper":
        share = np.rint(keep * 2**16) / 2**16
        np.testing.assert_allclose(change[kept], (delta / share)[kept], rtol=1e-9, atol=1e-12)
    else:
        assert np.abs(change).sum() == pytest.approx(np.abs(delta).sum())


@pytest.mark.parametrize("name", ["della", "della_linear"])
def test_remembered_masks_are_those_drawn_again(name, monkeypatch):
    models, base = tensors((700, 257), 3)  # two blocks
    given = {"density": [0.5, 1, 0], "variant": "mergekit", "epsilon": 0.2}
    remembered = merge(name, models, base, **given)
    monkeypatch.setattr(della, "_NOTED", 0)
    assert torch.equal(merge(name, models, base, **given), remembered)


def test_dare_of_mergekit_keeps_the_norm():
    models, base = tensors((300, 257), 2)
    for i, model in enumerate(models):
        weight = [float(i == j) for j in range(2)]
        change = merge("dare_linear", models, base, weight=weight, density=0.2, variant="mergekit") - base.double()
        assert float(change.abs().sum()) == pytest.approx(float((model.double() - base.double()).abs().sum()))
        plain = merge("dare_linear", models, base, weight=weight, density=0.2, rescale=False) - base.double()
        delta = model.double() - base.double()
        torch.testing.assert_close(plain, torch.where(plain != 0, delta, 0.0))


@pytest.mark.parametrize("name", RANDOM)
def test_chance_depends_on_seed_and_name(name):
    models, base = tensors((50, 40))
    same = call(name, models, base)
    assert torch.equal(same, call(name, models, base))
    assert not torch.equal(same, call(name, models, base, seed=1))
    assert not torch.equal(same, call(name, models, base, label="other"))


@pytest.mark.parametrize(
    ("name", "variant", "kept"),
    [
        ("dare_linear", "paper", [1, 3, 4, 7, 8, 10, 11, 12, 17, 19, 21, 22]),
        ("della_linear", "paper", [1, 4, 7, 8, 10, 11, 12, 16, 17, 19, 21, 22]),
        ("della_linear", "mergekit", [1, 4, 7, 8, 10, 11, 12, 16, 17, 19, 22]),
    ],
)
def test_a_seed_keeps_its_mask(name, variant, kept):
    """Merges of last year are recomputed and compared: what is kept must not change from version to version."""
    delta = torch.arange(1, 25) * 7 % 25 / 64
    model = Stack.of([delta], torch.zeros(24), name="layer.weight", seed=3)
    change = model.collect(METHODS.get(name)(model, density=0.5, variant=variant))
    assert change.nonzero().view(-1).tolist() == kept


@pytest.mark.parametrize("density", [1e-9, 1 - 1e-9])
def test_densities_finer_than_chance(density):
    models, base = tensors((300,), 1)
    change = merge("dare_linear", models, base, density=density) - base.double()
    assert torch.isfinite(change).all()


# --- Properties of all


@pytest.mark.parametrize("name", [name for name in CALLS if "scale" in METHODS.get(name.split()[0]).parameters])
def test_scale(name):
    models, base = tensors((30, 20), count_of(name))
    if name == "passthrough":
        base = torch.zeros(30, 20)
    none, one, some = (call(name, models, base, scale=scale) for scale in (0.0, 1.0, 0.37))
    torch.testing.assert_close(none, base.double(), rtol=0, atol=0)
    torch.testing.assert_close(some, base.double() + 0.37 * (one - base.double()), rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("name", [name for name in EXACT if METHODS.get(name.split()[0]).models[1] is None])
@settings(max_examples=10)
@given(order=st.permutations(range(3)))
def test_order_of_models_has_no_effect(name, order):
    models, base = tensors((30, 20))
    given = CALLS[name]
    moved = {k: [v[i] for i in order] if isinstance(v, list) else v for k, v in given.items()}
    other = call(name, [models[i] for i in order], base, **moved)
    torch.testing.assert_close(other, call(name, models, base), rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("name", ["slerp", "nuslerp", "nuslerp rows", "nuslerp columns"])
@settings(max_examples=10)
@given(t=st.floats(0, 1))
def test_arcs_are_symmetric(name, t):
    models, base = tensors((30, 20), 2)
    there, back = ({"t": u} if name == "slerp" else {"weight": [1 - u, u]} for u in (t, 1 - t))
    torch.testing.assert_close(call(name, models, base, **there), call(name, models[::-1], base, **back))


@pytest.mark.parametrize("name", [name for name in CALLS if name != "arcee_fusion"])  # whose softmax has a scale
@pytest.mark.parametrize("factor", [2.0**-60, 2.0**-20, 2.0**20])
def test_units_have_no_effect(name, factor):
    """Nowhere is a constant added that would matter for small weights; powers of two are exact."""
    models, base = tensors((30, 20), count_of(name))
    units = {"nearswap": "t", "ram": "epsilon", "ram_plus": "epsilon"}  # in which their thresholds are given
    given = {key: CALLS[name][key] * factor for key in [units.get(name.split()[0])] if key}
    scaled = call(name, [x * factor for x in models], base * factor, **given)
    torch.testing.assert_close(scaled, call(name, models, base) * factor, rtol=1e-12, atol=0)


AVERAGES = {name: {} for name in ("slerp", "nuslerp", "multislerp", "karcher", "model_stock", "mergealign")}
AVERAGES |= {"linear": {"weight": W3}, "ties": {"weight": W3, "density": 1}, "sce": {}, "dare_ties": {"density": 1}}
AVERAGES |= {"della": {"density": 1}, "breadcrumbs_ties": {"density": 1, "gamma": 0}}
AVERAGES |= {"task_arithmetic": {"normalize": True}, "dare_linear": {"density": 1, "normalize": True}}
AVERAGES |= {"della_linear": {"density": 1, "normalize": True}}


@pytest.mark.parametrize("name", AVERAGES)
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_of_equal_models_each_is_the_result(name, shape):
    (model,), base = tensors(shape, 1)
    chosen = METHODS.get(name)
    models = [model] * count_of(name)
    result = merge(name, models, base if chosen.base in ("required", "optional") else None, **AVERAGES[name])
    torch.testing.assert_close(result, model.double(), rtol=1e-7, atol=1e-8)


@pytest.mark.parametrize("name", CALLS)
def test_blocks_have_no_effect(name, monkeypatch):
    models, base = tensors((300, 257), count_of(name))
    whole = call(name, models, base)
    monkeypatch.setattr(stack_module, "UNIT", 1000)
    torch.testing.assert_close(call(name, models, base), whole, rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize("name", CALLS)
def test_inputs_are_left_as_they_are(name):
    models, base = tensors((30, 20), count_of(name), dtype=torch.float64)
    before = [x.clone() for x in (*models, base)]
    call(name, models, base)
    assert all(torch.equal(x, y) for x, y in zip((*models, base), before, strict=True))


@pytest.mark.parametrize("name", CALLS)
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_precision_is_widened_first(name, dtype):
    models, base = tensors((30, 20), count_of(name), dtype=dtype)
    wider = call(name, [x.double() for x in models], base.double())
    torch.testing.assert_close(call(name, models, base), wider, rtol=1e-12, atol=1e-14)


# --- Edges


@pytest.mark.parametrize("shape", [(300, 257), (70_000,), (10,)], ids=str)
@pytest.mark.parametrize("density", [0.0, 1e-9, 0.2, 0.5, 1.0])
def test_exact_sparsity(shape, density):
    (model,), _ = tensors(shape, 1)
    zero = torch.zeros(shape)
    size = zero.numel()
    expected = max(1, int(density * size)) if density else 0
    assert int(merge("ties", [model], zero, density=density).count_nonzero()) == expected
    for gamma in (0.0, 0.05, 1.0):
        crumbs = merge("breadcrumbs", [model], zero, density=density, gamma=gamma)
        assert int(crumbs.count_nonzero()) == expected
        dropped = min(int(gamma * size), size - expected)
        if expected:
            assert int((model.abs() > crumbs.abs().max()).sum()) == dropped


def test_exact_sparsity_among_equals():
    model = torch.tensor([1.0, -1.0, 2.0, 1.0, -1.0, 1.0])
    assert merge("ties", [model], torch.zeros(6), density=0.5).tolist() == [1, -1, 2, 0, 0, 0]
    assert merge("breadcrumbs", [model], torch.zeros(6), density=0.5, gamma=0.4).tolist() == [0, -1, 0, 1, -1, 0]


def test_outliers_of_a_small_tensor_stay():
    """γ·n < 1 drops none; mergekit 0.1.5 erases a tensor of which its density keeps less than one element."""
    model = torch.arange(1.0, 9.0)
    assert merge("breadcrumbs", [model], torch.zeros(8), density=0.9, gamma=0.01).count_nonzero() == 7
    assert merge("breadcrumbs", [model], torch.zeros(8), density=0.01, gamma=0.01).tolist() == [0] * 7 + [8]
    assert merge("sce", [model, -model], torch.zeros(8), select_topk=0.01).shape == (8,)


@pytest.mark.parametrize("name", ["ties", "dare_linear", "dare_ties", "della", "della_linear", "breadcrumbs"])
def test_density_nothing_and_everything(name):
    models, base = tensors((30, 20))
    extra = {"gamma": 0} if name == "breadcrumbs" else {}
    torch.testing.assert_close(merge(name, models, base, density=0, **extra), base.double(), rtol=0, atol=0)
    everything = merge(name, models, base, density=1, **extra)
    elected = name in ("ties", "dare_ties", "della")
    reference = ref_ties if elected else ref_task_arithmetic
    torch.testing.assert_close(
        everything, torch.from_numpy(reference(wide(models), base.double().numpy(), weight=[1, 1, 1]))
    )


def test_antiparallel_arcs_take_the_nearer_end():
    """No arc is shortest; mergekit 0.1.5 gives 0 in the middle."""
    model = torch.tensor([3.0, 4.0])
    for t, expected in ((0.0, 1), (0.3, 1), (0.5, 1), (0.7, -1), (1.0, -1)):
        assert merge("slerp", [model, -model], t=t).tolist() == (expected * model).tolist()


@pytest.mark.parametrize("t", [0.0, 0.25, 1.0])
def test_arcs_beside_zero_are_lines(t):
    """A zero vector has no direction; mergekit 0.1.5 shortens the other by more than 1 − t."""
    model, zero = torch.tensor([3.0, 4.0]), torch.zeros(2)
    assert merge("slerp", [zero, model], t=t).tolist() == (t * model).tolist()
    assert merge("slerp", [zero, zero], t=t).tolist() == [0.0, 0.0]
    assert merge("nuslerp", [zero, model], zero, weight=[1 - t, t], flatten=False).tolist() == (t * model).tolist()


@pytest.mark.parametrize("name", CALLS)
def test_models_that_are_their_base(name):
    _, base = tensors((30, 20))
    result = call(name, [base] * count_of(name), base)
    expected = base.double() * (0.3 if name == "passthrough" else 1)
    torch.testing.assert_close(result, expected, rtol=1e-12, atol=1e-12)


def test_model_stock_goes_back_to_the_base_where_nothing_agrees():
    """Negative cosines: mergekit 0.1.5 goes on to the other side of the base."""
    base = torch.zeros(2)
    assert merge("model_stock", [torch.tensor([1.0, 0.2]), torch.tensor([-1.0, 0.2])], base).tolist() == [0, 0]
    assert merge("model_stock", [torch.tensor([1.0, 0.0]), torch.tensor([0.0, 0.0])], base).tolist() == [0, 0]


@pytest.mark.parametrize("name", ["slerp", "nuslerp", "nuslerp rows", "nuslerp columns"])
def test_opposite_models_in_float32(name):
    """As on a GPU: there a cosine of float32 near −1 would be an angle far from π."""
    generator = torch.Generator().manual_seed(0)
    for _ in range(100):
        model = torch.randn(7, 1, generator=generator)
        stack = Stack("w", (7, 1), [InMemory(model), InMemory(-0.7 * model)], dtype=torch.float32)
        ways = {"flatten": False, "columns": "columns" in name} if " " in name else {}
        mean = stack.collect(METHODS.get(name.split()[0])(stack, **ways))
        torch.testing.assert_close(mean, model, rtol=1e-5, atol=1e-6)


def test_nan_in_magnitudes_is_an_error():
    models, base = tensors((300, 257), 2)
    models[1][17, 3] = math.nan
    for name in ("ties", "breadcrumbs", "breadcrumbs_ties"):
        with pytest.raises(UserError, match=r"^layer\.7: .*NaN"):
            merge(name, models, base, label="layer.7")


@pytest.mark.parametrize("name", [name for name in CALLS if name not in ("model_stock mean_angle", "arcee_fusion")])
def test_nan_does_not_vanish(name):
    """What is not an error here must reach the result, where the engine refuses it."""
    models, base = tensors((30, 20), count_of(name))
    models[0][3, 4] = math.nan
    try:
        result = call(name, models, base)
    except UserError as error:
        assert "NaN" in str(error)
    else:
        assert result[3, 4].isnan() or name in RANDOM


# --- Parameters


def test_nearswap_does_not_hide_infinity():
    models, base = tensors((5,), 1)
    models[0][2] = -math.inf
    assert merge("nearswap", models, base)[2] == -math.inf


@pytest.mark.parametrize("bad", [math.nan, math.inf])
@pytest.mark.parametrize("count", [1, 2, 3, 600])
def test_arcee_fusion_loses_no_nan(bad, count):
    models, base = tensors((count,), 1)
    models[0][-1] = bad
    with pytest.raises(UserError, match="NaN"):
        merge("arcee_fusion", models, base)


def test_unknown_method():
    with pytest.raises(UserError, match=r"unknown merge method 'teis'.*ties"):
        METHODS.get("teis")


@pytest.mark.parametrize(
    ("name", "given", "words"),
    [
        ("della", {"epsilon": -0.1}, r"della: epsilon must be 0 or more, not -0\.1"),
        ("nearswap", {"t": -0.1}, r"nearswap: t must be 0 or more, not -0\.1"),
        ("ram", {"epsilon": -1}, r"epsilon must be 0 or more, not -1"),
        ("ram_plus", {"r": -0.1}, r"r must be 0 or more"),
    ],
)
def test_parameters_out_of_bounds(name, given, words):
    with pytest.raises(UserError, match=words):
        merge(name, [torch.ones(3)], torch.zeros(3), **given)


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"density": 10**400}, r"density: 100000000000… is more than a number can be"),
        ({"densty": 0.5}, r"no parameter 'densty'.*density"),
        ({"density": "half"}, r"density: 'half' is not a number"),
        ({"density": True}, r"density: True is not a number"),
        ({"density": [0.5, 0.5, 0.5]}, r"density: 3 values for 2 models"),
        ({"density": []}, r"density: 0 values for 2 models"),
        ({"density": 1.5}, r"density: 1.5 is not between 0 and 1"),
        ({"density": -0.1}, r"density: -0.1 is not between 0 and 1"),
        ({"weight": [1, None]}, r"weight: None is not a number"),
        ({"normalize": 1}, r"normalize: 1 is not true or false"),
        ({"variant": "papper"}, r"variant: 'papper' is not a choice.*paper"),
        ({"scale": [1, 2]}, r"scale: \[1, 2\] is not a number"),
    ],
)
def test_wrong_parameters(given, words):
    with pytest.raises(UserError, match=words):
        merge("ties", [torch.ones(3)] * 2, torch.zeros(3), **given)


def test_wrong_values_of_others():
    models, base = [torch.ones(3)] * 2, torch.zeros(3)
    with pytest.raises(UserError, match=r"max_iter: 2\.5 is not a whole number"):
        merge("karcher", models, max_iter=2.5)
    with pytest.raises(UserError, match="sum to 0"):
        merge("linear", models, weight=[1, -1])
    with pytest.raises(UserError, match="one sign"):
        merge("nuslerp", models, weight=[2, -1])
    with pytest.raises(UserError, match=r"epsilon 0\.9 takes density 0\.5 out"):
        merge("della", models, base, density=0.5, epsilon=0.9, variant="mergekit")
    with pytest.raises(UserError, match="needs a base"):
        merge("ties", models)


@pytest.fixture
def registered():
    before = dict(METHODS._items)
    yield
    METHODS._items.clear()
    METHODS._items.update(before)


def test_a_method_of_the_users(registered):
    @method("median", base="optional")
    def median(stack: Stack, *, weight: PerModel = (1.0,), twice: bool = False):
        """The element-wise median.

        And more.
        """
        weights = torch.tensor(weight, dtype=torch.float64)[:, None]

        def merged(block: Block) -> torch.Tensor:
            return (torch.stack(block.models) * weights).median(0).values * (1 + twice)

        return stack.map(merged)

    models, _ = tensors((300, 257))
    expected = 2 * torch.stack(models).double().median(0).values
    assert METHODS.get("median") is median and median.summary == "The element-wise median."
    assert torch.equal(merge("median", models, twice=True), expected)
    with pytest.raises(ValueError, match="twice"):
        method("median")(median.function)


def test_parameters_that_recipes_cannot_give(registered):
    def positional(stack: Stack, weight: float = 1.0):
        """No."""

    def without_default(stack: Stack, *, weight: float):
        """No."""

    def of_strange_type(stack: Stack, *, weight: dict = {}):  # noqa: B006
        """No."""

    for function, words in (
        (positional, "keyword-only"),
        (without_default, "keyword-only"),
        (of_strange_type, "use float, int"),
    ):
        with pytest.raises(TypeError, match=words):
            method("strange")(function)
