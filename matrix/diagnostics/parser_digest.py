"""Which code reads what tools print: what it made of a log is good for as long as it is the same."""

from matrix.code_digest import compute_code_digest


def compute_parser_digest() -> str:
    """The digest of the code that reads what tools print: another one may see more in the same log."""
    return compute_code_digest("matrix.diagnostics")
