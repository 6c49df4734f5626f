"""Compiled loops give the bits that torch and numpy give, and are done without where they were not built."""

import ctypes
import platform
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import hypothesis
import numpy as np
import pytest
import torch
from hypothesis import strategies as st

from syn2real.errors import UserError
from syn2real.merge import METHODS, Stack, arithmetic, kernels, norms, stack, sums, trimming, weighting
from syn2real.merge.selection import Cut, Screened, largest
from syn2real.merge.sums import round_blocks
from syn2real.merge.trimming import Magnitudes
from tests.merge.test_methods import CALLS, W3, count_of, tensors

pytestmark = pytest.mark.skipif(not kernels.built(), reason="no C compiler when the package was installed")

DTYPES = list(kernels.KINDS)
SOURCE = Path(kernels.__file__).with_suffix(".c")
CASES = CALLS | {
    "dare_linear mergekit": {"weight": W3, "density": [0.3, 0, 1], "variant": "mergekit"},
    "dare_ties mergekit": {"weight": W3, "density": [0.3, 0, 1], "variant": "mergekit"},
    "dare_ties peft": {"weight": W3, "density": 0.6, "election": "peft", "rescale": False, "scale": 0.7},
    "della mergekit": {"weight": W3, "density": [0.6, 0, 1], "variant": "mergekit", "normalize": False},
    "della_linear plain": {"weight": W3, "density": 0.6, "rescale": False},
    "ties negative": {"weight": [0.5, -0.3, 0.9], "density": [0.4, 1, 0], "scale": 1.3},
    "ties undivided": {"weight": W3, "density": 0.4, "normalize": False},
    "breadcrumbs whole": {"weight": W3, "density": 1, "gamma": 0},
    "breadcrumbs_ties edges": {"weight": W3, "density": [0, 0.2, 1], "gamma": [0, 0.8, 1]},
}


@pytest.fixture
def without(monkeypatch):
    """Run a function as on a machine that has no compiled loops."""

    def run(function, *given, **named):
        with monkeypatch.context() as patched:
            patched.setattr(kernels, "_LIBRARY", None)
            return function(*given, **named)

    return run


def bits(tensor):
    """For comparisons that tell 0 from −0; all NaN are one."""
    whole = tensor.view({2: torch.int16, 4: torch.int32, 8: torch.int64}[tensor.dtype.itemsize])
    return torch.where(tensor.isnan(), 1, whole)


def everything(dtype):
    """Numbers of all sizes: every one there is of 16 bits, of others random bits."""
    if dtype.itemsize == 2:
        return torch.arange(-(2**15), 2**15).to(torch.int16).view(dtype)
    drawn = torch.randint(-(2**31), 2**31, (2, 50_001), generator=torch.Generator().manual_seed(0))
    if dtype == torch.float32:
        return drawn[0].to(torch.int32).view(dtype)
    return (drawn[0] * 2**32 + drawn[1]).view(dtype)


def merged(name, models, base, dtype):
    chosen = METHODS.get(name.split()[0])
    stack = Stack.of(models, base if chosen.base in ("required", "optional") else None, seed=3)
    shared = chosen.prepare([stack], chosen.complete(CASES[name], len(models)))
    made = chosen(stack, **CASES[name], **({} if shared is None else {"shared": shared}))
    return torch.cat(list(round_blocks(made, dtype)))


@pytest.mark.parametrize("shape", [(300, 257), (40_001,), (3, 1), ()], ids=str)
@pytest.mark.parametrize("name", CASES)
def test_methods(name, shape, without, monkeypatch):
    """Through blocks and in one pass, however long the stretches."""
    monkeypatch.setattr(sums, "SLICE", 4099)
    for given, dtype in (
        (torch.float32, torch.bfloat16),
        (torch.bfloat16, torch.float16),
        (torch.float16, torch.float32),
    ):
        models, base = tensors(shape, count_of(name), dtype=given)
        wanted = without(merged, name, models, base, dtype)
        assert torch.equal(bits(merged(name, models, base, dtype)), bits(wanted))
        exact = merged(name, models, base, torch.float64)
        assert torch.equal(bits(exact), bits(without(merged, name, models, base, torch.float64)))
        assert torch.equal(bits(arithmetic.combine([(1.0, exact)], dtype)), bits(wanted))


@pytest.mark.parametrize("name", ["ties", "ties peft", "dare_ties", "della"])
def test_more_models_than_the_loops_take(name, without):
    models, base = tensors((50, 30), kernels.MOST + 1)
    given = {key: value for key, value in CASES[name].items() if key != "weight"}
    stack = Stack.of(models, base)
    made = lambda: torch.cat(list(round_blocks(METHODS.get(name.split()[0])(stack, **given), torch.bfloat16)))  # noqa: E731
    assert torch.equal(made(), without(made))


@pytest.mark.parametrize("result", DTYPES)
@pytest.mark.parametrize("given", DTYPES)
def test_combine(given, result, without):
    values = everything(given)
    pieces = [(1.0, values), (-0.37, values.flip(0)), (0.5, values.roll(77))]
    for count in (1, 2, 3):
        if count > 1 or given != result:  # which is returned as it is
            found = arithmetic.combine(pieces[:count], result)
            assert torch.equal(bits(found), bits(without(arithmetic.combine, pieces[:count], result)))


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_halfway_cases(dtype, without):
    """Between every two neighbours: the middle, and the numbers next to it."""
    numbers = everything(dtype).double()
    numbers = numbers[numbers.isfinite()].sort().values.unique()
    middle = (numbers[1:] + numbers[:-1]) / 2
    near = [torch.nextafter(middle, torch.full_like(middle, way)) for way in (-torch.inf, torch.inf)]
    values = torch.cat([middle, *near])
    found = arithmetic.combine([(1.0, values)], dtype)
    assert torch.equal(bits(found), bits(without(arithmetic.combine, [(1.0, values)], dtype)))


@pytest.mark.parametrize("shares", [[0.5, 0.25, 0.75], [0.5, 0.0, 1.0], [0.5, -0.5, 1.0], [0.0, 0.0, 0.0]], ids=str)
@pytest.mark.parametrize("positive", [False, True])
@pytest.mark.parametrize("divide", [False, True])
def test_agreeing_mean(shares, positive, divide, without):
    generator = torch.Generator().manual_seed(0)
    values = [torch.randint(-2, 3, (3001,), generator=generator).double() / 3 for _ in shares]
    values[0][:3] = torch.tensor([torch.nan, torch.inf, -0.0])
    votes = [value.roll(5) for value in values]

    def mean(own):
        mine = [value.clone() for value in values]
        voting = mine if own else votes
        return weighting.agreeing_mean(mine, voting, shares, zero_is_positive=positive, divide=divide)

    for own in (True, False):
        assert torch.equal(bits(mean(own)), bits(without(mean, own)))


def told(size, low, high):
    """What `kernels.screen` tells of magnitudes, by numpy alone."""
    within = size[(size > low) & (size < high)]
    return [np.count_nonzero(found) for found in (size > high, size == high, size == low)], within.tolist()


def screen(values, origin, low, high):
    found, within = kernels.screen(values, origin, low, high)
    assert not found.unordered
    return [found.above, found.at_high, found.at_low], within.tolist()


@pytest.mark.parametrize("base", DTYPES)
@pytest.mark.parametrize("model", DTYPES)
def test_screen(model, base):
    generator = torch.Generator().manual_seed(1)
    values, origin = (torch.randint(-40, 40, (5003,), generator=generator) / 16 for _ in range(2))
    values, origin = values.to(model), origin.to(base)
    size = (values.double() - origin.double()).abs().numpy()
    for low, high in ((0.5, 1.0), (-1.0, 0.25), (0.0, 0.0), (1.0, np.inf), (9.0, 10.0)):
        assert screen(values, origin, low, high) == told(size, low, high)
        of_numpy = Screened.of(size, low, high)
        assert ([of_numpy.above, of_numpy.at_high, of_numpy.at_low], of_numpy.within.tolist()) == told(size, low, high)
    np.testing.assert_array_equal(kernels.sample(values, origin, 3, 7), size[3::7])
    values[17] = values[4000] = torch.nan
    found, within = kernels.screen(values, origin, 0.5, 1.0)
    others = np.delete(size, [17, 4000])
    assert found.unordered == 2
    assert ([found.above, found.at_high, found.at_low], within.tolist()) == told(others, 0.5, 1.0)


@pytest.mark.parametrize("dtype", DTYPES)
def test_screen_next_to_its_bounds(dtype):
    """What float32 cannot tell from a bound is told in float64."""
    generator = torch.Generator().manual_seed(1)
    low, high = 0.5, 1.0
    near = torch.tensor([low, high])[torch.randint(2, (5003,), generator=generator)].double()
    values = (near * (1 + torch.randn(5003, generator=generator, dtype=torch.float64) * 1e-9)).to(dtype)
    counts, within = told(values.double().abs().numpy(), low, high)
    assert screen(values, torch.zeros(5003, dtype=dtype), low, high) == (counts, within)
    assert (len(within) > 1000) == (dtype == torch.float64) == (counts[0] > 0)


def test_screen_of_differences_of_more_bits_than_float32_has():
    values, origin = torch.rand(2, 20_011, generator=torch.Generator().manual_seed(0))
    origin *= 1e-5
    size = (values.double() - origin.double()).abs().numpy()
    for low, high in np.sort(size)[[[100, 200], [5000, 5000], [20_000, 20_010]]]:
        assert screen(values, origin, low, high) == told(size, low, high)


@hypothesis.given(
    st.lists(st.one_of(st.sampled_from([0.0, -0.0, 0.5, 1.0]), st.floats(allow_nan=False)), min_size=1, max_size=60),
    st.data(),
)
def test_nth_of_any_numbers(values, data):
    place = data.draw(st.integers(0, len(values) - 1))
    assert kernels.nth(np.array(values), place) == sorted(values)[place]


@pytest.mark.parametrize("kind", ["normal", "few values", "all equal", "two far apart", "all magnitudes"])
def test_nth_of_many(kind):
    random = np.random.default_rng(0)
    values = {
        "normal": random.standard_normal(50_001),
        "few values": random.integers(-3, 3, 50_001) / 8,
        "all equal": np.full(50_001, 0.1),
        "two far apart": np.where(random.random(50_001) < 0.5, 5e-324, np.inf),
        "all magnitudes": np.exp(random.uniform(-700, 700, 50_001)),
    }[kind]
    ordered = np.sort(values)
    for place in (0, 1, 25_000, 49_999, 50_000):
        assert kernels.nth(values, place) == ordered[place]
    assert kernels.nth(values[::3], 100) == np.sort(values[::3])[100]


@pytest.mark.parametrize("share", [0, 0.3, 1])
@pytest.mark.parametrize("name", ["dare_linear", "della"])
def test_norms(name, share, without, monkeypatch):
    """However long the stretches and the blocks are, and by loops or not."""
    models, base = tensors((300, 257), 3, dtype=torch.bfloat16)
    factors = lambda: METHODS.get(name)(Stack.of(models, base), density=share, variant="mergekit")  # noqa: E731
    wanted = factors().choice._factors
    assert without(factors).choice._factors == wanted
    monkeypatch.setattr(norms, "STRETCH", 4096)
    monkeypatch.setattr(stack, "UNIT", 1000)
    assert factors().choice._factors == wanted
    assert without(factors).choice._factors == wanted
    assert len(set(wanted)) == (3 if share == 0.3 else 1)


def test_sums_know_no_blocks(without):
    values = torch.randn(20_011, generator=torch.Generator().manual_seed(0), dtype=torch.float64).abs_()
    whole = np.zeros(kernels.LANES)
    norms._add(whole, values, 0)
    assert whole[7] == np.cumsum(values[7 :: kernels.LANES])[-1]  # one after the other
    for size in (1, 100, 512, 777, 20_000):
        added = np.zeros(kernels.LANES)
        for start in range(0, len(values), size):
            norms._add(added, values[start : start + size], start)
        assert np.array_equal(added, whole)
        by_rows = np.zeros(kernels.LANES)
        for start in range(0, len(values), size):
            without(norms._add, by_rows, values[start : start + size], start)
        assert np.array_equal(by_rows, whole)


def test_all_within_the_bracket():
    for count in (1, 255, 256, 257, 1000):
        values = torch.arange(count, dtype=torch.float64)
        assert screen(values, torch.zeros(count), -1.0, torch.inf) == ([0, 0, 0], values.tolist())


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_selection(dtype, without):
    (model,), base = tensors((300, 257), 1, dtype=dtype)
    stack = Stack.of([model], base)
    for keep in (0, 1, 1000, 40_000, stack.numel):
        select = lambda: largest(Magnitudes([stack], 0), stack.numel, keep)  # noqa: B023, E731
        assert select() == without(select)


@pytest.mark.parametrize("left", [0, 1, 700, 10**6])
def test_trim(left, without):
    values = torch.randint(-4, 5, (4001,), generator=torch.Generator().manual_seed(2)).double()
    values[:2] = torch.tensor([torch.nan, torch.inf])
    for value in (2.0, torch.inf, 0.0):
        cut = Cut(value, left)
        (found, rest), (wanted, same) = cut.trim(values.clone(), left), without(cut.trim, values.clone(), left)
        assert torch.equal(bits(found), bits(wanted)) and rest == same


@pytest.mark.parametrize("start", [0, 1, 2, 3, 511, 1_000_003])
def test_draws(start, without):
    stack = Stack.of([torch.zeros(1)])
    each = np.random.default_rng(0).integers(-(2**15), 2**15, 2000).astype(np.int16)
    for limits in (np.int16(-5000), np.int16(2**15 - 1), each):
        kept = stack.kept(0, start, start + 2000, limits)
        assert torch.equal(kept, without(stack.kept, 0, start, start + 2000, limits))


def test_subnormals_where_a_library_has_them_flushed():
    """Some libraries, built for speed alone, set this for a whole process."""
    torch.set_flush_denormal(True)
    try:
        found = arithmetic.combine([(2.0, torch.tensor([3e-5, 6e-8]).half())], torch.float32)
    finally:
        torch.set_flush_denormal(False)
    assert found.tolist() == (torch.tensor([3e-5, 6e-8]).half().double() * 2).tolist() and found.all()


def test_a_view_that_is_negative_only_in_name():
    values = torch._neg_view(torch.arange(1.0, 600))
    assert torch.equal(arithmetic.combine([(2.0, values)], torch.float64), values.double() * 2)
    stack = Stack.of([values, values * 2], torch.zeros(599))
    assert torch.equal(
        torch.cat(list(round_blocks(METHODS.get("ties")(stack, density=1), torch.float32))), values * 1.5
    )


def test_lengths_that_differ_are_refused():
    longer, shorter = torch.zeros(5000), torch.ones(3)
    with pytest.raises(ValueError, match="5000 and 3"):
        arithmetic.combine([(1.0, longer), (1.0, shorter)], torch.float64)
    for name, given in (
        ("linear", {}),
        ("ties", {}),
        ("dare_linear", {}),
        ("dare_linear", {"variant": "mergekit"}),
        ("della", {}),
    ):
        with pytest.raises((ValueError, RuntimeError), match="5000"):  # ours, and torch's
            list(round_blocks(METHODS.get(name)(Stack.of([longer, shorter], longer), **given), torch.float32))
    with pytest.raises(ValueError, match="limits"):
        Stack.of([longer]).kept(0, 0, 2000, np.zeros(3, np.int16))
    narrow = [torch.ones(4, dtype=torch.float64), torch.ones(4)]
    assert weighting.agreeing_mean(narrow, narrow, [1.0, 1.0]).tolist() == [1.0] * 4


def test_a_sum_can_be_had_again(without):
    values = torch.randint(-2, 3, (1000,), generator=torch.Generator().manual_seed(0)).double()
    for name, given in (("ties", {"density": 0.3}), ("della", {"variant": "mergekit"}), ("dare_ties", {})):
        made = METHODS.get(name)(Stack.of([values], torch.zeros(1000)), **given)
        first = torch.cat(list(made))
        assert torch.equal(torch.cat(list(made)), first)
        assert torch.equal(torch.cat(list(round_blocks(made, torch.float64))), first)
        assert torch.equal(without(lambda made=made: torch.cat(list(round_blocks(made, torch.float64)))), first)


def test_a_method_may_yield_rows(without):
    rows = torch.randn(3, 100, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    for run in (lambda f: f(), without):
        for dtype in (torch.float64, torch.bfloat16):
            (found,) = run(lambda dtype=dtype: list(round_blocks(iter([rows]), dtype)))
            assert torch.equal(found, rows.view(-1).to(dtype))


@pytest.mark.parametrize("name", ["dare_ties", "dare_linear", "della", "della_linear"])
def test_infinity_where_nothing_is_kept(name, without):
    stack = Stack.of([torch.tensor([1.0, 2.0, torch.inf])], torch.zeros(3))
    made = lambda: list(round_blocks(METHODS.get(name)(stack, density=0, variant="mergekit"), torch.float32))  # noqa: E731
    assert torch.equal(bits(made()[0]), bits(without(made)[0]))


@pytest.mark.parametrize("name", ["ties", "dare_ties", "della", "task_arithmetic", "prepost"])
def test_a_base_that_is_missing(name, without):
    for run in (lambda f: f(), without):
        with pytest.raises(UserError, match="base model"):
            run(lambda: list(round_blocks(METHODS.get(name)(Stack.of([torch.ones(4)])), torch.float32)))


def test_what_was_built_from_another_source_is_not_called(monkeypatch, tmp_path):
    assert kernels._load() is not None
    monkeypatch.setattr(kernels, "_VERSION", kernels._VERSION + 1)
    assert kernels._load() is None
    monkeypatch.undo()
    broken = tmp_path / "broken.so"
    broken.write_bytes(b"not a library")
    monkeypatch.setattr(kernels, "find_spec", lambda _: type("Spec", (), {"origin": str(broken)}))
    assert kernels._load() is None
    monkeypatch.setattr(kernels, "find_spec", lambda _: None)
    assert kernels._load() is None


@pytest.fixture
def compiler():
    """The C compiler, where there still is one."""
    found = shutil.which("cc") or shutil.which("gcc")
    if found is None:
        pytest.skip("no C compiler")
    return found


@pytest.mark.skipif(
    platform.machine() != "x86_64" or sys.platform != "linux", reason="loops are built for several widths there alone"
)
@pytest.mark.parametrize(
    ("level", "needs"), [("x86-64", "sse2"), ("x86-64-v3", "avx2"), ("x86-64-v4", "avx512dq")], ids=lambda given: given
)
@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16])
def test_processors_of_all_levels_give_the_same_bits(dtype, level, needs, compiler, tmp_path, monkeypatch):
    """Each as if it were the only one: which of them is called is else the processor's choice."""
    if needs not in Path("/proc/cpuinfo").read_text().split():
        pytest.skip(f"a processor without {needs}")
    given = {name: tensors((300, 257), count_of(name), dtype=torch.bfloat16) for name in CASES}
    chosen = {name: merged(name, *given[name], dtype) for name in CASES}
    flags = ["-fPIC", "-shared", f"-march={level}", "-U__gnu_linux__"]
    if subprocess.run([compiler, *flags, "-E", "-x", "c", "/dev/null"], capture_output=True).returncode:
        pytest.skip(f"a compiler that knows no {level}")
    project = tomllib.loads((Path(__file__).parents[2] / "pyproject.toml").read_text())
    (module,) = project["tool"]["setuptools"]["ext-modules"]
    flags += module["extra-compile-args"]
    subprocess.run([compiler, *flags, "-o", tmp_path / "loops.so", SOURCE], check=True, capture_output=True)
    monkeypatch.setattr(kernels, "find_spec", lambda _: type("Spec", (), {"origin": str(tmp_path / "loops.so")}))
    library = kernels._load()
    assert library is not None
    monkeypatch.setattr(kernels, "_LIBRARY", library)
    for name in CASES:
        assert torch.equal(bits(merged(name, *given[name], dtype)), bits(chosen[name])), name


def test_structures_and_numbers_are_those_of_the_source(compiler, tmp_path):
    """The compiler's own sizes: a field too many would be read from other memory."""
    kinds, rules = "FLOAT64, FLOAT32, BFLOAT16, FLOAT16", "ALL, TRIMMED, BANDED, DRAWN, RESCALED, MASKED"
    sizes = ", ".join(f"sizeof(struct {name})" for name in ("part", "election", "screened"))
    program = tmp_path / "sizes.c"
    offsets = ", ".join(f"offsetof(struct part, {name})" for name, _ in kernels.Part._fields_)
    program.write_text(
        f'#include "{SOURCE}"\n#include <stddef.h>\n#include <stdio.h>\nint main(void) {{'
        f" size_t found[] = {{{kinds}, {rules}, MOST, LEVELS, LANES, {sizes}, {offsets}}};"
        ' for (unsigned i = 0; i < sizeof found / sizeof *found; i++) printf("%zu ", found[i]); }'
    )
    subprocess.run([compiler, "-o", tmp_path / "sizes", program], check=True, capture_output=True)
    said = subprocess.run([tmp_path / "sizes"], check=True, capture_output=True, text=True).stdout.split()
    placed = [getattr(kernels.Part, name).offset for name, _ in kernels.Part._fields_]
    of_rules = [kernels.ALL, kernels.TRIMMED, kernels.BANDED, kernels.DRAWN, kernels.RESCALED, kernels.MASKED]
    numbers = [*kernels.KINDS.values(), *of_rules, kernels.MOST, trimming._LEVELS, kernels.LANES]
    numbers += [ctypes.sizeof(kind) for kind in (kernels.Part, kernels.Election, kernels.Screened)]
    assert [int(size) for size in said] == [*numbers, *placed]
