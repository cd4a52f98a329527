"""The cells of a run as rows of a page's data, and the tables of what comes up in many rows: each value
stands there once, and a row has its number."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

from matrix.diagnostics.diagnostic import Diagnostic
from matrix.findings.make_steps import RunLocation, format_make_line, list_make_steps
from matrix.findings.stored_run import StoredRun
from matrix.plan import LANE_AXES
from matrix.record.run_model import Cell, StageRecord
from matrix.record.states import QUIET_STATES
from reports import limits, summary
from reports.cell_story import CellStories

JsonValue = object
"""What JSON can hold: dicts, lists, texts, numbers, None."""
NO_VALUE = -1
"""Stands for the number of what a cell does not have."""


@dataclass
class ValueTable:
    """Values, each once, in the order of their numbers."""

    values: list[JsonValue] = field(default_factory=list)
    _numbers: dict[str, int] = field(default_factory=dict)

    def add(self, value: JsonValue) -> int:
        """Its number."""
        key = value if isinstance(value, str) else json.dumps(value)
        number = self._numbers.setdefault(key, len(self.values))
        if number == len(self.values):
            self.values.append(value)
        return number

    def add_text(self, text: str | None) -> int:
        """The number of a text, `NO_VALUE` where there is none."""
        return self.add(text) if text else NO_VALUE


@dataclass
class PageTables:
    """What the rows of all runs of a page refer to. ``axes``: each with the numbers of its values; ``stages``
    are without their times."""

    axes: Mapping[str, Mapping[str, int]]
    states: ValueTable = field(default_factory=ValueTable)
    evidence: ValueTable = field(default_factory=ValueTable)
    stages: ValueTable = field(default_factory=ValueTable)
    configs: ValueTable = field(default_factory=ValueTable)
    diagnostics: ValueTable = field(default_factory=ValueTable)
    texts: ValueTable = field(default_factory=ValueTable)


@dataclass
class CellRows:
    """The rows of one run's cells. ``numbers``: cell's id → its number in the page."""

    stored: StoredRun
    tables: PageTables
    numbers: Mapping[str, int]
    stories: CellStories

    def describe_cell(self, cell: Cell) -> list[JsonValue]:
        """State, values, stages, configuration, make line, evidence, log, then by name what few cells have.

        ``values`` are by axis. ``log`` is 1 for the log that a cell has as a rule, 0 for none.
        """
        tables = self.tables
        line, *steps = self._list_steps(cell) or [""]
        row: list[JsonValue] = [
            tables.states.add(str(cell.state)),
            [values.get(cell.axes.get(name, ""), NO_VALUE) for name, values in tables.axes.items()],
            [part for stage in cell.stages for part in self._describe_stage(stage)],
            tables.configs.add_text(cell.config_sha256),
            tables.texts.add_text(line),
            tables.evidence.add_text(cell.evidence and str(cell.evidence)),
            _shorten_log_path(cell),
        ]
        rare = self._describe_rare_parts(cell, steps)
        return [*row, rare] if rare else row

    def _describe_rare_parts(self, cell: Cell, steps: list[str]) -> dict[str, JsonValue]:
        row = {
            "id": None if self._is_plain_id(cell) else cell.id,
            "reason": self.tables.texts.add(cell.reason) if cell.reason else None,
            "becomes": cell.resolves_to,
            "from": self._shorten_origin(cell),
            "got": [[seen.symbol, seen.want, seen.got] for seen in cell.verified if seen.want != seen.got],
            "shown": list(self._describe_refs(cell)),
            "more": max(0, len(cell.diagnostics) - limits.HTML_CELL_MESSAGES),
            "attempts": [[str(tried.state), tried.reason or "", tried.seconds] for tried in cell.attempts],
            "steps": [self.tables.texts.add(step) for step in steps],
            **self._describe_story(cell),
        }
        # The first text, and the first cell, have the number 0.
        return {name: value for name, value in row.items() if value or (value == 0 and name != "more")}

    def _is_plain_id(self, cell: Cell) -> bool:
        """Whether the page's script makes the cell's id of its values: none is cut or has odd characters."""
        values = [(name, cell.axes[name]) for name in self.tables.axes if name in cell.axes]
        lane = [value for name, value in values if name in LANE_AXES]
        symbols = ",".join(f"{name}={value}" for name, value in values if name not in LANE_AXES)
        return cell.id == "/".join([*lane, symbols])

    def _describe_stage(self, stage: StageRecord) -> tuple[int, float]:
        facts = [stage.name, str(stage.state), stage.exit, stage.objects, stage.compiled]
        return self.tables.stages.add(facts), round(stage.seconds, 1)

    def _describe_refs(self, cell: Cell) -> Iterator[list[JsonValue]]:
        """Each diagnostic of a cell, the object it came up in, and whether it proves nothing."""
        proven = frozenset(cell.proven_diagnostics)
        for ref in cell.diagnostics[: limits.HTML_CELL_MESSAGES]:
            where = self.tables.texts.add(ref.object or ref.stage)
            yield [self.diagnostic_numbers[ref.key], where, *([] if ref in proven else [1])]

    @cached_property
    def diagnostic_numbers(self) -> dict[str, int]:
        """Key of a diagnostic → its number in the page."""
        known = self.stored.run.diagnostics
        return {key: self.tables.diagnostics.add(_describe_diagnostic(each)) for key, each in known.items()}

    def _shorten_origin(self, cell: Cell) -> JsonValue:
        """Where a state comes from: the number of another cell, or of the text that names the run in which
        the cell of the same id was built, in a list; else as it is."""
        origin = cell.evidence_from
        if origin is None or origin in self.numbers:
            return None if origin is None else self.numbers[origin]
        run, _, name = origin.partition("/")
        return [self.tables.texts.add(run)] if name == cell.id else origin

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
        lines = map(self.tables.texts.add, excerpt.lines) if excerpt else ()
        return {
            "excerpt": [excerpt.first, excerpt.total, excerpt.error, *lines] if excerpt else None,
            "near": [
                self.numbers[difference.cell.id],
                difference.hidden_count,
                *([symbol, *values] for symbol, values in difference.symbols.items()),
            ]
            if difference
            else None,
        }


def _shorten_log_path(cell: Cell) -> str | int:
    return 1 if cell.log == f"cells/{cell.id}/build.log" else cell.log or 0


def _describe_diagnostic(diagnostic: Diagnostic) -> list[JsonValue]:
    """Severity, title, excerpt, notes, and what includes it."""
    return [
        diagnostic.severity,
        summary.format_diagnostic_title(diagnostic),
        list(diagnostic.excerpt[: limits.EXCERPT_LINES]),
        list(diagnostic.notes[: limits.NOTES]),
        list(diagnostic.included_from),
    ]
