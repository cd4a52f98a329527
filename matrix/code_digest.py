"""Which code of kmatrix's own this is: what it made of something is good for as long as it is the same."""

import hashlib
from collections.abc import Mapping
from functools import cache
from importlib.resources import files
from pathlib import Path

_PROGRAM = Path(__file__).parent
"""The package ``matrix``."""


@cache
def compute_code_digest(*packages: str) -> str:
    """The digest of all modules in these packages (``matrix.kconfig``)."""
    whole = hashlib.sha256()
    for package in packages:
        modules = _read_modules(package)
        for name in sorted(modules):
            whole.update(b"%s\0%s\0" % (name.encode(), hashlib.sha256(modules[name]).digest()))
    return whole.hexdigest()


@cache
def compute_program_digest(root: Path = _PROGRAM) -> str:
    """The digest of all of kmatrix's package: its modules, and the tables and programs beside them."""
    whole = hashlib.sha256()
    for path in sorted(root.rglob("*")):
        if path.is_file() and "__pycache__" not in path.parts:
            name = path.relative_to(root).as_posix().encode()
            whole.update(b"%s\0%s\0" % (name, hashlib.sha256(path.read_bytes()).digest()))
    return whole.hexdigest()


def _read_modules(package: str) -> Mapping[str, bytes]:
    paths = files(package).iterdir()
    return {path.name: path.read_bytes() for path in paths if path.name.endswith(".py")}
