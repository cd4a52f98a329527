"""When several exit codes hold, the ladder decides."""

from itertools import product

import pytest

from matrix.exit_codes import LADDER, ExitCode, choose_exit_code

NAMES = ("interrupted", "failed", "untried", "unproven", "warned")


def test_the_codes_are_the_published_ones() -> None:
    assert list(ExitCode) == [0, 1, 2, 70, 100, 101, 130]


@pytest.mark.parametrize("holds", list(product((False, True), repeat=len(NAMES))))
def test_the_first_that_holds_wins(holds: tuple[bool, ...]) -> None:
    code = choose_exit_code(**dict(zip(NAMES, holds, strict=True)))
    held = [number for number, holding in zip((130, 100, 2, 1, 101), holds, strict=True) if holding]
    assert code == (held[0] if held else 0)


def test_a_bug_is_no_result() -> None:
    assert set(ExitCode) - set(LADDER) == {ExitCode.BUG}
