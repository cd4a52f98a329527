"""From a source spec to a tree in the cache: fetched, unpacked, exported or copied once."""

import hashlib
import shutil
import threading
from collections.abc import Callable, Sequence
from pathlib import Path

from matrix.engine.protocol import Engine
from matrix.errors import RequestError
from matrix.foreign_text import clean_text
from matrix.source.apply import apply_patches
from matrix.source.archive import download_package, unpack_tarball
from matrix.source.cache import CachedTree, SourceCache
from matrix.source.git import export_commit, read_git_provenance, resolve_commit
from matrix.source.hash_cache import hash_with_cache
from matrix.source.kernel_tree import (
    GitProvenance,
    SourceTree,
    refuse_build_leftovers,
    require_kernel_version,
)
from matrix.source.manifest import Manifest
from matrix.source.mbox.patch_file import PatchFile
from matrix.source.sandbox import Sandbox
from matrix.source.snapshot import (
    FileStat,
    copy_tree,
    count_disk_bytes,
    find_escaping_links,
    hash_tree,
    list_files,
)
from matrix.source.spec import DirectorySpec, PackageSpec, RevisionSpec, TarballSpec, parse_source_spec

# Bytes of a kernel's source, its tarball and the package around it: 1.7 + 0.15 + 0.15 GB for 6.12.
_UNPACKED_BYTES = 2 * 10**9
_MAX_TARBALL_BYTES = 16 * 2**30

ProgressCallback = Callable[[str], None]


def fetch_tree(  # noqa: PLR0913 - what a caller has, each by name
    spec: str,
    *,
    cache: SourceCache,
    engine: Engine,
    image: str,
    user: str,
    note: ProgressCallback,
    patches: Sequence[PatchFile] = (),
    refresh: bool = False,
    cancel: threading.Event | None = None,
) -> SourceTree:
    """The tree of a source spec, with the patches applied in order; the user's own files are only read.

    ``image`` is kmatrix's base image, ``user`` the containers' ``uid:gid``. ``note`` gets a sentence when
    a slow step begins. ``refresh`` fetches the package again. RequestError for a spec or tree that is
    wrong, RejectedPatchError for a patch that does not apply; MachineError or DiskFullError when it could
    not be fetched.
    """
    source = parse_source_spec(spec)
    sandbox = Sandbox(engine, image, user, cancel or threading.Event(), cache.layout.root)
    fetcher = _TreeFetcher(spec, cache, sandbox, note)
    match source:
        case DirectorySpec():
            tree = fetcher.fetch_directory(source)
        case RevisionSpec():
            tree = fetcher.fetch_revision(source)
        case TarballSpec():
            tree = fetcher.fetch_tarball(source)
        case PackageSpec():
            tree = fetcher.fetch_package(source, refresh=refresh)
    return apply_patches(tree, patches, sandbox, cache, note) if patches else tree


class _TreeFetcher:
    """Brings the tree of one spec into the cache: one method for each kind of source."""

    def __init__(self, spec: str, cache: SourceCache, sandbox: Sandbox, note: ProgressCallback) -> None:
        self.spec, self.cache, self.sandbox, self.note = spec, cache, sandbox, note

    def fetch_directory(self, source: DirectorySpec) -> SourceTree:
        """Copy the tree as it is now, unless the cache has just that."""
        root = source.path.resolve()
        try:
            require_kernel_version(root, self.spec)
            refuse_build_leftovers(root, self.spec)
            files = list_files(root)
            state = self._read_provenance(root)
            with self.cache.translate_disk_errors():
                manifest = hash_with_cache(root, files, self.cache.hash_cache_path(root))
            cached = self.cache.find(manifest.digest) or self._copy_directory(root, files, manifest)
        except PermissionError as problem:
            raise RequestError(
                f"{clean_text(str(problem.filename))} cannot be read", "Make the whole tree readable."
            ) from problem
        return self._build_tree(cached, state)

    def _read_provenance(self, root: Path) -> GitProvenance | None:
        """The commit of a directory, which can be built without one."""
        try:
            return read_git_provenance(root, self.sandbox)
        except RequestError as problem:
            self.note(f"The record will have no commit: {problem}")
            return None

    def fetch_revision(self, source: RevisionSpec) -> SourceTree:
        """Export a commit. Its key is the commit, as a name like HEAD moves."""
        commit = resolve_commit(source.path, source.revision, self.sandbox)
        state = GitProvenance(commit.id, commit.describe, dirty=False)
        key = f"git:{commit.id}:{commit.repository.prefix}"
        cached = self._find_known_tree(key)
        if cached is None:
            self.note(f"Exporting {state.describe} of {source.path}")
            with self.cache.create_import_area() as area:
                archive = area / "exported/archive.tar"
                if export_commit(commit, archive, self.sandbox).is_disk_full:
                    raise self.cache.build_disk_full_error()
                cached = self._import_tarball(archive, area)
            self.cache.write_spec_entry(key, cached.digest, spec=self.spec)
        return self._build_tree(cached, state)

    def fetch_tarball(self, source: TarballSpec) -> SourceTree:
        """Unpack a tarball. It is copied first, so that the hash is of the bytes that are unpacked."""
        _refuse_large_tarball(source.path)
        key = f"tarball:{_compute_sha256(source.path)}"
        cached = self._find_known_tree(key)
        if cached is None:
            self.note(f"Unpacking {source.path}")
            with self.cache.create_import_area(2 * source.path.stat().st_size) as area:
                copy = area / "tarball"
                shutil.copyfile(source.path, copy)
                key = f"tarball:{_compute_sha256(copy)}"
                cached = self._import_tarball(copy, area)
            self.cache.write_spec_entry(key, cached.digest, spec=self.spec)
        return self._build_tree(cached, None)

    def fetch_package(self, source: PackageSpec, *, refresh: bool) -> SourceTree:
        """Fetch a Debian package, or take the one that was fetched before."""
        key = f"debian:{source.name}={source.version}" if source.version else f"debian:{source.name}"
        facts = None if refresh else self.cache.read_spec_entry(key)
        cached = self.cache.find(facts["digest"]) if facts else None
        if facts is None or cached is None:
            self.note(f"Fetching the Debian package {source.name}")
            with self.cache.create_import_area(_UNPACKED_BYTES) as area:
                fetched = download_package(source, area, self.sandbox, self.cache)
                self.note(f"Unpacking {source.name} {fetched.version}")
                cached = self._import_tarball(fetched.tarball, area)
            facts = {"package": fetched.version}
            self.cache.write_spec_entry(key, cached.digest, **facts)
        return self._build_tree(cached, None, facts.get("package", ""))

    def _copy_directory(self, root: Path, files: Sequence[FileStat], expected: Manifest) -> CachedTree:
        self.note(f"Taking a snapshot of {root} ({len(files)} files)")
        with self.cache.create_import_area(count_disk_bytes(files)) as area:
            copied = copy_tree(root, files, area / "tree")
            if copied.digest != expected.digest:
                self.note(
                    f"{root} was edited while it was read: the snapshot has some files before, some after"
                )
            return self.cache.store_tree(area, copied, require_kernel_version(area / "tree", self.spec))

    def _import_tarball(self, tarball: Path, area: Path) -> CachedTree:
        tarball.chmod(0o644)
        unpack_tarball(tarball, area, self.sandbox, self.cache, self.spec)
        tree = area / "tree"
        version = require_kernel_version(tree, self.spec)
        refuse_build_leftovers(tree, self.spec)
        manifest = hash_tree(tree, list_files(tree))
        if escaping := find_escaping_links(tree, manifest):
            raise RequestError(f"{self.spec} holds a link out of the tree: {min(escaping)}", "Remove it.")
        return self.cache.store_tree(area, manifest, version)

    def _find_known_tree(self, key: str) -> CachedTree | None:
        facts = self.cache.read_spec_entry(key)
        return self.cache.find(facts["digest"]) if facts else None

    def _build_tree(self, cached: CachedTree, state: GitProvenance | None, package: str = "") -> SourceTree:
        return SourceTree(self.spec, cached.path, cached.version, cached.digest, state, package=package)


def _refuse_large_tarball(path: Path) -> None:
    if path.stat().st_size > _MAX_TARBALL_BYTES:
        raise RequestError(
            f"{path} has more than {_MAX_TARBALL_BYTES >> 30} GiB", "Give the tarball of a kernel tree."
        )


def _compute_sha256(path: Path) -> str:
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as problem:
        raise RequestError(
            f"{path} cannot be read: {problem.strerror}", "Check its permissions."
        ) from problem
