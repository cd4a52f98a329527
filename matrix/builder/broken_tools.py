"""A program of the build that broke: tried once more, since a compiler that fails breaks every time.

What breaks once and not again is the machine's: memory that flips bits, a processor that is too hot.
"""

from collections.abc import Sequence
from dataclasses import replace

from matrix.diagnostics.diagnostic import Diagnostic
from matrix.diagnostics.internal_error import is_crash
from matrix.diagnostics.log_parser import parse_diagnostics
from matrix.record.states import State
from matrix.resolve.make_runner import MakeResult

_NO_OBJECT = ""


def needs_second_try(makes: Sequence[MakeResult]) -> bool:
    """Whether a program broke in the last of some makes of the same targets, and not in the one before."""
    return bool(_find_crashed_objects(makes[-1])) and not any(map(_find_crashed_objects, makes[-2:-1]))


def judge_last_make(makes: Sequence[MakeResult]) -> MakeResult:
    """The last result; `infra` where a program that had broken in the one before did not break again."""
    *before, last = makes
    crashed = _find_crashed_objects(before[-1]) if before else frozenset()
    sound = sorted(crashed - _find_crashed_objects(last))
    if not sound or last.state not in (State.PASS, State.FAIL):
        return last
    where = f" while {sound[0]} was made" if sound[0] else ""
    reason = f"a program broke{where}, and not when it was tried again: the machine may be faulty"
    return replace(last, state=State.INFRA, reason=reason, is_cut_short=False)


def _find_crashed_objects(result: MakeResult) -> frozenset[str]:
    """The objects during whose making a program broke; one without a name where the log does not show it."""
    if result.state is not State.FAIL:
        return frozenset()
    printed = parse_diagnostics(result.lines)
    objects = {item.object or _NO_OBJECT for item in printed if _tells_crash(item.diagnostic)}
    return frozenset(objects or ({_NO_OBJECT} if result.crash else ()))


def _tells_crash(diagnostic: Diagnostic) -> bool:
    return diagnostic.internal or (diagnostic.tool == "make" and is_crash(diagnostic.message))
