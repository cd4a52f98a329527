"""What the script of a run's page works on: all cells, findings and diagnostics as one compact value.

Without the script none of it is needed: the page shows what a reader must know.
"""

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise

from markupsafe import Markup

from matrix.findings.stored_run import StoredRun
from matrix.foreign_text import clean_text
from matrix.plan import LANE_AXES
from matrix.record.states import State
from reports import limits, summary
from reports.cell_rows import CellRows, JsonValue, PageTables
from reports.cell_story import CellStories
from reports.markdown_text import MAX_VALUE_LENGTH
from reports.ranking import RankedFinding

_STATE_FACTS = {str(state): [state.row.sign, state.row.meaning] for state in State}


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
class _PageData:
    stored: StoredRun
    findings: Sequence[RankedFinding]
    stories: CellStories

    def build(self) -> dict[str, JsonValue]:
        run, tables = self.stored.run, self._tables
        cells = [self._rows.describe_cell(cell) for cell in run.cells]
        return {
            "run": run.id,
            "axes": [[name, list(values)] for name, values in self._axes.items()],
            "reused": sorted({str(cell.evidence) for cell in run.cells if cell.is_reused}),
            "cells": cells,
            "findings": [self._describe_finding(each) for each in self.findings],
            "states": [[state, *_STATE_FACTS[str(state)]] for state in tables.states.values],
            "evidence": tables.evidence.values,
            "stages": tables.stages.values,
            "configs": tables.configs.values,
            "diagnostics": tables.diagnostics.values,
            "texts": tables.texts.values,
        }

    @cached_property
    def _tables(self) -> PageTables:
        """The states in the order in which they are counted."""
        tables = PageTables(self._axes)
        for state in summary.count_states(self.stored.run.cells):
            tables.states.add(str(state))
        return tables

    @cached_property
    def _rows(self) -> CellRows:
        return CellRows(self.stored, self._tables, self._numbers, self.stories)

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

    def _describe_finding(self, each: RankedFinding) -> dict[str, JsonValue]:
        finding, known = each.view.finding, self._rows.diagnostic_numbers
        main = finding.diagnostics[: limits.HTML_CELL_MESSAGES]
        return {
            "id": finding.id,
            "title": finding.title,
            "cells": join_ranges(self._numbers[name] for name in finding.cells if name in self._numbers),
            "shown": [known[key] for key in main if key in known],
        }
