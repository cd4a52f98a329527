"""The order in which a lane visits its configurations: neighbours that differ least. Pure."""

from collections.abc import Sequence

from matrix.kconfig.config import Config

# Flipping one of these rebuilds nearly everything; the weight keeps their flips apart as far as possible.
_REBUILD_WEIGHTS = {"MODULES": 1000, "SMP": 1000, "DEBUG_INFO": 1000}


def plan_visiting_order(configs: Sequence[Config]) -> tuple[int, ...]:
    """Indices into ``configs``, starting with the first: always on to the nearest that is left.

    Greedy, O(n²) distances; ties go to the earlier one, so that equal plans are built in equal order.
    """
    left = list(range(len(configs)))
    order: list[int] = []
    while left:
        here = order[-1] if order else left[0]
        nearest = min(left, key=lambda index: (_weigh_difference(configs[here], configs[index]), index))
        order.append(nearest)
        left.remove(nearest)
    return tuple(order)


def _weigh_difference(one: Config, other: Config) -> int:
    return sum(_REBUILD_WEIGHTS.get(symbol, 1) for symbol in one.diff(other))
