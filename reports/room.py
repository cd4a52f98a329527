"""What one is told before a prompt in a cell's container."""

from rich.console import Console
from rich.text import Text

from matrix.record.model import Cell
from reports.look import STATE_STYLES, print_line, replace_unencodable
from reports.text import clean_text

_MAX_MAKE_LENGTH = 4000


def show_shell_banner(cell: Cell, make: str, variable: str, console: Console) -> None:
    """The cell, its state, the command that decided it (``variable`` holds it inside), and the way out."""
    replace_unencodable(console)
    print_line(console, Text(f"{clean_text(cell.id)}  ").append(cell.state, STATE_STYLES[cell.state]))
    print_line(console, f'Its make command; here, eval "${variable}" runs it:')
    print_line(console, f"  {clean_text(make, _MAX_MAKE_LENGTH)}")
    print_line(console, "All that is done here is gone when you leave: exit")
