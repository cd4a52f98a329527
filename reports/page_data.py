"""What the script of a run's page works on: all cells, findings and diagnostics as one compact value.

What comes up often stands in a table once, and is referred to by its number. Without the script none of it is
needed: the page shows what a reader must know.
"""

import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from itertools import pairwise
from pathlib import Path

from markupsafe import Markup

from matrix.diagnostics.diagnostic import Diagnostic
from matrix.findings.make_steps import RunLocation, format_make_line, list_make_steps
from matrix.findings.stored_run import StoredRun
from matrix.foreign_text import clean_text
from matrix.plan import LANE_AXES
from matrix.record.run_model import Cell, StageRecord
from matrix.record.states import QUIET_STATES
from reports import limits, summary
from reports.cell_story import CellStories
from reports.markdown_text import MAX_VALUE_LENGTH
from reports.ranking import RankedFinding

JsonValue = object
"""What JSON can hold: dicts, lists, texts, numbers, None."""


def build_page_data(
    stored: StoredRun, findings: Sequence[RankedFinding], stories: CellStories
) -> dict[str, JsonValue]:
    """The data of a run's page. Numbers of cells, findings and texts are places in their lists."""
    return _PageData(stored, findings, stories).build()


def embed_json(data: JsonValue) -> Markup:
    """JSON for an element of type application/json: no text in it ends the element, or brings a control
    character."""
    text = json.dumps(_clean_values(data), ensure_ascii=False, separators=(",", ":"))
    return Markup(text.replace("<", "\\u003c"))  # noqa: S704 - all that could end it is escaped


def _clean_values(data: JsonValue) -> JsonValue:
    if isinstance(data, str):
        return clean_text(data, MAX_VALUE_LENGTH)
    if isinstance(data, dict):
        return {clean_text(str(key)): _clean_values(value) for key, value in data.items()}
    if isinstance(data, list | tuple):
        return [_clean_values(value) for value in data]
    return data


def join_ranges(numbers: Iterable[int]) -> str:
    """``0-4 9 12-20``: ascending numbers, neighbours joined."""
    given = sorted(numbers)
    starts = given[:1] + [b for a, b in pairwise(given) if b != a + 1]
    ends = [a for a, b in pairwise(given) if b != a + 1] + given[-1:]
    pairs = zip(starts, ends, strict=True)
    return " ".join(str(first) if first == last else f"{first}-{last}" for first, last in pairs)


@dataclass
class _TextTable:
    """Texts, each once."""

    texts: dict[str, int] = field(default_factory=dict)

    def add(self, text: str) -> int:
        """Its number."""
        return self.texts.setdefault(text, len(self.texts))


@dataclass
class _PageData:
    stored: StoredRun
    findings: Sequence[RankedFinding]
    stories: CellStories
    texts: _TextTable = field(default_factory=_TextTable)

    def build(self) -> dict[str, JsonValue]:
        run = self.stored.run
        cells = [self._describe_cell(cell) for cell in run.cells]
        return {
            "run": run.id,
            "axes": [[name, list(values)] for name, values in self._axes.items()],
            "reused": sorted({str(cell.evidence) for cell in run.cells if cell.is_reused}),
            "states": {
                str(state): [state.row.sign, state.row.meaning] for state in summary.count_states(run.cells)
            },
            "cells": cells,
            "findings": [self._describe_finding(each) for each in self.findings],
            "diagnostics": [_describe_diagnostic(each) for each in run.diagnostics.values()],
            "texts": list(self.texts.texts),
        }

    @cached_property
    def _axes(self) -> dict[str, dict[str, int]]:
        """Axis → its values, each with its number: those of the plan, then others that a cell has."""
        run = self.stored.run
        names = dict.fromkeys([*LANE_AXES, *run.axes, *(name for cell in run.cells for name in cell.request)])
        axes = {name: {value: n for n, value in enumerate(run.axes.get(name, ()))} for name in names}
        for cell in run.cells:
            for name, value in cell.axes.items():
                axes[name].setdefault(value, len(axes[name]))
        return axes

    @cached_property
    def _numbers(self) -> dict[str, int]:
        """Cell's id → its number."""
        return {cell.id: number for number, cell in enumerate(self.stored.run.cells)}

    @cached_property
    def _diagnostic_numbers(self) -> dict[str, int]:
        return {key: number for number, key in enumerate(self.stored.run.diagnostics)}

    def _describe_cell(self, cell: Cell) -> dict[str, JsonValue]:
        """What is not there, and what goes without saying, is left out."""
        row = {
            "id": cell.id,
            "at": [self._axes[name].get(cell.axes.get(name, ""), -1) for name in self._axes],
            "state": str(cell.state),
            "reason": self.texts.add(cell.reason) if cell.reason else None,
            "becomes": cell.resolves_to,
            "evidence": str(cell.evidence) if cell.evidence else None,
            "from": cell.evidence_from,
            "got": [[seen.symbol, seen.want, seen.got] for seen in cell.verified if seen.want != seen.got],
            "stages": [self._describe_stage(stage) for stage in cell.stages],
            "shown": list(self._describe_refs(cell)),
            "more": max(0, len(cell.diagnostics) - limits.HTML_CELL_MESSAGES),
            "attempts": [[str(tried.state), tried.reason or "", tried.seconds] for tried in cell.attempts],
            "log": self._shorten_log_path(cell),
            "config": cell.config_sha256,
            "steps": [self.texts.add(line) for line in self._list_steps(cell)],
            **self._describe_story(cell),
        }
        # The first text has the number 0.
        return {name: value for name, value in row.items() if value or (value == 0 and name == "reason")}

    @staticmethod
    def _describe_stage(stage: StageRecord) -> list[JsonValue]:
        words = (stage.name, str(stage.state), stage.exit, round(stage.seconds, 1))
        return [*words, stage.objects, stage.compiled]

    def _describe_refs(self, cell: Cell) -> Iterator[list[JsonValue]]:
        """Each diagnostic of a cell, the object it came up in, and whether it proves nothing."""
        proven = frozenset(cell.proven_diagnostics)
        for ref in cell.diagnostics[: limits.HTML_CELL_MESSAGES]:
            where = self.texts.add(ref.object or ref.stage)
            yield [self._diagnostic_numbers[ref.key], where, *([] if ref in proven else [1])]

    @staticmethod
    def _shorten_log_path(cell: Cell) -> str | int | None:
        """1 for the log that a cell has as a rule."""
        return 1 if cell.log == f"cells/{cell.id}/build.log" else cell.log

    def _list_steps(self, cell: Cell) -> list[str]:
        """The make line, and what to type to see the cell's outcome; of a cell that nobody asks about the
        former only."""
        if not cell.stages:
            return []
        line = format_make_line(cell)
        if cell.state in QUIET_STATES:
            return [line] if line else []
        steps = list_make_steps(cell, RunLocation(self.stored, Path()))
        return [line, *(command for _, command in steps)]

    def _describe_story(self, cell: Cell) -> dict[str, JsonValue]:
        story = self.stories.find(cell)
        excerpt, difference = story.excerpt, story.difference
        return {
            "excerpt": [excerpt.first, excerpt.total, excerpt.error, *map(self.texts.add, excerpt.lines)]
            if excerpt
            else None,
            "near": [
                self._numbers[difference.cell.id],
                difference.hidden_count,
                *([symbol, *values] for symbol, values in difference.symbols.items()),
            ]
            if difference
            else None,
        }

    def _describe_finding(self, each: RankedFinding) -> dict[str, JsonValue]:
        finding = each.view.finding
        main = finding.diagnostics[: limits.HTML_CELL_MESSAGES]
        return {
            "id": finding.id,
            "title": finding.title,
            "cells": join_ranges(self._numbers[name] for name in finding.cells if name in self._numbers),
            "shown": [self._diagnostic_numbers[key] for key in main if key in self._diagnostic_numbers],
        }


def _describe_diagnostic(diagnostic: Diagnostic) -> list[JsonValue]:
    """Severity, title, excerpt, notes, and what includes it."""
    return [
        diagnostic.severity,
        summary.format_diagnostic_title(diagnostic),
        list(diagnostic.excerpt[: limits.EXCERPT_LINES]),
        list(diagnostic.notes[: limits.NOTES]),
        list(diagnostic.included_from),
    ]
