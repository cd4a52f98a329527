"""What make would do now, read from the recipes that kbuild of several versions prints."""

from collections.abc import Iterable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from matrix.builder.dry_run import DryRun, find_belonging_objects, parse_dry_run

TRAPS = "trap 'rm -f drivers/vfio/built-in.a; trap - INT; kill -s INT $$' INT; "
# 6.12 without its traps; 5.10; 4.19; what is made of nothing.
ARCHIVES = {
    "printf": (
        f"set -e;  echo '  AR      drivers/vfio/built-in.a';   {TRAPS} rm -f drivers/vfio/built-in.a;  "
        'printf "drivers/vfio/%s " vfio_main.o ../../virt/kvm/vfio.o pci/built-in.a | '
        "xargs s390x-linux-gnu-ar cDPrST drivers/vfio/built-in.a; printf '%s\\n' "
        "'savedcmd_drivers/vfio/built-in.a := rm -f drivers/vfio/built-in.a;  "
        'printf "drivers/vfio/%s " other.o | xargs powerpc64le-linux-gnu-ar cDPrST drivers/vfio/built-in.a\''
    ),
    "words": (
        "set -e; echo '  AR      drivers/vfio/built-in.a'; rm -f drivers/vfio/built-in.a; llvm-ar cDPrST "
        "drivers/vfio/built-in.a drivers/vfio/vfio_main.o drivers/vfio/../../virt/kvm/vfio.o "
        "drivers/vfio/pci/built-in.a; printf '%s\\n' 'cmd_drivers/vfio/built-in.a := x.o'"
    ),
    "old": (
        "rm -f drivers/vfio/built-in.a; ar rcSTPD drivers/vfio/built-in.a drivers/vfio/vfio_main.o "
        "virt/kvm/vfio.o drivers/vfio/pci/built-in.a"
    ),
}
MEMBERS = {"drivers/vfio/vfio_main.o", "virt/kvm/vfio.o", "drivers/vfio/pci/built-in.a"}


def put(build: Path, *names: str) -> None:
    for name in names:
        path = build / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("object")


@pytest.mark.parametrize("form", ARCHIVES)
def test_an_archive_s_recipe_names_its_members(form: str) -> None:
    assert parse_dry_run([ARCHIVES[form]]).members == {"drivers/vfio/built-in.a": MEMBERS}


@pytest.mark.parametrize(
    "line",
    [
        "rm -f drivers/vfio/built-in.a;  s390x-linux-gnu-ar cDPrST drivers/vfio/built-in.a; printf '%s'",
        "rm -f drivers/vfio/built-in.a;  ar cDPrST drivers/vfio/built-in.a",
    ],
)
def test_an_archive_of_nothing_has_no_members(line: str) -> None:
    assert parse_dry_run([line]).members == {"drivers/vfio/built-in.a": frozenset()}


@pytest.mark.parametrize(
    "line",
    [
        "set -e; {   echo a/x.o;   cat a/b/modules.order; :; } > a/modules.order; printf '%s\\n' 'x'",
        "{   echo a/x.ko;   cat a/b/modules.order; :; } | awk '!x[$0]++' - > a/modules.order",
    ],
)
def test_a_modules_order_names_its_modules_and_those_below(line: str) -> None:
    assert parse_dry_run([line]).members == {"a/modules.order": {"a/x.o", "a/b/modules.order"}}


@pytest.mark.parametrize(
    ("line", "due"),
    [
        ("set -e;  echo '  CC [M]  a/../b/x.o';   gcc -c -o a/../b/x.o /src/b/x.c", {"b/x.o"}),
        ("  gcc -Wp,-MMD,a/.x.o.d -c -o a/x.o /src/a/x.c; scripts/basic/fixdep", {"a/x.o"}),
        ("echo '  RUSTC L rust/core.o'; rustc --emit=obj=rust/core.o", {"rust/core.o"}),
        ("make -f /src/scripts/Makefile.build obj=a", set()),
        ("", set()),
    ],
)
def test_what_would_be_made_is_due(line: str, due: set[str]) -> None:
    assert {name for name in parse_dry_run([line]).due if name.endswith(".o")} == due


WHOLE = DryRun(
    {
        "built-in.a": frozenset({"a/built-in.a", "b/built-in.a"}),
        "a/built-in.a": frozenset({"a/x.o", "a/sub/built-in.a"}),
        "a/sub/built-in.a": frozenset({"a/sub/y.o"}),
        "a/modules.order": frozenset({"a/m.o", "a/single.o"}),
        "b/built-in.a": frozenset({"b/z.o", "b/due.o"}),
        "lib/lib.a": frozenset({"lib/l.o"}),
        "far/built-in.a": frozenset({"far/f.o"}),
    },
    frozenset({"b/due.o", "a/m.o"}),
)
EVERY = ("a/x.o", "a/sub/y.o", "a/m.o", "a/m1.o", "a/m2.o", "a/single.o", "b/z.o", "b/due.o", "lib/l.o")


def standing(build: Path, tried: Iterable[str], failed: Iterable[str] = ()) -> frozenset[str]:
    return find_belonging_objects(build, WHOLE, frozenset(tried), frozenset(failed)).standing


@pytest.fixture
def build(tmp_path: Path) -> Path:
    put(tmp_path, *EVERY, "far/f.o")
    (tmp_path / "a/m.mod").write_text("a/m1.o\na/m2.o\n")
    return tmp_path


def test_what_is_up_to_date_stands_where_make_came_by(build: Path) -> None:
    expected = {"a/x.o", "a/sub/y.o", "a/m1.o", "a/m2.o", "a/single.o", "b/z.o"}
    for seen in ("b/z.o", "a/x.o", "a/m1.o", "a/sub/y.o"):
        assert standing(build, [seen]) == expected - {seen}
        assert standing(build, [], [seen]) == expected - {seen}


def test_where_make_came_by_nothing_stands(build: Path) -> None:
    assert standing(build, []) == frozenset()
    assert standing(build, ["scripts/mod/empty.o", "kernel/bounds.s"]) == frozenset()
    assert standing(build, ["far/f.o"]) == frozenset()


def test_what_is_not_there_or_is_no_file_does_not_stand(build: Path) -> None:
    (build / "a/x.o").unlink()
    (build / "a/sub/y.o").unlink()
    (build / "a/sub/y.o").symlink_to("/etc/passwd")
    assert not {"a/x.o", "a/sub/y.o"} & standing(build, ["b/z.o"])


def test_a_library_belongs_to_no_list_of_the_configuration_unless_vmlinux_is_made_of_it(build: Path) -> None:
    def belonging(dry_run: DryRun) -> frozenset[str]:
        return find_belonging_objects(build, dry_run, frozenset(), frozenset()).belonging

    assert belonging(WHOLE) == {*EVERY, "far/f.o"} - {"lib/l.o"}
    named = DryRun({**WHOLE.members, "vmlinux.a": frozenset({"built-in.a", "lib/lib.a"})}, WHOLE.due)
    assert belonging(named) == {*EVERY, "far/f.o"}


@given(st.lists(st.text(max_size=60), max_size=20), st.sampled_from(list(ARCHIVES)), st.integers(0, 400))
def test_any_line_and_any_cut_names_no_more_than_is_there(lines: list[str], form: str, cut: int) -> None:
    parse_dry_run(lines)
    found = parse_dry_run([ARCHIVES[form][:cut]]).members.get("drivers/vfio/built-in.a", frozenset())
    assert {name for name in found if name.endswith(".o") and name[:-2] + ".o" in MEMBERS} <= MEMBERS


@pytest.mark.parametrize(
    "line", ["../x.o", "/etc/passwd.o", "a/../../x.o", "x\0.o"], ids=["up", "root", "detour", "null"]
)
def test_no_name_leads_out_of_the_build_directory(line: str) -> None:
    found = parse_dry_run([f"ar cDPrST a/built-in.a {line}"]).members["a/built-in.a"]
    assert found == frozenset()
