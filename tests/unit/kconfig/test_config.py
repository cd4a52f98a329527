"""Symbol values, .config files and fragments, requests verified against them, and where they come from."""

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from matrix.errors import RequestError
from matrix.kconfig.config import (
    Config,
    ConfigCompiler,
    ConfigOrigin,
    SymbolCheck,
    check_symbol,
    check_value,
    format_fragment,
    parse_origin,
    verify_symbols,
)
from tests.stopwatch import limit_cpu

# Cores are shared with compilers: a slow example is no fault of what is tested.
steady = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])

NAMES = st.text("ABCXYZ019_", min_size=1, max_size=4)
# What breaks a line in Python only, what quotes, what comments, and a few plain letters.
TEXTS = st.text("aZ0 \"\\#='$\t\v\f\x1c\x85\u2028é", max_size=8)
VALUES = st.one_of(
    st.sampled_from(["y", "m", "n"]),
    st.integers().map(str),
    st.integers(min_value=0).map(hex),
    TEXTS.map(lambda text: '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'),
)
CONFIGS = st.dictionaries(NAMES, VALUES, max_size=8).map(Config)

DOT_CONFIG = """\
#
# Automatically generated file; DO NOT EDIT.
# Linux/powerpc 6.12.48 Kernel Configuration
#
CONFIG_CC_VERSION_TEXT="powerpc64le-linux-gnu-gcc (Debian 14.2.0-19) 14.2.0"
CONFIG_PPC64=y
CONFIG_KVM_BOOK3S_64=m

# CONFIG_VFIO is not set
CONFIG_LOG_BUF_SHIFT=18
CONFIG_PHYSICAL_START=0x00000000
CONFIG_CMDLINE=""
"""


def test_a_dot_config_is_read_line_by_line() -> None:
    config = Config.parse(DOT_CONFIG)
    assert dict(config) == {
        "CC_VERSION_TEXT": '"powerpc64le-linux-gnu-gcc (Debian 14.2.0-19) 14.2.0"',
        "PPC64": "y",
        "KVM_BOOK3S_64": "m",
        "VFIO": "n",
        "LOG_BUF_SHIFT": "18",
        "PHYSICAL_START": "0x00000000",
        "CMDLINE": '""',
    }


def test_absent_and_not_set_are_both_n_but_only_one_is_mentioned() -> None:
    config = Config.parse(DOT_CONFIG)
    assert (config.value_of("VFIO"), config.value_of("KVM")) == ("n", "n")
    assert ("VFIO" in config, "KVM" in config) == (True, False)
    with pytest.raises(KeyError):
        config["KVM"]


def test_the_last_of_several_lines_on_a_symbol_counts() -> None:
    assert Config.parse("CONFIG_A=y\n# CONFIG_A is not set\nCONFIG_A=m\n") == Config({"A": "m"})


@pytest.mark.parametrize("line", ["CONFIG_A=y\r", "CONFIG_A=y  ", "CONFIG_A=y\t\r"])
def test_blanks_and_carriage_returns_at_the_end_of_a_line_do_not_count(line: str) -> None:
    assert Config.parse(line + "\n") == Config({"A": "y"})


@pytest.mark.parametrize(
    "comment", ["# CONFIG_A is not set yet", "#CONFIG_A is not set", "# CONFIG_A=y", "#", "", "   "]
)
def test_other_comments_and_blank_lines_say_nothing(comment: str) -> None:
    assert Config.parse(f"{comment}\n") == Config({})


@pytest.mark.parametrize(
    "line", ["KVM=y", "CONFIG_A", " CONFIG_A=y", "CONFIG_=y", "CONFIG_A B=y", 'CONFIG_A="x', 'CONFIG_A="x"y']
)
def test_a_malformed_line_is_refused_by_its_number(line: str) -> None:
    with pytest.raises(RequestError, match=r"line 3 is no line of a \.config: ") as refusal:
        Config.parse(f"CONFIG_B=y\n\n{line}\n")
    assert line.strip() in str(refusal.value).replace("\\", "")
    assert "CONFIG_NAME=value" in refusal.value.hint


def test_a_configuration_does_not_follow_the_mapping_that_it_was_made_of() -> None:
    values = {"A": "y"}
    config = Config(values)
    values["A"] = "n"
    assert config.value_of("A") == "y"


def test_equal_configurations_are_one_key_whatever_their_order() -> None:
    assert len({Config({"A": "y", "B": "m"}), Config({"B": "m", "A": "y"})}) == 1


def test_a_difference_counts_absent_as_n() -> None:
    here, there = Config({"A": "n", "B": "y", "C": "5"}), Config({"C": "6", "D": "n", "E": "m"})
    assert here.diff(there) == {"B": ("y", "n"), "C": ("5", "6"), "E": ("n", "m")}
    assert list(here.diff(there)) == ["B", "C", "E"]
    assert here.count_differences(there) == 3


@steady
@given(CONFIGS)
def test_what_is_written_is_read_back(config: Config) -> None:
    assert Config.parse(str(config)) == config


@steady
@given(CONFIGS, CONFIGS, CONFIGS)
def test_merging_is_associative_and_the_last_wins(one: Config, two: Config, three: Config) -> None:
    merged = one.merge(two).merge(three)
    assert merged == one.merge(two.merge(three))
    assert all(merged[name] == three[name] for name in three)
    assert merged.keys() == one.keys() | two.keys() | three.keys()


@steady
@given(CONFIGS, CONFIGS)
def test_merging_is_what_appending_the_files_means(one: Config, two: Config) -> None:
    assert Config.parse(str(one) + str(two)) == one.merge(two)


@steady
@given(CONFIGS, CONFIGS)
def test_distance_is_a_distance(one: Config, two: Config) -> None:
    assert one.count_differences(two) == two.count_differences(one) == len(one.diff(two))
    assert one.count_differences(one) == 0


def test_a_fragment_is_sorted_and_puts_quotes_around_strings() -> None:
    assert format_fragment({"VFIO": "n", "CMDLINE": 'a "b" \\', "KVM": "m", "SHIFT": "18", "AT": "0x1F"}) == (
        "CONFIG_AT=0x1F\n"
        'CONFIG_CMDLINE="a \\"b\\" \\\\"\n'
        "CONFIG_KVM=m\n"
        "CONFIG_SHIFT=18\n"
        "# CONFIG_VFIO is not set\n"
    )


def test_quotes_that_are_there_already_stay() -> None:
    assert format_fragment({"A": '"y"', "B": "", "C": "-1"}) == 'CONFIG_A="y"\nCONFIG_B=""\nCONFIG_C=-1\n'


@steady
@given(st.dictionaries(NAMES, st.one_of(VALUES, TEXTS.filter(lambda text: not text.startswith('"')))))
def test_a_tree_that_takes_the_whole_fragment_satisfies_it(want: dict[str, str]) -> None:
    assert all(check.is_satisfied for check in verify_symbols(want, Config.parse(format_fragment(want))))


def test_every_wanted_symbol_is_checked_in_alphabetical_order() -> None:
    checks = verify_symbols({"VFIO": "n", "KVM": "m", "A": "y"}, Config({"KVM": "y", "A": "y"}))
    assert checks == (SymbolCheck("A", "y", "y"), SymbolCheck("KVM", "m", "y"), SymbolCheck("VFIO", "n", "n"))
    assert [check.is_satisfied for check in checks] == [True, False, True]


@pytest.mark.parametrize(
    ("want", "got", "ok"),
    [
        ("abc", '"abc"', True),
        ('"abc"', '"abc"', True),
        ('a"b', '"a\\"b"', True),
        ("abc", '"abd"', False),
        ("", '""', True),
        ('""', '""', True),
        ("", "n", False),
        ('""', "n", False),
        ("n", '""', False),
        ("y", '"y"', False),
        ('"n"', "n", False),
        ("5", "5", True),
        ("0x10", "16", False),
        ("0x10", "0X10", False),
    ],
)
def test_values_are_compared_by_their_text(want: str, got: str, ok: bool) -> None:
    assert SymbolCheck("S", want, got).is_satisfied is ok


def test_a_prefix_is_refused_with_the_name_that_is_meant() -> None:
    with pytest.raises(RequestError, match="CONFIG_KVM") as refusal:
        check_symbol("CONFIG_KVM")
    assert refusal.value.hint == "leave it off: write KVM"


@pytest.mark.parametrize("name", ["", "KVM VFIO", "KVM=y", "KVM-X", "É", "A\n"])
def test_what_is_no_name_is_refused(name: str) -> None:
    with pytest.raises(RequestError, match="not the name of a Kconfig symbol"):
        check_symbol(name)


@pytest.mark.parametrize("name", ["KVM", "64BIT", "SND_SOC_es8316", "_X"])
def test_names_of_the_tree_pass(name: str) -> None:
    check_symbol(name)


@pytest.mark.parametrize("value", ["a\nb", "a\rb", "a\0", '"a', '"a"b', '"a\\"'])
def test_a_value_that_a_config_could_not_hold_is_refused(value: str) -> None:
    with pytest.raises(RequestError, match="the value"):
        check_value(value)


@pytest.mark.parametrize("value", ["y", "m", "n", "-3", "0xfF", "some words", "", '"quoted \\" text"', "é"])
def test_values_that_a_config_can_hold_pass(value: str) -> None:
    check_value(value)


def test_a_fragment_refuses_what_is_wrong() -> None:
    with pytest.raises(RequestError):
        format_fragment({"CONFIG_A": "y"})
    with pytest.raises(RequestError):
        format_fragment({"A": "y\nCONFIG_B=y"})


def test_a_defconfig_is_read_and_compared_in_milliseconds() -> None:
    text = "".join(f"CONFIG_SYMBOL_{n}=y\n# CONFIG_OTHER_{n} is not set\n" for n in range(3000))
    with limit_cpu(1):
        one, two = Config.parse(text), Config.parse(text.replace("_7=y", "_7=m"))
        assert [one.count_differences(two) for _ in range(100)] == [1] * 100


# Where a .config comes from

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
    origin = parse_origin(f"#\n# Automatically generated file; DO NOT EDIT.\n{line}\n#\nCONFIG_B=y\n")
    assert origin == ConfigOrigin(arch, version, None)


def test_its_symbols_tell_the_compiler() -> None:
    text = "powerpc64le-linux-gnu-gcc-14 (Debian 14.2.0-19) 14.2.0"
    assert parse_origin(GCC).compiler == ConfigCompiler("gcc", 140200, text)
    assert parse_origin(CLANG).compiler == ConfigCompiler(
        "clang", 190107, "Debian clang version 19.1.7 (3+b1)"
    )


def test_a_compiler_without_version_or_text_is_known_by_its_family() -> None:
    assert parse_origin("CONFIG_CC_IS_GCC=y\n").compiler == ConfigCompiler("gcc", 0, "gcc")


def test_another_family_is_farther_than_any_version() -> None:
    exact, older, other = (
        ConfigCompiler("gcc", 140200, ""),
        ConfigCompiler("gcc", 40900, ""),
        ConfigCompiler("clang", 140000, ""),
    )
    assert exact.measure_distance(ConfigCompiler("gcc", 140300, "")) == exact.measure_distance(exact)
    assert exact.measure_distance(exact) < exact.measure_distance(older) < exact.measure_distance(other)


def test_what_is_no_config_is_refused() -> None:
    with pytest.raises(RequestError, match="line 1 is no line"):
        parse_origin("make: *** No rule")
