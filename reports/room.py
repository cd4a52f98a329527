"""What one is told before a prompt in a cell's container."""

from rich.console import Console
from rich.text import Text

from matrix.record.model import Cell
from reports.look import STYLES, forgive, say
from reports.text import clean

_LONGEST_COMMAND = 4000


def show_room(cell: Cell, make: str, variable: str, console: Console) -> None:
    """The cell, its state, the command that decided it (``variable`` holds it inside), and the way out."""
    forgive(console)
    say(console, Text(f"{clean(cell.id)}  ").append(cell.state, STYLES[cell.state]))
    say(console, f'Its make command; here, eval "${variable}" runs it:')
    say(console, f"  {clean(make, _LONGEST_COMMAND)}")
    say(console, "All that is done here is gone when you leave: exit")
