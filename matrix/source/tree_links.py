"""Where a link of a tree leads, read without following it: the tree may be a stranger's.

The kernel follows 40 links on one path and refuses more; os.path.realpath has no such bound, and recurses.
"""

import os

MAX_HOPS = 40
_MAX_PARTS = 256


def resolve_inside(root: str, path: str) -> str | None:
    """What a path below ``root`` leads to, relative to it; None where it leads out, or nobody can follow it.

    What it leads to need not be there.
    """
    waiting, resolved, hops = path.split("/")[::-1], list[str](), 0
    while waiting:
        part = waiting.pop()
        if part == ".." and not resolved:
            return None
        if part == "..":
            resolved.pop()
        elif part not in ("", "."):
            target = _read_link("/".join((root, *resolved, part)))
            hops += target is not None
            if target is None:
                resolved.append(part)
            elif target.startswith("/") or hops > MAX_HOPS or target.count("/") > _MAX_PARTS:
                return None
            else:
                waiting += target.split("/")[::-1]
    return "/".join(resolved)


def _read_link(path: str) -> str | None:
    try:
        return os.readlink(path)  # noqa: PTH115 - text is much faster here
    except OSError:
        return None
