"""The files and lines that a base names: its .config, and the fragments that come on top."""

from matrix.catalog.types import Base
from matrix.errors import RequestError
from matrix.user_files import expand_user_path, read_user_file


def check_base_files(base: Base) -> None:
    """RequestError when a file that the base names cannot be read."""
    read_base_texts(base)


def read_base_texts(base: Base) -> tuple[str | None, str]:
    """The base's .config text, if it is a file, and the text of its fragments.

    RequestError when a file that the base names cannot be read.
    """
    return (
        _read_base_file(base.file) if base.file is not None else None,
        "".join(
            f"{item if '=' in item or item.startswith('#') else _read_base_file(item)}\n"
            for item in base.fragment
        ),
    )


def _read_base_file(path: str) -> str:
    label = f"the base's file {path}"
    try:
        return read_user_file(expand_user_path(path), label).decode()
    except UnicodeDecodeError as error:
        raise RequestError(f"{label} is no text: {error}", "name a file with lines of a .config") from error
