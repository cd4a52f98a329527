"""One problem is one, and two are two: across lines, objects, cells and compilers."""

import itertools
from collections.abc import Iterable, Mapping
from pathlib import Path

import pytest

from matrix.diagnostics.diagnostic import Diagnostic, Occurrence, Severity, Site
from matrix.diagnostics.log_parser import parse_diagnostics
from matrix.findings.derive import Problem, group_into_problems
from matrix.findings.fingerprint import compute_finding_keys, extract_construct
from matrix.record.run_model import Cell, DiagnosticRef, Run
from matrix.record.states import State
from tests.fakes.runs import CLANG_ERROR, GCC_ERROR, a_cell, a_run, the_story
from tests.stopwatch import limit_cpu

LOGS = Path(__file__).parents[2] / "logs"
GCC, CLANG = "gcc-14", "clang-19"
Said = Iterable[Occurrence]


def log(name: str) -> list[Occurrence]:
    return parse_diagnostics((LOGS / f"{name}.log").read_text().splitlines())


def cell(said: Said, toolchain: str = GCC, arch: str = "powerpc", **symbols: str) -> Cell:
    refs = tuple(DiagnosticRef(key=d.key, object=made, stage="focus") for d, made in said)
    failing = any(d.severity == "error" for d, _ in said)
    state = State.FAIL if failing else State.WARN if refs else State.PASS
    return a_cell(arch, toolchain, symbols or None, state=state).model_copy(update={"diagnostics": refs})


def problems(cells: Iterable[tuple[Cell, Said]]) -> tuple[Problem, ...]:
    rows = list(cells)
    return group_into_problems(a_run([c for c, _ in rows], [d for _, said in rows for d, _ in said]), {})


def of(said: Mapping[tuple[str, str], Said]) -> tuple[Problem, ...]:
    """Problems of cells by (toolchain, KVM)."""
    return problems((cell(list(s), toolchain, KVM=kvm), list(s)) for (toolchain, kvm), s in said.items())


def error(message: str, line: int, made: str = "a.o", tool: str = "gcc", **fields: object) -> Occurrence:
    known: dict[str, object] = {"severity": "error", "file": made.replace(".o", ".c"), "symbols": ()}
    one = Diagnostic.model_validate(known | {"tool": tool, "message": message, "line": line} | fields)
    return Occurrence(one, made)


def test_the_story_is_one_problem_of_both_compilers() -> None:
    (found,) = group_into_problems(the_story(), {})
    assert found.severity == {GCC: "error", CLANG: "error"}
    assert found.diagnostics == (GCC_ERROR.key, CLANG_ERROR.key)
    assert "weak declaration of 'vfio_file_iommu_group'" in found.title


def as_warning(said: Said) -> list[Occurrence]:
    quiet = {"severity": "warning", "promoted": False}
    return [Occurrence(one.diagnostic.model_copy(update=quiet), one.object) for one in said]


@pytest.mark.parametrize("gcc", [12, 13, 14])
@pytest.mark.parametrize("clang", [17, 18, 19])
@pytest.mark.parametrize("severity", ["error", "warning"])
def test_captured_logs_of_the_story_unify(gcc: int, clang: int, severity: Severity) -> None:
    clangs = log(f"clang-{clang}-story")
    said = as_warning(clangs) if severity == "warning" else clangs
    (found,) = of({(GCC, "y"): log(f"gcc-{gcc}-story"), (CLANG, "y"): said, (GCC, "n"): [], (CLANG, "n"): []})
    assert found.severity == {GCC: "error", CLANG: severity}
    assert found.objects == ("virt/kvm/vfio.o",)


def test_it_is_one_in_a_record_that_has_no_sites_too() -> None:
    bare = [one.model_copy(update={"sites": ()}) for one in (GCC_ERROR, CLANG_ERROR)]
    (found,) = of({(GCC, "y"): [Occurrence(bare[0], "v.o")], (CLANG, "y"): [Occurrence(bare[1], "v.o")]})
    assert set(found.severity) == {GCC, CLANG}


def test_gcc_alone_and_clang_alone_call_it_by_a_common_key() -> None:
    keys = []
    for name in ("gcc-14-story", "clang-19-story"):
        (found,) = of({(GCC, "y"): log(name)})
        keys.append(set(found.keys))
    assert keys[0] & keys[1]


def test_a_key_has_no_line_arch_or_severity() -> None:
    ((one, made),) = log("gcc-14-story")
    moved = {
        "line": 7,
        "severity": "warning",
        "sites": tuple(s.model_copy(update={"line": 7}) for s in one.sites),
    }
    assert compute_finding_keys(one, made) == compute_finding_keys(one.model_copy(update=moved), made)


@pytest.mark.parametrize("case", ["macros", "included-from", "back-in-header"])
def test_what_both_compilers_say_has_a_common_key_when_each_is_alone(case: str) -> None:
    gcc, clang = log(f"gcc-14-{case}"), log(f"clang-19-{case}")
    alone = [{key for one in of({(GCC, "y"): said}) for key in one.keys} for said in (gcc, clang)]
    for one in of({(GCC, "y"): gcc, (CLANG, "y"): clang}):
        if len(one.severity) == 2:
            assert set(one.keys) & alone[0] & alone[1], one.title


@pytest.mark.parametrize("symbol", ["missing_function", "missing_data"])
def test_each_linker_alone_calls_an_undefined_symbol_by_a_common_key(symbol: str) -> None:
    ours = [
        [one for one in of({(GCC, "y"): log(case)}) if symbol in one.title]
        for case in ("ld-link", "lld-link")
    ]
    assert ours[0]
    keys = [{key for one in among for key in one.keys} for among in ours]
    assert keys[0] & keys[1]


def test_a_headers_warning_has_a_common_key_wherever_the_header_is_included() -> None:
    runs = [of({(CLANG, "y"): [in_header(582, made)]}) for made in ("a.o", "b.o")]
    assert set(runs[0][0].keys) & set(runs[1][0].keys)


def test_a_key_that_two_problems_share_is_neithers() -> None:
    where = Site(file="a.c", line=3, symbol="takes", code="static int takes(int *p)")
    said = [
        error(f"too {what} arguments", line, symbols=(), sites=(Site(file="a.c", line=line), where))
        for what, line in (("many", 12), ("few", 40))
    ]
    one, two = of({(GCC, "y"): said[:1], (GCC, "n"): said[1:]})
    assert one.keys
    assert two.keys
    assert not set(one.keys) & set(two.keys)


def test_what_another_compiler_says_in_more_configurations_keeps_the_key_that_both_have() -> None:
    gcc, clang = log("gcc-14-story"), log("clang-19-story")
    found = of({(GCC, "y"): gcc, (GCC, "n"): [], (CLANG, "y"): clang, (CLANG, "n"): clang})
    assert len(found) == 2
    assert set(found[0].keys) & set(found[1].keys)


@pytest.mark.parametrize(("line", "count"), [(5, 1), (50, 2)])
def test_what_another_version_of_a_compiler_words_anew_is_one_at_the_same_line(line: int, count: int) -> None:
    said = {
        ("gcc-12", "y"): [error("'x' is wrong", 5, symbols=("x",))],
        (GCC, "y"): [error("'x' is not right", line, symbols=("x",))],
    }
    assert len(of(said)) == count


@pytest.mark.parametrize(("line", "count"), [(5, 1), (50, 2)])
def test_where_no_configuration_was_built_with_both_only_the_same_line_is_one(line: int, count: int) -> None:
    said = {
        (GCC, "y"): [error("'x' is wrong", 5, symbols=("x",))],
        (CLANG, "n"): [error("'x' is not right", line, tool="clang", symbols=("x",))],
    }
    assert len(of(said)) == count


def test_toolchains_that_say_the_very_same_have_it_as_their_telling_diagnostic_each() -> None:
    said, clang = log("gcc-14-story"), log("clang-19-story")
    (found,) = of({("gcc-13", "y"): said, (GCC, "y"): said, (CLANG, "y"): clang})
    assert list(found.severity) == ["gcc-13", GCC, CLANG]
    assert found.diagnostics == (said[0].diagnostic.key, said[0].diagnostic.key, clang[0].diagnostic.key)


def test_other_configurations_are_another_problem() -> None:
    found = of(
        {
            (GCC, "y"): log("gcc-14-story"),
            (GCC, "n"): [],
            (CLANG, "y"): [],
            (CLANG, "n"): log("clang-19-story"),
        }
    )
    assert [set(one.severity) for one in found] == [{GCC}, {CLANG}]


def test_a_compiler_that_builds_one_of_the_configurations_without_it_has_another_problem() -> None:
    gcc, clang = log("gcc-14-story"), log("clang-19-story")
    found = of({(GCC, "y"): gcc, (GCC, "n"): gcc, (CLANG, "y"): clang, (CLANG, "n"): []})
    assert len(found) == 2


def test_two_symbols_in_one_file_and_cell_are_two_with_both_compilers() -> None:
    def said(tool: str, text: str) -> list[Occurrence]:
        return [
            error(text.format(n), line, tool=tool, symbols=(n,)) for n, line in (("alpha", 5), ("beta", 9))
        ]

    found = of(
        {
            (GCC, "y"): said("gcc", "implicit declaration of function '{}'"),
            (CLANG, "y"): said("clang", "call to undeclared function '{}'"),
        }
    )
    assert len(found) == 2
    assert all(set(one.severity) == {GCC, CLANG} for one in found)
    assert not set(found[0].keys) & set(found[1].keys)


def test_two_members_that_a_struct_lacks_are_two_though_the_struct_is_the_same() -> None:
    texts = ["'struct kvm' has no member named 'one'", "'struct kvm' has no member named 'two'"]
    said = [error(t, n, symbols=("kvm", t[-4:-1])) for n, t in enumerate(texts, 5)]
    assert len(of({(GCC, "y"): said})) == 2


def test_two_undeclared_names_are_two_though_they_stand_in_one_line() -> None:
    code = "return foo + bar;"

    def said(tool: str, text: str) -> list[Occurrence]:
        sites = {n: (Site(file="a.c", line=5, symbol=n, code=code),) for n in ("foo", "bar")}
        return [error(text.format(n), 5, tool=tool, symbols=(n,), sites=its) for n, its in sites.items()]

    found = of({(GCC, "y"): said("gcc", "'{}' undeclared"), (CLANG, "y"): said("clang", "no such '{}'")})
    assert [set(one.severity) for one in found] == [{GCC, CLANG}, {GCC, CLANG}]
    assert not set(found[0].keys) & set(found[1].keys)


def test_what_the_compiler_guesses_was_meant_makes_no_other_problem() -> None:
    def said(guess: str) -> list[Occurrence]:
        ((one, made),) = parse_diagnostics(["  CC      a.o", f"a.c:5:2: error: 'gone' undeclared{guess}"])
        return [Occurrence(one, made)]

    guesses = {"y": said("; did you mean 'done'?"), "n": said("")}
    assert len(of({(GCC, kvm): among for kvm, among in guesses.items()})) == 1


@pytest.mark.parametrize(("one", "two"), [("sha224", "sha256"), ("compat_32", "compat_64"), ("f10", "f11")])
def test_names_that_differ_in_a_number_are_two_problems(one: str, two: str) -> None:
    said = [error(f"'{n}' undeclared", line, symbols=(n,)) for line, n in enumerate((one, two), 5)]
    assert len(of({(GCC, "y"): said})) == 2


@pytest.mark.parametrize(
    "name", ["__compiletime_assert_{}", "__UNIQUE_ID_kmod{}", "__initcall__kmod_a__{}_9_init6"]
)
def test_names_that_count_are_one_problem_whatever_they_count(name: str) -> None:
    said = [error(f"'{name.format(n)}' again", 5, symbols=(name.format(n),)) for n in (12, 345)]
    assert len(of({(GCC, "y"): said[:1], (GCC, "n"): said[1:]})) == 1


def test_two_assertions_are_two_though_both_lie_in_one_macro() -> None:
    def built(tool: str, number: int, what: str, line: int) -> Occurrence:
        use = Site(file="a.c", line=line, symbol="BUILD_BUG_ON", code=f"BUILD_BUG_ON({what});")
        inside = Site(file="include/linux/compiler_types.h", line=543, macro=True)
        sites = (inside, use) if tool == "gcc" else (use, inside)
        message = f"call to '__compiletime_assert_{number}' declared with error: BUILD_BUG_ON failed: {what}"
        file, at = (sites[0].file, sites[0].line)
        name = f"__compiletime_assert_{number}"
        return error(message, at or 0, tool=tool, file=file, symbols=(name,), sites=sites)

    one = {tool: [built(tool, 3, "a != b", 10), built(tool, 4, "c > d", 20)] for tool in ("gcc", "clang")}
    found = of({(GCC, "y"): one["gcc"], (CLANG, "y"): one["clang"]})
    assert len(found) == 2
    assert all(set(problem.severity) == {GCC, CLANG} for problem in found)


def test_the_same_local_name_in_two_files_is_two_problems() -> None:
    said = [error("unused variable 'ret'", 5, made, symbols=("ret",)) for made in ("a.o", "b.o")]
    assert len(of({(GCC, "y"): said})) == 2


def test_two_different_complaints_about_one_local_name_are_two_problems() -> None:
    said = [
        error("unused variable 'ret'", 5, symbols=("ret",), flag="-Wunused-variable"),
        error("'ret' is used uninitialized", 50, symbols=("ret",), flag="-Wuninitialized"),
    ]
    assert len(of({(GCC, "y"): said})) == 2


def test_what_follows_on_the_same_line_belongs_to_the_problem() -> None:
    said = [
        error("implicit declaration of function 'gone'", 5, symbols=("gone",)),
        error("initialization of 'int *' from 'int' makes pointer without a cast", 5, symbols=()),
    ]
    (found,) = of({(GCC, "y"): said})
    assert len(found.diagnostics) == 2


def test_a_note_that_points_at_the_other_makes_them_one() -> None:
    noted = ("a.c:5: previous implicit declaration of 'late' with type 'int()'",)
    said = [
        error("implicit declaration of function 'late'", 5, symbols=("late",)),
        error("conflicting types for 'late'", 20, symbols=("late",), notes=noted),
    ]
    assert len(of({(GCC, "y"): said})) == 1


def test_a_cascade_in_other_cells_is_a_problem_of_its_own() -> None:
    first = error("implicit declaration of function 'gone'", 5, symbols=("gone",))
    other = error("expected ';'", 5)
    assert len(of({(GCC, "y"): [first], (GCC, "n"): [other]})) == 2


def in_header(line: int, made: str) -> Occurrence:
    one = Diagnostic(
        severity="warning",
        tool="clang",
        file="include/asm-generic/io.h",
        line=line,
        message="performing pointer arithmetic on a null pointer has undefined behavior",
        flag="-Wnull-pointer-arithmetic",
    )
    return Occurrence(one, made)


def test_a_headers_warnings_are_one_problem_whatever_object_and_line() -> None:
    said = [in_header(line, made) for line in (582, 595, 608) for made in ("a.o", "b.o", "c/d.o")]
    (found,) = of({(CLANG, "y"): said, (CLANG, "n"): said[:1] + said[3:4] + said[6:7]})
    assert found.objects == ("a.o", "b.o", "c/d.o")
    assert found.title.startswith("include/asm-generic/io.h: performing")
    assert len(found.keys) == 4


def test_lines_without_a_symbol_in_different_cells_are_different_problems() -> None:
    said = [error("expected expression", line) for line in (5, 90)]
    assert len(of({(CLANG, "y"): said[:1], (CLANG, "n"): said[1:]})) == 2


def linking(tool: str, made: str, message: str) -> Occurrence:
    one = Diagnostic(severity="error", tool=tool, message=message, symbols=("missing",), file=made[:-1] + "c")
    return Occurrence(one, "vmlinux")


def test_an_undefined_symbol_is_one_problem_whoever_wants_it_and_whichever_linker_says_so() -> None:
    ld = [linking("ld", name, "undefined reference to `missing'") for name in ("a.o", "b.o")]
    lld = [linking("lld", "a.o", "undefined symbol: missing")]
    (found,) = of({(GCC, "y"): ld, (CLANG, "y"): lld})
    assert set(found.severity) == {GCC, CLANG}


def test_captured_linker_logs_agree_on_the_undefined_symbols() -> None:
    found = of({(GCC, "y"): log("ld-link"), (CLANG, "y"): log("lld-link")})
    shared = [one for one in found if set(one.severity) == {GCC, CLANG}]
    assert any("missing_function" in one.title for one in shared)
    assert any("missing_data" in one.title for one in shared)


def test_modpost_is_one_tool_in_both_toolchains() -> None:
    said = log("modpost-undefined")
    both = of({(GCC, "y"): said, (CLANG, "y"): said})
    assert len(both) == len(of({(GCC, "y"): said}))
    assert all(set(one.severity) == {GCC, CLANG} for one in both)


def test_kconfigs_warning_is_one_problem_in_all_lanes() -> None:
    said = log("kconfig-unmet-dependencies")
    rows = [cell(said, toolchain, arch) for toolchain in (GCC, CLANG) for arch in ("x86", "s390")]
    found = problems((row, said) for row in rows)
    assert all(len(one.cells) == 4 for one in found)


@pytest.mark.parametrize(
    ("one", "two"),
    [
        ("call to '__compiletime_assert_12' declared", "call to '__compiletime_assert_7' declared"),
        ("f()+0x10: unreachable instruction", "f()+0x3c: unreachable instruction"),
        ("array is 12 bytes", "array is 16 bytes"),
    ],
)
def test_numbers_are_no_part_of_a_construct(one: str, two: str) -> None:
    assert extract_construct(error(one, 1).diagnostic) == extract_construct(error(two, 1).diagnostic)


def test_errors_come_first_then_the_first_cell() -> None:
    warn = Occurrence(error("unused", 3).diagnostic.model_copy(update={"severity": "warning"}), "a.o")
    found = of({(GCC, "n"): [warn], (GCC, "y"): [error("'x' undeclared", 9, "b.o", symbols=("x",))]})
    assert [one.title.split(":")[0] for one in found] == ["b.o", "a.o"]


def test_the_order_of_the_cells_does_not_matter() -> None:
    run = the_story()
    turned = run.model_copy(update={"cells": run.cells[::-1]})
    (one,), (two,) = group_into_problems(run, {}), group_into_problems(turned, {})
    assert (one.title, one.keys, one.severity, one.objects) == (
        two.title,
        two.keys,
        two.severity,
        two.objects,
    )


def test_a_diagnostic_that_the_record_lost_is_left_out() -> None:
    run: Run = the_story().model_copy(update={"diagnostics": {}})
    assert group_into_problems(run, {}) == ()


@pytest.mark.parametrize("named", [False, True])
def test_thousands_of_messages_at_one_place_are_grouped_in_time(named: bool) -> None:
    letters = "abcdefghijklmnopqrst"
    words = ["".join(word) for word in itertools.product(letters, repeat=3)][:2000]
    said = [error(f"so {word} of 'x'" if named else f"so {word}", 7) for word in words]
    with limit_cpu(30):
        assert len(problems([(cell(said), said)])) == 1
