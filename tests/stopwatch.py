"""Time as tests bound it: what a piece of work costs, whatever else the machine does.

It is this process's CPU time, so that nothing is counted while others have the machine. A CPU that is shared
or slow still counts more for the same work: a bound that is passed is held against a known piece of work,
measured at that moment, and so against the machine that the bounds were set on.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from statistics import median
from time import process_time

KNOWN_SECONDS = 0.014
"""What the known work takes on the machine that the bounds were set on: the best of two hundred tries."""
_TRIES = 15


@contextmanager
def limit_cpu(seconds: float) -> Iterator[None]:
    """Fail where what is done takes more CPU time than ``seconds`` of the machine that bounds were set on."""
    start = process_time()
    yield
    check_cpu(process_time() - start, seconds)


def check_cpu(spent: float, seconds: float) -> None:
    """Fail where ``spent`` CPU seconds are more than ``seconds`` of the machine that bounds were set on."""
    if spent >= seconds:
        slowness = measure_slowness()
        assert spent < seconds * slowness, f"{spent:.2f} s, on a machine {slowness:.1f} times as slow"


def measure_slowness() -> float:
    """How many times as long the known work takes now as on the machine that bounds were set on."""
    # Not the best try: where others are at work, what takes seconds has no such luck all along.
    return median(measure_known_work() for _ in range(_TRIES)) / KNOWN_SECONDS


def measure_known_work() -> float:
    """The CPU seconds of what tests do most: words made, looked up and joined, by Python alone."""
    start = process_time()
    words = {f"CONFIG_SYMBOL_{number}": number % 7 for number in range(20_000)}
    lines = [f"{name}={value}" for name, value in words.items() if value != 3]
    sorted("\n".join(lines).replace("_", " ").split("\n"), key=len)
    return process_time() - start
