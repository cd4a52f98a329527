"""The changes between two configurations: those that can be made, likely ones and dependencies first."""

from textwrap import dedent

from hypothesis import given
from hypothesis import strategies as st

from matrix.kconfig.config import Config
from matrix.kconfig.config_changes import list_config_changes, list_near_symbols, order_changes
from matrix.kconfig.definitions import Definitions, collect_definitions

STORY = collect_definitions(
    {
        "Kconfig": dedent(
            """\
            config KVM_VFIO
            \tbool
            config KVM
            \ttristate "KVM"
            \tdepends on VIRTUALIZATION
            \tselect KVM_VFIO if HAVE
            config VIRTUALIZATION
            \tbool "Virtualization"
            config VFIO
            \ttristate "VFIO"
            \tdepends on IOMMU && (PCI || !PCI)
            config IOMMU
            \tbool "IOMMU"
            config SOUND
            \ttristate "Sound"
            config CARD
            \ttristate "A card"
            \tdepends on SOUND
            config CMDLINE
            \tstring "Command line"
            """
        )
    }
)
ALL = ("CARD", "IOMMU", "KVM", "SOUND", "VFIO", "VIRTUALIZATION")


def test_what_follows_from_other_symbols_is_no_change() -> None:
    start = Config({"KVM": "n", "VFIO": "y", "CMDLINE": '"quiet"'})
    end = Config({"KVM": "y", "KVM_VFIO": "y", "MYSTERY": "y"})
    # Where it is absent a string cannot be set, and nothing is known of a symbol that no file defines.
    assert list_config_changes(start, end, STORY) == {"KVM": "y", "MYSTERY": "y", "VFIO": "n"}


def test_a_string_that_both_have_is_a_change() -> None:
    start, end = Config({"CMDLINE": '"quiet"'}), Config({"CMDLINE": '"debug"'})
    assert list_config_changes(start, end, STORY) == {"CMDLINE": '"debug"'}


def test_dependencies_come_first() -> None:
    order = order_changes(ALL, STORY, frozenset())
    # SOUND may be a module, and so it is behind what only is or is not.
    assert order == ("IOMMU", "VIRTUALIZATION", "KVM", "SOUND", "VFIO", "CARD")


def test_what_is_near_comes_before_all_with_what_it_needs() -> None:
    assert order_changes(ALL, STORY, {"CARD"})[:2] == ("SOUND", "CARD")
    assert order_changes(ALL, STORY, {"VFIO"})[:2] == ("IOMMU", "VFIO")


def test_what_selects_a_symbol_that_nobody_can_set_is_near() -> None:
    assert order_changes(ALL, STORY, {"KVM_VFIO"})[:2] == ("VIRTUALIZATION", "KVM")


def test_whether_there_are_modules_is_near_to_what_may_be_one() -> None:
    order = order_changes((*ALL, "MODULES"), STORY, {"VFIO"})
    assert order[:3] == ("IOMMU", "MODULES", "VFIO")
    assert "MODULES" not in list_near_symbols({"IOMMU"}, STORY)


@given(st.lists(st.tuples(st.integers(0, 9), st.integers(0, 9)), max_size=30))
def test_any_files_give_an_order_of_all_symbols(edges: list[tuple[int, int]]) -> None:
    entries = [f'config S{a}\n\tbool "s"\n\tdepends on S{b}\n' for a, b in edges]
    definitions: Definitions = collect_definitions({"Kconfig": "".join(entries)})
    names = [f"S{number}" for number in range(10)]
    order = order_changes(names, definitions, {"S3"})
    assert sorted(order) == names
