"""Podman of a user who is not root: it accepts limits on cgroup v1, applies none, and is refused."""

import os
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from matrix.catalog.types import ROOT_IMAGE
from matrix.engine.connect import choose_container_user
from matrix.engine.docker_engine import DockerEngine
from matrix.engine.docker_host import check_reachable
from matrix.engine.isolation import list_missing_isolation, require_isolation
from matrix.errors import EngineError
from tests.engines import find_engine_url

pytestmark = pytest.mark.engine
USER = 59993
IS_V1 = not Path("/sys/fs/cgroup/cgroup.controllers").exists()
NEEDED = ("podman", "unshare", "setpriv", "newuidmap", "newgidmap")
# The user exists in this process's own mounts only.
_AS_USER = """
cd "$0"
for file in passwd group subuid subgid; do mount --bind "$file" "/etc/$file"; done
cd /
user=$1
shift
exec setpriv --reuid "$user" --regid "$user" --clear-groups \\
    env -i HOME="$0/home" XDG_RUNTIME_DIR="$0/run" PATH="$PATH" podman "$@"
"""


class User:
    """A user of this machine for as long as a test needs one."""

    def __init__(self, place: Path) -> None:
        self.place = place
        for name in ("home", "run"):
            (place / name).mkdir(parents=True)
            os.chown(place / name, USER, USER)
        place.chmod(0o711)
        for name, line in (
            ("passwd", f"kmatrix-test:x:{USER}:{USER}::{place}/home:/bin/sh"),
            ("group", f"kmatrix-test:x:{USER}:"),
        ):
            (place / name).write_text(Path("/etc", name).read_text() + line + "\n")
        for name in ("subuid", "subgid"):
            (place / name).write_text("kmatrix-test:200000:65536\n")
        self.runtime = ("--runtime", "runc") if shutil.which("runc") and IS_V1 else ()

    @property
    def url(self) -> str:
        return f"unix://{self.place}/run/p.sock"

    def command(self, *words: str) -> list[str]:
        """Podman, as this user."""
        return ["unshare", "--mount", "sh", "-c", _AS_USER, str(self.place), str(USER), *self.runtime, *words]

    def end_processes(self) -> None:
        """End what the user still runs: the process that holds their namespaces."""
        for directory in Path("/proc").glob("[0-9]*"):
            with suppress(OSError):
                if directory.stat().st_uid == USER:
                    os.kill(int(directory.name), signal.SIGKILL)


@pytest.fixture
def engine() -> Iterator[DockerEngine]:
    """A user's Podman, with the root file system of all images in it."""
    machines = find_engine_url("podman")
    missing = [program for program in NEEDED if shutil.which(program) is None]
    if os.geteuid() != 0 or missing:
        pytest.skip(f"needs root, and {' '.join(missing)}")
    # A Unix socket's path has room for 107 bytes only, and the user must get there.
    place = Path(f"/tmp/kmatrix-rootless-{os.getpid()}")
    user = User(place)
    try:
        saving = ["podman", "--url", machines, "save", ROOT_IMAGE.tag]
        with subprocess.Popen(saving, stdout=subprocess.PIPE) as saved:
            subprocess.run(user.command("load", "--quiet"), stdin=saved.stdout, check=True)
        with subprocess.Popen(user.command("system", "service", "--time=0", user.url)) as service:
            try:
                yield _await_engine(user.url)
            finally:
                service.terminate()
    finally:
        user.end_processes()
        shutil.rmtree(place)


def _await_engine(url: str) -> DockerEngine:
    deadline = time.monotonic() + 30
    while True:
        try:
            check_reachable(url)
        except EngineError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.2)
        else:
            return DockerEngine(url)


@pytest.mark.skipif(not IS_V1, reason="cgroup v2 may delegate limits to users")
def test_limits_that_are_accepted_and_not_applied_are_found_and_refused(engine: DockerEngine) -> None:
    info = engine.query_info()
    assert (info.name, info.rootless, info.cgroup) == ("podman", True, "v1")
    user = choose_container_user(rootless=info.rootless)
    # All that needs no cgroup holds.
    assert list_missing_isolation(engine, ROOT_IMAGE.tag, user) == [
        "the memory limit",
        "the limit on processes",
    ]
    with pytest.raises(EngineError, match="the memory limit, the limit on processes; kmatrix builds nothing"):
        require_isolation(engine, ROOT_IMAGE.tag, user)


def test_a_rootful_engine_that_applies_them_is_not(each_engine: str) -> None:
    engine = DockerEngine(find_engine_url(each_engine))
    assert list_missing_isolation(engine, ROOT_IMAGE.tag, choose_container_user()) == []
