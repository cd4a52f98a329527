"""What linkers print."""

from tests.unit.diagnostics import parse_only


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
