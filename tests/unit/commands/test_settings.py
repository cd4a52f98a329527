"""Options over KMATRIX_ variables over the profile over defaults; errors name where a value came from."""

from pathlib import Path

import pytest

from matrix.catalog.load import load_catalog
from matrix.catalog.types import Profile
from matrix.commands.settings import OPTIONS, format_environment_variable, resolve_profile
from matrix.errors import RequestError
from matrix.plan import plan_requests

STORY = """\
arch = ["x86"]
toolchain = ["gcc-14"]
focus = ["drivers/vfio/"]
timeout = "10m"
stage = "focus"
select = ["KVM=y"]
jobs = 3
make = { W = "1" }
fail-fast = true
[symbols]
KVM = ["n", "y"]
"""


@pytest.fixture
def story(tmp_path: Path) -> str:
    path = tmp_path / "story.toml"
    path.write_text(STORY)
    return str(path)


def refusal(options: dict[str, list[str]], environment: dict[str, str]) -> str:
    with pytest.raises(RequestError) as caught:
        resolve_profile(options, environment)
    assert caught.value.exit_code == 1
    return str(caught.value)


# What is recorded


def test_a_profile_that_covers_nothing_is_recorded_as_before_there_was_cover(story: str) -> None:
    """A run that is on record since then is of the same profile."""
    keys = {"cover", "cover-seed", "rows"}
    plain = resolve_profile({"profile": [story]}, {}).model_dump(mode="json", by_alias=True)
    assert not keys & plain.keys()
    Path(story).write_text(f"cover = 2\ncover-seed = 7\n{STORY}")
    covering = resolve_profile({"profile": [story]}, {}).model_dump(mode="json", by_alias=True)
    assert keys & covering.keys() == {"cover", "cover-seed"}


# Precedence


def test_without_anything_it_is_the_default_profile() -> None:
    assert resolve_profile({}, {}).name == "kvm-vfio"


def test_the_profile_too_is_option_over_variable_over_default(story: str) -> None:
    assert resolve_profile({}, {"KMATRIX_PROFILE": "quick"}).name == "quick"
    assert resolve_profile({"profile": [story]}, {"KMATRIX_PROFILE": "quick"}).name == "story"


def test_an_option_wins_over_a_variable_over_the_profile_over_the_default(story: str) -> None:
    option, environment = {"profile": [story], "timeout": ["30s"]}, {"KMATRIX_TIMEOUT": "20m"}
    assert resolve_profile(option, environment).timeout == "30s"
    assert resolve_profile({"profile": [story]}, environment).timeout == "20m"
    assert resolve_profile({"profile": [story]}, {}).timeout == "10m"
    assert resolve_profile({}, {}).timeout == Profile.model_fields["timeout"].default


@pytest.mark.parametrize(
    ("name", "low", "high"),
    [
        ("arch", "x86", "s390"),
        ("toolchain", "gcc-12", "clang-19"),
        ("cover", "2", "3"),
        ("select", "KVM=y", "KVM=n"),
        ("source", "/a", "/b"),
        ("patch", "a.patch", "b.patch"),
        ("stage", "vmlinux", "modules"),
        ("make", "W=1", "C=1"),
        ("jobs", "1", "2"),
        ("lanes", "1", "2"),
        ("memory", "1G", "2G"),
        ("timeout", "1m", "2m"),
        ("deadline", "1h", "2h"),
        ("cache-size", "1G", "2G"),
        ("fail-fast", "no", "yes"),
        ("werror", "no", "yes"),
        ("fresh", "no", "yes"),
        ("verify", "0.1", "100%"),
        ("images", "localhost:5000/a", "r.example.org/b"),
        ("out", "/a", "/b"),
    ],
)
def test_every_shared_option_is_a_variable_and_a_profile_key_of_the_same_name(
    name: str, low: str, high: str
) -> None:
    def value(options: dict[str, list[str]], environment: dict[str, str]) -> object:
        return resolve_profile(options, environment).model_dump(by_alias=True)[name]

    by_option, by_variable = value({name: [low]}, {}), value({}, {format_environment_variable(name): low})
    assert by_option == by_variable != value({name: [high]}, {})
    assert value({name: [low]}, {format_environment_variable(name): high}) == by_option


def test_the_shared_options_are_those_of_the_design() -> None:
    assert {option.name for option in OPTIONS} == {
        *("arch", "toolchain", "select", "source", "patch", "stage", "make", "jobs", "lanes", "memory"),
        *("timeout", "deadline", "fail-fast", "out", "retries", "werror", "fresh", "ccache", "cache-size"),
        *("verify", "images", "cover"),
    }
    assert all(option.help for option in OPTIONS)


def test_variables_are_named_after_options() -> None:
    assert format_environment_variable("fail-fast") == "KMATRIX_FAIL_FAST"
    assert format_environment_variable("arch") == "KMATRIX_ARCH"


def test_other_variables_are_nobodys_business(story: str) -> None:
    environment = {"KMATRIX_CACHE": "/c", "KMATRIX": "x", "ARCH": "mips", "PATH": "/bin"}
    assert resolve_profile({"profile": [story]}, environment) == resolve_profile({"profile": [story]}, {})


# Reading words


@pytest.mark.parametrize(
    "words", [["x86", "s390"], ["x86,s390"], [" x86 , s390 "], ["x86,", "s390"]], ids=" ".join
)
def test_lists_repeat_or_take_commas(words: list[str]) -> None:
    assert resolve_profile({"arch": words}, {}).arch == ("x86", "s390")


def test_a_variable_with_a_list_takes_commas() -> None:
    assert resolve_profile({}, {"KMATRIX_TOOLCHAIN": "gcc-12,clang-17"}).toolchain == ("gcc-12", "clang-17")


def test_a_selection_term_keeps_its_commas() -> None:
    term = "powerpc/gcc-14/defconfig/KVM=y,MODULES=n,VFIO=n"
    assert resolve_profile({"select": [term, "!arch=x86"]}, {}).select == (term, "!arch=x86")


def test_make_variables_keep_equals_signs_and_commas() -> None:
    profile = resolve_profile({"make": ["W=1", "KCFLAGS=-Wa,--x -DA=b", "C="]}, {})
    assert profile.make == {"W": "1", "KCFLAGS": "-Wa,--x -DA=b", "C": ""}


@pytest.mark.parametrize(
    ("word", "meant"),
    [("1", True), ("yes", True), ("True", True), ("0", False), ("no", False), ("FALSE", False)],
)
def test_a_switch_in_a_variable_is_yes_or_no(word: str, meant: bool) -> None:
    assert resolve_profile({}, {"KMATRIX_WERROR": word}).werror is meant


def test_an_option_can_turn_off_what_the_profile_turns_on(story: str) -> None:
    assert resolve_profile({"profile": [story]}, {}).fail_fast
    assert not resolve_profile({"profile": [story], "fail-fast": ["no"]}, {}).fail_fast


def test_an_option_given_twice_counts_the_last_time() -> None:
    assert resolve_profile({"timeout": ["1m", "2m"], "jobs": ["1", "2"]}, {}).timeout == "2m"
    assert resolve_profile({"jobs": ["1", "2"]}, {}).jobs == 2


def test_a_path_on_the_command_line_is_not_looked_for_beside_the_profile(story: str) -> None:
    assert resolve_profile({"profile": [story], "patch": ["fix.patch"]}, {}).patch == ("fix.patch",)


# Errors name the layer


@pytest.mark.parametrize(
    ("name", "word", "expected"),
    [
        ("jobs", "many", "whole number"),
        ("jobs", "0", "1"),
        ("lanes", "-2", "1"),
        ("memory", "lots", "4G"),
        ("timeout", "soon", "30m"),
        ("deadline", "0", "2h"),
        ("stage", "linux", "'vmlinux'"),
        ("make", "W", "VAR=VALUE"),
        ("make", "=1", "VAR=VALUE"),
        ("make", "ARCH=x86", "kmatrix's own"),
        ("fail-fast", "maybe", "yes or no"),
        ("werror", "2", "yes or no"),
        ("arch", "", "empty axis"),
        ("toolchain", ",", "empty axis"),
        ("arch", "x86,x86", "twice"),
    ],
)
def test_a_wrong_value_is_refused_by_the_layer_it_came_from(
    story: str, name: str, word: str, expected: str
) -> None:
    by_option = refusal({"profile": [story], name: [word]}, {})
    by_variable = refusal({"profile": [story]}, {format_environment_variable(name): word})
    for said, layer in ((by_option, f"--{name}"), (by_variable, format_environment_variable(name))):
        assert said.startswith(f"{layer}:")
        assert expected in said
        assert "story.toml" not in said


def test_a_wrong_value_that_a_higher_layer_covers_does_not_matter(story: str) -> None:
    assert (
        resolve_profile({"profile": [story], "stage": ["modules"]}, {"KMATRIX_STAGE": "linux"}).stage
        == "modules"
    )


def test_the_profiles_own_mistake_is_still_the_profiles(tmp_path: Path) -> None:
    path = tmp_path / "story.toml"
    path.write_text(STORY.replace('"10m"', '"soon"'))
    said = refusal({"profile": [str(path)], "jobs": ["2"]}, {"KMATRIX_LANES": "1"})
    assert said.startswith(f"{path}: timeout")


def test_an_unknown_profile_is_refused_with_the_nearest() -> None:
    assert "'quick'" in refusal({"profile": ["quik"]}, {})
    assert "'quick'" in refusal({}, {"KMATRIX_PROFILE": "quik"})


@pytest.mark.parametrize(("name", "word"), [("arch", "powrpc"), ("toolchain", "gcc-41")])
def test_a_name_that_the_catalog_lacks_is_refused_by_the_layer_it_came_from(
    story: str, name: str, word: str
) -> None:
    def said(options: dict[str, list[str]], environment: dict[str, str]) -> str:
        with pytest.raises(RequestError) as caught:
            load_catalog().with_profile(resolve_profile({"profile": [story], **options}, environment))
        return str(caught.value)

    assert said({name: [word]}, {}).startswith(f"--{name}:")
    assert said({}, {format_environment_variable(name): word}).startswith(
        f"{format_environment_variable(name)}:"
    )


def test_an_arch_option_narrows_a_profile_whose_own_selection_speaks_of_other_arches() -> None:
    quick = resolve_profile({"profile": ["quick"], "arch": ["powerpc"]}, {})
    assert quick.select == ("arch=powerpc",)
    assert len(plan_requests(quick)) == 16


def test_a_selection_that_was_typed_is_never_dropped() -> None:
    with pytest.raises(RequestError, match="matches no request"):
        plan_requests(
            resolve_profile({"profile": ["quick"], "arch": ["powerpc"], "select": ["arch=x86"]}, {})
        )
