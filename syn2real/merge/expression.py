"""Linear combinations of models written as text: ``T + 0.7 * (R - S)``."""

import ast
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass

from syn2real.errors import UserError, did_you_mean


@dataclass(frozen=True)
class Expression:
    """A parsed expression over ``models``; other names are ``parameters``, numbers that a recipe gives."""

    text: str
    models: tuple[str, ...]  # those that occur, in order of first appearance
    parameters: tuple[str, ...]
    _tree: ast.expr

    @classmethod
    def parse(cls, text: str, models: Mapping[str, object], parameters: Mapping[str, object]) -> "Expression":
        """Read ``text``, of one line or several: ``+ - * /``, brackets, numbers and names; ``lambda`` is ``scale``.

        Raises `UserError` for anything else.
        """
        # In one line a name's column is its place. What Python would skip at the end of a line must not reach the next.
        line = " ".join(re.sub(r"#.*|\\$", " ", text, flags=re.MULTILINE).split())
        try:
            tree = ast.parse(re.sub(r"\blambda\b", "scale", line), mode="eval").body
        except (SyntaxError, ValueError, RecursionError) as error:
            raise UserError(f"expression {text!r}: not arithmetic; write for instance T + 0.7 * (R - S)") from error
        found = sorted((n for n in ast.walk(tree) if isinstance(n, ast.Name)), key=lambda name: name.col_offset)
        names = tuple(dict.fromkeys(name.id for name in found))
        for name in names:
            if name not in models and name not in parameters:
                known = [*models, *parameters]
                raise UserError(f"expression {text!r}: unknown name {name!r}{did_you_mean(name, known)}")
        used = tuple(name for name in names if name in models)
        parsed = cls(text, used, tuple(name for name in names if name not in models), tree)
        if not used:
            raise UserError(f"expression {text!r}: names no model")
        parsed.coefficients(dict.fromkeys(parsed.parameters, 1.0))  # finds what is not linear
        return parsed

    def coefficients(self, parameters: Mapping[str, float]) -> dict[str, float]:
        """The factor of each model, for these values of the parameters. Raises `UserError` when it is not linear."""
        scalar, terms = self._evaluate(self._tree, parameters)
        for name, value in terms.items():
            if not math.isfinite(value):
                raise UserError(f"expression {self.text!r}: the factor of {name} is {value}")
        if scalar:
            raise UserError(f"expression {self.text!r}: adds the number {scalar:g} to weights")
        return {name: terms.get(name, 0.0) for name in self.models}

    def _evaluate(self, node: ast.expr, values: Mapping[str, float]) -> tuple[float, dict[str, float]]:
        """A node as (number, factors of models)."""
        if isinstance(node, ast.Constant) and isinstance(node.value, int | float) and not isinstance(node.value, bool):
            return float(node.value), {}
        if isinstance(node, ast.Name):
            return (float(values[node.id]), {}) if node.id in values else (0.0, {node.id: 1.0})
        if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub | ast.UAdd):
            sign = -1.0 if isinstance(node.op, ast.USub) else 1.0
            number, terms = self._evaluate(node.operand, values)
            return sign * number, {name: sign * value for name, value in terms.items()}
        if isinstance(node, ast.BinOp):
            return self._binary(node, self._evaluate(node.left, values), self._evaluate(node.right, values))
        raise UserError(f"expression {self.text!r}: only + - * / and brackets can be used")

    def _binary(
        self, node: ast.BinOp, left: tuple[float, dict[str, float]], right: tuple[float, dict[str, float]]
    ) -> tuple[float, dict[str, float]]:
        if isinstance(node.op, ast.Add | ast.Sub):
            sign = 1.0 if isinstance(node.op, ast.Add) else -1.0
            terms = dict(left[1])
            for name, value in right[1].items():
                terms[name] = terms.get(name, 0.0) + sign * value
            return left[0] + sign * right[0], terms
        if isinstance(node.op, ast.Mult):
            if left[1] and right[1]:
                raise UserError(f"expression {self.text!r}: multiplies two models; only numbers can scale them")
            number, (other, terms) = (right[0], left) if left[1] else (left[0], right)
            return number * other, {name: number * value for name, value in terms.items()}
        if isinstance(node.op, ast.Div):
            if right[1] or right[0] == 0:
                raise UserError(f"expression {self.text!r}: divides by a model or by 0")
            return left[0] / right[0], {name: value / right[0] for name, value in left[1].items()}
        raise UserError(f"expression {self.text!r}: only + - * / and brackets can be used")
