"""What a .config says of where it comes from."""

import pytest

from matrix.errors import RequestError
from matrix.kconfig.config import ConfigCompiler, ConfigOrigin, parse_origin

GCC = """\
CONFIG_CC_VERSION_TEXT="powerpc64le-linux-gnu-gcc-14 (Debian 14.2.0-19) 14.2.0"
CONFIG_CC_IS_GCC=y
CONFIG_GCC_VERSION=140200
CONFIG_CLANG_VERSION=0
"""
CLANG = """\
CONFIG_CC_VERSION_TEXT="Debian clang version 19.1.7 (3+b1)"
CONFIG_GCC_VERSION=0
CONFIG_CC_IS_CLANG=y
CONFIG_CLANG_VERSION=190107
"""


@pytest.mark.parametrize(
    ("line", "arch", "version"),
    [
        ("# Linux/powerpc 6.12.118 Kernel Configuration", "powerpc", "6.12.118"),
        ("# Linux/x86_64 5.4.0-rc3+ Kernel Configuration", "x86_64", "5.4.0-rc3+"),
        ("# Miniature/arm64 6.12.0 configuration", "arm64", "6.12.0"),
        ("# Linux kernel version: 2.6.32", None, None),
        ("# CONFIG_A is not set", None, None),
    ],
)
def test_the_head_tells_arch_and_version(line: str, arch: str | None, version: str | None) -> None:
    said = parse_origin(f"#\n# Automatically generated file; DO NOT EDIT.\n{line}\n#\nCONFIG_B=y\n")
    assert said == ConfigOrigin(arch, version, None)


def test_its_symbols_tell_the_compiler() -> None:
    text = "powerpc64le-linux-gnu-gcc-14 (Debian 14.2.0-19) 14.2.0"
    assert parse_origin(GCC).compiler == ConfigCompiler("gcc", 140200, text)
    assert parse_origin(CLANG).compiler == ConfigCompiler(
        "clang", 190107, "Debian clang version 19.1.7 (3+b1)"
    )


def test_a_compiler_without_version_or_text_is_known_by_its_family() -> None:
    assert parse_origin("CONFIG_CC_IS_GCC=y\n").compiler == ConfigCompiler("gcc", 0, "gcc")


def test_another_family_is_farther_than_any_version() -> None:
    mine, older, other = (
        ConfigCompiler("gcc", 140200, ""),
        ConfigCompiler("gcc", 40900, ""),
        ConfigCompiler("clang", 140000, ""),
    )
    assert mine.measure_distance(ConfigCompiler("gcc", 140300, "")) == mine.measure_distance(mine)
    assert mine.measure_distance(mine) < mine.measure_distance(older) < mine.measure_distance(other)


def test_what_is_no_config_is_refused() -> None:
    with pytest.raises(RequestError, match="line 1 is no line"):
        parse_origin("make: *** No rule")
