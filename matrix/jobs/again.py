"""What a recorded run was made with, there again: its profile, its tree, a toolchain's image."""

import json
from pathlib import Path

from pydantic import ValidationError

from matrix.catalog.load import Catalog
from matrix.catalog.types import Profile
from matrix.engine.engine import Engine
from matrix.engine.images import ensure_base
from matrix.errors import RequestError
from matrix.jobs.prepare import ensure_images
from matrix.record.events import Emit, Note
from matrix.record.model import Run, SourceRecord
from matrix.source.cache import Cache
from matrix.source.obtain import obtain
from matrix.source.spec import Revision, parse_spec
from matrix.source.tree import Git, Patch, Tree


def profile_of(run: Run) -> Profile:
    """The run's profile. RequestError when this kmatrix can no longer read it."""
    try:
        return Profile.model_validate_json(json.dumps(run.profile))
    except ValidationError as error:
        raise RequestError(
            f"the profile of the run {run.id} cannot be read: {error.errors()[0]['msg']}",
            "it is of another kmatrix: ./inv run makes a run that this one reads",
        ) from error


def tree_of(run: Run, cache: Cache, engine: Engine, user: str, emit: Emit) -> Tree:
    """The very tree that a run was made on: out of the cache, else fetched again.

    RequestError when its source has become another tree, or is gone. ``user`` is the containers'.
    """
    source = run.source
    found = cache.find(source.digest)
    if found is None:
        emit(Note(f"The source of {run.id} is not in the cache; fetching it again."))
        return _fetched(run, cache, engine, user, emit)
    git = source.git
    return Tree(
        source.spec,
        found.path,
        found.version,
        found.digest,
        Git(git.commit, git.describe, git.dirty) if git else None,
        tuple(Patch(patch.name, patch.sha256) for patch in source.patches),
        source.package,
    )


def _fetched(run: Run, cache: Cache, engine: Engine, user: str, emit: Emit) -> Tree:
    try:
        tree = obtain(
            _pinned(run.source, cache),
            cache=cache,
            engine=engine,
            image=ensure_base(engine, emit),
            user=user,
            note=lambda text: emit(Note(text)),
            patches=[Path(patch) for patch in profile_of(run).patch],
        )
    except RequestError as error:
        raise _gone(run, str(error)) from error
    if tree.digest != run.source.digest:
        raise _gone(run, f"{run.source.spec} is another tree now")
    return tree


def _gone(run: Run, why: str) -> RequestError:
    return RequestError(
        f"the source of the run {run.id} (Linux {run.source.version}, sha256 {run.source.digest[:12]}) "
        f"cannot be had again: {why}",
        "make the run again: ./inv run, with the options that its run.json has under command",
    )


def _pinned(source: SourceRecord, cache: Cache) -> str:
    """The spec of what it was then: a package in its version, a revision as a commit."""
    if source.package:
        fetched = (cache.recall(source.spec) or {}).get("package")
        # In the cache a package is called as it was asked for, so a newest one that is still it stays that.
        return source.spec if fetched == source.package else _versioned(source)
    given = parse_spec(source.spec)
    if isinstance(given, Revision) and source.git:
        return f"{given.path}@{source.git.commit}"
    return source.spec


def _versioned(source: SourceRecord) -> str:
    return f"{source.spec.partition('=')[0]}={source.package}"


def image_again(run: Run, toolchain: str, catalog: Catalog, engine: Engine, emit: Emit) -> str:
    """The id of a toolchain's image: the run's own where it is still there, else one that is made anew.

    RequestError when the catalog no longer has the toolchain; MachineError when there is no image.
    """
    known = engine.image_id(run.toolchains[toolchain].image_id)
    if known is not None:
        return known
    if toolchain not in catalog.toolchains:
        raise RequestError(
            f"the image of {toolchain} is gone, and so is its row in the catalog",
            f"write the row into the profile of {run.id}, and run it again",
        )
    emit(Note(f"The image of {toolchain} in {run.id} is gone; its recipe of today takes its place."))
    return ensure_images(engine, catalog, [toolchain], emit)[toolchain]
