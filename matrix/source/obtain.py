"""From a source spec to a tree in the cache: fetched, unpacked, exported or copied once."""

import hashlib
import shutil
import threading
from collections.abc import Callable, Sequence
from pathlib import Path

from matrix.engine.engine import Engine
from matrix.errors import RequestError
from matrix.source import git
from matrix.source.bench import Bench
from matrix.source.cache import Cache, CachedTree
from matrix.source.debian import fetch
from matrix.source.kernel import refuse_leftovers, require_version
from matrix.source.manifest import Manifest
from matrix.source.memo import hash_with_memo
from matrix.source.patches import patched
from matrix.source.patchfile import PatchFile
from matrix.source.spec import Directory, Package, Revision, Tarball, parse_spec
from matrix.source.tree import Git, Tree
from matrix.source.unpack import unpack
from matrix.source.walk import Found, copy_tree, hash_tree, needed, walk, wild_links

# Bytes of a kernel's source, its tarball and the package around it: 1.7 + 0.15 + 0.15 GB for 6.12.
_UNPACKED = 2 * 10**9

Note = Callable[[str], None]


def obtain(  # noqa: PLR0913 - what a caller has, each by name
    spec: str,
    *,
    cache: Cache,
    engine: Engine,
    image: str,
    user: str,
    note: Note,
    patches: Sequence[PatchFile] = (),
    refresh: bool = False,
    cancel: threading.Event | None = None,
) -> Tree:
    """The tree of a source spec, with the patches applied in order; the user's own files are only read.

    ``image`` is kmatrix's base image, ``user`` the containers' ``uid:gid``. ``note`` gets a sentence when
    a step begins that takes a while. ``refresh`` asks Debian again. RequestError for a spec or tree that is
    wrong, RejectedPatchError for a patch that does not apply; MachineError or DiskFullError when it could
    not be had.
    """
    source = parse_spec(spec)
    bench = Bench(engine, image, user, cancel or threading.Event())
    shelf = _Shelf(spec, cache, bench, note)
    match source:
        case Directory():
            tree = shelf.directory(source)
        case Revision():
            tree = shelf.revision(source)
        case Tarball():
            tree = shelf.tarball(source)
        case Package():
            tree = shelf.package(source, refresh=refresh)
    return patched(tree, patches, bench, cache) if patches else tree


class _Shelf:
    """The four ways into the cache, for one spec."""

    def __init__(self, spec: str, cache: Cache, bench: Bench, note: Note) -> None:
        self.spec, self.cache, self.bench, self.note = spec, cache, bench, note

    def directory(self, source: Directory) -> Tree:
        """Copy the tree as it is now, unless the cache has just that."""
        root = source.path.resolve()
        require_version(root, self.spec)
        refuse_leftovers(root, self.spec)
        state = git.git_state(root)
        try:
            files = walk(root)
            with self.cache.writing():
                manifest = hash_with_memo(root, files, self.cache.memo(root))
            found = self.cache.find(manifest.digest) or self._copy(root, files, manifest)
        except PermissionError as problem:
            raise RequestError(
                f"{problem.filename} cannot be read", "Make the whole tree readable."
            ) from problem
        return self._tree(found, state)

    def revision(self, source: Revision) -> Tree:
        """Export a commit. Its key is the commit, as a name like HEAD moves."""
        commit = git.commit_of(source.path, source.revision)
        state = Git(commit, git.describe(source.path, commit), dirty=False)
        key = f"git:{commit}:{git.prefix_in_repository(source.path)}"
        found = self._known(key)
        if found is None:
            self.note(f"Exporting {state.describe} of {source.path}")
            with self.cache.importing() as area:
                git.archive(source.path, commit, area / "archive.tar")
                found = self._unpacked(area / "archive.tar", area)
            self.cache.remember(key, found.digest, spec=self.spec)
        return self._tree(found, state)

    def tarball(self, source: Tarball) -> Tree:
        """Unpack a tarball. What is unpacked is our own copy, so that its hash is of the same bytes."""
        key = f"tarball:{_sha256(source.path)}"
        found = self._known(key)
        if found is None:
            self.note(f"Unpacking {source.path}")
            with self.cache.importing(2 * source.path.stat().st_size) as area:
                own = area / "tarball"
                shutil.copyfile(source.path, own)
                key = f"tarball:{_sha256(own)}"
                found = self._unpacked(own, area)
            self.cache.remember(key, found.digest, spec=self.spec)
        return self._tree(found, None)

    def package(self, source: Package, *, refresh: bool) -> Tree:
        """Fetch a Debian package, or take the one that was fetched before."""
        key = f"debian:{source.name}={source.version}" if source.version else f"debian:{source.name}"
        facts = None if refresh else self.cache.recall(key)
        found = self.cache.find(facts["digest"]) if facts else None
        if facts is None or found is None:
            self.note(f"Fetching the Debian package {source.name}")
            with self.cache.importing(_UNPACKED) as area:
                fetched = fetch(source, area, self.bench, self.cache)
                self.note(f"Unpacking {source.name} {fetched.version}")
                found = self._unpacked(fetched.tarball, area)
            facts = {"package": fetched.version}
            self.cache.remember(key, found.digest, **facts)
        return self._tree(found, None, facts.get("package", ""))

    def _copy(self, root: Path, files: Sequence[Found], expected: Manifest) -> CachedTree:
        self.note(f"Taking a snapshot of {root} ({len(files)} files)")
        with self.cache.importing(needed(files)) as area:
            copied = copy_tree(root, files, area / "tree")
            if copied.digest != expected.digest:
                self.note(
                    f"{root} was edited while it was read: the snapshot has some files before, some after"
                )
            return self.cache.adopt(area, copied, require_version(area / "tree", self.spec))

    def _unpacked(self, tarball: Path, area: Path) -> CachedTree:
        tarball.chmod(0o644)
        unpack(tarball, area, self.bench, self.cache, self.spec)
        tree = area / "tree"
        version = require_version(tree, self.spec)
        refuse_leftovers(tree, self.spec)
        manifest = hash_tree(tree, walk(tree))
        if astray := wild_links(tree, manifest):
            raise RequestError(f"{self.spec} holds a link out of the tree: {min(astray)}", "Remove it.")
        return self.cache.adopt(area, manifest, version)

    def _known(self, key: str) -> CachedTree | None:
        facts = self.cache.recall(key)
        return self.cache.find(facts["digest"]) if facts else None

    def _tree(self, found: CachedTree, state: Git | None, package: str = "") -> Tree:
        return Tree(self.spec, found.path, found.version, found.digest, state, package=package)


def _sha256(path: Path) -> str:
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as problem:
        raise RequestError(
            f"{path} cannot be read: {problem.strerror}", "Check its permissions."
        ) from problem
