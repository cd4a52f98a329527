"""The lines of a run's ``.config`` files, for the text filter of its page: each line once, beside the
configurations that have it. Those of one lane differ in few lines, and most lines come together."""

import base64
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field

from matrix.errors import RequestError
from matrix.findings.stored_run import StoredRun
from matrix.record.run_model import Cell
from reports import limits
from reports.formatting import join_ranges

_LINE_COST = 3
"""Bytes that a line takes besides its text: quotes and a comma."""
_NumberedLines = Iterator[tuple[int, frozenset[str]]]
"""The number of a configuration, and its lines."""


@dataclass(frozen=True)
class ConfigIndex:
    """``groups``: lines, and the numbers of the configurations that have all of them, as `encode_numbers`
    writes them. A line is ``KVM=y``, or ``KVM`` where that is not set.

    ``hidden_count`` lines had no room; ``unread_count`` configurations are missing, or too unlike the first
    of their lane.
    """

    groups: tuple[tuple[tuple[str, ...], str], ...]
    hidden_count: int
    unread_count: int


def index_configs(stored: StoredRun, numbers: Mapping[str, int]) -> ConfigIndex:
    """The index of a run's configurations, of which ``numbers`` has the number of each digest."""
    masks = _LineMasks()
    left = dict(numbers)
    for cells in _group_by_lane(stored.run.cells):
        masks.add_lane(_read_configs(stored, cells, left))
    asked = tuple({name for cell in stored.run.cells for name in cell.request})
    groups, hidden = _choose_groups(masks.masks, asked)
    return ConfigIndex(tuple(groups), hidden, len(numbers) - masks.read_count)


def encode_numbers(mask: int) -> str:
    """The places of the bits of a mask: as ranges, or the mask itself in base64 behind ``=``, lowest byte
    first, where that is shorter."""
    ranges = join_ranges(place for place, bit in enumerate(f"{mask:b}"[::-1]) if bit == "1")
    packed = base64.b64encode(mask.to_bytes((mask.bit_length() + 7) // 8, "little")).decode()
    return min(ranges, f"={packed}", key=len)


@dataclass
class _LineMasks:
    """Line → the configurations that have it, as bits."""

    masks: dict[str, int] = field(default_factory=dict)
    read_count: int = 0

    def add_lane(self, configs: _NumberedLines) -> None:
        """Add the configurations of one lane. Each is held against the first: what they have in common is
        looked at once."""
        number, first = next(configs, (None, frozenset[str]()))
        if number is None:
            return
        lane, differing = 1 << number, dict[str, int]()
        for number, lines in configs:
            changed = first ^ lines
            if len(changed) <= limits.HTML_INDEXED_DIFFERENCES:
                lane |= 1 << number
                for line in changed:
                    differing[line] = differing.get(line, 0) | 1 << number
        for line in first | differing.keys():
            held = differing.get(line, 0)
            self.masks[line] = self.masks.get(line, 0) | (lane & ~held if line in first else held)
        self.read_count += lane.bit_count()


def _group_by_lane(cells: Iterable[Cell]) -> Iterable[list[Cell]]:
    lanes: dict[tuple[str, str, str], list[Cell]] = {}
    for cell in cells:
        lanes.setdefault((cell.arch, cell.toolchain, cell.base), []).append(cell)
    return lanes.values()


def _read_configs(stored: StoredRun, cells: Iterable[Cell], left: dict[str, int]) -> _NumberedLines:
    """The configurations of these cells that are still ``left`` to be read, and can be."""
    for cell in cells:
        number = left.pop(cell.config_sha256 or "", None)
        if number is not None and (lines := _read_lines(stored, cell)):
            yield number, lines


def _read_lines(stored: StoredRun, cell: Cell) -> frozenset[str]:
    try:
        text = stored.load_config(cell)
    except RequestError:
        return frozenset()
    return frozenset(filter(None, map(_shorten_line, text.split("\n"))))


def _shorten_line(line: str) -> str:
    """Empty where it says nothing of a symbol."""
    if line.startswith("CONFIG_"):
        return line[7:]
    return line[9:-11] if line.startswith("# CONFIG_") and line.endswith(" is not set") else ""


def _choose_groups(
    masks: Mapping[str, int], asked: Iterable[str]
) -> tuple[list[tuple[tuple[str, ...], str]], int]:
    """The lines that come together, as many as there is room for, those of symbols that were asked for first,
    then those that take the least room; and how many lines are left out."""
    names = frozenset(asked)
    together: dict[tuple[bool, int], list[str]] = {}
    for line, mask in masks.items():
        together.setdefault((line.partition("=")[0] in names, mask), []).append(line)
    encoded = [
        (not is_asked, sorted(lines), encode_numbers(mask)) for (is_asked, mask), lines in together.items()
    ]
    encoded.sort(key=lambda group: (group[0], len(group[2]) / len(group[1]), group[1]))
    groups, room = [], limits.HTML_INDEX_BYTES
    for _, lines, numbers in encoded:
        room -= sum(len(line) + _LINE_COST for line in lines) + len(numbers)
        if room < 0:
            break
        groups.append((tuple(lines), numbers))
    return groups, len(masks) - sum(len(lines) for lines, _ in groups)
