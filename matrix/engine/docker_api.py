"""Requests to the engine's HTTP API, its output line by line, and errors with its words."""

import codecs
import io
import math
import tarfile
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from matrix.engine.protocol import (
    LABEL,
    TEMPORARY_DIRECTORIES,
    ContainerLimits,
    ContainerSpec,
    Mount,
)
from matrix.engine.seccomp import build_seccomp_profile
from matrix.errors import EngineError
from matrix.foreign_text import clean_text

MAX_OUTPUT_LINE = 64 * 1024
"""Characters of a line that are kept. The rest of a longer one is dropped, and marked as such."""

_CUT_MARK = " [kmatrix: the rest of this line was cut]"


class LineDecoder:
    r"""Splits one stream of bytes into lines. Each line is given as soon as its end is read.

    Bytes that are no UTF-8 become U+FFFD. ``\n``, ``\r\n`` and ``\r`` all end a line: what a progress
    bar overwrites on a terminal is kept here, since it might be a message.
    """

    def __init__(self, max_length: int = MAX_OUTPUT_LINE) -> None:
        utf8 = codecs.getincrementaldecoder("utf-8")("replace")
        # It also joins a \r at the end of one frame with the \n at the start of the next.
        self._decoder = io.IncrementalNewlineDecoder(utf8, translate=True)
        self._max_length = max_length
        self._partial = ""
        self._too_long = False

    def feed(self, data: bytes) -> Iterator[str]:
        """The lines that these bytes complete."""
        return self._split_lines(self._decoder.decode(data))

    def flush(self) -> Iterator[str]:
        """The last line, when no newline ended it. The stream is over."""
        yield from self._split_lines(self._decoder.decode(b"", final=True))
        if self._partial:
            yield self._take_line()

    def _split_lines(self, text: str) -> Iterator[str]:
        *whole, partial = text.split("\n")
        for piece in whole:
            self._add_piece(piece)
            yield self._take_line()
        self._add_piece(partial)

    def _add_piece(self, piece: str) -> None:
        space = self._max_length - len(self._partial)
        self._too_long = self._too_long or len(piece) > space
        self._partial += piece[:space]

    def _take_line(self) -> str:
        line, cut = self._partial, self._too_long
        self._partial, self._too_long = "", False
        return line + _CUT_MARK if cut else line


_DOCTOR_HINT = "./inv doctor says what is wrong with the engine"
# A part of an engine's message, in lower case, and what to do about it.
_HINTS_BY_MESSAGE = (
    ("no space left on device", "free some disk space: ./inv sweep removes what kmatrix no longer needs"),
    ("no such image", "./inv images builds what is missing"),
    (
        "is already in use by container",
        "another run uses that name, or was killed: ./inv sweep removes what it left",
    ),
    ("bind source path does not exist", "the engine must run on this machine and see its directories"),
    ("executable file not found", "the image lacks that program: check the image that the profile names"),
    ("exec format error", "the image is for another kind of machine"),
    ("seccomp", "kmatrix runs nothing without its filter of system calls: the engine must support seccomp"),
    ("permission denied", "add yourself to the group docker (and log in again), or run this as root"),
    (
        "temporary failure resolving",
        "the engine's containers have no network: check DNS and proxy, and try again",
    ),
    ("failed to fetch", "a package could not be downloaded: check the network and try again"),
)


def find_hint(message: str, otherwise: str = _DOCTOR_HINT) -> str:
    """What to do about a message of the engine."""
    lowered = message.lower()
    return next((hint for sign, hint in _HINTS_BY_MESSAGE if sign in lowered), otherwise)


def error_from_refusal(what: str, message: str) -> EngineError:
    """The error for a request that the engine refused."""
    shown = clean_message(message)
    return EngineError(f"the container engine could not {what}: {shown}", hint=find_hint(message))


def clean_message(message: str) -> str:
    """An engine's message as one harmless line. A web server's page is named and not shown."""
    lowered = message.lower()
    if "<html" in lowered or "<!doctype" in lowered:
        message = message.partition("<")[0] + "a web page, which no engine gives"
    return clean_text(message)


def error_from_nonsense(url: str, what: str, detail: str) -> EngineError:
    """The error for a reply that cannot be read: another program listens there, or the engine is broken."""
    return EngineError(
        f"what answers at {url} is no container engine, or a broken one; asked to {what}, it said: "
        f"{clean_message(detail)}",
        hint=f"restart it, or unset DOCKER_HOST where that names something else; {_DOCTOR_HINT}",
    )


def error_from_silence(url: str, what: str, detail: str, *, slow: bool) -> EngineError:
    """The error for a missing reply: the engine is stopped, restarted, or (``slow``) too busy."""
    how = "gave no answer in time" if slow else "does not answer, or stopped in the middle"
    message = f"the container engine at {url} {how}, asked to {what}: {clean_message(detail)}"
    return EngineError(message, hint=f"{_DOCTOR_HINT}; ./inv setup starts it")


def error_from_build_failure(name: str, error: str, last: Sequence[str]) -> EngineError:
    """The error for a failed step of a Dockerfile; ``last`` is the end of its output."""
    output = "\n".join(("  " + line).rstrip() for line in (*last, error))
    return EngineError(
        f"the image {name} could not be built:\n{output}",
        hint=find_hint(output, otherwise="mend what the lines above say, and try again: ./inv images"),
    )


def error_from_old_version(url: str, message: str) -> EngineError:
    """The error for an engine whose API is older than the client supports."""
    return EngineError(
        f"the container engine at {url} is too old: {clean_message(message)}",
        hint="install a newer one: Docker 20.10 and later are known to work",
    )


ApiBody = Mapping[str, Any]
"""A JSON object that is sent."""
_SECCOMP = "seccomp="


def build_create_request(container: ContainerSpec) -> dict[str, Any]:
    """The body of POST /containers/create: no privileges, nothing of the host, everything bounded."""
    program, *words = _limit_lifetime(container)
    return {
        "Image": container.image,
        # The first word as the entrypoint, so that the image's own is not used.
        "Entrypoint": [program],
        "Cmd": words,
        # The same in every container: a host's name must not get into what is built.
        "Hostname": "kmatrix",
        "User": container.user,
        "WorkingDir": container.workdir,
        # An arbitrary user has no home, and / is read-only.
        "Env": [f"{name}={value}" for name, value in {"HOME": "/tmp", **container.env}.items()],  # noqa: S108
        "Labels": {LABEL: "", **container.labels},
        "AttachStdout": True,
        "AttachStderr": True,
        "Healthcheck": {"Test": ["NONE"]},
        "HostConfig": _build_host_config(container),
    }


def _limit_lifetime(container: ContainerSpec) -> tuple[str, ...]:
    """The command; with a lifetime it runs below coreutils' timeout, as no engine keeps a limit of its own.

    As the container's first process, timeout cannot be stopped or killed from inside, and when it ends, the
    kernel kills whatever is left.
    """
    if container.limits.lifetime is None:
        return container.command
    return ("timeout", "-s", "KILL", str(math.ceil(container.limits.lifetime)), *container.command)


def build_interactive_request(container: ContainerSpec, *, terminal: bool) -> dict[str, Any]:
    """The same for a container on the caller's terminal. Its stdin ends when the caller's does."""
    return {
        **build_create_request(container),
        "AttachStdin": True,
        "OpenStdin": True,
        "StdinOnce": True,
        "Tty": terminal,
    }


def _build_host_config(container: ContainerSpec) -> dict[str, Any]:
    return {
        "ReadonlyRootfs": True,
        "NetworkMode": "default" if container.network else "none",
        "CapDrop": ["ALL"],
        "SecurityOpt": ["no-new-privileges", _SECCOMP + build_seccomp_profile(network=container.network)],
        "Mounts": [_build_mount(mount) for mount in container.mounts],
        # Not needed: attaching gets the output, and a second copy of a long build's would fill the disk.
        "LogConfig": {"Type": "none", "Config": {}},
        **_build_limits(container.limits),
    }


def get_seccomp_profile(body: ApiBody) -> str:
    """The profile in the body of a create request."""
    return str(body["HostConfig"]["SecurityOpt"][-1]).removeprefix(_SECCOMP)


def replace_seccomp_profile(body: ApiBody, profile: str) -> dict[str, Any]:
    """The body of a create request with another profile, or with the name of its file."""
    options = [*body["HostConfig"]["SecurityOpt"][:-1], _SECCOMP + profile]
    return {**body, "HostConfig": {**body["HostConfig"], "SecurityOpt": options}}


def _build_mount(mount: Mount) -> dict[str, Any]:
    # A mount and not a bind: a bind's missing host directory would be made by the engine, as root, and
    # a colon in its path would end it.
    return {"Type": "bind", "Source": str(mount.host), "Target": mount.path, "ReadOnly": mount.read_only}


def _build_limits(limits: ContainerLimits) -> dict[str, Any]:
    memory = limits.memory or 0
    return {
        "Tmpfs": dict.fromkeys(TEMPORARY_DIRECTORIES, f"rw,exec,nosuid,nodev,mode=1777,size={limits.tmpfs}"),
        "Memory": memory,
        # Equal to the memory: no swap on top.
        "MemorySwap": memory,
        "PidsLimit": limits.processes,
        "Ulimits": [
            build_ulimit("fsize", limits.file_size),
            build_ulimit("core", 0),
            # The usual hard limit of a daemon is higher; a lower one would refuse the start.
            build_ulimit("nofile", limits.open_files),
        ],
    }


def build_ulimit(name: str, value: int) -> dict[str, Any]:
    """A limit of each process, as a create request has it."""
    return {"Name": name, "Soft": value, "Hard": value}


def pack_build_context(files: Mapping[str, str]) -> io.BytesIO:
    """A build context. No times and no owners: the same files are the same bytes."""
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as archive:
        for name, text in sorted(files.items()):
            content = text.encode()
            member = tarfile.TarInfo(name)
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    packed.seek(0)
    return packed
