"""A registry of a test's own: Debian's ``docker-registry`` as a process on loopback, with no TLS."""

import base64
import json
import shutil
import socket
import subprocess
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.error import HTTPError, URLError

import pytest

USER, PASSWORD = "kmatrix", "secret"
# What htpasswd -B makes of that password: the registry takes bcrypt alone.
_HTPASSWD = f"{USER}:$2y$05$abcdefghijklmnopqrstuuOQiyCxlgf/oeuTqixKmWdcYUh4Hjl0a"
_START_SECONDS = 30


@dataclass(frozen=True)
class Registry:
    """``prefix`` is what images are pushed to. Its files are in ``directory``."""

    host: str
    directory: Path

    @property
    def prefix(self) -> str:
        return f"{self.host}/kmatrix-test"


@contextmanager
def open_registry(directory: Path, *, locked: bool = False) -> Iterator[Registry]:
    """A registry at work, for a while; ``locked``: for USER alone. Skips the test where the program is not
    installed."""
    program = shutil.which("docker-registry")
    if program is None:
        pytest.skip("docker-registry is not installed: apt-get install docker-registry")
    registry = Registry(f"127.0.0.1:{_find_free_port()}", directory / "registry")
    (directory / "registry.json").write_text(json.dumps(_configure(registry, directory, locked=locked)))
    with subprocess.Popen(
        [program, "serve", str(directory / "registry.json")],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    ) as process:
        try:
            _await_answer(registry, process)
            yield registry
        finally:
            process.kill()


def _configure(registry: Registry, directory: Path, *, locked: bool) -> dict[str, object]:
    settings: dict[str, object] = {
        "version": "0.1",
        "log": {"level": "error"},
        "storage": {"filesystem": {"rootdirectory": str(registry.directory)}, "delete": {"enabled": True}},
        "http": {"addr": registry.host, "secret": "of a test"},
    }
    if locked:
        (directory / "htpasswd").write_text(_HTPASSWD)
        settings["auth"] = {"htpasswd": {"realm": "test", "path": str(directory / "htpasswd")}}
    return settings


def write_login(registry: Registry, directory: Path) -> None:
    """USER's login at a registry, as ``docker login`` writes it."""
    login = base64.b64encode(f"{USER}:{PASSWORD}".encode()).decode()
    (directory / "config.json").write_text(json.dumps({"auths": {registry.host: {"auth": login}}}))


def _find_free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port: int = server.getsockname()[1]
        return port


def _await_answer(registry: Registry, process: "subprocess.Popen[bytes]") -> None:
    deadline = time.monotonic() + _START_SECONDS
    while True:
        try:
            urllib.request.urlopen(f"http://{registry.host}/v2/").close()
        except HTTPError:
            return  # It wants a login.
        except URLError:
            assert process.poll() is None, "docker-registry has ended"
            assert time.monotonic() < deadline, "docker-registry does not answer"
            time.sleep(0.1)
        else:
            return
