"""What runs, verdicts and build logs are as annotations of GitHub's workflows."""

from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field

from matrix.diagnostics.diagnostic import BuildLog, Diagnostic
from matrix.exit_codes import ExitCode
from matrix.findings.finding import Finding
from matrix.findings.stored_run import StoredRun
from matrix.verdict.baseline import KnownIssues, Regression
from matrix.verdict.finding_outcome import FindingOutcome, classify_outcome
from matrix.verdict.gates import is_added_cell_error
from matrix.verdict.verdict_model import FindingChange, Verdict, VerdictPatch
from reports import finding_text, limits
from reports.cell_judgement import CellJudgement, JudgementKind, judge_outcome
from reports.changes import RunChanges
from reports.formatting import format_count, join_first
from reports.log_text import LogView
from reports.summary import format_warning_flag
from reports.workflow_commands import Annotation, AnnotationKind, AnnotationLimit

_Judgements = Mapping[str, CellJudgement]


def render_annotations(log: BuildLog, limit: AnnotationLimit) -> Iterator[str]:
    """A line for each failed target without a known cause, and one for each diagnostic, causes first."""
    return map(str, limit.select(_list_log_annotations(log)))


def _list_log_annotations(log: BuildLog) -> Iterator[Annotation]:
    view = LogView("", log)
    for diagnostic in view.objects_by_diagnostic:
        yield _annotate_diagnostic(view, diagnostic)
    for target in view.failures_by_cause.get(None, ()):
        words = target.cause.diagnostic.message if target.cause else "no cause is known"
        yield Annotation("error", f"{target.target} failed", [words])


def _annotate_diagnostic(view: LogView, diagnostic: Diagnostic) -> Annotation:
    objects = view.objects_by_diagnostic[diagnostic]
    failed = [target.target for target in view.failures_by_cause.get(diagnostic, ())]
    _, *details = finding_text.format_diagnostic(diagnostic)
    lines = [diagnostic.message, *details]
    lines += [f"failed: {join_first(failed, limits.LOG_OBJECTS, ' and ')}"] if failed else []
    lines += [f"in {format_count(len(objects), 'object')}"] if len(objects) > 1 else []
    title = " ".join(filter(None, (diagnostic.tool, format_warning_flag(diagnostic))))
    place = diagnostic.file, diagnostic.line, diagnostic.column
    return Annotation(diagnostic.severity, title, lines, *place)


def render_run_annotations(
    stored: StoredRun,
    regression: Regression | None,
    judged: _Judgements,
    code: ExitCode,
    known_issues: KnownIssues,
) -> str:
    """A line for each finding, a notice for one that is known, or for each that is new since a baseline; for
    cells that none explains; and for an exit code that none of them does."""
    findings = stored.findings.findings
    if regression is not None:
        new = {name for row in regression.new_findings if row.after for name in row.after.ids}
        findings = tuple(each for each in findings if each.id in new)
    told = [
        _annotate_finding(stored, each, *_classify_finding(each, known_issues), PatchPlaces())
        for each in findings
    ]
    named = {name for each in findings if each.is_error for name in each.cells}
    return _render([*told, *_annotate_cells(judged, named), *_annotate_outcome(judged, code)])


def _classify_finding(finding: Finding, known_issues: KnownIssues) -> tuple[AnnotationKind, str]:
    row = known_issues.excused_by.get(finding.id)
    if row is not None:
        return "notice", f"{finding.id} is known: {row}"
    return "error" if finding.is_error else "warning", finding.id


def render_verdict_annotations(
    verdict: Verdict, before: StoredRun, after: StoredRun, judged: _Judgements, code: ExitCode
) -> str:
    """A line for each patch that does not apply; for each finding that is new, not fixed though that was
    asked for, or fixed, those in the lines of the patch first; and for cells that none explains."""
    changes = RunChanges.from_verdict(verdict, before, after)
    places = PatchPlaces.from_patches(verdict.patches)
    told, named = [], set[str]()
    for change in changes.findings:
        kind, word = _classify_change(changes, change)
        located = changes.locate_finding(change)
        if kind and located:
            side, finding = located
            told.append(_annotate_finding(side, finding, kind, f"{finding.id} {word}", places))
            named |= _list_new_cells(change) if kind == "error" else set()
    told.sort(key=lambda each: places.rank(each.file, each.line))
    told = [*_annotate_refusals(verdict.patches), *told]
    outcome = [] if any(each.kind == "error" for each in told) else _annotate_outcome(judged, code)
    return _render([*told, *_annotate_cells(judged, named), *outcome])


def _annotate_refusals(patches: Iterable[VerdictPatch]) -> Iterator[Annotation]:
    for patch in patches:
        if patch.refused:
            yield Annotation("error", f"{patch.name} does not apply", [patch.refused])


def _classify_change(changes: RunChanges, change: FindingChange) -> tuple[AnnotationKind | None, str]:
    """What a change is to a reader, and in a word; nothing for what is just as it was."""
    if change.new_in or is_added_cell_error(change):
        return "error" if change in changes.new_errors else "warning", "is new"
    if change in changes.unfixed_findings:
        return "error", "is not fixed"
    outcome = classify_outcome(change)
    if outcome in (FindingOutcome.LOST, FindingOutcome.UNKNOWN):
        return "warning", f"is {outcome}"
    return ("notice", "is fixed") if outcome is FindingOutcome.FIXED else (None, "")


def _list_new_cells(change: FindingChange) -> set[str]:
    return {*change.after.cells} if change.after and is_added_cell_error(change) else {*change.new_in}


@dataclass(frozen=True)
class PatchPlaces:
    """The lines that patches add: path → first and last ones."""

    lines: Mapping[str, Collection[tuple[int, int]]] = field(default_factory=dict)

    @classmethod
    def from_patches(cls, patches: Iterable[VerdictPatch]) -> "PatchPlaces":
        lines: dict[str, list[tuple[int, int]]] = {}
        for patch in patches:
            for path, ranges in patch.lines.items():
                lines.setdefault(path, []).extend(ranges)
        return cls(lines)

    def rank(self, file: str | None, line: int | None) -> int:
        """0 for a line of a patch, 1 for another of its files, 2 elsewhere."""
        ranges = self.lines.get(file or "")
        if ranges is None:
            return 2
        return 1 - any(first <= (line or 0) <= last for first, last in ranges)


def _annotate_finding(
    stored: StoredRun, finding: Finding, kind: AnnotationKind, name: str, places: PatchPlaces
) -> Annotation:
    """At the place of its messages that is nearest to the patch; the first of them otherwise."""
    known = list(finding_text.label_diagnostics(stored.run, finding).items())
    lines = [finding.title, *finding_text.format_condition(finding)]
    for label, diagnostic in known:
        lines += [f"{label}:", *finding_text.format_diagnostic(diagnostic)]
    cells = [cell.id for cell in stored.list_affected_cells(finding)]
    lines.append(f"in {format_count(len(cells), 'cell')}: {join_first(cells, limits.LOG_OBJECTS, ' and ')}")
    found = [place for _, diagnostic in known for place in _list_places(diagnostic)]
    place = min(found, key=lambda each: places.rank(each[0], each[1]), default=(None, None, None))
    return Annotation(kind, name, lines, *place)


def _list_places(diagnostic: Diagnostic) -> Iterator[tuple[str, int | None, int | None]]:
    if diagnostic.file:
        yield diagnostic.file, diagnostic.line, diagnostic.column
    for site in diagnostic.sites:
        yield site.file, site.line, None


def _annotate_cells(judged: _Judgements, named: Collection[str]) -> Iterator[Annotation]:
    """Cells that failed without a finding that is told, and those that could not be tried, alike ones
    together."""
    groups: dict[CellJudgement, list[str]] = {}
    for name, each in judged.items():
        explained = each.kind is JudgementKind.FAILED and name in named
        if each.kind in (JudgementKind.FAILED, JudgementKind.ERROR) and not explained:
            groups.setdefault(each, []).append(name)
    for each, names in groups.items():
        shown = join_first(names, limits.LOG_OBJECTS, " and ")
        yield Annotation("error", f"{format_count(len(names), 'cell')}: {each.label}", [each.message, shown])


def _annotate_outcome(judged: _Judgements, code: ExitCode) -> Iterator[Annotation]:
    outcome = judge_outcome(code, judged.values())
    if outcome:
        yield Annotation("error", outcome.label, [outcome.message])


def _render(annotations: Iterable[Annotation]) -> str:
    return "".join(f"{each}\n" for each in AnnotationLimit().select(annotations))
