"""What of a tree would define a symbol: small trees with one difference each."""

import os
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from matrix.source.symbol_providers import MAX_MISSING_SYMBOLS, find_symbol_providers
from tests.stopwatch import limit_cpu

MTD = {
    "drivers/Makefile": "obj-y += base/\nobj-$(CONFIG_MTD)\t\t+= mtd/\n",
    "drivers/mtd/Makefile": (
        "# SPDX\nobj-$(CONFIG_MTD)\t\t+= mtd.o\nmtd-y\t:= mtdcore.o \\\n\tmtdsuper.o # both\n"
        "obj-$(CONFIG_MTD_BLOCK) += mtdblock.o\n"
    ),
    "drivers/mtd/mtdcore.c": "int mtd_point(int a)\n{\n}\nEXPORT_SYMBOL_GPL(mtd_point);\n",
    "drivers/mtd/mtdsuper.c": 'EXPORT_SYMBOL_NS_GPL( get_tree_mtd, "MTD" );\n',
    "drivers/mtd/mtdblock.c": "EXPORT_SYMBOL(mtdblock);\n",
    "drivers/base/Makefile": "obj-y += core.o\n",
    "drivers/base/core.c": "struct device *\nget_device(struct device *d)\n{\n\treturn d;\n}\n",
    "include/linux/mtd.h": "int mtd_point(int a);\n",
    "fs/cramfs/inode.c": "int f(void) { return mtd_point(1); }\n",
}


def find(
    tree: Path, *symbols: str, more: dict[str, str] | None = None, seconds: float = 20
) -> dict[str, str]:
    for name, text in {**MTD, **(more or {})}.items():
        path = tree / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    paths = [str(path.relative_to(tree)) for path in tree.rglob("*") if not path.is_dir()]
    return find_symbol_providers(tree, paths, symbols, seconds)


def test_sources_of_one_module_are_brought_by_one_kconfig_symbol(tmp_path: Path) -> None:
    assert find(tmp_path, "mtd_point", "get_tree_mtd", "mtdblock") == {
        "mtd_point": "CONFIG_MTD",
        "get_tree_mtd": "CONFIG_MTD",
        "mtdblock": "CONFIG_MTD_BLOCK",
    }


def test_what_is_always_built_is_brought_by_its_object(tmp_path: Path) -> None:
    more = {"lib/Makefile": "lib-y += a.o\n", "lib/a.c": "unsigned long table[4];\n"}
    assert find(tmp_path, "get_device", "table", more=more) == {
        "get_device": "drivers/base/core.o",
        "table": "lib/a.o",
    }


@pytest.mark.parametrize(
    "text",
    [
        "int other(void)\n{\n}\n",
        "int __init other(struct a *b,\n\t   int c)\n{\n}\n",
        "struct a *other(void) {\n}\n",
        "const struct file_operations other = {\n};\n",
        "int other;\n",
        "SYM_FUNC_START(other)\n",
        "ENTRY(other)\n",
        'EXPORT_SYMBOL_FOR_MODULES(other, "kvm");\n',
        "EXPORT_TRACEPOINT_SYMBOL_GPL(other);\n",
    ],
)
def test_a_definition_in_any_form_is_found(tmp_path: Path, text: str) -> None:
    assert find(tmp_path, "other", more={"kernel/o.c": text}) == {"other": "kernel/o.o"}


@pytest.mark.parametrize(
    "text",
    [
        "static int other(void)\n{\n}\n",
        "static struct a *\nother(void)\n{\n}\n",
        "extern int other;\n",
        "int other(void);\n",
        "\tother = 1;\n",
        "\treturn other(1);\n",
        "int another(void)\n{\n}\n",
        "int other_one(void)\n{\n}\n",
        "EXPORT_SYMBOL(other_one);\n",
    ],
)
def test_a_use_or_another_name_is_no_definition(tmp_path: Path, text: str) -> None:
    assert find(tmp_path, "other", more={"kernel/o.c": text}) == {}


def test_two_definitions_are_none_and_an_export_decides(tmp_path: Path) -> None:
    both = {"kernel/a.c": "int other(void)\n{\n}\n", "kernel/b.c": "int other(void)\n{\n}\n"}
    assert find(tmp_path, "other", more=both) == {}
    exported = {"kernel/b.c": both["kernel/b.c"] + "EXPORT_SYMBOL(other);\n"}
    assert find(tmp_path, "other", more={**both, **exported}) == {"other": "kernel/b.o"}


def test_exports_of_two_arches_are_ambiguous(tmp_path: Path) -> None:
    both = {f"arch/{arch}/lib/a.c": "EXPORT_SYMBOL(other);\n" for arch in ("x86", "arm64")}
    assert find(tmp_path, "other", more=both) == {}


def test_what_is_built_under_two_symbols_is_brought_by_its_object(tmp_path: Path) -> None:
    more = {
        "net/Makefile": "obj-$(CONFIG_A) += n.o\nobj-$(CONFIG_B) += n.o\n",
        "net/n.c": "EXPORT_SYMBOL(other);\n",
    }
    assert find(tmp_path, "other", more=more) == {"other": "net/n.o"}


def test_a_makefile_that_leads_round_in_circles_ends(tmp_path: Path) -> None:
    more = {"net/Makefile": "a-y := b.o\nb-y := a.o\n", "net/a.c": "EXPORT_SYMBOL(other);\n"}
    assert find(tmp_path, "other", more=more) == {"other": "net/a.o"}


def test_tools_and_samples_define_nothing(tmp_path: Path) -> None:
    more = {f"{top}/a.c": "EXPORT_SYMBOL(other);\n" for top in ("tools", "samples", "scripts")}
    assert find(tmp_path, "other", more=more) == {}


def test_links_pipes_and_missing_files_are_passed_by(tmp_path: Path) -> None:
    find(tmp_path)
    (tmp_path / "kernel").mkdir()
    (tmp_path / "kernel/link.c").symlink_to(tmp_path / "drivers/mtd/mtdcore.c")
    os.mkfifo(tmp_path / "kernel/pipe.c")
    paths = ["kernel/link.c", "kernel/pipe.c", "kernel/gone.c", "../../etc/passwd.c", "/etc/x.c"]
    assert find_symbol_providers(tmp_path, paths, ["mtd_point"]) == {}


def test_what_takes_too_long_says_only_what_is_certain(tmp_path: Path) -> None:
    assert find(tmp_path, "mtd_point", seconds=-1) == {}
    assert find(tmp_path, *(f"s{number}" for number in range(MAX_MISSING_SYMBOLS + 1))) == {}


@pytest.mark.parametrize(
    "line",
    [
        "int " + "a" * 200_000 + "\n",
        "int " + "other " * 50_000 + "\n",
        "int other" + "(" * 100_000 + "\n",
        "int other(" * 20_000 + "\n",
        "int other(" + "a," * 100_000 + "\n",
        "EXPORT_SYMBOL(" * 20_000 + "other\n",
        "EXPORT_" + "SYMBOL" * 50_000 + "\n",
        " " * 300_000 + "other\n",
        "int other" + " " * 300_000 + "\n",
        "int other(a)\n\n\n" * 50_000,
        "int x other(\n" * 50_000,
    ],
)
def test_a_hostile_source_takes_no_time(tmp_path: Path, line: str) -> None:
    with limit_cpu(2):
        find(tmp_path, "other", more={"kernel/h.c": f"other\n{line}"})


@settings(deadline=None, max_examples=50)
@given(st.text(alphabet="abcother(){}[];= \n\t*_SYM", max_size=200))
def test_any_source_is_read(tmp_path_factory: pytest.TempPathFactory, text: str) -> None:
    found = find(tmp_path_factory.mktemp("tree"), "other", more={"kernel/h.c": text})
    assert found in ({}, {"other": "kernel/h.o"})
