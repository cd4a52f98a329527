"""Making this machine ready: an engine, images, a source. The one command that may change the machine."""

import os
import subprocess
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from matrix.catalog.load import load_catalog
from matrix.catalog.types import Profile, check_registry
from matrix.commands.session import choose_safe_user, ensure_images, fetch_source, resolve_image
from matrix.engine.bootstrap import HostSystem, apt_install
from matrix.engine.connect import connect_engine
from matrix.engine.docker_engine import connect_podman
from matrix.engine.image_archive import load_images, save_images
from matrix.engine.image_registry import push_registry_image
from matrix.engine.images import ImageRecipe, compute_base_tag, ensure_base_image
from matrix.engine.podman_host import list_podman_urls
from matrix.engine.protocol import Engine
from matrix.errors import EngineError, RequestError
from matrix.record.events import EventSink, ProgressNote
from matrix.shell_words import format_command
from matrix.source.cache import SourceCache
from matrix.source.kernel_tree import SourceTree
from matrix.user_files import expand_user_path

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
    """Build or pull the missing images of the profile's toolchains, and the base; toolchain → image id."""
    engine = connect_engine()
    made = ensure_images(engine, load_catalog().with_profile(profile), profile.toolchain, emit)
    if profile.images:
        # What is built has it below already; what is pulled comes without.
        ensure_base_image(engine, emit, registry=profile.images)
    return made


def save_profile_images(profile: Profile, file: str, emit: EventSink) -> dict[str, str]:
    """Write kmatrix's own images of the profile's toolchains into a file, and the base; their ids by name.

    What is missing is built. Images that a profile names are their registry's to give.
    """
    build_images(profile, emit)
    return save_images(connect_engine(), _list_image_names(profile), expand_user_path(file).absolute())


def load_profile_images(profile: Profile, file: str) -> dict[str, str]:
    """Load these images out of such a file; their ids by name. RequestError where it has others."""
    return load_images(connect_engine(), _list_image_names(profile), expand_user_path(file).absolute())


def push_profile_images(profile: Profile, registry: str, emit: EventSink) -> dict[str, str]:
    """Give kmatrix's own images of the profile's toolchains, and the base, to a registry; what they are
    called there by digest, by their names here.

    What is missing is built, or taken from the registry that the profile names, where that is another one.
    """
    own = profile.model_copy(update={"images": None}) if profile.images == registry else profile
    build_images(own, emit)
    engine = connect_engine()
    ensure_base_image(engine, emit, registry=own.images)
    return {tag: push_registry_image(engine, registry, tag, emit) for tag in _list_image_names(own)}


def parse_registry(text: str, option: str) -> str:
    """The registry that an option of a task names. RequestError where it is none."""
    try:
        return check_registry(text)
    except ValueError as error:
        raise RequestError(f"{option}: {error}", f"for example {option} localhost:5000/kmatrix") from error


def _list_image_names(profile: Profile) -> list[str]:
    catalog = load_catalog().with_profile(profile)
    images = [resolve_image(name, catalog) for name in profile.toolchain]
    tags = [image.tag for image in images if isinstance(image, ImageRecipe)]
    return [compute_base_tag(), *dict.fromkeys(tags)]


def fetch_profile_source(profile: Profile, emit: EventSink) -> SourceTree:
    """Fetch the profile's source into the cache, and apply its patches."""
    return _fetch_tree(profile, connect_engine(), emit)


def _fetch_tree(profile: Profile, engine: Engine, emit: EventSink) -> SourceTree:
    cache = SourceCache()
    with cache.lock_shared():
        user = choose_safe_user(engine, engine.query_info(), emit, profile.images)
        return fetch_source(profile, engine, cache, user, emit)


@dataclass(frozen=True)
class _Service:
    """An engine to be started: as systemd's ``unit`` where that runs, else by ``command``."""

    name: str
    unit: str
    command: tuple[str, ...]
    log: Path
    directory: Path
    is_users: bool = False


def start_podman(emit: EventSink) -> None:
    """Start Podman's service, which must be installed. EngineError where it does not answer then."""
    _start_service(_describe_podman(HostSystem()), emit, connect_podman)


def _find_or_install_engine(emit: EventSink) -> Engine:
    """Connect to an engine; where none answers, start the one that is there, or install and start Docker."""
    try:
        return connect_engine()
    except EngineError as error:
        host = HostSystem()
        is_named = os.environ.get("DOCKER_HOST") or os.environ.get("CONTAINER_HOST")
        service = None if is_named else _choose_service(host)
        if service is None:
            raise
        emit(ProgressNote(f"No engine yet ({error})."))
    if service.name == "Docker" and not host.has_program("dockerd"):
        apt_install(["docker.io"], emit)
    _start_service(service, emit, connect_engine)
    return connect_engine()


def _choose_service(host: HostSystem) -> _Service | None:
    """What setup may start: as root Docker, where it is installed; else Podman, where that is; else Docker,
    which apt-get installs for root."""
    docker = _Service("Docker", "docker", ("dockerd",), _DAEMON_LOG, Path("/"))
    if host.is_root() and host.has_program("dockerd"):
        return docker
    if host.has_program("podman"):
        return _describe_podman(host)
    return docker if host.is_root() and host.has_program("apt-get") else None


def _describe_podman(host: HostSystem) -> _Service:
    """Podman's service, of the machine for root and of the user otherwise."""
    url = list_podman_urls()[0]
    directory = Path(url.removeprefix("unix://")).parent
    # Where cgroup v1 and v2 are both in use, crun, Podman's usual runtime, refuses to work.
    is_v1 = not Path("/sys/fs/cgroup/cgroup.controllers").exists()
    runtime = ("--runtime", "runc") if is_v1 and host.has_program("runc") else ()
    return _Service(
        "Podman",
        "podman.socket",
        ("podman", *runtime, "system", "service", "--time=0", url),
        (_DAEMON_LOG.parent if host.is_root() else directory) / "kmatrix-podman.log",
        directory,
        is_users=not host.is_root(),
    )


def _start_service(service: _Service, emit: EventSink, connect: Callable[[], Engine]) -> None:
    """Start an engine with systemd where that runs, otherwise as a daemon in the background."""
    if Path("/run/systemd/system").is_dir():
        log = _start_unit(service, emit)
    else:
        log = str(service.log)
        program = service.command[0]
        emit(ProgressNote(f"Starting {program} in the background; its log is {log}."))
        try:
            service.directory.mkdir(mode=0o700, parents=True, exist_ok=True)
            with service.log.open("ab") as file:
                # Podman's monitors leave files in their working directory.
                subprocess.Popen(
                    service.command,
                    stdin=subprocess.DEVNULL,
                    stdout=file,
                    stderr=file,
                    start_new_session=True,
                    cwd=service.directory,
                )
        except OSError as error:
            raise EngineError(
                f"{program} cannot be started: {error}", "set XDG_RUNTIME_DIR, or be root"
            ) from error
    _await_engine(service.name, log, connect)


def _start_unit(service: _Service, emit: EventSink) -> str:
    """Start an engine with systemd; returns how its log is read."""
    emit(ProgressNote(f"Starting {service.name} with systemd."))
    user = ["--user"] if service.is_users else []
    log = format_command("journalctl", *user, "-u", service.unit)
    process = subprocess.run(
        ["systemctl", *user, "enable", "--now", service.unit], check=False, capture_output=True, text=True
    )
    if process.returncode:
        raise EngineError(
            f"systemd cannot start {service.name}: {process.stderr.strip()}", f"its log says why: {log}"
        )
    return log


def _await_engine(name: str, log: str, connect: Callable[[], Engine]) -> None:
    deadline = time.monotonic() + _START_TIMEOUT
    while True:
        try:
            connect()
        except EngineError as error:
            if time.monotonic() > deadline:
                raise EngineError(
                    f"{name} was started and does not answer: {error}", f"its log says why: {log}"
                ) from error
            time.sleep(0.5)
        else:
            return
