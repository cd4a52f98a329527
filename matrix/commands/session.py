"""What a command needs before it can plan: engine, images, source; made where they are missing."""

import hashlib
import os
import platform
import re
import subprocess
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import chain
from pathlib import Path

import matrix
from matrix.builder.run_context import Session
from matrix.catalog.load import Catalog, load_catalog
from matrix.catalog.types import Profile, find_compiler_and_linker
from matrix.commands.focus import check_focus
from matrix.engine.connect import choose_container_user, connect_engine
from matrix.engine.image_registry import list_registry_digests, name_registry_image
from matrix.engine.images import (
    ImageRecipe,
    ensure_base_image,
    ensure_named_image,
    ensure_toolchain_image,
    read_first_lines,
)
from matrix.engine.isolation import require_isolation
from matrix.engine.protocol import Engine, EngineInfo
from matrix.errors import EngineError, MachineError, RequestError
from matrix.memory.live_runs import register_live_run
from matrix.record.events import EventSink, ProgressNote
from matrix.record.run_model import (
    BaseRecord,
    Compiler,
    GitState,
    Host,
    PatchRecord,
    SourceRecord,
    Tool,
    ToolchainRecord,
)
from matrix.resolve.base_files import check_base_files, read_base_texts
from matrix.source.apply import apply_patches
from matrix.source.cache import SourceCache
from matrix.source.fetch import fetch_tree
from matrix.source.kernel_tree import SourceTree
from matrix.source.mbox.patch_file import PatchFile
from matrix.source.mbox.series import read_series
from matrix.source.sandbox import Sandbox
from matrix.source.spec import parse_source_spec
from matrix.verdict.verdict_model import Mailbox

PROJECT_ROOT = Path(__file__).resolve().parents[2]
IS_CHECKOUT = (PROJECT_ROOT / "pyproject.toml").is_file()
"""Whether PROJECT_ROOT is a tree of kmatrix's own, and not the folder that a wheel was installed into."""
RUNS_DIRECTORY = (PROJECT_ROOT if IS_CHECKOUT else Path.cwd()) / "runs"
_GIT_IDENT = re.compile(r"(?P<name>.*?) ?<(?P<address>[^<>]+)> ")


@dataclass(frozen=True)
class Environment:
    """What a command works with: an engine, a cache and a folder of runs; this machine's own by default."""

    engine: Engine | None = None
    cache: SourceCache | None = None
    runs: Path = RUNS_DIRECTORY

    def find_engine(self) -> Engine:
        """The engine that was given, or this machine's. EngineError when it has none."""
        return self.engine or connect_engine()

    def open_cache(self) -> SourceCache:
        """The cache that was given, or this user's."""
        return self.cache or SourceCache()


LOCAL_ENVIRONMENT = Environment()


@contextmanager
def prepare_session(
    profile: Profile,
    emit: EventSink,
    environment: Environment = LOCAL_ENVIRONMENT,
    *,
    build: bool = True,
    needs_focus: bool = True,
) -> Iterator[Session]:
    """Engine, images and source of a profile, which no sweep takes away while the ``with`` block runs.

    Raises what is wrong with the request before any work. ``build`` prepares for a build: missing images are
    made, a missing source is fetched, and the tree must have the focus. Without it, as for a plan, what is
    missing is a MachineError, and the focus is ignored. Without ``needs_focus`` it may be missing: one side
    of a patch has what the other lacks.
    """
    catalog = load_catalog().with_profile(profile)
    _check_inputs_readable(profile, catalog)
    engine, cache = environment.find_engine(), environment.open_cache()
    with use_cache(cache):
        if not build:
            _check_nothing_missing(profile, catalog, engine, cache)
        yield _build_session(profile, catalog, engine, cache, emit, needs_focus=build and needs_focus)


@contextmanager
def use_cache(cache: SourceCache) -> Iterator[None]:
    """While the ``with`` block runs no sweep removes anything of the cache, and nothing goes that is used."""
    with cache.lock_shared(), register_live_run(cache.layout.memory):
        yield


def _build_session(
    profile: Profile,
    catalog: Catalog,
    engine: Engine,
    cache: SourceCache,
    emit: EventSink,
    *,
    needs_focus: bool,
) -> Session:
    info = engine.query_info()
    user = choose_safe_user(engine, info, emit, profile.images)
    images = ensure_images(engine, catalog, profile.toolchain, emit)
    tree = fetch_source(profile, engine, cache, user, emit)
    if needs_focus:
        check_focus(profile, catalog, tree.path)
    toolchains = {
        name: _build_toolchain_record(engine, catalog, profile, name, image, user)
        for name, image in images.items()
    }
    return Session(profile, catalog, engine, info, user, cache, tree, toolchains)


def choose_safe_user(engine: Engine, info: EngineInfo, emit: EventSink, registry: str | None = None) -> str:
    """The user that containers run as. ``registry``: where the image comes from that this is tried with.

    EngineError where the engine is rootless and does not apply what a container is asked for: some accept
    limits that they cannot hold.
    """
    user = choose_container_user(rootless=info.rootless)
    if info.rootless:
        require_isolation(engine, ensure_base_image(engine, emit, registry=registry), user)
    return user


def _check_inputs_readable(profile: Profile, catalog: Catalog) -> None:
    """Check that what the request names can be read and had, before minutes are spent on anything else."""
    parse_source_spec(profile.source)
    for patch in profile.patch:
        read_series(patch)
    for name in profile.base:
        check_base_files(catalog.bases[name])
    for name in profile.toolchain:
        resolve_image(name, catalog)


def _check_nothing_missing(profile: Profile, catalog: Catalog, engine: Engine, cache: SourceCache) -> None:
    refs = {name: resolve_local_name(name, catalog) for name in profile.toolchain}
    missing = [f"the image of {name}" for name, ref in refs.items() if engine.find_image_id(ref) is None]
    if profile.source.startswith("debian:") and cache.read_spec_entry(profile.source) is None:
        missing.append(f"the source {profile.source}")
    if missing:
        raise MachineError(f"not on this machine: {', '.join(missing)}", "./inv setup, with the same options")


def ensure_images(
    engine: Engine, catalog: Catalog, toolchains: Sequence[str], emit: EventSink, *, install: bool = False
) -> dict[str, str]:
    """Build or pull the images that are missing; returns toolchain → image id."""
    ids = {}
    for name in toolchains:
        image = resolve_image(name, catalog)
        if isinstance(image, ImageRecipe):
            ids[name] = ensure_toolchain_image(
                engine, image, emit, registry=catalog.registry, install=install
            )
        else:
            ids[name] = ensure_named_image(engine, image, emit)
    return ids


def resolve_image(name: str, catalog: Catalog) -> ImageRecipe | str:
    """What a toolchain's image is built from, or the image that its row names.

    RequestError where that image would have to have ccache: it is another's, and is taken as it is.
    """
    row = catalog.toolchains[name]
    if row.template is not None and row.version is not None:
        return ImageRecipe(name, row.template, row.version, with_ccache=catalog.with_ccache)
    if catalog.with_ccache:
        raise RequestError(
            f"the toolchain {name} names an image, and ccache comes with images that kmatrix builds",
            "leave ccache out, or give the toolchain a template and a version",
        )
    return str(row.image)


def resolve_image_ref(name: str, catalog: Catalog) -> str:
    """The name of a toolchain's image, whether the engine has it or not."""
    image = resolve_image(name, catalog)
    return image.tag if isinstance(image, ImageRecipe) else image


def resolve_local_name(name: str, catalog: Catalog) -> str:
    """The name that the engine has a toolchain's image under, where it has the one that is asked for: of a
    registry the name that it has there."""
    image = resolve_image(name, catalog)
    if isinstance(image, ImageRecipe) and catalog.registry:
        return name_registry_image(catalog.registry, image.tag)
    return resolve_image_ref(name, catalog)


def fetch_source(
    profile: Profile, engine: Engine, cache: SourceCache, user: str, emit: EventSink
) -> SourceTree:
    """Fetch the profile's tree into the cache, and apply its patches."""
    return fetch_tree(
        profile.source,
        cache=cache,
        engine=engine,
        image=ensure_base_image(engine, emit, registry=profile.images),
        user=user,
        note=lambda text: emit(ProgressNote(text)),
        patches=read_patches(profile.patch, emit),
    )


def patch_source(session: Session, files: Sequence[Path], emit: EventSink) -> SourceTree:
    """A session's tree with these patches on top. RejectedPatchError as `apply_patches` has it."""
    image = ensure_base_image(session.engine, emit, registry=session.profile.images)
    return apply_patches(
        session.tree,
        read_patches(map(str, files), emit),
        Sandbox(session.engine, image, session.user, cache=session.cache.layout.root),
        session.cache,
        lambda text: emit(ProgressNote(text)),
    )


def read_patches(specs: Iterable[str], emit: EventSink) -> list[PatchFile]:
    """Read patches in order, a series as its patches; RequestError when one cannot be read."""
    all_series = [read_series(spec) for spec in specs]
    for note in chain.from_iterable(series.notes for series in all_series):
        emit(ProgressNote(note))
    return [patch for series in all_series for patch in series.patches]


def _build_toolchain_record(
    engine: Engine, catalog: Catalog, profile: Profile, name: str, image_id: str, user: str
) -> ToolchainRecord:
    """Describe an image with the versions that its tools print, for every arch of the profile."""
    makes = [{**catalog.build_make_variables(arch, name), **profile.make} for arch in profile.arch]
    pairs = [find_compiler_and_linker(make) for make in makes]
    lines = read_first_lines(engine, image_id, [f"{tool} --version" for pair in pairs for tool in pair], user)
    compilers = {}
    for index, arch in enumerate(profile.arch):
        version, binutils = lines[2 * index : 2 * index + 2]
        if not version:
            raise EngineError(
                f"the image of {name} has no working {pairs[index][0]}, which {arch} needs",
                "name another image, or other make variables, in the profile's toolchain",
            )
        compilers[arch] = Compiler(version=version, binutils=binutils)
    image = resolve_image(name, catalog)
    return ToolchainRecord(
        image=resolve_image_ref(name, catalog),
        image_id=image_id,
        root=image.root.tag if isinstance(image, ImageRecipe) else "",
        recipe=image.dockerfiles if isinstance(image, ImageRecipe) else (),
        compilers=compilers,
        digests=_list_digests(engine, name, catalog),
    )


def _list_digests(engine: Engine, name: str, catalog: Catalog) -> tuple[str, ...]:
    """What the registry that is named may know a toolchain's image by; nothing where none is."""
    image = resolve_image(name, catalog)
    if catalog.registry is None or not isinstance(image, ImageRecipe):
        return ()
    found = engine.inspect_image(image.tag)
    return tuple(list_registry_digests(found, catalog.registry, image.tag)) if found else ()


def build_base_record(catalog: Catalog, name: str, arches: Sequence[str]) -> tuple[BaseRecord, str | None]:
    """How a base's configurations start, as a run records it, and the text of its .config if it is a file."""
    base = catalog.bases[name]
    text, fragment = read_base_texts(base)
    targets = {arch: catalog.find_base_target(arch, name) for arch in arches}
    record = BaseRecord(
        targets={arch: target for arch, target in targets.items() if target is not None},
        seed=base.seed,
        config_sha256=hashlib.sha256(text.encode()).hexdigest() if text is not None else None,
        fragment=tuple(fragment.splitlines()),
    )
    return record, text


def build_source_record(tree: SourceTree) -> SourceRecord:
    """The tree as a run records it."""
    git = tree.git
    return SourceRecord(
        spec=tree.spec,
        version=tree.version,
        digest=tree.digest,
        package=tree.package,
        git=GitState(commit=git.commit, describe=git.describe, dirty=git.dirty) if git else None,
        patches=tuple(PatchRecord(name=patch.name, sha256=patch.sha256) for patch in tree.patches),
        unpatched=tree.unpatched,
    )


def build_host_record(info: EngineInfo) -> Host:
    """The machine as a run records it."""
    return Host(
        system=f"{platform.system()} {platform.release()} {platform.machine()}",
        cpus=info.cpus,
        memory=info.memory,
        engine=f"{info.name} {info.version}",
        isolation=f"containers, cgroup {info.cgroup}{', rootless' if info.rootless else ''}",
    )


def build_tool_record() -> Tool:
    """kmatrix itself: version, and the commit of its checkout where git has one."""
    return Tool(version=matrix.__version__, commit=_read_commit() if IS_CHECKOUT else None)


def _read_commit() -> str | None:
    process = _run_git(PROJECT_ROOT, "-c", f"safe.directory={PROJECT_ROOT}", "rev-parse", "HEAD")
    return process.stdout.strip() or None if process else None


def read_git_identity() -> Mailbox:
    """Read the user's name and address from git. RequestError where git has none.

    Of the user's own configuration: the current directory may be in a stranger's repository.
    """
    process = _run_git(Path("/"), "var", "GIT_AUTHOR_IDENT")
    match = _GIT_IDENT.match(process.stdout) if process and not process.returncode else None
    if match is None:
        raise RequestError(
            "git does not know who you are, so no tag can name you",
            "git config --global user.name 'Your Name'; git config --global user.email you@example.org",
        )
    return Mailbox(name=match["name"], address=match["address"])


def _run_git(directory: Path, *arguments: str) -> "subprocess.CompletedProcess[str] | None":
    """Run git in a directory, and in no repository above it or of the environment; None where it cannot run.

    Only for what runs no program of a configuration.
    """
    kept = {name: value for name, value in os.environ.items() if not name.startswith("GIT_DIR")}
    try:
        return subprocess.run(
            ["git", "-C", str(directory), *arguments],
            env=kept | {"GIT_CEILING_DIRECTORIES": str(directory.parent), "LC_ALL": "C"},
            capture_output=True,
            text=True,
            check=False,
            timeout=10,
        )
    except (OSError, subprocess.TimeoutExpired, UnicodeDecodeError):
        return None
