"""Which code reads what tools print: what it made of a log is good for as long as it is the same."""

import hashlib
from collections.abc import Mapping
from functools import cache
from importlib.resources import files


@cache
def compute_parser_digest() -> str:
    """The digest of the code that reads what tools print: another one may see more in the same log."""
    modules: Mapping[str, bytes] = {
        path.name: path.read_bytes()
        for path in files("matrix.diagnostics").iterdir()
        if path.name.endswith(".py")
    }
    whole = hashlib.sha256()
    for name in sorted(modules):
        whole.update(b"%s\0%s\0" % (name.encode(), hashlib.sha256(modules[name]).digest()))
    return whole.hexdigest()
