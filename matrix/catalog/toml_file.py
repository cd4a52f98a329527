"""TOML files that a person wrote or was given, read within bounds: none hangs or breaks its reader."""

import re
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from matrix.errors import RequestError
from matrix.user_files import read_user_file

_MAX_BYTES = 512 * 1024
_MAX_LINE_LENGTH = 16_384
"""Characters. The parser takes quadratic time for a key of many parts."""
_MAX_DEPTH = 16
"""Tables and lists in one another; a profile has four."""
_INTEGERS = range(-(2**63), 2**63)
_LINE_END = re.compile(r"[\r\n]")


def read_toml(path: Path) -> dict[str, Any]:
    """A TOML file as a dict whose lists are tuples.

    RequestError when it cannot be read or parsed, or is larger or deeper than a person would write.
    """
    content = read_user_file(path, f"{path}:")
    try:
        # Some editors begin a file with a byte order mark.
        text = content.decode("utf-8-sig")
        _check_size(path, content, text)
        return {key: _freeze_value(value, 1) for key, value in tomllib.loads(text).items()}
    except RecursionError as error:
        raise RequestError(f"{path}: not valid TOML: it is nested too deep") from error
    except ValueError as error:
        raise RequestError(f"{path}: not valid TOML: {error}") from error


def _check_size(path: Path, content: bytes, text: str) -> None:
    if len(content) > _MAX_BYTES:
        raise RequestError(
            f"{path}: has more than {_MAX_BYTES >> 10} KiB", "split it, or leave something out"
        )
    for number, line in enumerate(_LINE_END.split(text), 1):
        if len(line) > _MAX_LINE_LENGTH:
            raise RequestError(
                f"{path}: line {number} has more than {_MAX_LINE_LENGTH} characters", "wrap it"
            )


def _freeze_value(value: Any, depth: int) -> Any:
    if depth > _MAX_DEPTH:
        raise ValueError("it is nested too deep")
    if isinstance(value, list):
        return tuple(_freeze_value(item, depth + 1) for item in value)
    if isinstance(value, Mapping):
        return {key: _freeze_value(item, depth + 1) for key, item in value.items()}
    # Python takes hexadecimal numbers of any length, and cannot print them.
    if isinstance(value, int) and value not in _INTEGERS:
        raise ValueError("a whole number in it has more than 64 bits")
    return value
