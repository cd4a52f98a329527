from matrix.diagnostics.diagnostic import Diagnostic
from matrix.diagnostics.log_parser import parse_diagnostics


def parse_lines(*lines: str) -> list[Diagnostic]:
    """The diagnostics of a log, without their objects."""
    return [diagnostic for diagnostic, _ in parse_diagnostics(lines)]


def parse_only(*lines: str) -> Diagnostic:
    """The one diagnostic of a log."""
    [diagnostic] = parse_lines(*lines)
    return diagnostic
