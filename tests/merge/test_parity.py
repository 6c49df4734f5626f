"""The methods beside other tools': mergekit's results, frozen by ``benchmarks/parity.py``, and peft's functions."""

import json
from pathlib import Path

import pytest
import torch

from benchmarks.parity import CASES, FROZEN, MODEL, TOLERANCE, difference
from syn2real.merge import METHODS, Stack

THEIRS = json.loads((Path(__file__).parent / "data" / "mergekit_parity.json").read_text())["results"]


def test_every_case_is_frozen():
    assert set(THEIRS) == set(CASES)


@pytest.mark.parametrize("label", CASES)
def test_as_mergekit(label):
    """Element by element where the two mean the same; elsewhere the stated difference is still there."""
    case = CASES[label]
    found = max(
        difference(case, name, torch.tensor(THEIRS[label][name]).view(MODEL.shapes[name]).float()) for name in FROZEN
    )
    assert (found > TOLERANCE) == bool(case.differs)


def pair(shape=(60, 50), count=3):
    generator = torch.Generator().manual_seed(0)
    return [torch.randn(shape, generator=generator) for _ in range(count)]


def ours(method, deltas, **parameters):
    stack = Stack.of(deltas, torch.zeros_like(deltas[0]))
    return stack.collect(METHODS.get(method)(stack, **parameters)).float()


@pytest.fixture(scope="module")
def peft():
    return pytest.importorskip("peft.utils.merge_utils", reason="needs peft")


WEIGHTS = [0.5, 0.3, 0.9]


@pytest.mark.parametrize("density", [0.1, 0.5, 1.0])
def test_ties_as_peft(peft, density):
    deltas = pair()
    theirs = peft.ties(deltas, torch.tensor(WEIGHTS), density)
    torch.testing.assert_close(ours("ties", deltas, weight=WEIGHTS, density=density, variant="peft"), theirs)


def test_a_balance_of_signs_as_peft(peft):
    deltas = [torch.tensor([2.0, -1.0]), torch.tensor([-2.0, 1.0])]
    theirs = peft.ties(deltas, torch.ones(2), 1.0)
    torch.testing.assert_close(ours("ties", deltas, density=1.0, variant="peft"), theirs)


def test_task_arithmetic_as_peft(peft):
    deltas = pair()
    theirs = peft.task_arithmetic(deltas, torch.tensor(WEIGHTS))
    torch.testing.assert_close(ours("task_arithmetic", deltas, weight=WEIGHTS), theirs)


@pytest.mark.parametrize("density", [0.1, 0.5])
def test_pruning_by_magnitude_as_peft(peft, density):
    """The plain sum of what is left of each: our breadcrumbs without outliers."""
    deltas = pair()
    theirs = peft.magnitude_prune(deltas, torch.tensor(WEIGHTS), density)
    torch.testing.assert_close(ours("breadcrumbs", deltas, weight=WEIGHTS, density=density, gamma=0.0), theirs)


@pytest.mark.parametrize("method", ["dare_linear", "dare_ties"])
def test_dare_as_peft_on_average(peft, method):
    """The two draw other numbers: means over elements that are all alike, and the share of each value."""
    deltas = [torch.full((400, 500), value) for value in (1.0, 2.0, -4.0)]
    torch.manual_seed(0)
    theirs = getattr(peft, method)(deltas, torch.tensor(WEIGHTS), 0.4)
    given = {"election": "peft"} if method == "dare_ties" else {}
    mine = ours(method, deltas, weight=WEIGHTS, density=0.4, **given)
    # 8 combinations of what is kept; values in 1/1000, as the share kept is rounded to a multiple of 2^-16.
    values = sorted({*(theirs * 1000).round().flatten().tolist(), *(mine * 1000).round().flatten().tolist()})
    assert len(values) <= 8
    shares = [torch.tensor([float(((x * 1000).round() == v).float().mean()) for v in values]) for x in (theirs, mine)]
    deviation = torch.sqrt(2 * shares[0] * (1 - shares[0]) / mine.numel())
    assert ((shares[0] - shares[1]).abs() < 5 * deviation + 1e-6).all()
