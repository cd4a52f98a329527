"""The system calls that a container may use: few, and the same on every engine.

`seccomp.json` is a profile in Docker's format, which allows what a kernel build needs and nothing else. It
can be tried by hand: ``docker run --security-opt seccomp=matrix/engine/seccomp.json …``. No architecture is
named in it, so the machine's own is meant: a program for another one (32 bits on x86) is killed.
"""

import json
from functools import cache
from pathlib import Path
from typing import Any

_PROFILE_FILE = Path(__file__).with_name("seccomp.json")
# Socket families by their numbers, which are the same on every architecture that Docker runs on.
_AF_INET, _AF_NETLINK, _AF_INET6 = 2, 16, 10
_NETLINK_ROUTE = 0


@cache
def build_seccomp_profile(*, network: bool) -> str:
    """The profile as JSON text. With a network, sockets of the Internet's families are allowed as well."""
    profile = json.loads(_PROFILE_FILE.read_text("utf-8"))
    if network:
        profile["syscalls"] += [
            _allow_sockets({0: _AF_INET}),
            _allow_sockets({0: _AF_INET6}),
            # The C library asks the kernel for the machine's addresses before it looks up a name.
            _allow_sockets({0: _AF_NETLINK, 2: _NETLINK_ROUTE}),
        ]
    return json.dumps(profile)


def _allow_sockets(arguments: dict[int, int]) -> dict[str, Any]:
    """The rule that allows ``socket`` with these arguments: index → value."""
    return {
        "names": ["socket"],
        "action": "SCMP_ACT_ALLOW",
        "args": [{"index": index, "value": value, "op": "SCMP_CMP_EQ"} for index, value in arguments.items()],
    }
