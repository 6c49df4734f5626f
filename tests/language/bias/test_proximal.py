"""PPO's arithmetic, beside what it is defined by."""

import pytest
import torch

from syn2real.language.bias.proximal import GAMMA, LAMBDA, advantages, token_rewards, whitened

MASK = torch.tensor([[1.0, 1, 1, 1], [1, 1, 0, 0], [1, 0, 0, 0]])


def test_rewards_pay_at_the_end_and_each_token_costs_what_it_leaves_the_reference_by():
    likelihoods, reference = torch.randn(3, 4), torch.randn(3, 4)
    paid = torch.tensor([1.0, 0.5, 2.0])
    found = token_rewards(paid, likelihoods, reference, MASK, kl=0.1)
    expected = -0.1 * (likelihoods - reference) * MASK
    for row, last in enumerate((3, 1, 0)):
        expected[row, last] += paid[row]
    assert torch.allclose(found, expected)


def test_advantages_are_the_discounted_sum_of_temporal_differences():
    rewards, values = torch.randn(3, 4) * MASK, torch.randn(3, 4) * MASK
    found, returns = advantages(rewards, values, MASK)
    for row in range(3):
        length = int(MASK[row].sum())
        following = [*values[row, 1:length].tolist(), 0.0]
        deltas = [float(rewards[row, t]) + GAMMA * following[t] - float(values[row, t]) for t in range(length)]
        for place in range(length):
            wanted = sum((GAMMA * LAMBDA) ** (t - place) * deltas[t] for t in range(place, length))
            assert float(found[row, place]) == pytest.approx(wanted, abs=1e-5)
            assert float(returns[row, place]) == pytest.approx(wanted + float(values[row, place]), abs=1e-5)
        assert not found[row, length:].any() and not returns[row, length:].any()


def test_whitened_over_what_counts():
    found = whitened(torch.randn(3, 4) * 5 + 3, MASK)
    kept = found[MASK.bool()]
    assert float(kept.mean()) == pytest.approx(0, abs=1e-6)
    assert float(kept.var(correction=0)) == pytest.approx(1, abs=1e-5)
    assert not found[~MASK.bool()].any()
