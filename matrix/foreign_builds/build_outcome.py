"""What came out of a build that others made: its state, what its tools said, what it made. Pure.

No build passes by default: its maker noted it, or its log shows that make ended well and what it compiled.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from matrix.diagnostics.diagnostic import Occurrence
from matrix.diagnostics.log_parser import parse_build_log
from matrix.foreign_builds.build_facts import BuildFacts
from matrix.foreign_builds.foreign_log import ForeignLog
from matrix.record.states import State

_CONFIGURED_ONLY = "only its configuration was made: nothing was compiled"
_END_NOT_SHOWN = "nothing in its log shows how make ended"
_STOPPED = "a signal ended it, and nothing shows what it would have come to"
_NOTHING_SHOWN = "its log shows that make ended, and nothing that was compiled"


@dataclass(frozen=True)
class BuildOutcome:
    """``objects``: those that the log shows compiled, where it shows all of what became of them."""

    state: State
    reason: str | None
    occurrences: tuple[Occurrence, ...]
    objects: frozenset[str]


def judge_build(log: ForeignLog, facts: BuildFacts) -> BuildOutcome:
    """The outcome of a build with this log, of which these facts are known."""
    has_failed = log.succeeded is False or (facts.succeeded is False and not log.was_stopped)
    parsed = parse_build_log(log.lines, log.source_root, log.build_root, failed=has_failed or None)
    shown = [item for item in parsed.occurrences if not (log.was_stopped and _may_come_of_signal(item))]
    state, reason = _find_state(log, facts, shown, parsed.compiled_objects)
    # A log that breaks off may show objects that were still being compiled.
    is_whole = log.is_whole and not log.was_stopped
    failed = {target.object for target in parsed.failed_targets}
    return BuildOutcome(
        state, reason, tuple(shown), parsed.compiled_objects - failed if is_whole else frozenset()
    )


def _find_state(
    log: ForeignLog, facts: BuildFacts, occurrences: Sequence[Occurrence], objects: frozenset[str]
) -> tuple[State, str | None]:
    errors = _list_errors(occurrences)
    if log.was_stopped and not errors:
        return State.UNKNOWN, _STOPPED
    if log.succeeded is False or facts.succeeded is False:
        return State.FAIL, None
    if facts.succeeded and facts.compiled is False:
        return State.EMPTY, _CONFIGURED_ONLY
    if facts.succeeded or (log.succeeded and objects and not errors):
        return State.WARN if occurrences else State.PASS, None
    if errors:
        return State.FAIL, None
    return State.UNKNOWN, _NOTHING_SHOWN if log.succeeded else _END_NOT_SHOWN


def _list_errors(occurrences: Sequence[Occurrence]) -> list[Occurrence]:
    return [item for item in occurrences if item.diagnostic.severity == "error"]


def _may_come_of_signal(item: Occurrence) -> bool:
    """Whether an error may come of a signal, and not of the source: it names no line there."""
    return item.diagnostic.severity == "error" and (
        item.diagnostic.line is None or item.diagnostic.tool == "make"
    )
