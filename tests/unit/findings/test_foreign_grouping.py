"""One problem is one, and two are two, in the words of logs of other people.

A file in tests/logs/grouping is a run in small: its first line has the number of its problems and why they
are as many; then come its cells, `=== cell arch=… toolchain=… KVM=…`, each with its log.
"""

import re
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from matrix.diagnostics.diagnostic import Diagnostic, Occurrence, Site
from matrix.diagnostics.log_parser import parse_build_log
from matrix.findings.blame import find_blamed_site, find_outer_function
from matrix.findings.derive import Problem, group_into_problems
from matrix.record.run_model import Cell, DiagnosticRef, Run
from matrix.record.states import State
from tests.fakes.runs import a_cell, a_run

LOGS = Path(__file__).parents[2] / "logs" / "grouping"
CASES = sorted(path.stem for path in LOGS.glob("*.log"))
_CELL = re.compile(r"^=== cell ", re.MULTILINE)


def read_run(text: str) -> Run:
    """The run of these cells."""
    cells: list[Cell] = []
    diagnostics: list[Diagnostic] = []
    for block in _CELL.split(text)[1:]:
        head, *lines = block.splitlines()
        axes = dict(word.split("=") for word in head.split() if "=" in word)
        said = parse_build_log(lines).occurrences
        diagnostics += [item.diagnostic for item in said]
        cells.append(_build_cell(axes, said))
    return a_run(cells, diagnostics)


def _build_cell(axes: dict[str, str], said: tuple[Occurrence, ...]) -> Cell:
    refs = tuple(DiagnosticRef(key=d.key, object=made, stage="vmlinux") for d, made in said)
    failing = any(d.severity == "error" for d, _ in said)
    state = State.FAIL if failing else State.WARN if refs else State.PASS
    row = a_cell(axes.pop("arch"), axes.pop("toolchain"), axes, state=state)
    return row.model_copy(update={"diagnostics": refs})


def read_case(name: str) -> Run:
    return read_run((LOGS / f"{name}.log").read_text())


def find_problems(name: str) -> tuple[Problem, ...]:
    return group_into_problems(read_case(name), {})


@pytest.mark.parametrize("case", CASES)
def test_a_case_has_as_many_problems_as_an_engineer_would_say(case: str) -> None:
    count = int((LOGS / f"{case}.log").read_text().split()[1])
    found = find_problems(case)
    assert len(found) == count, "\n".join(problem.title for problem in found)


@pytest.mark.parametrize("case", CASES)
def test_no_two_problems_of_a_case_have_a_key_in_common(case: str) -> None:
    own = [set(problem.keys) - set(problem.consequence_keys) for problem in find_problems(case)]
    assert sum(map(len, own)) == len(set().union(*own))


@given(case=st.sampled_from(CASES), data=st.data())
def test_the_order_of_the_cells_is_of_no_account(case: str, data: st.DataObject) -> None:
    run = read_case(case)
    shuffled = run.model_copy(update={"cells": tuple(data.draw(st.permutations(run.cells)))})
    assert _list_parts(run) == _list_parts(shuffled)


def _list_parts(run: Run) -> set[tuple[frozenset[str], frozenset[str], frozenset[str]]]:
    return {
        (frozenset(each.cells), frozenset(each.diagnostics), frozenset(each.keys))
        for each in group_into_problems(run, {})
    }


@pytest.mark.parametrize("case", CASES)
def test_what_is_one_in_one_run_has_a_common_key_in_two(case: str) -> None:
    """Each cell by itself calls a problem by a key that the problem of all cells has, too."""
    run = read_case(case)
    together = group_into_problems(run, {})
    known = {key for problem in together for key in problem.keys}
    for cell in run.cells:
        for problem in group_into_problems(run.model_copy(update={"cells": (cell,)}), {}):
            assert known & set(problem.keys), problem.title


@pytest.mark.parametrize(
    ("case", "titles"),
    [
        ("fortify-in-two-drivers", ["net/one.o: call to", "sound/two.o: call to"]),
        ("fortify-in-two-drivers-clang", ["net/one.o: call to", "sound/two.o: call to"]),
        ("bad-copy-in-two-drivers", ["drivers/char/one.o: call to", "drivers/char/two.o: call to"]),
        ("stringop-in-two-drivers", ["drivers/one.o: '__builtin", "drivers/two.o: '__builtin"]),
        ("assertion-of-a-header", ["include/linux/page_tag.h: call to"]),
        ("loop-that-is-entered-elsewhere", ["kconfig: recursive dependency detected! ONE, TWO"]),
    ],
)
def test_the_title_names_the_file_that_is_to_blame(case: str, titles: list[str]) -> None:
    found = [problem.title for problem in find_problems(case)]
    assert len(found) == len(titles)
    assert all(title.startswith(start) for title, start in zip(found, titles, strict=True)), found


@pytest.mark.parametrize(
    ("case", "title"),
    [
        ("option-in-every-object", "gcc: unrecognized command-line option '-mbranch-guard'"),
        ("unused-argument", "clang: argument unused during compilation: '-march=armv7-a'"),
        ("plugin-of-another-version", "gcc: gcc plugin of another version"),
        ("full-disk", "No space left on device"),
        ("missing-header-by-path", "generated/bounds2.h"),
        ("breaks-at-one-place-of-gcc", "gcc broke: internal compiler error: in vect_transform_loop"),
        ("missing-program-of-two-shells", "sh: lz4: not found, in 2 objects"),
        ("export-that-modules-lack", "modpost: undefined symbol clk_gone"),
    ],
)
def test_what_every_object_has_counts_them_and_names_none(case: str, title: str) -> None:
    (found,) = find_problems(case)
    assert title in found.title
    assert found.title.endswith(f", in {len(found.objects)} objects")
    assert not any(name in found.title for name in found.objects)


def test_each_function_of_clang_is_the_one_that_gcc_names() -> None:
    run = read_case("fortify-in-two-functions-gcc-and-clang")
    for problem in group_into_problems(run, {}):
        functions = {find_outer_function(run.diagnostics[key]) for key in problem.diagnostics}
        assert (set(problem.severity), len(functions)) == ({"gcc-14", "clang-19"}, 1)


@pytest.mark.parametrize(
    ("name", "counts"),
    [("inlined", [2]), ("build-bug-on", [2]), ("errors-in-functions", [2, 2, 2, 2, 1, 2, 1])],
)
def test_what_gcc_and_clang_really_print_is_one(name: str, counts: list[int]) -> None:
    blocks = [
        f"=== cell arch=x86 toolchain={compiler} KVM=y\n"
        + (LOGS.parent / f"{compiler}-{name}.log").read_text()
        for compiler in ("gcc-14", "clang-19")
    ]
    found = group_into_problems(read_run("".join(blocks)), {})
    assert [len(problem.severity) for problem in found] == counts


def test_symbols_that_come_together_are_all_named() -> None:
    (found,) = find_problems("symbols-of-one-object")
    assert found.title.endswith("undefined symbols get_mtd_device, mtd_point, mtd_unpoint")


@pytest.mark.parametrize(
    ("providers", "count"),
    [
        ({}, 1),
        ({"mtd_point": "CONFIG_MTD"}, 1),
        ({"mtd_point": "CONFIG_MTD", "mtd_unpoint": "CONFIG_FLASH"}, 3),
        (dict.fromkeys(("mtd_point", "mtd_unpoint", "get_mtd_device"), "CONFIG_MTD"), 1),
        ({"mtd_point": "mtd/a.o", "mtd_unpoint": "mtd/b.o", "get_mtd_device": "mtd/c.o"}, 3),
        ({"mtd_point": "mtd/a.o", "mtd_unpoint": "mtd/a.o", "get_mtd_device": "mtd/c.o"}, 2),
    ],
)
def test_what_defines_the_missing_symbols_decides(providers: dict[str, str], count: int) -> None:
    run = read_case("symbols-of-one-object").model_copy(update={"providers": providers})
    assert len(group_into_problems(run, {})) == count


# Of a kernel that is linked from vmlinux.o, ld names the function and no object.
WHOLE_LINK = """\
=== cell arch=x86 toolchain=gcc-14 KVM=y
  LD      .tmp_vmlinux1
x86_64-linux-gnu-ld: vmlinux.o: in function `cramfs_kill_sb':
inode.c:(.text+0x167466): undefined reference to `put_mtd_device'
x86_64-linux-gnu-ld: inode.c:(.text+0x1674af): undefined reference to `mtd_unpoint'
x86_64-linux-gnu-ld: vmlinux.o: in function `cramfs_get_tree':
inode.c:(.text+0x167714): undefined reference to `get_tree_mtd'
make[3]: *** [/src/scripts/Makefile.vmlinux:34: vmlinux] Error 1
=== cell arch=x86 toolchain=gcc-14 KVM=n
  LD      .tmp_vmlinux1
"""
LACKED = ("get_tree_mtd", "mtd_unpoint", "put_mtd_device")


@pytest.mark.parametrize(
    ("providers", "count"),
    [
        (dict.fromkeys(LACKED, "CONFIG_MTD"), 1),
        ({**dict.fromkeys(LACKED, "CONFIG_MTD"), "get_tree_mtd": "CONFIG_MTD_SUPER"}, 2),
        (dict.fromkeys(LACKED[:2], "CONFIG_MTD"), 2),
    ],
)
def test_where_no_object_is_named_what_would_bring_them_decides(
    providers: dict[str, str], count: int
) -> None:
    run = read_run(WHOLE_LINK).model_copy(update={"providers": providers})
    found = group_into_problems(run, {})
    assert len(found) == count
    assert sum(name in problem.title for problem in found for name in LACKED) == 3


def test_two_objects_that_lack_symbols_of_one_provider_are_two() -> None:
    providers = {"mtd_point": "drivers/all.o", "clk_gone": "drivers/all.o"}
    run = read_case("symbols-of-two-objects").model_copy(update={"providers": providers})
    assert len(group_into_problems(run, {})) == 2


@pytest.mark.parametrize(
    ("case", "count"),
    [
        ("undeclared-and-no-return", 1),
        ("cascade-of-a-broken-declaration", 2),
        ("cascade-of-a-broken-declaration-clang", 1),
    ],
)
def test_what_follows_is_kept_with_the_problem(case: str, count: int) -> None:
    (found,) = find_problems(case)
    assert len(found.consequences) == count
    assert found.consequence_keys
    assert set(found.consequence_keys) < set(found.keys)
    assert not set(found.consequences) & set(found.diagnostics)


def test_what_follows_is_found_again_where_it_is_left_alone() -> None:
    before = find_problems("undeclared-and-no-return")
    text = (LOGS / "undeclared-and-no-return.log").read_text()
    alone = group_into_problems(read_run(re.sub(r".*ONE_MAX.*\n", "", text)), {})
    assert [problem.title for problem in alone] == [
        "sound/one.o: control reaches end of non-void function [-Wreturn-type]"
    ]
    assert set(alone[0].keys) & set(before[0].keys)


def test_clang_is_in_the_function_that_gcc_names() -> None:
    where = {"file": "a.c", "severity": "error", "symbols": ()}
    gone = {"message": "'gone' undeclared", "line": 5, "symbols": ("gone",)}
    end = {"message": "control reaches end", "line": 9, "flag": "-Wreturn-type", "promoted": True}
    cells, known = [], []
    for tool, name, function in (("gcc", "gcc-14", "f"), ("clang", "clang-19", None)):
        said = tuple(
            Occurrence(
                Diagnostic.model_validate(where | fields | {"tool": tool, "function": function}), "a.o"
            )
            for fields in (gone, end)
        )
        known += [item.diagnostic for item in said]
        cells.append(_build_cell({"arch": "x86", "toolchain": name, "KVM": "y"}, said))
    (found,) = group_into_problems(a_run(cells, known), {})
    assert set(found.severity) == {"gcc-14", "clang-19"}
    assert len(found.consequences) == 2


def test_an_object_that_a_module_holds_was_made_beside_it() -> None:
    """objtool is run on the module in one configuration, and on its object in another."""
    text = (LOGS / "objtool-of-two-objects.log").read_text()
    run = read_run(text.replace("error:", "warning:").replace("warning:", "error:"))
    one, two = (cell.id for cell in run.cells)
    made = {one: frozenset[str](), two: frozenset({"kernel/one.o"})}
    assert len(group_into_problems(run, made)) == 1
    assert len(group_into_problems(run, {one: frozenset(), two: frozenset()})) == 2


def _list_callers() -> Iterator[tuple[str, ...]]:
    yield ("net/one.c",)
    yield "include/linux/skb.h", "net/one.c"
    yield "net/one.c", "net/two.c"


@pytest.mark.parametrize("callers", list(_list_callers()))
def test_the_callers_own_source_is_to_blame(callers: tuple[str, ...]) -> None:
    sites = (Site(file="include/a.h", line=3), *(Site(file=name, line=9, caller=True) for name in callers))
    one = Diagnostic(severity="error", tool="gcc", file="include/a.h", message="too far", sites=sites)
    blamed = find_blamed_site(one, "net/one.o")
    assert blamed is not None
    assert blamed.file == "net/one.c"


def test_an_older_record_names_its_callers_in_notes_only() -> None:
    sites = (Site(file="include/a.h", line=3, symbol="x", code="x = y;"),)
    notes = ("net/one.c:9: inlined from f",)
    one = Diagnostic(
        severity="error", tool="gcc", file="include/a.h", message="too far", sites=sites, notes=notes
    )
    assert find_blamed_site(one, "net/one.o") == Site(file="net/one.c", line=9, caller=True)


def _make_many(count: int) -> Run:
    """A run of two cells in which ``count`` objects have three errors each, in every way that is joined."""
    known, refs = [], []
    for number in range(count):
        name = f"drivers/d{number % 97}/o{number}"
        fields: dict[str, object] = {"severity": "error", "tool": "gcc", "file": f"{name}.c", "function": "f"}
        for line, text in ((5, f"'n{number}' undeclared"), (7, "control reaches end"), (9, "too few of 'g'")):
            symbols = re.findall("'(.*)'", text)
            one = Diagnostic.model_validate(fields | {"line": line, "message": text, "symbols": symbols})
            known.append(one)
            refs.append(DiagnosticRef(key=one.key, object=f"{name}.o", stage="vmlinux"))
        text = f"undefined reference to `s{number}'"
        link = Diagnostic(
            severity="error", tool="ld", file=f"{name}.c", message=text, symbols=(f"s{number}",)
        )
        option = Diagnostic(severity="error", tool="gcc", message="unrecognized option '-mnope'")
        known += [link, option]
        refs.append(DiagnosticRef(key=link.key, object="vmlinux", stage="vmlinux"))
        refs.append(DiagnosticRef(key=option.key, object=f"{name}.o", stage="vmlinux"))
    cells = [
        a_cell(symbols={"KVM": kvm}, state=State.FAIL).model_copy(update={"diagnostics": tuple(refs)})
        for kvm in "yn"
    ]
    return a_run(cells, known)


def test_thousands_of_objects_are_grouped_in_linear_time() -> None:
    took = []
    for count in (1000, 4000):
        run = _make_many(count)
        start = time.process_time()
        found = group_into_problems(run, {})
        took.append(time.process_time() - start)
        assert len(found) == 2 * count + 1
    assert took[1] < 8 * took[0] + 1
