"""Kconfig files that a stranger wrote to hang or break their reader: each ends soon, and in words."""

import os
import subprocess
import tracemalloc
from pathlib import Path

import pytest

from matrix.errors import RequestError
from matrix.kconfig.config import Config, SymbolCheck, parse_origin
from matrix.kconfig.definitions import (
    Definitions,
    collect_definitions,
    compile_source_path,
    read_tree_definitions,
)
from matrix.kconfig.expressions import evaluate_expression, list_macros, split_conjuncts
from matrix.resolve.reasons import explain_check
from tests.stopwatch import limit_cpu

A = "config A\n\tbool\n"
MACROS = "$(A)" * 40
SECONDS = 5
"""Far above what it takes, far below what it took."""


def nested_sources(count: int, repeat: int = 1) -> dict[str, str]:
    """A chain of files, each of which sources the next so many times."""
    return {"Kconfig": 'source "0"\n' * repeat} | {
        str(number): f"config S{number}\n" + f'source "{number + 1}"\n' * repeat for number in range(count)
    }


# Name → the words for what is left out, or "", and the files.
HOSTILE: dict[str, tuple[str, dict[str, str]]] = {
    "forty macros in a path": ("", {"Kconfig": f'source "{MACROS}X"\n', "a" * 200: A}),
    "macros and what stands between them": (
        "",
        {"Kconfig": f'source "{"$(A)a" * 40}X"\n', "a" * 250: A},
    ),
    "macros in every component": (
        "",
        {"Kconfig": f'source "{"/".join(["$(A)$(B)"] * 25)}X"\n', "a/" * 24 + "b": A},
    ),
    "a file that sources itself": ("", {"Kconfig": 'source "Kconfig"\n' * 10_000 + A}),
    "two files that source each other": (
        "",
        {"Kconfig": 'source "b"\n' * 100, "b": 'source "Kconfig"\n' * 100 + A},
    ),
    "a path of a million characters": (
        "paths with macros",
        {"Kconfig": f'source "{"a$(A)" * 200_000}"\n', "a": A},
    ),
    "a thousand paths with macros": (
        "paths with macros",
        {"Kconfig": "".join(f'source "{number}$(A)/$(B)b"\n' for number in range(1000))}
        | {f"{number}a/b": A for number in range(1000)},
    ),
    "a chain of files": ("source one another more than 100 deep", nested_sources(5000)),
    "files that double": ("definitions and conditions", nested_sources(40, repeat=2)),
    "a path of a thousand directories": (
        "32 directories deep",
        {"Kconfig": f'source "{"d/" * 1000}Kconfig"\n'},
    ),
    "blocks in one another": ("100 blocks in one another", {"Kconfig": "if X\n" * 200_000 + A}),
    "a menu with many conditions": (
        "500000 conditions",
        {"Kconfig": 'menu "m"\n' + "\tdepends on X\n" * 50_000 + "config A\n" * 20_000},
    ),
    "many definitions": ("50000 definitions", {"Kconfig": "config A\n" * 400_000}),
    "many definitions in many files": (
        "definitions and conditions",
        {"Kconfig": "".join(f'source "{n}"\n' for n in range(40))}
        | {str(n): "config A\n" * 20_000 for n in range(40)},
    ),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_what_is_over_a_bound_is_left_out_in_words(name: str) -> None:
    words, files = HOSTILE[name]
    with limit_cpu(SECONDS):
        found = collect_definitions(files)
    assert words in found.left_out
    assert bool(words) == bool(found.left_out)
    assert len(found.left_out) < 200


HARMLESS = {
    "a long comment": f"# {'x' * 500_000}\n{A}",
    "quotes without an end": f'# "\n{A}\tprompt {"a" * 200_000}"{"b" * 200_000}\n',
    "backslashes": f'{A}\tprompt "{chr(92) * 300_001}\n',
    "continued lines": f"{A}\tdepends on X{chr(92)}\n" + f"X{chr(92)}\n" * 300_000,
    "macros without an end": A + "\tdefault " + "$(" * 100_000 + " # x\n",
    "a help text in tabs": f"{A}\thelp\n{chr(9) * 200_000}x\n",
    "a million empty lines": "\n" * 1_000_000 + A,
    "spaces": " " * 500_000 + "config A\n" + A,
    "endings without a beginning": "endif\nendmenu\nendchoice\n" * 50_000 + A,
    "NUL bytes": "\0" * 100_000 + "\n" + A,
}


@pytest.mark.parametrize("name", HARMLESS)
def test_a_strange_file_is_read_in_time(name: str) -> None:
    with limit_cpu(SECONDS):
        found = collect_definitions({"Kconfig": HARMLESS[name]})
    assert "A" in found.by_name
    assert not found.left_out


def test_a_macro_stands_for_one_name_wherever_it_is() -> None:
    for source, path in [
        ("$(A)$(B)", "ab"),
        ("x$(A)a$(B)y", "xaaay"),
        ("x$(A)ab$(B)ab", "xxabxabab"),
        ("$(A)/$(B).c", "a/b.c"),
        ("$(A)a.+$(B)", "xa.+y"),
    ]:
        assert compile_source_path(source).fullmatch(path), source
    for source, path in [("$(A)$(B)", "a"), ("$(A)", "a/b"), ("$(A)x$(B)", "ax"), ("a$(A)b", "ab")]:
        assert not compile_source_path(source).fullmatch(path), source


@pytest.mark.parametrize(
    "expr",
    [
        "(" * 100_000,
        "(" * 60 + "A" + ")" * 60,
        "(" * 1000 + "A" + ")" * 1000,
        "A && " * 100_000 + "A",
        "A" * 100_000,
        "$(" * 100_000,
        '"' + "\\" * 100_000,
    ],
)
def test_an_expression_over_a_bound_is_refused(expr: str) -> None:
    for read in (list_macros, split_conjuncts, lambda text: evaluate_expression(text, Config({}))):
        with limit_cpu(1), pytest.raises(RequestError) as refusal:
            read(expr)
        assert len(str(refusal.value)) < 600


def test_an_expression_within_the_bounds_is_evaluated() -> None:
    config = Config({"A": "y"})
    assert evaluate_expression("!" * 4000 + "A", config) == "y"
    assert evaluate_expression("!" * 3999 + "A", config) == "n"
    assert evaluate_expression("(" * 50 + "A" + ")" * 50, config) == "y"
    assert evaluate_expression("!(" * 49 + "A" + ")" * 49, config) == "n"
    assert evaluate_expression(" && ".join(["A"] * 500), config) == "y"
    assert split_conjuncts(" && ".join(["A"] * 500)) == ("A",) * 500
    assert split_conjuncts("(A && " * 49 + "A" + ")" * 49) == ("A",) * 50


def test_a_number_of_more_than_64_bits_is_compared_as_text() -> None:
    config = Config({"A": "9" * 5000, "B": "10", "C": "9223372036854775807"})
    assert evaluate_expression("A > B", config) == "y"
    assert evaluate_expression("C = 9223372036854775807", config) == "y"
    assert evaluate_expression("C > 10", config) == "y"
    assert evaluate_expression("10000000000000000000 < 9", config) == "y"
    assert evaluate_expression("A = " + "9" * 4000, config) == "n"
    assert evaluate_expression(f"B < 0x{'f' * 100}", config) == "n"


def test_a_config_is_parsed_in_time() -> None:
    with limit_cpu(SECONDS):
        parse_origin("# " + "/" * 200_000 + "\n" + "# a/" + "b " * 100_000 + "\n")
        Config.parse('CONFIG_A="' + "a\\\\" * 200_000 + '"\n')
        assert len(Config.parse("".join(f"CONFIG_A{n}=y\n" for n in range(200_000)))) == 200_000
    with limit_cpu(SECONDS), pytest.raises(RequestError) as refusal:
        Config.parse('CONFIG_A="' + "a" * 1_000_000)
    assert len(str(refusal.value)) < 200


def test_a_compiler_s_version_of_5000_digits_is_none() -> None:
    text = f"CONFIG_CC_IS_GCC=y\nCONFIG_GCC_VERSION={'1' * 5000}\n"
    compiler = parse_origin(text).compiler
    assert compiler is not None
    assert compiler.version == 0


def write_tree(root: Path, text: str) -> None:
    root.mkdir(exist_ok=True)
    (root / "Kconfig").write_text(text)


def test_a_pipe_a_link_and_a_directory_are_left_out(tmp_path: Path) -> None:
    for name, source in {"Kconfig.pipe": "pipe", "Kconfig.link": "link", "Kconfig.loop": "loop"}.items():
        root = tmp_path / source
        write_tree(root, f'{A}source "{name}"\n')
        os.mkfifo(root / "Kconfig.pipe")
        (root / "Kconfig.link").symlink_to("/dev/zero")
        (root / "Kconfig.loop").symlink_to("Kconfig.loop")
        found = read_tree_definitions(root, "x86")
        assert set(found.by_name) == {"A"}
        assert name in found.left_out


def test_what_cannot_be_read_and_is_not_sourced_does_no_harm(tmp_path: Path) -> None:
    write_tree(tmp_path, A)
    os.mkfifo(tmp_path / "Kconfig.pipe")
    assert read_tree_definitions(tmp_path, "x86") == Definitions(
        collect_definitions({"Kconfig": A}).by_name, left_out=""
    )


def test_a_root_file_that_is_no_file_leaves_all_out(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "Kconfig")
    (tmp_path / "Kconfig.a").write_text(A)
    found = read_tree_definitions(tmp_path, "x86")
    assert not found.by_name
    assert "no regular file" in found.left_out


def test_a_big_file_is_left_out(tmp_path: Path) -> None:
    write_tree(tmp_path, f'source "Kconfig.big"\n{A}')
    with (tmp_path / "Kconfig.big").open("wb") as file:
        file.truncate(2**40)
    tracemalloc.start()
    found = read_tree_definitions(tmp_path, "x86")
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert "Kconfig.big" in found.left_out
    assert peak < 50 * 2**20


def test_directories_in_one_another_do_no_harm(tmp_path: Path) -> None:
    write_tree(tmp_path, A)
    deepest = os.open(tmp_path, os.O_RDONLY)
    for _ in range(2200):
        os.mkdir("d", dir_fd=deepest)
        below = os.open("d", os.O_RDONLY, dir_fd=deepest)
        os.close(deepest)
        deepest = below
    os.close(deepest)
    with limit_cpu(SECONDS):
        found = read_tree_definitions(tmp_path, "x86")
    subprocess.run(["rm", "-rf", tmp_path / "d"], check=True)  # too deep for shutil's recursion
    assert (set(found.by_name), found.left_out) == ({"A"}, "")


def test_a_link_to_a_directory_is_not_followed(tmp_path: Path) -> None:
    write_tree(tmp_path, f'{A}source "loop/Kconfig.b"\n')
    (tmp_path / "Kconfig.b").write_text("config B\n")
    (tmp_path / "loop").symlink_to(".")
    assert set(read_tree_definitions(tmp_path, "x86").by_name) == {"A"}


def test_a_reason_is_not_known_where_files_were_left_out() -> None:
    definitions = Definitions(collect_definitions({"Kconfig": A}).by_name, "'b' is a directory")
    check = SymbolCheck("B", "y", "n")
    assert explain_check(check, Config({}), definitions, arch="x86") == (
        "B=y: became n; why is not known: 'b' is a directory"
    )
