"""Sums of models as text."""

import pytest

from syn2real.errors import UserError
from syn2real.merge.expression import Expression

MODELS = {"T": 0, "R": 0, "S": 0}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("T", {"T": 1.0}),
        ("T + 0.7*(R - S)", {"T": 1.0, "R": 0.7, "S": -0.7}),
        ("T + scale * (R - S)", {"T": 1.0, "R": 0.25, "S": -0.25}),
        ("T + lambda * (R - S)", {"T": 1.0, "R": 0.25, "S": -0.25}),
        ("(R + S) / 2", {"R": 0.5, "S": 0.5}),
        ("-(R - S) * 2", {"R": -2.0, "S": 2.0}),
        ("T - T + R", {"T": 0.0, "R": 1.0}),
        ("2 * 3 * T / 4", {"T": 1.5}),
        ("1e-3 * T + (1 - scale) * S", {"T": 0.001, "S": 0.75}),
        ("+T", {"T": 1.0}),
        ("T\n+ R", {"T": 1.0, "R": 1.0}),
        ("  (T\n+\tR)\n  / 2\n", {"T": 0.5, "R": 0.5}),
        ("0.5 * (\n      T + R)\n- S", {"T": 0.5, "R": 0.5, "S": -1.0}),  # S stands further left, but later
        ("T  # the tuned one\n+ R - \\\nS", {"T": 1.0, "R": 1.0, "S": -1.0}),
    ],
)
def test_coefficients(text: str, expected: dict[str, float]) -> None:
    expression = Expression.parse(text, MODELS, {"scale": None})
    assert expression.coefficients({"scale": 0.25}) == pytest.approx(expected)
    assert list(expression.models) == list(expected)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("T +", "not arithmetic"),
        ("", "not arithmetic"),
        ("T = R", "not arithmetic"),
        ("T * R", "multiplies two models"),
        ("T / R", "divides by a model"),
        ("T / 0", "or by 0"),
        ("T + 1", "adds the number 1"),
        ("T ** 2", "only + - * /"),
        ("__import__('os')", "unknown name"),
        ("T.shape", "only + - * /"),
        ("T[0]", "only + - * /"),
        ("T + (R if T else S)", "only + - * /"),
        ("Q", "unknown name 'Q'"),
        ("T + scal * R", "did you mean 'scale'"),
        ("2 * 3", "names no model"),
        ("1e999 * T", "the factor of T is inf"),
        ("True * T", "only + - * /"),
        ("T\nR", "not arithmetic"),
        ("# T", "not arithmetic"),
        ("(" * 500 + "T" + ")" * 500, "not arithmetic"),
    ],
)
def test_everything_else_is_refused(text: str, words: str) -> None:
    with pytest.raises(UserError, match=words.replace("*", r"\*").replace("+", r"\+")):
        Expression.parse(text, MODELS, {"scale": 1.0})
