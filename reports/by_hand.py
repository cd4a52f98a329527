"""How to see a cell's outcome without kmatrix: the commands for whoever has the compiler."""

import re
import shlex
from pathlib import Path

from matrix.record.model import Cell
from reports.summary import telling_stage
from reports.text import clean

_BUILD = "/tmp/kmatrix"  # noqa: S108 - shown to a person, never opened here
# Where the container has its tree and its build directory; nobody else has them there.
_TREE = re.compile(r"(?<!\S)-C \S+ ")
_OUTPUT = re.compile(r"(?<!\S)O=\S+")


def make_line(cell: Cell) -> str:
    """The make command of the stage that decided, with O= where a person may build; or empty."""
    stage = telling_stage(cell)
    if stage is None or not stage.command:
        return ""
    return clean(_OUTPUT.sub(f"O={_BUILD}", _TREE.sub("", stage.command)), 4000)


def by_hand(cell: Cell, directory: Path) -> list[tuple[str, str]]:
    """What to type, each line with a word that says where; empty when no command was recorded."""
    line = make_line(cell)
    if not line:
        return []
    config = shlex.quote(str(directory / "configs" / (cell.config_sha256 or "")))
    copy = f"mkdir -p {_BUILD} && cp {clean(config, 4000)} {_BUILD}/.config"
    steps = [("by hand", copy)] if cell.config_sha256 else []
    return [*steps, ("in tree", line)]
