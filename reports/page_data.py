"""What the script of a run's page works on: all cells, findings and diagnostics as one compact value.

Without the script none of it is needed: the page shows what a reader must know.
"""

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import islice

from markupsafe import Markup

from matrix.findings.finding import Finding
from matrix.findings.stored_run import StoredRun
from matrix.foreign_text import clean_text
from matrix.plan import LANE_AXES
from matrix.record.run_model import Cell, Run
from matrix.record.states import State
from matrix.verdict.verdict_model import Transition
from reports import limits, summary
from reports.cell_rows import CellRows, JsonValue, PageTables
from reports.cell_story import CellStories
from reports.config_index import index_configs
from reports.formatting import join_ranges
from reports.markdown_text import MAX_VALUE_LENGTH
from reports.side_by_side import ComparedFinding, SideBySide

_STATE_FACTS = {str(state): [state.row.sign, state.row.meaning] for state in State}


def build_page_data(
    stored: StoredRun, findings: Sequence[Finding], stories: CellStories, sides: SideBySide | None = None
) -> dict[str, JsonValue]:
    """The data of a run's page. Numbers of cells, findings and texts are places in their lists.

    ``sides``: with the run before. Cells that only that one has come after all others.
    """
    return _PageData(stored, findings, stories, sides).build()


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


@dataclass
class _PageData:
    stored: StoredRun
    findings: Sequence[Finding]
    stories: CellStories
    sides: SideBySide | None

    def build(self) -> dict[str, JsonValue]:
        tables = self._tables
        rows = CellRows(self.stored, tables, self._numbers, self.stories)
        cells = [rows.describe_cell(cell) for cell in self.stored.run.cells]
        index = index_configs(self.stored, {str(name): n for n, name in enumerate(tables.configs.values)})
        before = self._describe_before(self.sides) if self.sides else {}
        return {
            "run": self.stored.run.id,
            "axes": [[name, list(values)] for name, values in tables.axes.items()],
            "reused": sorted({str(cell.evidence) for cell in self._all_cells if cell.is_reused}),
            "cells": cells,
            "findings": [self._describe_finding(each, rows) for each in self.findings],
            **before,
            "states": [[state, *_STATE_FACTS[str(state)]] for state in tables.states.values],
            "evidence": tables.evidence.values,
            "index": [index.groups, index.hidden_count, index.unread_count],
            "stages": tables.stages.values,
            "configs": tables.configs.values,
            "diagnostics": tables.diagnostics.values,
            "texts": tables.texts.values,
        }

    @cached_property
    def _all_cells(self) -> list[Cell]:
        """Those of this run, then those of the one before."""
        return [*self.stored.run.cells, *(self.sides.before.run.cells if self.sides else ())]

    @cached_property
    def _tables(self) -> PageTables:
        """The states in the order in which they are counted."""
        tables = PageTables(_number_axes(self.stored.run, self._all_cells))
        for state in summary.count_states(self._all_cells):
            tables.states.add(str(state))
        return tables

    @cached_property
    def _numbers(self) -> dict[str, int]:
        """Cell's id → its number."""
        return {cell.id: number for number, cell in enumerate(self.stored.run.cells)}

    @cached_property
    def _former_numbers(self) -> dict[str, int]:
        """The same of the run before. An id may be another there: cells are the same by their axes."""
        if self.sides is None:
            return {}
        cells = [*self.stored.run.cells, *self.sides.removed_cells]
        by_axes = {cell.axes_key: number for number, cell in enumerate(cells)}
        return {cell.id: by_axes[cell.axes_key] for cell in self.sides.before.run.cells}

    def _describe_finding(self, finding: Finding, rows: CellRows) -> dict[str, JsonValue]:
        main, known = finding.diagnostics[: limits.HTML_CELL_MESSAGES], rows.diagnostic_numbers
        return {
            "id": finding.id,
            "title": finding.title,
            "cells": _join_numbers(finding.cells, self._numbers),
            "shown": [known[key] for key in main if key in known],
        }

    def _describe_before(self, sides: SideBySide) -> dict[str, JsonValue]:
        """The run before, what became of each cell, and the findings of both."""
        former, numbers = sides.before, self._former_numbers
        changed = sorted(former.findings.findings, key=lambda finding: finding.id in sides.constant_ids)
        stories = CellStories(former, changed, is_former=True)
        rows = CellRows(former, self._tables, numbers, stories)
        described: list[JsonValue] = [None] * (len(self._numbers) + len(sides.removed_cells))
        for cell in former.run.cells:
            described[numbers[cell.id]] = rows.describe_cell(cell)
        findings = [[each.id, each.title, each.cells] for each in former.findings.findings]
        return {
            "before": {
                "run": former.run.id,
                "path": sides.before_path,
                "cells": described,
                "findings": [[name, title, _join_numbers(cells, numbers)] for name, title, cells in findings],
                "symbols": dict(self._compare_configs(sides, stories)),
            },
            "changes": self._describe_changes(sides),
            "compared": [self._describe_compared_finding(each) for each in sides.compared_findings],
        }

    def _describe_changes(self, sides: SideBySide) -> list[JsonValue]:
        """What became of cells, in one word and in all of them, and of which cells."""
        alike: dict[tuple[str, str], list[int]] = {}
        for number, cell in enumerate([*self.stored.run.cells, *sides.removed_cells]):
            change = sides.changes_by_axes[cell.axes_key]
            if change.transition is not Transition.UNCHANGED or sides.find_mark(change):
                key = (str(change.transition), sides.describe_change(change))
                alike.setdefault(key, []).append(number)
        return [[name, words, join_ranges(numbers)] for (name, words), numbers in alike.items()]

    def _describe_compared_finding(self, each: ComparedFinding) -> list[JsonValue]:
        """Its name, title, and the cells that have it on either side."""
        # A verdict's record may name cells that its runs' records lack.
        sides = (each.change.before, self._former_numbers), (each.change.after, self._numbers)
        numbers = {numbers[name] for side, numbers in sides if side for name in side.cells if name in numbers}
        return [each.id, each.change.title, join_ranges(numbers)]

    def _compare_configs(self, sides: SideBySide, former: CellStories) -> Iterator[tuple[str, JsonValue]]:
        """Number of a cell that changed → how many symbols are not shown, then each with both its values."""
        changed = (cell for cell in sides.cells if cell.is_in_both_plans and sides.find_mark(cell))
        after = {cell.axes_key: cell for cell in self.stored.run.cells}
        before = {cell.axes_key: cell for cell in sides.before.run.cells}
        for change in islice(changed, limits.HTML_CONFIG_DIFFERENCES):
            cell, old = after[change.axes_key], before[change.axes_key]
            same = cell.config_sha256 == old.config_sha256
            difference = None if same else former.compare_configs(old, cell, self.stories)
            if difference and difference.symbols:
                symbols = [[symbol, *values] for symbol, values in difference.symbols.items()]
                yield str(self._numbers[cell.id]), [difference.hidden_count, *symbols]


def _number_axes(run: Run, cells: Sequence[Cell]) -> dict[str, dict[str, int]]:
    """Axis → its values, each with its number: those of the plan, then others that a cell has."""
    names = dict.fromkeys([*LANE_AXES, *run.axes, *(name for cell in cells for name in cell.request)])
    axes = {name: {value: n for n, value in enumerate(run.axes.get(name, ()))} for name in names}
    for cell in cells:
        for name, value in cell.axes.items():
            axes[name].setdefault(value, len(axes[name]))
    return axes


def _join_numbers(names: Iterable[str], numbers: Mapping[str, int]) -> str:
    return join_ranges(numbers[name] for name in names if name in numbers)
