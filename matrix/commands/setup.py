"""Making this machine ready: an engine, images, a source. The one command that may change the machine."""

import os
import subprocess
import time
from pathlib import Path

from matrix.catalog.load import load_catalog
from matrix.catalog.types import Profile
from matrix.commands.session import ensure_images, fetch_source
from matrix.engine.bootstrap import HostSystem, apt_install
from matrix.engine.connect import choose_container_user, connect_engine
from matrix.engine.protocol import Engine
from matrix.errors import EngineError
from matrix.record.events import EventSink, ProgressNote
from matrix.source.cache import SourceCache
from matrix.source.kernel_tree import SourceTree

_DAEMON_LOG = Path("/var/log/kmatrix-dockerd.log")
_START_TIMEOUT = 60


def set_up_machine(profile: Profile, emit: EventSink) -> None:
    """Find or install an engine, then build the profile's images and fetch its source."""
    catalog = load_catalog().with_profile(profile)
    engine = _find_or_install_engine(emit)
    info = engine.query_info()
    emit(ProgressNote(f"Engine: {info.name} {info.version}."))
    ensure_images(engine, catalog, profile.toolchain, emit, install=True)
    emit(ProgressNote(f"Images: {', '.join(profile.toolchain)} are there."))
    tree = _fetch_tree(profile, engine, emit)
    emit(ProgressNote(f"Source: {tree.spec} is Linux {tree.version}, in {tree.path}."))


def build_images(profile: Profile, emit: EventSink) -> dict[str, str]:
    """Build or pull the missing images of the profile's toolchains; returns toolchain → image id."""
    return ensure_images(connect_engine(), load_catalog().with_profile(profile), profile.toolchain, emit)


def fetch_profile_source(profile: Profile, emit: EventSink) -> SourceTree:
    """Fetch the profile's source into the cache, and apply its patches."""
    return _fetch_tree(profile, connect_engine(), emit)


def _fetch_tree(profile: Profile, engine: Engine, emit: EventSink) -> SourceTree:
    cache = SourceCache()
    with cache.lock_shared():
        return fetch_source(
            profile, engine, cache, choose_container_user(rootless=engine.query_info().rootless), emit
        )


def _find_or_install_engine(emit: EventSink) -> Engine:
    """Connect to an engine; where none answers and setup may install one, start Docker first."""
    try:
        return connect_engine()
    except EngineError as error:
        if os.environ.get("DOCKER_HOST") or not _can_install(HostSystem()):
            raise
        emit(ProgressNote(f"No engine yet ({error})."))
    if not HostSystem().has_program("dockerd"):
        apt_install(["docker.io"], emit)
    _start_docker(emit)
    return connect_engine()


def _can_install(host: HostSystem) -> bool:
    """Whether setup can start Docker: as root, where it is installed or apt-get can install it."""
    return host.is_root() and (host.has_program("dockerd") or host.has_program("apt-get"))


def _start_docker(emit: EventSink) -> None:
    """Start Docker with systemd where that runs, otherwise as a daemon in the background."""
    if Path("/run/systemd/system").is_dir():
        emit(ProgressNote("Starting Docker with systemd."))
        log = "journalctl -u docker"
        process = subprocess.run(
            ["systemctl", "enable", "--now", "docker"], check=False, capture_output=True, text=True
        )
        if process.returncode:
            raise EngineError(
                f"systemd cannot start Docker: {process.stderr.strip()}", f"its log says why: {log}"
            )
    else:
        emit(ProgressNote(f"Starting dockerd in the background; its log is {_DAEMON_LOG}."))
        with _DAEMON_LOG.open("ab") as file:
            subprocess.Popen(
                ["dockerd"], stdin=subprocess.DEVNULL, stdout=file, stderr=file, start_new_session=True
            )
        log = str(_DAEMON_LOG)
    _await_engine(log)


def _await_engine(log: str) -> None:
    deadline = time.monotonic() + _START_TIMEOUT
    while True:
        try:
            connect_engine()
        except EngineError as error:
            if time.monotonic() > deadline:
                raise EngineError(
                    f"Docker was started and does not answer: {error}", f"its log says why: {log}"
                ) from error
            time.sleep(0.5)
        else:
            return
