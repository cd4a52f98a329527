"""Find what a recorded run was made with: its profile, its image, and the same tree."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from matrix.builder.run_context import Session
from matrix.catalog.load import Catalog, load_catalog, parse_recorded_profile
from matrix.catalog.types import Profile
from matrix.commands.session import (
    LOCAL_ENVIRONMENT,
    Environment,
    build_base_record,
    choose_safe_user,
    ensure_images,
    fetch_source,
    resolve_image_ref,
    use_cache,
)
from matrix.engine.image_registry import pull_recorded_image
from matrix.engine.protocol import Engine
from matrix.errors import EngineError, RequestError
from matrix.record.events import EventSink, ProgressNote
from matrix.record.run_model import Run, SourceRecord, ToolchainRecord
from matrix.shell_words import format_command
from matrix.source.cache import SourceCache
from matrix.source.kernel_tree import AppliedPatch, GitProvenance, SourceTree
from matrix.source.spec import PackageSpec, RevisionSpec, parse_source_spec


def check_restorable(run: Run, wanted: str, name: str = "") -> None:
    """RequestError where a run was imported. ``wanted``: what cannot be done then; ``name``: what ``--run``
    takes for it."""
    if run.is_imported:
        raise RequestError(
            f"{run.id} was built by others: it has no image of their compilers and no source, so {wanted}",
            f"{format_command('./inv', 'explain', '--run', name or run.id)} shows what to type in a kernel "
            "tree, with a compiler of yours",
        )


@contextmanager
def restore_session(
    run: Run,
    toolchain: str | None,
    emit: EventSink,
    environment: Environment = LOCAL_ENVIRONMENT,
    registry: str | None = None,
) -> Iterator[Session]:
    """The session that a recorded run was made in, with one of its toolchains, or all where none is named.

    A missing image is made, or taken from ``registry`` where the user names one. From the registry that the
    run has on record it is the very image of the run or none: that record may be a stranger's. A missing
    source is fetched. No sweep removes them while the ``with`` block runs. RequestError when the
    source cannot be fetched, or is another one now.
    """
    check_restorable(run, "nothing can be run where it was built")
    profile = parse_recorded_profile(run.profile, f"the profile of {run.id}")
    origin = registry or profile.images
    profile = profile.model_copy(update={"images": registry})
    catalog = load_catalog().with_profile(profile)
    engine, cache = environment.find_engine(), environment.open_cache()
    with use_cache(cache):
        info = engine.query_info()
        user = choose_safe_user(engine, info, emit, registry)
        records = {
            name: _restore_toolchain(run.find_toolchain(name), name, origin, engine, catalog, emit)
            for name in ([toolchain] if toolchain else run.toolchains)
        }
        tree = _find_cached_tree(run.source, cache) or _refetch_tree(run, profile, engine, cache, user, emit)
        yield Session(profile, catalog, engine, info, user, cache, tree, records)


def list_changes(session: Session, run: Run) -> Iterator[str]:
    """What of a run, besides its source, is not there any more as it was, in a session restored for it."""
    for name, record in run.toolchains.items():
        if session.toolchains[name].image_id != record.image_id:
            yield f"the image of {name}"
    yield from list_base_changes(session.catalog, session.profile.arch, run)


def list_base_changes(catalog: Catalog, arches: Sequence[str], run: Run) -> Iterator[str]:
    """The bases of a run that begin otherwise now."""
    for name, base in run.bases.items():
        if build_base_record(catalog, name, arches)[0] != base:
            yield f"the base {name}"


def _restore_toolchain(
    recorded: ToolchainRecord,
    name: str,
    origin: str | None,
    engine: Engine,
    catalog: Catalog,
    emit: EventSink,
) -> ToolchainRecord:
    """The recorded image where it still exists, or the registry of its ``origin`` gives it; otherwise, with a
    note, the one of its recipe today."""
    if engine.find_image_id(recorded.image_id):
        return recorded
    if name not in catalog.toolchains:
        raise RequestError(
            f"the image of {name} is gone, and so is its row in the catalog",
            "write the row into the run's profile, and run it again",
        )
    emit(ProgressNote(f"The image that this was built with is gone: {recorded.image}, {recorded.image_id}."))
    if origin and _pull_recorded(recorded, origin, engine, emit):
        return recorded
    image = ensure_images(engine, catalog, [name], emit)[name]
    ref = resolve_image_ref(name, catalog)
    if image != recorded.image_id:
        emit(ProgressNote(f"Another takes its place, and may behave otherwise: {ref}, {image}."))
    return recorded.model_copy(update={"image": ref, "image_id": image})


def _pull_recorded(recorded: ToolchainRecord, registry: str, engine: Engine, emit: EventSink) -> bool:
    """Whether a registry gave the recorded image; a note says why not."""
    try:
        pull_recorded_image(engine, registry, recorded.digests, recorded.image_id, emit)
    except EngineError as error:
        emit(ProgressNote(f"{error}."))
        return False
    return True


def _find_cached_tree(source: SourceRecord, cache: SourceCache) -> SourceTree | None:
    cached = cache.find(source.digest)
    if cached is None:
        return None
    git = source.git
    return SourceTree(
        spec=source.spec,
        path=cached.path,
        version=source.version,
        digest=source.digest,
        git=GitProvenance(git.commit, git.describe, dirty=git.dirty) if git else None,
        patches=tuple(AppliedPatch(patch.name, patch.sha256) for patch in source.patches),
        package=source.package,
        unpatched=source.unpatched,
    )


def _refetch_tree(
    run: Run, profile: Profile, engine: Engine, cache: SourceCache, user: str, emit: EventSink
) -> SourceTree:
    emit(ProgressNote(f"The source of {run.id} is not in the cache any more: fetching it again."))
    hint = "./inv run, with the options of that run, makes another to take instead"
    try:
        pinned = profile.model_copy(update={"source": _pin_spec(run.source, cache)})
        tree = fetch_source(pinned, engine, cache, user, emit)
    except RequestError as error:
        raise RequestError(
            f"the source of {run.id} is gone, and not to be had again: {error}", hint
        ) from error
    if tree.digest != run.source.digest:
        raise RequestError(
            f"the source of {run.id} is gone: {run.source.spec}, with its patches, is another tree now", hint
        )
    return tree


def _pin_spec(source: SourceRecord, cache: SourceCache) -> str:
    """Add to a spec the version or commit that was built, where the spec alone means a newer one by now."""
    match parse_source_spec(source.spec):
        case PackageSpec(name=name, version="") if source.package:
            newest = (cache.read_spec_entry(source.spec) or {}).get("package")
            # The cache keeps a package under the spec that asked for it: the newest one has no version.
            return source.spec if newest == source.package else f"debian:{name}={source.package}"
        case RevisionSpec(path=path) if source.git:
            return f"{path}@{source.git.commit}"
    return source.spec
