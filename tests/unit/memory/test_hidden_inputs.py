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


def test_a_source_in_place_of_data_is_named_too() -> None:
    for text in ('.incbin "lib/data.h"\n', 'asm(".incbin \\"lib/data.h\\"");', "#embed <lib/data.h>\n"):
        assert find_hidden_inputs(text.encode()) == HiddenInputs(
            unlisted=True, assembled=frozenset({"lib/data.h"})
        )


@pytest.mark.parametrize(
    "condition",
    [
        "#ifdef __GENKSYMS__",
        "#if defined(__GENKSYMS__) && defined(CONFIG_A)",
        "#if defined(CONFIG_A) && \\\n\tdefined(__GENKSYMS__)",
        "# if defined __CHECKER__",
        "#if !defined(__GENKSYMS__) || defined(CONFIG_A)",
        "#ifndef __GENKSYMS__\n#include <linux/b.h>\n#else",
        "#if !defined(__GENKSYMS__)\n#elif 1",
        "#ifdef CONFIG_A\n#elif defined(__GENKSYMS__)",
        "#ifdef __GENKSYMS__\n#ifdef CONFIG_A",
    ],
)
def test_what_only_another_reader_than_the_compiler_includes_is_seen(condition: str) -> None:
    ends = "#endif\n" * condition.count("#ifdef")
    assert find_hidden_inputs(f"{condition}\n#include <linux/a.h>\n{ends}".encode()).reread


@pytest.mark.parametrize(
    "text",
    [
        "#ifndef __GENKSYMS__\n#include <arm_neon.h>\n#endif\n",
        "#if defined(CONFIG_A) && !defined(__CHECKER__)\n#include <linux/a.h>\n#endif\n",
        "#ifdef __GENKSYMS__\nint a;\n#endif\n#include <linux/a.h>\n",
        '#ifndef __CHECKER__\n#include "a.h"\n#else\n#include "a.h"\n#endif\n',
        "#ifdef CONFIG_A\n#include <linux/a.h>\n#elif defined(__GENKSYMS__)\nint a;\n#endif\n",
    ],
)
def test_what_the_compiler_includes_as_well_is_listed(text: str) -> None:
    assert not find_hidden_inputs(text.encode()).reread


def test_what_is_only_asked_for_is_named_too() -> None:
    text = b'#if __has_include(<asm/a.h>) || __has_include_next("b.h")\n'
    assert find_hidden_inputs(text) == HiddenInputs(probed=frozenset({"asm/a.h", "b.h"}))


@pytest.mark.parametrize("text", ["", '#include "a.h"\n', "int included;\n", "/* included binaries */\n"])
def test_an_ordinary_source_hides_nothing(text: str) -> None:
    assert find_hidden_inputs(text.encode()) == HiddenInputs()
