"""Many requests configured by one make: its conf forks where it opens .config, each fork takes its own.

Most of what conf does is the same for all requests of a lane: it starts the compiler a hundred times for
the Kconfig's macros, and reads and simplifies some ten thousand expressions. `conf_forks.c`, preloaded into
that make, lets one conf do this for all of them. Only successes are taken from it. What it could not do, or
would do otherwise, each request's own make still does, as if this had not been.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from matrix.foreign_files import ForeignDirectory, ForeignFileError
from matrix.foreign_trees import remove_tree
from matrix.fs import write_atomically
from matrix.resolve.output_signs import SignReader

CONFIG_LIMIT = 16 * 2**20
"""Bytes of a .config. That of a kernel has some 200,000."""
MIN_TOGETHER, MAX_TOGETHER = 2, 64
"""Requests that are configured by one make. A fault in one of them costs all of them another make."""

CONF_FORKS = Path(__file__).with_name("conf_forks.c")
_OUTPUT_LIMIT = 2**20


@dataclass(frozen=True)
class ForkedConfig:
    """What a fork of conf made: the .config, and the lines that conf printed."""

    text: str
    lines: tuple[str, ...]


def write_fork_requests(build: Path, texts: Sequence[str]) -> None:
    """Put what each fork is to start from into the build directory, and remove all of earlier ones."""
    remove_fork_files(build)
    for number, text in enumerate(texts):
        write_atomically(build / f".configure-{number}", text)


def read_forked_configs(build: Path, count: int) -> list[ForkedConfig | None]:
    """What the forks made, in the order of their requests; None for one that failed or may have."""
    return [_read_forked_config(ForeignDirectory(build), number) for number in range(count)]


def remove_fork_files(build: Path) -> None:
    """Remove all that was written for forks and by them."""
    for pattern in (".configure-*", ".configured*"):
        for path in build.glob(pattern):
            remove_tree(path)


def _read_forked_config(files: ForeignDirectory, number: int) -> ForkedConfig | None:
    try:
        text = files.read_text(f".configured-{number}", CONFIG_LIMIT)
        names = (".configured.out", f".configured-{number}.out")
        printed = [files.read_text(name, _OUTPUT_LIMIT) for name in names]
    except ForeignFileError:
        return None
    if text is None or None in printed:
        return None
    lines = tuple("".join(map(str, printed)).splitlines())
    signs = SignReader()
    for line in lines:
        signs.read_line(line)
    return None if signs.found else ForkedConfig(text, lines)
