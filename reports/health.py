"""What doctor and sweep found, for the terminal."""

from collections.abc import Sequence
from typing import Protocol

from rich.console import Console
from rich.text import Text

_UNITS = ("B", "KiB", "MiB", "GiB", "TiB")


class ReportedCheck(Protocol):
    """One thing that was looked at."""

    @property
    def subject(self) -> str: ...
    @property
    def ok(self) -> bool: ...
    @property
    def message(self) -> str: ...
    @property
    def advice(self) -> str: ...


class ReportedLeftover(Protocol):
    """One thing that can go; ``size`` in bytes."""

    @property
    def kind(self) -> str: ...
    @property
    def name(self) -> str: ...
    @property
    def size(self) -> int: ...


def show_checks(found: Sequence[ReportedCheck], console: Console) -> None:
    """A line for each thing, and below what is not well, what to do."""
    width = max((len(item.subject) for item in found), default=0)
    for item in found:
        mark = Text("ok  ", "green") if item.ok else Text("BAD ", "bold red")
        console.print(mark + Text(f"{item.subject:{width}}  {item.message}"), soft_wrap=True)
        if not item.ok and item.advice:
            console.print(Text(f"    {'':{width}}  → {item.advice}"), soft_wrap=True)


def show_leftovers(found: Sequence[ReportedLeftover], console: Console, *, removed: bool) -> None:
    """A line for each thing that can go, and their sum."""
    for item in found:
        console.print(Text(f"{item.kind:10} {format_size(item.size):>10}  {item.name}"), soft_wrap=True)
    total = format_size(sum(item.size for item in found))
    if not found:
        console.print("Nothing to sweep.")
    elif removed:
        console.print(f"Removed {len(found)} things, {total}.")
    else:
        console.print(f"{len(found)} things, {total}. To remove them: ./inv sweep --yes")


def format_size(count: int) -> str:
    """``1.5 GiB``."""
    value = float(count)
    for unit in _UNITS[:-1]:
        if value < 1024:
            return f"{value:.0f} {unit}" if unit == "B" else f"{value:.1f} {unit}"
        value /= 1024
    return f"{value:.1f} {_UNITS[-1]}"
