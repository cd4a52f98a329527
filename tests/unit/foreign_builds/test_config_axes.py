"""Which symbols tell .configs apart, and which stand for which."""

from collections.abc import Mapping
from itertools import product

import pytest
from hypothesis import given
from hypothesis import strategies as st

from matrix.foreign_builds.config_axes import (
    MAX_AXES,
    AxisChoice,
    LaneConfig,
    choose_axes,
    list_differing_symbols,
)
from matrix.kconfig.config import Config

GCC, CLANG = ("powerpc", "gcc-14"), ("powerpc", "clang-19")


def choose(*configs: Mapping[str, str], lanes: tuple[tuple[str, str], ...] = ()) -> AxisChoice:
    lanes = lanes or (GCC,) * len(configs)
    return choose_axes(
        [LaneConfig(lane, Config(config)) for lane, config in zip(lanes, configs, strict=True)]
    )


def names(choice: AxisChoice) -> list[str]:
    return [axis.symbol for axis in choice.axes]


def test_the_symbol_that_a_person_can_set_stands_for_what_follows() -> None:
    # VFIO_GROUP and IRQ_BYPASS have no line at all where VFIO is off.
    choice = choose(
        {"IRQ_BYPASS": "y", "VFIO": "y", "VFIO_GROUP": "y", "NET": "y"}, {"VFIO": "n", "NET": "y"}
    )
    (axis,) = choice.axes
    assert (axis.symbol, axis.followers, axis.is_settable) == ("VFIO", ("IRQ_BYPASS", "VFIO_GROUP"), True)
    assert choice.differing == 3


def test_modules_stands_for_all_that_turns_from_m_to_y() -> None:
    choice = choose(
        {"BTRFS_FS": "m", "USB_DUMMY": "n", "MODULES": "y"},
        {"BTRFS_FS": "y", "USB_DUMMY": "y", "MODULES": "n"},
    )
    assert names(choice) == ["MODULES"]
    assert choice.axes[0].followers == ("USB_DUMMY", "BTRFS_FS")


def test_the_one_that_others_are_called_after_stands_for_them() -> None:
    choice = choose(
        {"VFIO_PCI": "n", "VFIO": "n", "VFIO_NOIOMMU": "n"},
        {"VFIO_PCI": "y", "VFIO": "y", "VFIO_NOIOMMU": "y"},
    )
    assert names(choice) == ["VFIO"]


def test_of_a_whole_product_the_axes_are_its_own() -> None:
    points = [
        {"KVM": kvm, "VFIO": vfio, **({"KVM_VFIO": "y"} if (kvm, vfio) == ("y", "y") else {})}
        for kvm, vfio in product("ny", "ny")
    ]
    choice = choose(*points)
    assert names(choice) == ["KVM", "VFIO"]
    assert choice.untold == 1
    assert all(axis.is_settable for axis in choice.axes)


def test_what_only_follows_is_chosen_where_nothing_else_tells_apart() -> None:
    (axis,) = choose({"A": "y", "B": "y"}, {"A": "y"}).axes
    assert (axis.symbol, axis.is_settable) == ("B", False)


def test_what_differs_between_arches_or_compilers_is_theirs() -> None:
    assert choose({"X": "y"}, {"X": "n"}, lanes=(GCC, CLANG)).axes == ()
    choice = choose(
        {"X": "y", "V": "n"}, {"X": "n", "V": "n"}, {"X": "n", "V": "y"}, lanes=(GCC, CLANG, CLANG)
    )
    assert names(choice) == ["V"]


@pytest.mark.parametrize(
    "symbol",
    [
        *("CC_HAS_ASM_GOTO", "AS_VERSION", "LD_IS_LLD", "HAVE_KVM", "ARCH_HAS_X", "GCC_VERSION"),
        *("PAHOLE_VERSION", "RUSTC_VERSION_TEXT", "LOCALVERSION", "BUILD_SALT", "TOOLCHAIN_NEEDS_X"),
    ],
)
def test_what_the_tools_are_is_no_axis(symbol: str) -> None:
    assert choose({symbol: "y"}, {symbol: "n"}) == AxisChoice((), 0)


def test_configs_that_are_alike_need_no_axis() -> None:
    assert choose({"A": "y"}, {"A": "y"}) == AxisChoice((), 0)
    assert choose({"A": "y"}) == AxisChoice((), 0)
    # Off and not mentioned are the same.
    assert choose({"A": "n"}, {}) == AxisChoice((), 0)


def test_numbers_and_strings_tell_apart_where_they_must() -> None:
    assert names(choose({"NR_CPUS": "64", "V": "y"}, {"NR_CPUS": "8", "V": "n"})) == ["V"]
    assert names(choose({"NR_CPUS": "64"}, {"NR_CPUS": "8"})) == ["NR_CPUS"]


def test_a_tree_knows_prompts_better() -> None:
    builds = [LaneConfig(GCC, Config({"A": "n", "B": "y"})), LaneConfig(GCC, Config({"A": "y"}))]
    assert names(choose_axes(builds)) == ["A"]
    assert names(choose_axes(builds, {"B"}.__contains__)) == ["B"]


def test_there_is_a_bound() -> None:
    choice = choose(*({f"S{number}": "y"} for number in range(40)))
    assert len(choice.axes) == MAX_AXES


def test_what_differs_is_listed_with_what_can_be_set_first() -> None:
    one, other = Config({"A": "y", "Z": "n", "CC_X": "y"}), Config({"Z": "y"})
    assert list_differing_symbols(one, other) == ["Z", "A"]


some_configs = st.lists(
    st.dictionaries(st.sampled_from("ABCDEFGH"), st.sampled_from("ymn"), max_size=8), min_size=1, max_size=8
)


@given(some_configs)
def test_the_axes_tell_apart_whatever_can_be(configs: list[dict[str, str]]) -> None:
    axes = names(choose(*configs))
    values = [Config(config) for config in configs]
    told = {tuple(config.value_of(name) for name in axes) for config in values}
    assert len(told) == len({config.enabled_symbols for config in values})


@given(some_configs)
def test_no_axis_is_idle(configs: list[dict[str, str]]) -> None:
    axes = names(choose(*configs))
    values = [Config(config) for config in configs]
    for left_out in axes:
        rest = [name for name in axes if name != left_out]
        told = {tuple(config.value_of(name) for name in rest) for config in values}
        assert len(told) < len({config.enabled_symbols for config in values})
