"""Which code of kmatrix's own this is: what it made of something is good for as long as it is the same."""

import hashlib
from collections.abc import Mapping
from functools import cache
from importlib.resources import files


@cache
def compute_code_digest(*packages: str) -> str:
    """The digest of all modules in these packages (``matrix.kconfig``)."""
    whole = hashlib.sha256()
    for package in packages:
        modules = _read_modules(package)
        for name in sorted(modules):
            whole.update(b"%s\0%s\0" % (name.encode(), hashlib.sha256(modules[name]).digest()))
    return whole.hexdigest()


def _read_modules(package: str) -> Mapping[str, bytes]:
    paths = files(package).iterdir()
    return {path.name: path.read_bytes() for path in paths if path.name.endswith(".py")}
