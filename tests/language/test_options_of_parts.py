"""Options by the signature of what takes them."""

from pathlib import Path

import pytest

from syn2real.errors import UserError
from syn2real.language.options import made, require_options


class Own:
    """As a package may add it; of ``order`` nothing is known."""

    def __init__(self, size: int, order=None, near: float = 0.0, file: Path | None = None) -> None:
        self.given = size, order, near, file


def handed_on(**options) -> Own:
    return Own(**options)


def test_what_a_signature_says_is_taken():
    assert made("judge", "own", Own, {"size": 3, "order": [1], "near": 1}).given == (3, [1], 1, None)
    assert made("judge", "own", handed_on, {"size": 3}).given == (3, None, 0.0, None)


@pytest.mark.parametrize(
    ("maker", "options", "problem"),
    [
        (Own, {}, "judge 'own' needs the option 'size'"),
        (Own, {"size": 3, "nera": 1}, "judge 'own' takes no option 'nera' .did you mean 'near'"),
        (handed_on, {"size": 3, "nera": 1}, "judge 'own' takes no option 'nera'"),
        (Own, {"size": "3"}, "judge own: size is a whole number, not '3'"),
        (Own, {"size": 3, "near": False}, "judge own: near is a number, not False"),
        (Own, {"size": 3, "file": 3}, "judge own: file is a file, not 3"),
    ],
)
def test_what_it_does_not_take_is_named(maker, options, problem):
    with pytest.raises(UserError, match=problem):
        made("judge", "own", maker, options)


def test_to_look_at_options_makes_nothing():
    class Never:
        def __init__(self, size: int = 1) -> None:
            raise AssertionError("is not to be made")

    require_options("judge", "never", Never, {"size": 2})
