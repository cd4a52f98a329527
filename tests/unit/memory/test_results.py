"""When a result is found again: the same inputs, the same contents of what went in, and nothing unproven."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

import matrix.memory.results
from matrix.diagnostics.diagnostic import Diagnostic
from matrix.diagnostics.parser_digest import compute_parser_digest
from matrix.memory.layers import Memory
from matrix.memory.results import CellInputs, KeptResult, ResultMemory
from matrix.memory.tree_contents import TreeContents
from matrix.record.run_model import DiagnosticRef, StageRecord
from matrix.record.states import State
from matrix.source.kernel_tree import AppliedPatch
from matrix.source.manifest import Manifest, ManifestEntry
from tests.fakes.runs import GCC_ERROR, WARNING

MADE_OF = frozenset(
    {
        "virt/kvm/vfio.c",
        "include/linux/vfio.h",
        "arch/powerpc/kvm/book3s_64_entry.S",
        "arch/powerpc/kernel/asm-offsets.c",
        "include/linux/only_in_asm_offsets.h",
    }
)
OTHERS = (
    *("drivers/net/other.c", "include/linux/other.h", "arch/powerpc/lib/other.S", "kernel/bounds.c"),
    *("drivers/vfio/group.c", "drivers/net/Makefile", "drivers/net/Kbuild", "drivers/net/Kconfig"),
    *("Documentation/Kconfig", "Documentation/Makefile", "scripts/setlocalversion", "scripts/mod/modpost.c"),
    *("tools/objtool/check.c", "arch/s390/tools/gen_facilities.c", "arch/powerpc/kernel/vmlinux.lds.S"),
    *("arch/powerpc/kernel/syscalls/syscall.tbl", "arch/powerpc/configs/ppc64_defconfig"),
    *("MAINTAINERS", "Documentation/driver-api/vfio.rst"),
)
DOCUMENT = "Documentation/driver-api/vfio.rst"
REACHES_EVERYTHING = OTHERS[5:-2]
TREE = {path: f"text of {path}" for path in (*MADE_OF, *OTHERS)}
COMMAND = "make -C /src O=/build -k --output-sync=target ARCH=powerpc drivers/vfio/"
INPUTS = CellInputs("image", "config", (COMMAND,), (("drivers/vfio/",),))


def contents(files: Mapping[str, str] = TREE) -> TreeContents:
    return TreeContents(Manifest({path: ManifestEntry("file", text) for path, text in files.items()}), Path())


def stage(state: State) -> StageRecord:
    return StageRecord(name="focus", state=state, command=COMMAND, exit=0, objects=1, compiled=1)


def a_result(state: State = State.PASS, *diagnostics: Diagnostic, **fields: Any) -> KeptResult:
    known: dict[str, Any] = {
        "run": "first-run",
        "cell": "some/cell",
        "state": state,
        "stages": (stage(state),),
        "refs": tuple(
            DiagnosticRef(key=item.key, object="virt/kvm/vfio.o", stage="focus") for item in diagnostics
        ),
        "diagnostics": {item.key: item for item in diagnostics},
        "objects": frozenset({"virt/kvm/vfio.o"}),
        "reason": None,
        "log": "$ make\n  CC      virt/kvm/vfio.o\n",
        "sources": MADE_OF if state in (State.PASS, State.WARN) else frozenset(),
    }
    return KeptResult(**(known | fields))


class Story:
    """A folder of memories, which runs of trees share."""

    def __init__(self, place: Path) -> None:
        self.place = place

    @contextmanager
    def open(
        self, files: Mapping[str, str] = TREE, run: str = "first", **fields: Any
    ) -> Iterator[ResultMemory]:
        """The memory as a run of a tree has it."""
        patches = fields.pop("patches", ())
        with closing(Memory(self.place / "memory", patches, run, **fields)) as memory:
            yield ResultMemory(memory, contents(files))

    def keep(self, result: KeptResult, files: Mapping[str, str] = TREE, **fields: Any) -> None:
        with self.open(files, **fields) as memory:
            memory.keep(INPUTS, result)

    def find(
        self, files: Mapping[str, str] = TREE, inputs: CellInputs = INPUTS, **fields: Any
    ) -> KeptResult | None:
        with self.open(files, **({"run": "second"} | fields)) as memory:
            found = memory.find(inputs)
        return found.kept if found else None


@pytest.fixture
def story(tmp_path: Path) -> Story:
    return Story(tmp_path)


def changed(*paths: str) -> dict[str, str]:
    return TREE | dict.fromkeys(paths, "another text")


def without(*paths: str) -> dict[str, str]:
    return {path: text for path, text in TREE.items() if path not in paths}


def test_what_make_said_of_kconfig_is_found_with_the_same_kconfig_alone(story: Story, tmp_path: Path) -> None:
    """It names lines of files that a build reads through .config alone."""
    path, said = "drivers/net/Kconfig", WARNING.model_copy(update={"tool": "kconfig"})

    def keep_and_find(run: str, warning: Diagnostic) -> bool:
        place = tmp_path / run
        (place / path).parent.mkdir(parents=True)
        found: list[bool] = []
        for text in ("config NET\n\tbool\n", "\n\nconfig NET\n\tbool\n"):
            (place / path).write_text(text)
            entries = {name: ManifestEntry("file", text) for name, text in (TREE | {path: text}).items()}
            with closing(Memory(story.place / run, (), run)) as memory:
                results = ResultMemory(memory, TreeContents(Manifest(entries), place))
                if not found:
                    results.keep(INPUTS, a_result(State.WARN, warning))
                found.append(results.find(INPUTS) is not None)
        assert found[0]
        return found[1]

    assert keep_and_find("of-a-source", WARNING)
    assert not keep_and_find("of-kconfig", said)


def test_a_result_is_found_whole_with_where_it_is_from(story: Story) -> None:
    kept = a_result(State.WARN, WARNING, reason="a reason")
    story.keep(kept)
    assert story.find() == kept
    for run, is_own in {"first": True, "second": False}.items():
        with story.open(run=run) as memory:
            found = memory.find(INPUTS)
        assert found is not None
        assert found.is_own is is_own


# Sources


@pytest.mark.parametrize("name", sorted(MADE_OF))
def test_a_change_of_what_went_into_the_cell_is_another(story: Story, name: str) -> None:
    story.keep(a_result())
    assert story.find(changed(name)) is None
    assert story.find(changed("drivers/net/other.c", name)) is None


@pytest.mark.parametrize(
    "name", ["drivers/net/other.c", "include/linux/other.h", "arch/powerpc/lib/other.S", "kernel/bounds.c"]
)
@pytest.mark.parametrize("state", [State.PASS, State.WARN])
def test_a_source_that_went_into_no_object_of_the_cell_leaves_it_as_it_was(
    story: Story, name: str, state: State
) -> None:
    story.keep(a_result(state))
    assert story.find(changed(name)) is not None
    assert story.find(changed(name, DOCUMENT)) is not None


@pytest.mark.parametrize(
    "name", ["include/linux/new.h", "drivers/net/new.c", "include/asm-generic/new.S", "lib/Makefile"]
)
def test_a_new_file_can_shadow_another(story: Story, name: str) -> None:
    story.keep(a_result())
    assert story.find(TREE | {name: ""}) is None
    assert story.find(changed("drivers/net/other.c") | {name: ""}) is None


@pytest.mark.parametrize("name", ["include/linux/other.h", "drivers/net/other.c", *sorted(MADE_OF)])
def test_where_a_file_is_gone_another_may_be_found(story: Story, name: str) -> None:
    story.keep(a_result())
    assert story.find(without(name)) is None


@pytest.mark.parametrize("name", REACHES_EVERYTHING)
def test_what_reaches_everything_reaches_every_cell(story: Story, name: str) -> None:
    story.keep(a_result())
    assert story.find(changed(name)) is None
    assert story.find(changed("drivers/net/other.c", name)) is None
    assert story.find(changed(name, DOCUMENT)) is None


@pytest.mark.parametrize(
    "files",
    [
        changed(DOCUMENT, "MAINTAINERS"),
        TREE | {"Documentation/new.rst": "", "CREDITS": ""},
        without(DOCUMENT, "MAINTAINERS"),
    ],
    ids=["changed", "new", "gone"],
)
@pytest.mark.parametrize("state", [State.PASS, State.WARN, State.EMPTY, State.FAIL])
def test_no_build_reads_documentation(story: Story, files: Mapping[str, str], state: State) -> None:
    story.keep(a_result(state, *([GCC_ERROR] if state is State.FAIL else [])))
    assert story.find(files) is not None


@pytest.mark.parametrize("name", ["virt/kvm/vfio.c", "scripts/setlocalversion"])
def test_a_file_that_becomes_a_link_is_another(story: Story, name: str) -> None:
    story.keep(a_result())
    with story.open(run="second") as memory:
        entries = {**memory.tree.manifest.entries, name: ManifestEntry("link", TREE[name])}
        linked = ResultMemory(memory.memory, TreeContents(Manifest(entries), story.place))
        assert linked.find(INPUTS) is None


def test_where_its_sources_are_not_known_all_of_the_tree_count(story: Story) -> None:
    story.keep(a_result(sources=frozenset()))
    assert story.find() is not None
    assert story.find(changed("drivers/net/other.c")) is None


def test_an_empty_cell_is_known_by_what_was_prepared_for_it(story: Story) -> None:
    story.keep(a_result(State.EMPTY, sources=frozenset({"arch/powerpc/kernel/asm-offsets.c"})))
    assert story.find(changed("virt/kvm/vfio.c")) is not None
    assert story.find(changed("arch/powerpc/kernel/asm-offsets.c")) is None


def test_a_tree_that_was_changed_and_changed_back_is_the_same(story: Story) -> None:
    story.keep(a_result())
    story.keep(a_result(State.WARN, WARNING, run="of the change"), changed("virt/kvm/vfio.c"))
    for _ in range(2):
        back, other = story.find(), story.find(changed("virt/kvm/vfio.c"))
        assert back is not None
        assert other is not None
        assert (back.state, back.run) == (State.PASS, "first-run")
        assert (other.state, other.run) == (State.WARN, "of the change")


def test_what_a_change_added_to_its_sources_is_looked_at_too(story: Story) -> None:
    """The same inputs have two lists of sources: before the change, and after it."""
    after = changed("virt/kvm/vfio.c")
    story.keep(a_result())
    story.keep(a_result(run="after", sources=MADE_OF | {"include/linux/other.h"}), after)
    assert story.find(after | {"include/linux/other.h": "changed as well"}) is None
    found = story.find(after | {"kernel/bounds.c": "changed"})
    assert found is not None
    assert found.run == "after"
    back = story.find(changed("include/linux/other.h"))
    assert back is not None
    assert back.run == "first-run"


# What else counts


@pytest.mark.parametrize(
    "other",
    [
        replace(INPUTS, image="other"),
        replace(INPUTS, config_sha256="other"),
        replace(INPUTS, commands=(COMMAND + " lib/",)),
        replace(INPUTS, commands=(COMMAND.replace("ARCH", "W=1 ARCH"),)),
        replace(INPUTS, commands=(COMMAND, COMMAND.replace("drivers/vfio/", "vmlinux"))),
        replace(INPUTS, commands=()),
        replace(INPUTS, targets=(("drivers/vfio/vfio.o",),)),
    ],
)
def test_another_image_config_make_line_focus_or_stage_is_another(story: Story, other: CellInputs) -> None:
    story.keep(a_result())
    assert story.find(inputs=other) is None
    assert story.find() is not None


def test_another_recipe_of_kmatrix_is_another(story: Story, monkeypatch: pytest.MonkeyPatch) -> None:
    story.keep(a_result())
    monkeypatch.setattr(matrix.memory.results, "RECIPE", matrix.memory.results.RECIPE + 1)
    assert story.find() is None


def test_another_reader_of_logs_reads_them_itself(story: Story, monkeypatch: pytest.MonkeyPatch) -> None:
    story.keep(a_result())
    assert len(compute_parser_digest()) == 64
    monkeypatch.setattr(matrix.memory.results, "compute_parser_digest", lambda: "another")
    assert story.find() is None


# What is kept


@pytest.mark.parametrize("state", sorted(set(State) - {State.PASS, State.WARN, State.EMPTY, State.FAIL}))
def test_what_was_not_proven_is_never_kept(story: Story, state: State) -> None:
    story.keep(a_result(state, GCC_ERROR))
    assert story.find() is None


@pytest.mark.parametrize("state", [State.TIMEOUT, State.OOM, State.INFRA, State.CANCELLED])
def test_a_failure_beside_what_the_machine_ended_is_not_whole(story: Story, state: State) -> None:
    stages = (stage(State.FAIL), stage(state))
    story.keep(a_result(State.FAIL, GCC_ERROR, stages=stages))
    assert story.find() is None


def test_a_failure_with_its_place_is_found_on_the_very_same_tree(story: Story) -> None:
    kept = a_result(State.FAIL, GCC_ERROR, WARNING)
    story.keep(kept)
    assert story.find() == kept
    assert story.find(changed("drivers/net/other.c")) is None


def test_the_sources_of_a_failure_are_never_known_whole(story: Story) -> None:
    story.keep(a_result(State.FAIL, GCC_ERROR, sources=MADE_OF))
    assert story.find() is not None
    assert story.find(changed("drivers/net/other.c")) is None


def test_what_only_sums_up_warnings_needs_no_place(story: Story) -> None:
    summary = Diagnostic(
        severity="error", tool="gcc", message="all warnings being treated as errors", summary=True
    )
    story.keep(a_result(State.FAIL, summary))
    assert story.find() is None
    story.keep(a_result(State.FAIL, GCC_ERROR, summary))
    assert story.find() is not None


@pytest.mark.parametrize(
    "update",
    [
        {"file": None},
        {"line": None},
        {"internal": True},
        {"file": "include/generated/asm-offsets.h"},
        {"severity": "warning"},
    ],
    ids=["no file", "no line", "tool broke", "no file of the tree", "no error"],
)
def test_a_failure_without_a_place_in_the_sources_is_not_kept(
    story: Story, update: Mapping[str, object]
) -> None:
    placeless = GCC_ERROR.model_copy(update=update)
    story.keep(a_result(State.FAIL, placeless))
    assert story.find() is None
    if placeless.severity == "error":
        story.keep(a_result(State.FAIL, GCC_ERROR, placeless))
        assert story.find() is None


def test_a_failure_in_which_nothing_was_recognised_is_not_kept(story: Story) -> None:
    story.keep(a_result(State.FAIL))
    assert story.find() is None


# Runs, layers, damage


def test_a_fresh_run_finds_only_what_it_wrote_itself(story: Story) -> None:
    story.keep(a_result())
    assert story.find(fresh=True) is None
    story.keep(a_result(run="second-run"), run="second", fresh=True)
    mine = story.find(fresh=True)
    assert mine is not None
    assert mine.run == "second-run"
    later = story.find(run="third")
    assert later is not None
    assert later.run == "second-run", "what it builds takes the place of what was remembered"


def test_what_a_patched_tree_built_does_not_reach_its_base_or_another_patch(story: Story) -> None:
    one, two = (AppliedPatch(name, name * 64) for name in "ab")
    story.keep(a_result(run="with one"), patches=(one,))
    assert story.find() is None
    assert story.find(patches=(two,)) is None
    mine = story.find(patches=(one,))
    assert mine is not None
    story.keep(a_result(run="base"))
    for patches, expected in [((one,), "with one"), ((two,), "base"), ((one, two), "with one"), ((), "base")]:
        found = story.find(patches=patches)
        assert found is not None
        assert found.run == expected


def _truncate(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-1])


def _flip(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(bytes(content))


DAMAGES: Mapping[str, Callable[[Path], object]] = {
    "gone": Path.unlink,
    "empty": lambda path: path.write_bytes(b""),
    "cut": _truncate,
    "flipped": _flip,
}


@pytest.mark.parametrize("damage", DAMAGES.values(), ids=DAMAGES)
def test_a_damaged_content_is_a_miss_and_is_made_good(story: Story, damage: Callable[[Path], object]) -> None:
    kept = a_result(State.WARN, WARNING)
    story.keep(kept)
    paths = [path for path in (story.place / "memory").glob("base/contents/*/*") if path.is_file()]
    assert len(paths) == 2, "the result and its list of sources"
    for path in paths:
        damage(path)
        assert story.find() is None
        story.keep(kept)
        assert story.find() == kept


@pytest.mark.parametrize("content", [b"", b"no database at all" * 300, b"SQLite format 3\0" + bytes(5000)])
def test_a_damaged_index_is_a_miss_and_is_made_good(story: Story, content: bytes) -> None:
    story.keep(a_result())
    (story.place / "memory/base/index.sqlite").write_bytes(content)
    assert story.find() is None
    story.keep(a_result())
    assert story.find() is not None


def test_a_record_of_another_schema_is_a_miss(story: Story) -> None:
    newer = KeptResult.model_construct(**{**a_result().__dict__, "schema_": 2})
    story.keep(newer)
    assert story.find() is None
