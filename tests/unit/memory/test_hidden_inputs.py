"""What a source reads that is on no list of the compiler's is found in its text."""

import pytest

from matrix.memory.hidden_inputs import HiddenInputs, find_hidden_inputs


@pytest.mark.parametrize(
    "text",
    [
        '\t.incbin "usr/initramfs_inc_data"\n',
        'asm("\\t.incbin \\"kernel/config_data.gz\\"\\n");\n',
        "# embed <certs/key.pem>\n",
        "#if __has_include(HEADER)\n",
        "#if __has_include_next ( HEADER )\n",
    ],
)
def test_what_takes_in_a_file_of_unknown_content_is_unlisted(text: str) -> None:
    assert find_hidden_inputs(text.encode()).unlisted


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ('asm(".include \\"asm/fpu-insn-asm.h\\"\\n");', "asm/fpu-insn-asm.h"),
        ('\t.include "macros.s"\n', "macros.s"),
    ],
)
def test_what_the_assembler_includes_is_named(text: str, name: str) -> None:
    assert find_hidden_inputs(text.encode()) == HiddenInputs(assembled=frozenset({name}))


def test_what_is_only_asked_for_is_named_too() -> None:
    text = b'#if __has_include(<asm/a.h>) || __has_include_next("b.h")\n'
    assert find_hidden_inputs(text) == HiddenInputs(probed=frozenset({"asm/a.h", "b.h"}))


@pytest.mark.parametrize("text", ["", '#include "a.h"\n', "int included;\n", "/* included binaries */\n"])
def test_an_ordinary_source_hides_nothing(text: str) -> None:
    assert find_hidden_inputs(text.encode()) == HiddenInputs()
