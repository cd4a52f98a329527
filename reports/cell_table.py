"""The cells of a run or a verdict as CSV, for a spreadsheet or pandas: a row for each.

A spreadsheet takes a text for a formula that begins with one of some characters. Such a text has an
apostrophe before it, which marks it as text there.
"""

import csv
import re
from collections.abc import Iterable, Mapping, Sequence
from io import StringIO

from matrix.findings.stored_run import StoredRun
from matrix.foreign_text import replace_controls
from matrix.record.run_model import Cell, RequestedCell
from matrix.verdict.verdict_model import CellChange, Verdict
from reports.summary import list_cell_diagnostics

_STAGES = ("configure", "focus", "vmlinux", "modules")
_NUMBER = re.compile(r"[+-]?[0-9]+(?:\.[0-9]+)?")
# Excel takes the wide ones of East Asian fonts, too.
_FORMULA_SIGNS = ("=", "+", "-", "@", "|", "\uff1d", "\uff0b", "\uff0d", "\uff20")
_SEPARATORS = re.compile(r"([;\t])")
_CellColumns = Mapping[str, object]


def render_cell_table(stored: StoredRun) -> str:
    """Each cell: its id, its value on every axis, its state and why, where that comes from, seconds by stage,
    objects, diagnostics, findings."""
    axes = _list_axes([stored.run.axes])
    return _render_rows(
        [_build_row(stored, cell, axes) for cell in stored.run.cells], axes, has_changes=False
    )


def render_change_table(verdict: Verdict, before: StoredRun, after: StoredRun) -> str:
    """Each cell of a verdict: the same of its after-side, and what it was before and became."""
    axes = _list_axes([before.run.axes, after.run.axes])
    rows = [_build_change_row(after, change, axes) for change in verdict.cells]
    return _render_rows(rows, axes, has_changes=True)


def _list_axes(all_axes: Iterable[Mapping[str, object]]) -> list[str]:
    return list(dict.fromkeys(axis for axes in all_axes for axis in axes))


def _build_axis_columns(cell: RequestedCell, axes: Sequence[str]) -> dict[str, object]:
    # A column of an axis can have the name of no other: theirs have small letters, and no axis has "id".
    return {_name_axis_column(axis): cell.axes.get(axis, "") for axis in axes}


def _name_axis_column(axis: str) -> str:
    return f"axis {axis}" if axis in _OWN_COLUMNS else axis


def _build_row(stored: StoredRun, cell: Cell, axes: Sequence[str]) -> _CellColumns:
    return {"id": cell.id, **_build_axis_columns(cell, axes), **_build_result_columns(stored, cell)}


def _build_result_columns(stored: StoredRun, cell: Cell) -> dict[str, object]:
    stages = {stage.name: stage for stage in cell.stages}
    severities = [each.severity for each in list_cell_diagnostics(stored.run, cell)]
    return {
        "state": cell.state,
        "reason": cell.reason,
        "evidence": cell.evidence,
        "evidence_from": cell.evidence_from,
        "resolves_to": cell.resolves_to,
        "seconds": f"{cell.seconds:.3f}",
        **{f"seconds_{name}": f"{stages[name].seconds:.3f}" if name in stages else "" for name in _STAGES},
        "objects": sum(stage.objects for stage in cell.stages),
        "compiled": sum(stage.compiled for stage in cell.stages),
        "errors": severities.count("error"),
        "warnings": severities.count("warning"),
        "findings": " ".join(stored.findings_by_cell.get(cell.id, ())),
        "attempts": max(1, len(cell.attempts)),
        "config_sha256": cell.config_sha256,
        "log": cell.log,
    }


def _build_change_row(after: StoredRun, change: CellChange, axes: Sequence[str]) -> _CellColumns:
    cell = after.cells_by_id.get(change.id) if change.after is not None else None
    return {
        "id": change.id,
        **_build_axis_columns(change, axes),
        "transition": change.transition,
        "before": change.before,
        "after": change.after,
        "why": change.why,
        "findings_before": " ".join(change.findings_before),
        **(_build_result_columns(after, cell) if cell else {}),
    }


_CHANGE_COLUMNS = ("transition", "before", "after", "why", "findings_before")
_RESULT_COLUMNS = (
    *("state", "reason", "evidence", "evidence_from", "resolves_to", "seconds"),
    *(f"seconds_{name}" for name in _STAGES),
    *("objects", "compiled", "errors", "warnings", "findings", "attempts", "config_sha256", "log"),
)
_OWN_COLUMNS = frozenset({"id", *_CHANGE_COLUMNS, *_RESULT_COLUMNS})


def _render_rows(rows: Sequence[_CellColumns], axes: Sequence[str], *, has_changes: bool) -> str:
    out = StringIO()
    writer = csv.writer(out, lineterminator="\n")
    axis_columns = [_name_axis_column(axis) for axis in axes]
    names = ["id", *axis_columns, *(_CHANGE_COLUMNS if has_changes else ()), *_RESULT_COLUMNS]
    writer.writerow(map(_quote_formula, names))
    writer.writerows([_quote_formula(row.get(name)) for name in names] for row in rows)
    return out.getvalue()


def _quote_formula(value: object) -> str:
    """Each part that a spreadsheet could take for a cell of its own: some separate them by these characters,
    whatever is quoted within a line."""
    text = "" if value is None else replace_controls(str(value))
    return "".join(map(_quote_part, _SEPARATORS.split(text)))


def _quote_part(text: str) -> str:
    is_formula = text.replace('"', " ").lstrip().startswith(_FORMULA_SIGNS) and not _NUMBER.fullmatch(text)
    return f"'{text}" if is_formula else text
