"""A format by its name: one way to look one up, and one wording where there is none."""

from collections.abc import Mapping
from typing import TypeVar

from matrix.errors import RequestError, format_nearest

Row = TypeVar("Row")


def find_named_format(name: str, formats: Mapping[str, Row], problem: str) -> Row:
    """The row of this name. RequestError where there is none: ``problem``, with the nearest name and all."""
    if name not in formats:
        raise RequestError(f"{problem}{format_nearest(name, formats)}", f"formats: {', '.join(formats)}")
    return formats[name]
