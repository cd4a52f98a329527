"""Patched trees: git applies the patches to copies of the touched files only, alone in a container;
what comes out is laid over a copy of the base made of hard links."""

import hashlib
from collections.abc import Callable, Collection, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath

from matrix.engine.protocol import Mount
from matrix.errors import DiskFullError, KmatrixError, MachineError, RejectedPatchError, RequestError
from matrix.foreign_text import clean_text
from matrix.source.cache import CachedTree, SourceCache
from matrix.source.kernel_tree import AppliedPatch, SourceTree, require_kernel_version
from matrix.source.manifest import Manifest, compare_manifests
from matrix.source.mbox.patch_file import PatchFile, parse_patch_file
from matrix.source.mbox.repair import Repair, describe_damage, format_repair_note, list_repairs
from matrix.source.sandbox import Sandbox, SandboxResult
from matrix.source.snapshot import (
    copy_tree,
    find_escaping_links,
    hash_tree,
    link_tree,
    list_files,
    stat_files,
)

# Ceiling: git must not take a repository around for the one it works in, and then skip what is outside.
_APPLY_SCRIPT = r"""
export GIT_CEILING_DIRECTORIES=/ GIT_CONFIG_NOSYSTEM=1
cd /work
for patch in /patches/*; do
    git apply --whitespace=nowarn -p1 "$patch" && continue
    echo "rejected=${patch##*/}"
    if git apply --whitespace=nowarn -p1 --reverse --check "$patch" 2>/dev/null; then
        echo "already=yes"
    fi
    find . -name '*.rej' -delete
    git apply --whitespace=nowarn -p1 --reject "$patch" >/dev/null 2>&1 || true
    find . -name '*.rej' -exec cat {} + | sed 's/^/> /'
    exit 3
done
"""
_MAX_REJECT_LINES = 60


def apply_patches(
    base: SourceTree,
    patches: Sequence[PatchFile],
    sandbox: Sandbox,
    cache: SourceCache,
    note: Callable[[str], None],
) -> SourceTree:
    """The tree with the patches applied in order; ``base`` and its files stay as they are.

    A patch that was damaged on its way is repaired where the result applies exactly, with a ``note``.
    RejectedPatchError with the rejected hunks when one does not apply; nothing of it is left then.
    """
    entry = cache.read_spec_entry(key := _build_spec_key(base, patches))
    patched = cache.find(entry["digest"]) if entry else None
    notes = tuple(entry.get("repairs", "").splitlines()) if entry else ()
    if patched is None:
        patched, notes = _Application(base, sandbox, cache).apply_with_repairs(patches)
        cache.write_spec_entry(key, patched.digest, repairs="\n".join(notes))
    for text in notes:
        note(text)
    applied = tuple(AppliedPatch(patch.name, patch.sha256) for patch in patches)
    return replace(
        base,
        path=patched.path,
        version=patched.version,
        digest=patched.digest,
        patches=base.patches + applied,
        unpatched=base.unpatched or base.digest,
    )


@dataclass(frozen=True)
class _Application:
    """Applies patches to one base."""

    base: SourceTree
    sandbox: Sandbox
    cache: SourceCache

    def apply_with_repairs(self, patches: Sequence[PatchFile]) -> tuple[CachedTree, tuple[str, ...]]:
        """The patched tree, and a sentence on each patch that had to be repaired."""
        taken, notes = list(patches), list[str]()
        while True:
            try:
                return self._apply_exactly(taken), tuple(notes)
            except RejectedPatchError as rejection:
                index = rejection.patch_index
                if taken[index] is not patches[index]:
                    raise
                repaired = self._find_repair(taken[: index + 1], rejection)
                notes.append(format_repair_note(taken[index].name, repaired.words))
                taken[index] = _replace_content(taken[index], repaired.content)

    def _find_repair(self, patches: Sequence[PatchFile], rejection: RejectedPatchError) -> Repair:
        """The first reading of the last patch that applies after the others; else ``rejection`` is raised."""
        if rejection.is_applied:
            raise rejection
        for repair in list_repairs(patches[-1].content):
            with suppress(RequestError):
                self._apply_exactly([*patches[:-1], _replace_content(patches[-1], repair.content)])
                return repair
        damage = describe_damage(patches[-1].content)
        if not damage:
            raise rejection
        raise RejectedPatchError(
            f"the patch {patches[-1].name} was damaged on its way: {damage}\n{rejection}",
            "Take the mail as it was sent: `b4 am`, or the raw message of the list's archive.",
            rejection.patch_index,
        ) from rejection

    def _apply_exactly(self, patches: Sequence[PatchFile]) -> CachedTree:
        manifest = self.cache.load_manifest(self.base.digest)
        refuse_linked_paths(manifest, patches)
        with self.cache.create_import_area() as area:
            before = _run_git_apply(self.base, manifest, patches, area, self.sandbox)
            return _overlay_tree(self.base, manifest, before, area, self.cache)


def _replace_content(patch: PatchFile, content: bytes) -> PatchFile:
    """A patch in another reading. RequestError where that touches a file outside of the tree."""
    return parse_patch_file(patch.name, patch.sha256, content, patch.mail)


def refuse_linked_paths(manifest: Manifest, patches: Sequence[PatchFile]) -> None:
    """Raise RequestError for a path that leads through a link: git gets the touched files only."""
    for patch in patches:
        for path in patch.paths:
            for parent in PurePosixPath(path).parents:
                entry = manifest.entries.get(str(parent))
                if entry is not None and entry.kind == "link":
                    raise RequestError(
                        f"the patch {patch.name} touches {path}, but {parent} is a link",
                        "Make the patch for the path that the link leads to.",
                    )


def refuse_conflicts(kept: Iterable[str], altered: Collection[str]) -> None:
    """Raise RequestError when a file that git made would lie on, above or below another of the tree.

    Git got the touched files only. A file that it finds in the patch and `find_touched_paths` does not, or a
    directory in place of a file of the tree, would be written through the copy into the base.
    """
    above = {str(parent) for path in altered for parent in PurePosixPath(path).parents}
    below = tuple(f"{path}/" for path in altered)
    for path in kept:
        if path in altered or path in above or path.startswith(below):
            raise RequestError(f"a patch makes a file that collides with {path}", "Make it with `git diff`.")


def _build_spec_key(base: SourceTree, patches: Sequence[PatchFile]) -> str:
    series = hashlib.sha256("\n".join(patch.sha256 for patch in patches).encode()).hexdigest()
    return f"patched:{base.digest}:{series}"


def _run_git_apply(
    base: SourceTree, manifest: Manifest, patches: Sequence[PatchFile], area: Path, sandbox: Sandbox
) -> Manifest:
    """Let git change copies of the touched files in ``area/work``; returns their manifest from before."""
    work = sandbox.create_directory(area / "work")
    touched = {path for patch in patches for path in patch.paths} & manifest.entries.keys()
    before = copy_tree(base.path, stat_files(base.path, sorted(touched)), work)
    sandbox.chown_to_user(*work.rglob("*"))
    mounts = [
        Mount(work, "/work", read_only=False),
        Mount(_write_patch_files(patches, area / "patches"), "/patches"),
    ]
    result = sandbox.run(_APPLY_SCRIPT, mounts=mounts)
    if result.exit:
        raise _build_apply_error(result, patches, base)
    return before


def _write_patch_files(patches: Sequence[PatchFile], directory: Path) -> Path:
    """The patches as files, in an order that the shell keeps, readable for the container's user."""
    directory.mkdir()
    directory.chmod(0o755)
    for index, patch in enumerate(patches):
        file = directory / f"{index:04}"
        file.write_bytes(patch.content)
        file.chmod(0o644)
    return directory


def _overlay_tree(
    base: SourceTree, manifest: Manifest, before: Manifest, area: Path, cache: SourceCache
) -> CachedTree:
    """Make ``area/tree`` of links to the base's files and copies of what git made, and keep it."""
    work, tree = area / "work", area / "tree"
    files = list_files(work)
    after = hash_tree(work, files)
    change = compare_manifests(before, after)
    altered = {*change.changed, *change.added}
    kept = manifest.entries.keys() - before.entries.keys() | before.entries.keys() - set(change.paths)
    refuse_conflicts(kept, altered)
    sources = {path: manifest.entries[path] for path in kept}
    whole = Manifest({**sources, **{path: after.entries[path] for path in altered}})
    if cached := cache.find(whole.digest):
        return cached
    copied = link_tree(base.path, sorted(kept), tree)
    copy_tree(work, [file for file in files if file.path in altered], tree)
    if escaping := find_escaping_links(tree, whole) - find_escaping_links(base.path, manifest):
        raise RequestError(f"a patch makes {min(escaping)} a link out of the tree", "Remove that part of it.")
    version = require_kernel_version(tree, f"{base.spec}, patched,")
    return cache.store_tree(area, whole, version, own=[*copied, *altered])


def _build_apply_error(result: SandboxResult, patches: Sequence[PatchFile], base: SourceTree) -> KmatrixError:
    if result.is_disk_full:
        return DiskFullError("the disk is full, so no patch could be applied", "Free some space: ./inv sweep")
    rejected = result.find_value("rejected")
    if not rejected.isdigit() or int(rejected) >= len(patches):
        last = result.lines[-1] if result.lines else f"it ended with {result.exit}"
        return MachineError(f"git could not be run on the patches: {last}", "Run `./inv doctor`.")
    index = int(rejected)
    name = patches[index].name
    if result.find_value("already"):
        return RejectedPatchError(
            f"the patch {name} is in {base.spec} ({base.version}) already",
            "Leave it out.",
            index,
            is_applied=True,
        )
    lines = [clean_text(line) for line in result.lines if line.startswith(("error:", "> "))]
    shown = [*lines[:_MAX_REJECT_LINES], *(["…"] if len(lines) > _MAX_REJECT_LINES else [])]
    if any(line.startswith("error: corrupt patch") for line in lines):
        return RejectedPatchError(
            "\n".join([f"the patch {name} is damaged:", *shown]), "Take it from where it was made.", index
        )
    return RejectedPatchError(
        "\n".join([f"the patch {name} does not apply to {base.spec} ({base.version}):", *shown]),
        "Rebase it on this source, or give the source that it was made for: --source DIR@REV.",
        index,
    )
