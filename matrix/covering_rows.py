"""Rows that have every pair, or triple, of the values of some axes that Kconfig lets come together.

Which those are is not known beforehand: rows are asked for, and what was made of each is learnt. What no row
has yet is asked for again beside other values, until a row has it or it is given up. No row is dropped. Pure.
"""

import random
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import combinations, product

ValueRow = tuple[str, ...]
"""The value of each axis, in their order."""
Value = tuple[int, str]
"""A value with the number of its axis."""
Values = tuple[Value, ...]
"""Values that are to come together, by the numbers of their axes."""

PATIENCE = 8
"""Misses after which values are given up. A miss is a row that was made for them, or in which nothing else
bent, and that lacks them."""
_CAREFUL_AFTER = 4
"""Misses after which a row for values keeps as near as it can to what Kconfig is known to let be."""
_SWEEPS = 2
_RISK = 5.0
"""What a pair that is thought to be impossible takes off a row, in values that a row brings together."""
_LATEST = 30
"""Failures of a value by which it is judged what makes it impossible."""


@dataclass(frozen=True)
class RowAnswer:
    """What Kconfig made of a row. ``actual``: the values that came out, None for one that no axis has."""

    row: ValueRow
    is_reachable: bool
    actual: tuple[str | None, ...]

    @property
    def bent(self) -> frozenset[int]:
        """The numbers of the axes that have another value than was asked for."""
        pairs = enumerate(zip(self.row, self.actual, strict=True))
        return frozenset(number for number, (wanted, got) in pairs if wanted != got)


def list_values(row: Sequence[str | None], strength: int) -> Iterator[Values]:
    """All values that a row has together, ``strength`` at a time; without those that are None."""
    known = ((number, value) for number, value in enumerate(row) if value is not None)
    return combinations(known, strength)


def list_all_values(axes: Sequence[Sequence[str]], strength: int) -> Iterator[Values]:
    """All values of different axes that can be asked for together, ``strength`` at a time."""
    numbered = [[(number, value) for value in values] for number, values in enumerate(axes)]
    for chosen in combinations(numbered, strength):
        yield from product(*chosen)


@dataclass
class RowSearch:
    """The rows of one lane. ``axes``: the values of each. The same seed and answers make the same rows.

    ``strength``: how many values come together, not more than there are axes. With endless ``patience``
    nothing is given up before every row that has it was asked for.
    """

    axes: Sequence[Sequence[str]]
    strength: int
    seed: int
    patience: float = PATIENCE
    _asked: dict[ValueRow, Values] = field(default_factory=dict)
    """What each row was made for."""
    _misses: Counter[Values] = field(default_factory=Counter)
    _failures: dict[Value, list[frozenset[Value]]] = field(default_factory=dict)
    """What came out beside a value's place where it bent."""
    _seen: set[Values] = field(default_factory=set)
    """Pairs that came out together."""
    _models: list[ValueRow] = field(default_factory=list)
    """What came out, where it can be asked for."""
    _blocked: frozenset[Values] = frozenset()

    def __post_init__(self) -> None:
        self._random = random.Random(self.seed)  # noqa: S311 - it chooses rows, and keeps no secret
        self._open = dict.fromkeys(list_all_values(self.axes, self.strength))

    @property
    def rows(self) -> tuple[ValueRow, ...]:
        """All rows that were proposed, in their order."""
        return tuple(self._asked)

    def propose_rows(self) -> list[ValueRow]:
        """The rows to ask for next, which have all that no row has yet; none where nothing is left to ask."""
        self._blocked = frozenset(self._find_blocked_pairs())
        first = self._build_rows(dict(self._open))
        # Once more: most of these are impossible, and what asks is a make.
        doubtful = {values: None for values in self._open if self._misses[values] >= _CAREFUL_AFTER}
        return [*first, *self._build_rows(doubtful)]

    def learn(self, answers: Iterable[RowAnswer]) -> None:
        """Take what came of rows that were proposed. Of one that could not be tried there is no answer."""
        for answer in answers:
            if answer.is_reachable:
                for values in list_values(answer.row, self.strength):
                    self._open.pop(values, None)
            else:
                self._count_misses(answer)
                self._note_failures(answer)
            self._seen.update(list_values(answer.actual, 2))
            model = tuple(value for value in answer.actual if value is not None)
            if len(model) == len(self.axes):
                self._models.append(model)

    def _count_misses(self, answer: RowAnswer) -> None:
        bent = answer.bent
        for values in list_values(answer.row, self.strength):
            numbers = {number for number, _ in values}
            is_meant = bent <= numbers or values == self._asked[answer.row]
            if is_meant and (not bent or bent & numbers):
                self._misses[values] += 1
                if self._misses[values] >= self.patience:
                    self._open.pop(values, None)

    def _note_failures(self, answer: RowAnswer) -> None:
        came_out = [(number, value) for number, value in enumerate(answer.actual) if value is not None]
        for bent in sorted(answer.bent):
            beside = frozenset(value for value in came_out if value[0] != bent)
            self._failures.setdefault((bent, answer.row[bent]), []).append(beside)

    def _find_blocked_pairs(self) -> Iterator[Values]:
        """Pairs that would explain all failures, as few as will do: none of them ever came out together."""
        for value, failures in self._failures.items():
            left = failures[-_LATEST:]
            while left:
                counts = Counter(other for beside in left for other in beside)
                suspects = [other for other in counts if _pair(value, other) not in self._seen]
                if not suspects:
                    break
                blocker = max(suspects, key=lambda other: (counts[other], other))
                yield _pair(value, blocker)
                left = [beside for beside in left if blocker not in beside]

    def _build_rows(self, pending: dict[Values, None]) -> list[ValueRow]:
        """New rows that have all of these together; what is in every row already that could have it is given
        up."""
        built: list[ValueRow] = []
        while pending:
            wanted = min(pending, key=self._misses.__getitem__)
            row = self._build_row(wanted, pending)
            if row is None:
                del self._open[wanted], pending[wanted]
                continue
            self._asked[row] = wanted
            built.append(row)
            for values in list_values(row, self.strength):
                pending.pop(values, None)
        return built

    def _build_row(self, wanted: Values, pending: Mapping[Values, None]) -> ValueRow | None:
        """A row with these values that was not asked for yet; None where there is none.

        The rest begins as what came out once, and is then changed to what is pending.
        """
        fixed = dict(wanted)
        row = [fixed.get(number, value) for number, value in enumerate(self._choose_model(fixed))]
        for _ in range(_SWEEPS):
            for number in self._random.sample(range(len(row)), len(row)):
                if number not in fixed:
                    row[number] = self._choose_value(number, row, wanted, pending)
        built = tuple(row)
        return built if built not in self._asked else self._find_other_row(fixed)

    def _choose_model(self, fixed: Mapping[int, str]) -> ValueRow:
        """What came out with most of these values, one of several that have as many."""
        if not self._models:
            return tuple(self._random.choice(values) for values in self.axes)
        ranked = [
            (sum(model[number] == value for number, value in fixed.items()), self._random.random(), model)
            for model in self._models
        ]
        return max(ranked)[-1]

    def _choose_value(
        self, number: int, row: Sequence[str], wanted: Values, pending: Mapping[Values, None]
    ) -> str:
        others = [(other, value) for other, value in enumerate(row) if other != number]
        is_careful = self._misses[wanted] >= _CAREFUL_AFTER

        def rate(value: str) -> tuple[float, bool]:
            if is_careful:
                pairs = (_pair((number, value), other) for other in wanted)
                return -float(sum(pair not in self._seen for pair in pairs)), value == row[number]
            return self._rate_gain((number, value), others, pending), False

        return max((rate(value), self._random.random(), value) for value in self.axes[number])[-1]

    def _rate_gain(self, value: Value, others: Sequence[Value], pending: Mapping[Values, None]) -> float:
        """What a value brings of what is pending, less what it is likely to break."""
        risk = _RISK * sum(_pair(value, other) in self._blocked for other in others)
        together = (tuple(sorted((value, *more))) for more in combinations(others, self.strength - 1))
        return sum(values in pending for values in together) - risk

    def _find_other_row(self, fixed: Mapping[int, str]) -> ValueRow | None:
        """Any row with the fixed values that was not asked for yet; None where there is none."""
        choices = [
            [fixed[number]] if number in fixed else self._random.sample(list(values), len(values))
            for number, values in enumerate(self.axes)
        ]
        # Found soon: of one more row than were asked for, one was not.
        return next((row for row in product(*choices) if row not in self._asked), None)


def _pair(first: Value, second: Value) -> Values:
    return (first, second) if first < second else (second, first)
