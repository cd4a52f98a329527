"""Compilers' own words, and the toolchains that they name."""

import pytest

from matrix.foreign_builds.compiler_name import name_toolchain
from matrix.kconfig.config import ConfigCompiler


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("powerpc64le-linux-gnu-gcc (Debian 14.2.0-19) 14.2.0", "gcc-14"),
        ("gcc (Ubuntu 13.2.0-4ubuntu3) 13.2.0", "gcc-13"),
        ("gcc (GCC) 9.2.1 20190827 (Red Hat 9.2.1-1)", "gcc-9"),
        ("powerpc-linux-gcc (GCC) 12.1.0", "gcc-12"),
        ("x86_64-linux-gnu-gcc-13 (Debian 13.3.0-1) 13.3.0", "gcc-13"),
        ("gcc-12.1.0", "gcc-12"),
        ("gcc-4.9", "gcc-4"),
        ("Debian clang version 19.1.7 (3+b1)", "clang-19"),
        ("clang version 18.0.0 (https://github.com/llvm/llvm-project 0123)", "clang-18"),
        ("Ubuntu clang version 14.0.0-1ubuntu1.1", "clang-14"),
        ("Android (8508608, based on r450784e) clang version 14.0.7", "clang-14"),
        ("clang-17", "clang-17"),
        ("llvm-18", "clang-18"),
        ("korg-clang-20", "clang-20"),
        ("gcc", "gcc"),
        ("clang", "clang"),
        ("icc (ICC) 19.0", "unknown"),
        ("", "unknown"),
    ],
)
def test_a_compiler_names_its_toolchain(text: str, name: str) -> None:
    assert name_toolchain(text, None) == name


def test_a_config_names_it_where_nothing_else_does() -> None:
    gcc = ConfigCompiler("gcc", 140200, "gcc (Debian 14.2.0-19) 14.2.0")
    assert name_toolchain(None, gcc) == "gcc-14"
    assert name_toolchain(None, ConfigCompiler("clang", 190107, "clang")) == "clang-19"
    assert name_toolchain(None, ConfigCompiler("gcc", 0, "gcc")) == "gcc"
    assert name_toolchain("gcc-13", gcc) == "gcc-13"
    assert name_toolchain("gcc", gcc) == "gcc-14"


@pytest.mark.parametrize("text", ["gcc-14/../../etc", "gcc-14\x1b[31m", "clang version 19$(reboot)"])
def test_no_name_has_more_than_a_family_and_a_number(text: str) -> None:
    assert name_toolchain(text, None) in {"gcc-14", "clang-19"}
