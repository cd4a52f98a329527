"""What lld prints."""

import pytest

from tests.unit.diagnostics import parse_lines, parse_only

_OUT_OF_RANGE = "relocation R_ARM_CALL out of range: 9 is not in [0, 4]"


def test_both_wordings_of_a_reference_have_the_symbol() -> None:
    old = parse_only(f"ld.lld: error: a.o:(.text+0x1): {_OUT_OF_RANGE}; references far_away")
    new = parse_only(f"ld.lld: error: a.o:(.text+0x1): {_OUT_OF_RANGE}; references 'far_away'")
    assert old.symbols == new.symbols == ("far_away",)


@pytest.mark.parametrize(
    ("section", "function"),
    [
        (".text.f", "f"),
        (".text.f+0x10", "f"),
        (".text.f.0123456789abcdef0123456789abcdef+0x1A4", "f"),
        (".text.unlikely.f+0x4", "f"),
        (".text.f.llvm.123456+0x4", "f"),
        (".text.fixup+0x4", None),
        (".text.unlikely+0x4", None),
        (".text+0x4", None),
        (".init.text+0x4", None),
        (".data.f+0x4", None),
    ],
)  # fmt: skip
def test_a_function_s_own_section_names_it(section: str, function: str | None) -> None:
    assert parse_only(f"ld.lld: error: a.c:7:({section}): {_OUT_OF_RANGE}").function == function


def test_an_object_tells_where_a_source_without_directory_lies() -> None:
    found = parse_only(
        "ld.lld: error: undefined symbol: gone",
        ">>> referenced by a.c",
        ">>>               drivers/net/built-in.a(phy/a.o):(f)",
    )
    assert (found.file, found.function) == ("drivers/net/phy/a.c", "f")


def test_the_linked_whole_does_not() -> None:
    found = parse_only(
        "ld.lld: error: undefined symbol: gone", ">>> referenced by a.c", ">>>       vmlinux.o:(f)"
    )
    assert (found.file, found.function) == (None, "f")


def test_that_it_stopped_is_no_error() -> None:
    assert (
        parse_lines(
            "ld.lld: error: too many errors emitted, stopping now (use --error-limit=0 to see all errors)"
        )
        == []
    )
