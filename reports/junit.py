"""A run and a verdict as JUnit's XML, which CIs show as tests: a suite for each lane, a case for each cell.

Where the readers of such files differ, this is what they have in common: `failure`, `error` and `skipped`
with a message, a class and a name that stay the same from run to run, seconds.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import groupby
from typing import NamedTuple
from xml.etree import ElementTree
from xml.sax import saxutils

from matrix.exit_codes import ExitCode
from matrix.findings.stored_run import StoredRun
from matrix.foreign_text import replace_controls
from matrix.record.run_model import Cell, Run
from matrix.verdict.verdict_model import FixCheck, Verdict, VerdictPatch
from reports.cell_judgement import CellJudgement, JudgementKind, judge_outcome
from reports.finding_text import format_diagnostic
from reports.formatting import format_count, shorten_line
from reports.limits import JUNIT_DETAIL_BYTES, JUNIT_MESSAGES, LINE_LENGTH
from reports.summary import list_cell_diagnostics

_ELEMENTS = {JudgementKind.FAILED: "failure", JudgementKind.ERROR: "error", JudgementKind.SKIPPED: "skipped"}
_ATTRIBUTES = {
    JudgementKind.FAILED: "failures",
    JudgementKind.ERROR: "errors",
    JudgementKind.SKIPPED: "skipped",
}


class _Case(NamedTuple):
    """One case: its suite and name, its result, seconds, and lines of details."""

    suite: str
    name: str
    result: CellJudgement
    seconds: float = 0.0
    details: tuple[str, ...] = ()


def render_junit(stored: StoredRun, results: Mapping[str, CellJudgement], code: ExitCode) -> str:
    """The whole file. ``results`` are those of the run's cells, by id. Where none of them says why the exit
    code is not 0, a case of the run's own does."""
    return _render_cases(stored.run, [*_list_cases(stored, results)], code)


def render_verdict_junit(
    verdict: Verdict, after: StoredRun, results: Mapping[str, CellJudgement], code: ExitCode
) -> str:
    """The same of a verdict, on the cells of its after-run; each finding that was to be fixed is a case, and
    each patch."""
    fixes = [_Case("fixes", check.finding, _judge_fix(check)) for check in verdict.fixes]
    cases = [*fixes, *_list_patch_cases(verdict.patches), *_list_cases(after, results)]
    return _render_cases(after.run, cases, code)


def _list_patch_cases(patches: Iterable[VerdictPatch]) -> Iterator[_Case]:
    """What does not apply could not be tried, and nor could what follows it."""
    result = CellJudgement(JudgementKind.PASSED, "applied")
    for patch in patches:
        if patch.refused:
            result = CellJudgement(JudgementKind.ERROR, "does not apply", patch.refused)
        yield _Case("patches", patch.name, result)
        if patch.refused:
            result = CellJudgement(JudgementKind.ERROR, "not tried", f"{patch.name} does not apply")


def _judge_fix(check: FixCheck) -> CellJudgement:
    if check.fixed:
        return CellJudgement(JudgementKind.PASSED, "fixed")
    label, kind = ("not fixed", JudgementKind.FAILED) if check.known else ("unknown", JudgementKind.ERROR)
    return CellJudgement(kind, label, f"{check.title or check.finding}: {check.reason or label}")


def _list_cases(stored: StoredRun, results: Mapping[str, CellJudgement]) -> Iterator[_Case]:
    """The cells in their order. When there is no room for more details, the message alone remains."""
    room = JUNIT_DETAIL_BYTES
    for cell in stored.run.cells:
        details = _list_details(stored.run, cell) if room > 0 else (f"see the log: {cell.log or cell.id}",)
        room -= sum(map(_measure, (*details, results[cell.id].message)))
        yield _Case(
            f"{cell.arch}/{cell.toolchain}/{cell.base}",
            ",".join(f"{symbol}={value}" for symbol, value in cell.request.items()) or cell.base,
            results[cell.id],
            cell.own_seconds,
            details,
        )


def _measure(text: str) -> int:
    """The bytes that a text has in the file."""
    return len(saxutils.escape(text, {'"': "&quot;"}).encode("utf-8", "replace"))


def _list_details(run: Run, cell: Cell) -> tuple[str, ...]:
    """The first of a cell's messages, errors before warnings, and where the rest stands."""
    diagnostics = list_cell_diagnostics(run, cell)
    lines = [line for each in diagnostics[:JUNIT_MESSAGES] for line in format_diagnostic(each)]
    more = len(diagnostics) - JUNIT_MESSAGES
    lines += [f"and {format_count(more, 'more message')}"] if more > 0 else []
    lines += [f"log: {cell.log}"] if cell.log and diagnostics else []
    return tuple(shorten_line(line, LINE_LENGTH) for line in lines)


def _render_cases(run: Run, cases: Sequence[_Case], code: ExitCode) -> str:
    outcome = judge_outcome(code, (case.result for case in cases))
    cases = [*cases, *([_Case("run", "outcome", outcome)] if outcome else [])]
    root = ElementTree.Element("testsuites", name=replace_controls(run.id))
    ordered = sorted(cases, key=lambda case: case.suite)
    for suite, members in groupby(ordered, key=lambda case: case.suite):
        _add_suite(root, suite, run, list(members))
    _set_counts(root, ordered)
    ElementTree.indent(root)
    content: bytes = ElementTree.tostring(root, encoding="utf-8", xml_declaration=True)
    return content.decode() + "\n"


def _add_suite(root: ElementTree.Element, name: str, run: Run, cases: Sequence[_Case]) -> None:
    suite = ElementTree.SubElement(root, "testsuite", name=replace_controls(name))
    _set_counts(suite, cases)
    suite.set("timestamp", run.started.strftime("%Y-%m-%dT%H:%M:%S"))
    for case in cases:
        _add_case(suite, case)


def _set_counts(element: ElementTree.Element, cases: Sequence[_Case]) -> None:
    element.set("tests", str(len(cases)))
    for kind, attribute in _ATTRIBUTES.items():
        element.set(attribute, str(sum(case.result.kind is kind for case in cases)))
    element.set("time", f"{sum(case.seconds for case in cases):.3f}")


def _add_case(suite: ElementTree.Element, case: _Case) -> None:
    element = ElementTree.SubElement(suite, "testcase", name=replace_controls(case.name))
    # Readers make a tree of the dots.
    element.set("classname", replace_controls(case.suite.replace("/", ".")))
    element.set("time", f"{case.seconds:.3f}")
    tag, text = _ELEMENTS.get(case.result.kind), "\n".join(map(replace_controls, case.details))
    if tag is None:
        if text:
            ElementTree.SubElement(element, "system-out").text = text
        return
    told = ElementTree.SubElement(element, tag, type=replace_controls(case.result.label))
    told.set("message", shorten_line(replace_controls(case.result.message), LINE_LENGTH))
    told.text = text or None
