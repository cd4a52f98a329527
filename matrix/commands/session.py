"""What a job needs before it can plan: engine, images, source. Makes what is missing."""

import hashlib
import platform
import re
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import chain
from pathlib import Path

import matrix
from matrix.catalog.load import Catalog, load_catalog
from matrix.catalog.types import Profile, Toolchain, find_compiler_and_linker
from matrix.engine.connect import choose_container_user, connect_engine
from matrix.engine.images import (
    ImageRecipe,
    ensure_base_image,
    ensure_named_image,
    ensure_toolchain_image,
    read_first_lines,
)
from matrix.engine.protocol import Engine, EngineInfo
from matrix.errors import EngineError, MachineError, RequestError
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
from matrix.resolve.resolver import check_base_files, read_base_texts
from matrix.source.cache import SourceCache
from matrix.source.fetch import fetch_tree
from matrix.source.kernel_tree import SourceTree, find_missing_paths
from matrix.source.mbox.patch_file import PatchFile
from matrix.source.mbox.series import read_series
from matrix.source.spec import parse_source_spec
from matrix.verdict.verdict_model import Mailbox

PROJECT_ROOT = Path(__file__).resolve().parents[2]
_GIT_IDENT = re.compile(r"(?P<name>.*?) ?<(?P<address>[^<>]+)> ")


@dataclass(frozen=True)
class Session:
    """Everything that a plan is made with."""

    profile: Profile
    catalog: Catalog
    engine: Engine
    engine_info: EngineInfo
    user: str
    cache: SourceCache
    tree: SourceTree
    toolchains: dict[str, ToolchainRecord]


@contextmanager
def prepare_session(
    profile: Profile,
    emit: EventSink,
    *,
    engine: Engine | None = None,
    cache: SourceCache | None = None,
    make: bool = True,
) -> Iterator[Session]:
    """Engine, images and source of a profile, which no sweep takes away while the ``with`` block runs.

    Raises what is wrong with the request before any work. ``make`` builds images and fetches a source that
    are missing; without it they are a MachineError.
    """
    catalog = load_catalog().with_profile(profile)
    _check_inputs_readable(profile, catalog)
    engine = engine or connect_engine()
    cache = cache or SourceCache()
    with cache.lock_shared():
        if not make:
            _check_nothing_missing(profile, catalog, engine, cache)
        yield _build_session(profile, catalog, engine, cache, emit)


def _build_session(
    profile: Profile, catalog: Catalog, engine: Engine, cache: SourceCache, emit: EventSink
) -> Session:
    about = engine.query_info()
    user = choose_container_user(rootless=about.rootless)
    images = ensure_images(engine, catalog, profile.toolchain, emit)
    tree = fetch_source(profile, engine, cache, user, emit)
    _check_focus(profile, catalog, tree)
    toolchains = {
        name: _build_toolchain_record(engine, catalog, profile, name, image, user)
        for name, image in images.items()
    }
    return Session(profile, catalog, engine, about, user, cache, tree, toolchains)


def _check_inputs_readable(profile: Profile, catalog: Catalog) -> None:
    """What the request names must be there before minutes are spent on anything else."""
    parse_source_spec(profile.source)
    for patch in profile.patch:
        read_series(patch)
    for name in profile.base:
        check_base_files(catalog.bases[name])


def _check_nothing_missing(profile: Profile, catalog: Catalog, engine: Engine, cache: SourceCache) -> None:
    refs = {name: resolve_image_ref(name, catalog.toolchains[name]) for name in profile.toolchain}
    missing = [f"the image of {name}" for name, ref in refs.items() if engine.find_image_id(ref) is None]
    if profile.source.startswith("debian:") and cache.read_spec_entry(profile.source) is None:
        missing.append(f"the source {profile.source}")
    if missing:
        raise MachineError(f"not on this machine: {', '.join(missing)}", "./inv setup, with the same options")


def ensure_images(
    engine: Engine, catalog: Catalog, toolchains: Sequence[str], emit: EventSink, *, install: bool = False
) -> dict[str, str]:
    """Toolchain → image id; built or pulled where missing."""
    ids = {}
    for name in toolchains:
        wanted = resolve_image(name, catalog.toolchains[name])
        if isinstance(wanted, ImageRecipe):
            ids[name] = ensure_toolchain_image(engine, wanted, emit, install=install)
        else:
            ids[name] = ensure_named_image(engine, wanted, emit)
    return ids


def resolve_image(name: str, row: Toolchain) -> ImageRecipe | str:
    """What a toolchain's image is built from, or the image that its row names."""
    if row.template is not None and row.version is not None:
        return ImageRecipe(name, row.template, row.version)
    return str(row.image)


def resolve_image_ref(name: str, row: Toolchain) -> str:
    """What a toolchain's image is called, whether it is there or not."""
    wanted = resolve_image(name, row)
    return wanted.tag if isinstance(wanted, ImageRecipe) else wanted


def fetch_source(
    profile: Profile, engine: Engine, cache: SourceCache, user: str, emit: EventSink
) -> SourceTree:
    """The profile's tree, with its patches, in the cache."""
    return fetch_tree(
        profile.source,
        cache=cache,
        engine=engine,
        image=ensure_base_image(engine, emit),
        user=user,
        note=lambda text: emit(ProgressNote(text)),
        patches=read_patches(profile, emit),
    )


def read_patches(profile: Profile, emit: EventSink) -> list[PatchFile]:
    """The profile's patches in order, a series as its patches; RequestError when one cannot be read."""
    given = [read_series(patch) for patch in profile.patch]
    for note in chain.from_iterable(series.notes for series in given):
        emit(ProgressNote(note))
    return [patch for series in given for patch in series.patches]


def resolve_focus(profile: Profile, catalog: Catalog, arch: str) -> tuple[str, ...]:
    """The focus on one arch: ``arch/{srcarch}/kvm/`` is ``arch/x86/kvm/``, and what is another arch's is not
    asked for."""
    own = catalog.arches[arch].srcarch
    paths = (path.replace("{srcarch}", own) for path in profile.focus)
    return tuple(path for path in paths if not path.startswith("arch/") or path.startswith(f"arch/{own}/"))


def _check_focus(profile: Profile, catalog: Catalog, tree: SourceTree) -> None:
    for arch in profile.arch:
        focus = resolve_focus(profile, catalog, arch)
        for path in focus:
            if not path.endswith(("/", ".o")):
                raise RequestError(
                    f"{profile.name}.toml: focus: {path!r} is neither a directory nor an object",
                    f"a directory ends in a slash: {path}/",
                )
        for path, near in find_missing_paths(tree.path, focus):
            suffix = f" (nearest: {near!r})" if near else ""
            raise RequestError(f"{profile.name}.toml: focus: the source has no {path}{suffix}")


def _build_toolchain_record(
    engine: Engine, catalog: Catalog, profile: Profile, name: str, image: str, user: str
) -> ToolchainRecord:
    """Image and versions, asked of the tools themselves, for every arch of the profile."""
    makes = [{**catalog.build_make_variables(arch, name), **profile.make} for arch in profile.arch]
    pairs = [find_compiler_and_linker(make) for make in makes]
    lines = read_first_lines(engine, image, [f"{tool} --version" for pair in pairs for tool in pair], user)
    compilers = {}
    for index, arch in enumerate(profile.arch):
        version, binutils = lines[2 * index : 2 * index + 2]
        if not version:
            raise EngineError(
                f"the image of {name} has no working {pairs[index][0]}, which {arch} needs",
                "name another image, or other make variables, in the profile's toolchain",
            )
        compilers[arch] = Compiler(version=version, binutils=binutils)
    wanted = resolve_image(name, catalog.toolchains[name])
    return ToolchainRecord(
        image=resolve_image_ref(name, catalog.toolchains[name]),
        image_id=image,
        root=wanted.root.tag if isinstance(wanted, ImageRecipe) else "",
        recipe=wanted.dockerfiles if isinstance(wanted, ImageRecipe) else (),
        compilers=compilers,
    )


def build_base_record(catalog: Catalog, name: str, arches: Sequence[str]) -> tuple[BaseRecord, str | None]:
    """How a base's configurations start, as a run records it, and the text of its .config if it is one."""
    base = catalog.bases[name]
    given, extra = read_base_texts(base)
    targets = {arch: catalog.find_base_target(arch, name) for arch in arches}
    record = BaseRecord(
        targets={arch: target for arch, target in targets.items() if target is not None},
        seed=base.seed,
        config_sha256=hashlib.sha256(given.encode()).hexdigest() if given is not None else None,
        fragment=tuple(extra.splitlines()),
    )
    return record, given


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
    )


def build_host_record(about: EngineInfo) -> Host:
    """The machine as a run records it."""
    return Host(
        system=f"{platform.system()} {platform.release()} {platform.machine()}",
        cpus=about.cpus,
        memory=about.memory,
        engine=f"{about.name} {about.version}",
        isolation=f"containers, cgroup {about.cgroup}{', rootless' if about.rootless else ''}",
    )


def build_tool_record() -> Tool:
    """kmatrix itself: version, and the commit of its checkout where git knows it."""
    asked = ["git", "-c", f"safe.directory={PROJECT_ROOT}", "-C", str(PROJECT_ROOT), "rev-parse", "HEAD"]
    try:
        said = subprocess.run(asked, capture_output=True, text=True, check=False, timeout=10).stdout.strip()
    except (OSError, subprocess.TimeoutExpired):
        said = ""
    return Tool(version=matrix.__version__, commit=said or None)


def read_git_identity() -> Mailbox:
    """Who git says runs this. RequestError where git does not know."""
    asked = ["git", "var", "GIT_AUTHOR_IDENT"]
    done = subprocess.run(asked, capture_output=True, text=True, check=False)
    found = _GIT_IDENT.match(done.stdout)
    if done.returncode or found is None:
        raise RequestError(
            "git does not know who you are, so no tag can name you",
            "git config --global user.name 'Your Name'; git config --global user.email you@example.org",
        )
    return Mailbox(name=found["name"], address=found["address"])
