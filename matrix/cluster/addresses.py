"""Where a cluster is reached, and how it is kept closed to others.

Whoever reaches a scheduler runs what they like on every worker: without TLS, and certificates for all who
come, only this machine's own loopback addresses will do.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from ipaddress import ip_address
from pathlib import Path

from matrix.errors import RequestError
from matrix.user_files import expand_user_path, stat_user_path

VARIABLES = {"tls-ca": "KMATRIX_TLS_CA", "tls-cert": "KMATRIX_TLS_CERT", "tls-key": "KMATRIX_TLS_KEY"}
"""Option → the variable that stands for it."""
_ADDRESS = re.compile(
    r"(?P<scheme>tcp|tls)://(?P<host>\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9.-]+):(?P<port>[0-9]{1,5})"
)
_FORM = "for example tls://build1:8786, or tcp://127.0.0.1:8786 on this machine"


@dataclass(frozen=True)
class TlsFiles:
    """PEM files: the authority that all certificates are of, and this machine's own certificate and key."""

    ca: Path
    cert: Path
    key: Path


@dataclass(frozen=True)
class ClusterAddress:
    """A scheduler's address, and with what it is reached; None where it is on this machine's loopback."""

    text: str
    host: str
    tls: TlsFiles | None = None


def parse_cluster_address(
    text: str, options: Mapping[str, str], variables: Mapping[str, str]
) -> ClusterAddress:
    """The address of a scheduler. ``options``: the values of `VARIABLES`' options, empty where not given.

    RequestError for what is no address, for one that is open to others, and where a file is missing.
    """
    found = _ADDRESS.fullmatch(text)
    if found is None or not 0 < int(found["port"]) < 65536:
        raise RequestError(f"{text!r} is no address of a cluster", _FORM)
    files = {
        name: given or variables.get(VARIABLES[name], "")
        for name, given in options.items()
        if name in VARIABLES
    }
    if found["scheme"] == "tcp":
        _refuse_open_address(text, found["host"], options)
        return ClusterAddress(text, found["host"])
    missing = [name for name in VARIABLES if not files.get(name)]
    if missing:
        raise RequestError(
            f"{text} needs certificates, and --{missing[0]} is missing",
            f"name three files, as in docs/cluster.md: {', '.join(f'--{name} FILE' for name in VARIABLES)}",
        )
    paths = {name: _find_file(name, spec) for name, spec in files.items()}
    return ClusterAddress(text, found["host"], TlsFiles(paths["tls-ca"], paths["tls-cert"], paths["tls-key"]))


def _refuse_open_address(text: str, host: str, options: Mapping[str, str]) -> None:
    if any(options.values()):
        raise RequestError(f"{text} is reached without TLS", "leave the certificates out, or write tls://")
    if not _is_loopback(host):
        raise RequestError(
            f"{text} is open to others: whoever reaches it runs what they like on every worker",
            "use tls://, with certificates: docs/cluster.md",
        )


def _is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False


def _find_file(name: str, spec: str) -> Path:
    path = expand_user_path(spec).absolute()
    if not stat_user_path(path, f"--{name} {spec}"):
        raise RequestError(f"--{name} {spec} does not exist", "docs/cluster.md says how it is made")
    return path
