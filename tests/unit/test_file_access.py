"""Which functions of kmatrix open files by their paths, and why what they open is no stranger's.

What a build left, what a kernel tree holds, and what a run directory of somebody else's holds, comes through
`matrix.foreign_files` and `matrix.foreign_trees`, which follow no link and wait for no pipe.
"""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]

CALLS = frozenset((
    "open", "read_text", "read_bytes", "stat", "lstat", "exists", "lexists", "is_file", "is_dir",
    "is_fifo", "is_symlink", "iterdir", "listdir", "scandir", "walk", "glob", "rglob", "unlink",
    "rmdir", "rmtree", "chmod", "chown", "utime", "touch", "realpath", "resolve", "readlink",
    "copyfile", "copytree", "copy2", "move", "getsize", "access", "samefile", "isfile", "isdir",
))  # fmt: skip
"""Methods of paths, and functions of os, os.path and shutil, that look at a file or follow a link to it."""

DOOR = re.compile(
    r"ForeignDirectory\(.+\)|(self\.)?(lane\.)?_?files|self\._resolver|self\.build_resolver\(.+\)"
)
"""What these may be called on: a foreign directory, and a resolver, whose method has the name of a path's."""

ALLOWED = {
    "matrix/foreign_files.py": "the door",
    "matrix/foreign_trees.py": "the door for whole trees",
    "matrix/fs.py": "what its callers name as kmatrix's own",
    "matrix/user_files.py": "what the user names: links are followed, as with any program",
    "matrix/standard_streams.py": "the null device",
    "matrix/cache_layout.py": "the cache's own folders",
    "matrix/catalog/load.py": "the profiles that kmatrix brings",
    "matrix/engine/docker_api.py": "an archive in memory",
    "matrix/engine/image_archive.py": "the file that the user names; nothing of it is unpacked here",
    "matrix/engine/images.py": "the recipes that kmatrix brings",
    "matrix/engine/oom_watch.py": "the kernel's own files",
    "matrix/engine/podman_dialect.py:_check_mount": "whether what is mounted is there",
    "matrix/engine/podman_dialect.py:_find_process_limit": "the kernel's own file",
    "matrix/engine/seccomp.py": "the list of calls that kmatrix brings",
    "matrix/engine/step.py:_hash_place": "the mount of a lane and the cache's root, which names are made of",
    "matrix/record/journal.py": "the run that this process writes",
    "matrix/commands/visit_results.py": "the run that this process writes",
    "matrix/commands/cluster_run.py": "the packed tree that this process wrote",
    "matrix/commands/visit_host.py": "the cache's own, and the small run that this process wrote",
    "matrix/source/transport.py": "the file that this process wrote; nothing lies outside of its place",
    "matrix/commands/merge.py:_write_copy": "the run that this process writes",
    "matrix/record/run_directory.py:find_run_directory": "the directory that the user names",
    "matrix/record/run_directory.py:_list_inner_runs": "the directory that the user names",
    "matrix/record/run_directory.py:unique_name": "the directory that the user names, or this process made",
    "matrix/builder/cell_record.py": "the log that this process writes",
    "matrix/builder/lane_dir.py:read_boot_id": "the kernel's own word",
    "matrix/builder/lane_dir.py:mark_busy": "beside the build directory, where no container writes",
    "matrix/builder/lane_dir.py:_is_marked_busy": "the same",
    "matrix/builder/lane_dir.py:was_lane_locked": "the same",
    "matrix/builder/lane_dir.py:open_lane": "the same",
    "matrix/builder/lane_dir.py:_copy_first_idle": "the same",
    "matrix/builder/lane_dir.py:change_owner": "does not follow links",
    "matrix/builder/lane_dir.py:_identify_copy": "the tree's root, in the cache",
    "matrix/builder/kbuild_deps.py:_resolve_source_names": "a name in the cache's tree; nothing is read",
    "matrix/builder/compiler_cache.py:list_compiled_files": "whether the cache has such a folder",
    "matrix/builder/compiler_cache.py:remove_compiled_files": "whether the cache has such a folder",
    "matrix/builder/idle_lanes.py": "the cache's own names beside a build directory; no link is followed",
    "matrix/memory/eviction.py": "what this cache wrote",
    "matrix/memory/index_file.py": "what this cache wrote",
    "matrix/memory/layers.py": "the cache's own folders",
    "matrix/memory/live_runs.py": "files that this cache's runs made",
    "matrix/memory/store.py": "what this cache wrote, and checks by digest",
    "matrix/file_times.py:touch_future_files": "by descriptor, and follows no link",
    "matrix/kconfig/kconfig_tree.py": "lists by scandir, follows no link, and reads through the door",
    "matrix/foreign_builds/build_directory.py:_list_files": "the names in the directory that the user names",
    "matrix/foreign_builds/build_directory.py:read_build_directory": "that directory's own name",
    "matrix/commands/hidden_objects.py:_build_in_cell": "the log that this process wrote",
    "matrix/commands/cache_size.py": "the names in the cache's own folders",
    "matrix/commands/bench_cases.py": "the tree in this process's own cache, and a patch that kmatrix brings",
    "matrix/commands/bench_ways.py:find_tuxmake": "a program of this machine",
    "matrix/engine/job_pool.py": "a pipe that this process made, in a directory of its own",
    "matrix/code_digest.py": "kmatrix's own code",
    "matrix/resolve/tool_answers.py:lend": "the directory's owner, by stat",
    "matrix/resolve/container_shell.py:_format_compilation": "a source that kmatrix brings",
    "matrix/resolve/conf_forks.py:remove_fork_files": "the names; they are removed through the door",
    "matrix/commands/develop.py:_list_failures": "in a directory that this process made",
    "matrix/commands/doctor.py": "the cache's place, and what the user names as source",
    "matrix/commands/patch.py": "the directory that the user names, or this process made",
    "matrix/commands/kept_runs.py:list_run_directories": "the names in the folder of runs",
    "matrix/commands/resume.py:_find_stopped_run": "the folder of runs",
    "matrix/commands/repro.py:write_script": "the script that this process wrote",
    "matrix/commands/session.py": "the checkout",
    "matrix/commands/setup.py": "this machine's own",
    "matrix/commands/sweep.py": "the cache's own files and the folder of runs; they go through the door",
    "matrix/source/apply.py": "a directory that this process made for a container, before that runs",
    "matrix/source/archive.py": "what apt or tar left in an area of its own: no link is followed",
    "matrix/source/cache.py": "what this cache wrote; the trees in it are mounted read-only",
    "matrix/source/fetch.py": "the tarball that the user names, and its copy in the cache",
    "matrix/source/git.py": "whether there is a repository; it is read in a container",
    "matrix/source/git_repository.py": "where a repository lies; it is read in a container",
    "matrix/source/kernel_tree.py": "which names there are; what is read is read through the door",
    "matrix/source/manifest.py": "the times of the cache's own copy",
    "matrix/source/mbox/message.py": "the parts of a mail",
    "matrix/source/mbox/patch_file.py": "the patches that the user names",
    "matrix/source/sandbox.py": "directories that this process made",
    "matrix/source/snapshot.py": "a second door, for whole copies: no link is followed, no pipe waited for",
    "matrix/source/tree_links.py": "what a link says, which is not followed",
}
"""Module, or module and function → why it may."""


def list_calls(text: str) -> Iterator[tuple[str, str]]:
    """(function, call) for everything in a module's text that opens or looks at a file by its path."""

    def visit(node: ast.AST, function: str) -> Iterator[tuple[str, str]]:
        for child in ast.iter_child_nodes(node):
            inside = child.name if isinstance(child, ast.FunctionDef) else function
            if isinstance(child, ast.Call) and _is_file_access(child.func):
                yield inside, ast.unparse(child.func)
            yield from visit(child, inside)

    return visit(ast.parse(text), "")


def _is_file_access(called: ast.expr) -> bool:
    if isinstance(called, ast.Name):
        return called.id in CALLS
    if not isinstance(called, ast.Attribute) or called.attr not in CALLS:
        return False
    return not DOOR.fullmatch(ast.unparse(called.value))


def list_modules() -> list[Path]:
    return sorted([*ROOT.glob("matrix/**/*.py"), *ROOT.glob("reports/**/*.py"), ROOT / "tasks.py"])


def find_keys(path: Path) -> set[str]:
    """The keys of ALLOWED that this module needs; a call outside of all is its own key."""
    module = path.relative_to(ROOT).as_posix()
    calls = list_calls(path.read_text())
    return {module if module in ALLOWED else f"{module}:{function}" for function, _ in calls}


@pytest.mark.parametrize("path", list_modules(), ids=lambda path: path.relative_to(ROOT).as_posix())
def test_nothing_else_opens_files_by_their_paths(path: Path) -> None:
    assert find_keys(path) <= ALLOWED.keys(), "read it with ForeignDirectory, or say why it is kmatrix's own"


def test_nothing_is_allowed_that_is_not_needed() -> None:
    # Whoever reads foreign files in a module of these has to be looked at again.
    needed = {key for path in list_modules() for key in find_keys(path)}
    assert ALLOWED.keys() - needed <= {"matrix/fs.py", "matrix/user_files.py"}


@pytest.mark.parametrize(
    "line",
    [
        "(build / '.config').read_text()",
        "open(path)",
        "path.open()",
        "os.path.exists(path)",
        "shutil.copyfile(path, to)",
        "[*build.rglob('*')]",
        "path.resolve()",
        "self.lane.build.stat()",
    ],
)
def test_an_access_by_path_is_seen(line: str) -> None:
    (found,) = list_calls(f"class A:\n    def read(self):\n        return {line}\n")
    assert found[0] == "read"


@pytest.mark.parametrize(
    "line",
    ["ForeignDirectory(build).read_text('.config')", "self.lane.files.read_text('.config')", "text.strip()"],
)
def test_an_access_through_the_door_is_none(line: str) -> None:
    assert not list(list_calls(f"def read(self):\n    return {line}\n"))
