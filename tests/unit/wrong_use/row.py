"""A row of wrong use, and the words that many rows share."""

from collections.abc import Mapping
from typing import NamedTuple

LONG, DEEP = "n" * 300, "/".join(["d" * 200] * 25)
ESCAPE = "\x1b[31mred"
LATIN = "\udcff"
"""A byte that is no UTF-8, as Python has it in a word of the command line."""
CELL = "powerpc/gcc-14/defconfig/KVM=y,MODULES=n,VFIO=n"
NO_SUCH_RUN = "there is no run"
MAKES_ONE = r"\./inv run makes one"
MAKES_ANOTHER = r"\./inv run makes another"
READS = "check the path, and what you may read of it"


class Row(NamedTuple):
    """``says`` and ``hint`` are searched in the first line of stderr, and in all below it."""

    words: str | tuple[str, ...]
    says: str
    hint: str = ""
    code: int = 1
    environment: Mapping[str, str] = {}

    @property
    def argv(self) -> list[str]:
        return self.words.split() if isinstance(self.words, str) else list(self.words)


def at(option: str, value: str) -> tuple[str, ...]:
    """`plan`, which builds nothing, with one option more."""
    return ("plan", "--profile", "ok.toml", f"{option}={value}")


def profile(name: str) -> str:
    return f"plan --profile {name}"
