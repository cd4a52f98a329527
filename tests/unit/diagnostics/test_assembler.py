"""What GNU as says: of a place, of no file at all, and what merely looks like it."""

import pytest

from matrix.diagnostics.diagnostic import Occurrence
from matrix.diagnostics.log_parser import parse_build_log
from tests.unit.diagnostics import parse_lines, parse_only

_STEP = "  AS32    a.o"


@pytest.mark.parametrize(
    ("lines", "symbols"),
    [
        (["as: unrecognized option '-EL'"], ("-EL",)),
        (["/opt/clang/bin/as: unrecognized option '-EL'"], ("-EL",)),
        (["aarch64-linux-gnu-as: unrecognized option '-mcpu=nope'"], ("-mcpu=nope",)),
        (["/usr/bin/as: invalid option -- 'k'"], ("-k",)),
        (["Assembler messages:", "Error: unrecognized option -mfloat-abi=soft"], ("-mfloat-abi=soft",)),
        (["Assembler messages:", "Fatal error: invalid -march= option: `armv9x'"], ("-march=", "armv9x")),
        (["Assembler messages:", "Error: unknown architecture `armv9x'"], ("armv9x",)),
        (
            ["{standard input}: Assembler messages:", "{standard input}: Error: open CFI at the end of file"],
            (),
        ),
    ],
)
def test_a_message_of_no_line_is_the_assemblers(lines: list[str], symbols: tuple[str, ...]) -> None:
    found = parse_only(_STEP, *lines)
    assert (found.tool, found.severity, found.symbols, found.file) == ("as", "error", symbols, None)


def test_its_words_are_its_own_only_where_it_announced_them() -> None:
    assert parse_only("  DTC     a.dtb", "Error: something of a script").tool != "as"
    after = parse_lines("Assembler messages:", "Error: of the assembler", _STEP, "Error: of a script")
    assert [found.tool for found in after] == ["as", "make"]


def test_a_file_that_it_removed_follows_from_the_full_disk() -> None:
    full = "/tmp/cc1.s: Fatal error: can't write 8 bytes to section .text of a.o: 'No space left on device'"
    gone = "/tmp/cc1.s: Fatal error: a.o: No such file or directory"
    lines = [_STEP, "/tmp/cc1.s: Assembler messages:", full, gone]
    [(found, _)] = _parse_failure(lines)
    assert "No space left" in found.message
    assert parse_only(_STEP, "/tmp/cc1.s: Assembler messages:", gone).tool == "as"


def _parse_failure(lines: list[str]) -> list[Occurrence]:
    failed = "make[2]: *** [/src/scripts/Makefile.build:229: a.o] Error 1"
    return list(parse_build_log([*lines, failed]).occurrences)
