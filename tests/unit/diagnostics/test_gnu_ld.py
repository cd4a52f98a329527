"""What GNU ld prints."""

from tests.unit.diagnostics import parse_lines, parse_only


def test_the_same_reference_at_two_addresses_is_one_diagnostic() -> None:
    found = parse_only(
        "  LD      vmlinux",
        "ld: drivers/a.o: in function `f':",
        "a.c:(.text+0x20): undefined reference to `g'",
        "ld: a.c:(.text+0x40): undefined reference to `g'",
        "ld: a.c:(.text+0x50): more undefined references to `g' follow",
        "ld: final link failed: bad value",
    )
    assert (found.file, found.function, found.symbols) == ("drivers/a.c", "f", ("g",))


def test_a_full_disk_stops_the_linker() -> None:
    found = parse_only("  LD      vmlinux", "ld: final link failed: No space left on device")
    assert found.severity == "error"


def test_a_linkers_warning_is_a_warning() -> None:
    found = parse_only(
        "  LD      vmlinux",
        "ld: warning: a.o: missing .note.GNU-stack section implies executable stack",
        "ld: NOTE: This behaviour is deprecated",
    )
    assert (found.severity, found.notes) == ("warning", ("in a.o", "This behaviour is deprecated"))


def test_a_warning_does_not_hide_that_the_link_failed() -> None:
    warning, error = parse_lines(
        "  LD      vmlinux",
        "ld: warning: .tmp_vmlinux1 has a LOAD segment with RWX permissions",
        "ld: final link failed: No space left on device",
    )
    assert (warning.severity, error.message) == ("warning", "final link failed: No space left on device")


def test_a_message_without_a_place_is_of_no_function() -> None:
    placed, unplaced = parse_lines(
        "drivers/a.o: in function `f':",
        "a.c:(.text+0x1): undefined reference to `g'",
        "ld: warning: creating DT_TEXTREL in a PIE",
    )
    assert (placed.function, unplaced.function) == ("f", None)


def test_two_orphan_sections_are_two() -> None:
    found = parse_lines(
        "ld: warning: orphan section `.a' from `x.o' being placed in section `.a'",
        "ld: warning: orphan section `.b' from `x.o' being placed in section `.b'",
    )
    assert [diagnostic.symbols for diagnostic in found] == [(".a",), (".b",)]


def test_a_program_whose_name_ends_alike_is_no_linker() -> None:
    assert parse_lines("build: undefined thing", "field: warning on ice", "world: hello") == []


def test_a_hidden_symbol_that_is_undefined_is_one_error() -> None:
    lines = [
        "ld: drivers/a.o: in function `f':",
        "a.c:(.text+0x1): undefined reference to `secret'",
        "ld: vmlinux: hidden symbol `secret' isn't defined",
        "ld: final link failed: bad value",
    ]
    assert parse_only(*lines).message == "undefined reference to `secret'"
    assert parse_only(*lines[2:]).symbols == ("secret",)
