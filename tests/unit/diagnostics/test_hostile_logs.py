"""Logs that a stranger's build printed to hang its reader, to fill its memory, or to break it."""

import random
import time
import tracemalloc

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from matrix.diagnostics.diagnostic import Occurrence
from matrix.diagnostics.log_parser import parse_build_log, parse_diagnostics
from tests.stopwatch import limit_cpu

WARNING = "/src/a.c:1:2: warning: unused variable 'x' [-Wunused-variable]"
PARTS = 20_000

# Name → lines; each is of a kind that some tool prints, and of no kind's length or number.
HOSTILE: dict[str, list[str]] = {
    "a line of 100 MB": [WARNING + "x" * 100_000_000],
    "a line of 100 MB without a word": ["/" * 100_000_000],
    "a warning with 100,000 notes": [WARNING, *["/src/a.c:1:2: note: here"] * PARTS],
    "different notes": [WARNING, *(f"/src/a.c:{n}:2: note: here {n}" for n in range(PARTS))],
    "a long excerpt": [WARNING, *[" 1 | int x;"] * PARTS],
    "excerpts of notes": [WARNING, *["/src/a.c:1:2: note: x", "  1 | int x;", "    |     ^"] * (PARTS // 3)],
    "includes": [f"In file included from /src/{n}.h:{n % 999}," for n in range(PARTS)] + [WARNING],
    "includes from": ["In file included from a.h:1,", *["                 from b.h:2,"] * PARTS, WARNING],
    "inlinings": [f"    inlined from 'f' at /src/a.c:{n}:1," for n in range(PARTS)] + [WARNING],
    "functions": ["/src/a.c: In function 'f':"] * PARTS + [WARNING],
    "uses of a symbol": ["ld.lld: error: undefined symbol: f", *[">>> referenced by a.c:1"] * PARTS],
    "a use of a symbol": ["ld.lld: error: undefined symbol: f", ">>> x", *[">>>     x" * 99] * PARTS],
    "banners": ["***", *(f"*** x{n}" for n in range(PARTS)), "***"],
    "dependencies": ["error: recursive dependency detected!", *["\tsymbol A depends on B"] * PARTS],
    "steps": [f"  CC      a{n}.o" for n in range(PARTS)],
    "failures": [f"make[2]: *** [scripts/Makefile.build:1: a{n}.o] Error 1" for n in range(PARTS)],
    "entering and leaving": ["make[1]: Entering directory '/build'"] * PARTS,
    "colours": ["\x1b[01;31m\x1b[K" * 3000 + WARNING] * 20,
    "links that do not end": ["\x1b]8;;" * 6000] * 20,
    "carriage returns": ["\r" * 30_000 + WARNING, WARNING + "\r" * 30_000],
    "NULs": ["\0" * 30_000 + WARNING, WARNING.replace(" ", "\0")],
    "bytes that are no text": [WARNING.encode().decode("latin-1") + "\udcff\ud800" * 9000],
    "quotes": ["/src/a.c:1:2: error: " + "‘" * 30_000, "/src/a.c:1:2: error: " + "'a' " * 9000],
    "long names": [f"/src/a.c:1:2: error: '{'a' * 30_000}' undeclared"],
    "flags": [WARNING + " [-W" * 8000, WARNING + " [-Wa]" * 5000],
    "slashes": ["/src/" + "../" * 10_000 + "a.c:1:2: error: x"] * 20,
    "colons": [":" * 32_000] * 20,
    "digits": [f"/src/a.c:{'9' * 5000}:1: error: x", "/src/a.c:999999999:999999999: error: x"],
    "blanks": [" " * 32_000 + "x"] * 20,
    "lines of carets": [WARNING, "/src/a.c:1:2: note: x", "  1 | int x;", *["    |     ^"] * PARTS],
    "carets": [WARNING, " 1 | x", " " * 30_000 + "^" * 2000],
    "members": ["ld: " + "a.a(a" * 6000 + ": undefined reference to `f'"] * 10,
    "clocks": ["make: warning: " + "modification time " * 1800] * 20,
    "spans of rustc": ["error[E0425]: x", " --> a.rs:1:2", *["1 | x", "  | ^"] * (PARTS // 2)],
    "notes of rustc": ["error[E0425]: x", *["  = note: x", "          and more"] * (PARTS // 2)],
    "places of rustc": ["error[E0425]: x", *(f" --> a.rs:{n}:2" for n in range(PARTS))],
    "lints of rustc": ["  RUSTC a.o", *(f"warning: {n} `x` of {n}" for n in range(PARTS))],
    "backticks": ["error[E0425]: " + "`a` and " * 4000, "error[E0425]: " + "`" * 30_000],
    "crates": ["  RUSTC a.o", "  CC b.o", "error[E0425]: x", " --> " + "a/" * 10_000 + "b.rs:1:2"],
    "banners of Rust": ["*** Rust compiler 'rustc' is too", *["*** old"] * PARTS],
    "nodes": [
        "a.dts:1.2-3: ERROR (x): /" + "a/" * 15_000 + ": b",
        *["  also defined at a.dts:1.2-3"] * PARTS,
    ],
    "compatible": ["a.dtb: /: failed to match any schema with compatible: [" + "'a', " * 6000 + "]"] * 10,
    "schemas": ["./bindings/" + "bindings/" * 3000 + "a.yaml: " + "a:" * 5000 + " b"] * 10,
    "checks": ["a.c:1 " + "f(" * 15_000 + ") error: x", "a.c:1: warning: " + "not described in " * 1800] * 10,
    "traces": ["Traceback (most recent call last):", *['  File "a.py", line 1, in f'] * PARTS, "E: x"],
    "modules": ["ERROR: modpost: " + "[a/" * 8000 + "b.ko] undefined!"] * 10,
}


def read_all(lines: list[str]) -> list[Occurrence]:
    parse_build_log(lines, failed=True)
    return parse_diagnostics(lines)


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_log_is_read_in_time_into_bounded_values(name: str) -> None:
    with limit_cpu(15):
        found = read_all(HOSTILE[name])
    for diagnostic, _ in found:
        texts = (diagnostic.message, *diagnostic.notes, *diagnostic.excerpt, *diagnostic.symbols)
        assert max(map(len, texts)) <= 4096
        for parts in (diagnostic.notes, diagnostic.excerpt, diagnostic.included_from, diagnostic.sites):
            assert len(parts) <= 201
        assert len(diagnostic.symbols) <= 200
        assert diagnostic.key


def test_time_and_memory_grow_with_the_lines_and_no_faster() -> None:
    def measure(count: int) -> float:
        lines = [
            line for n in range(count) for line in (f"  CC      a{n}.o", WARNING.replace("'x'", f"'x{n}'"))
        ]
        start = time.process_time()
        assert len(parse_diagnostics(lines)) == count
        return time.process_time() - start

    small = min(measure(4000) for _ in range(3))
    assert measure(16_000) < 4 * small * 3 + 1


def test_memory_of_a_log_is_a_few_times_its_size() -> None:
    lines = [WARNING.replace("'x'", f"'x{n}'") for n in range(5000)]
    tracemalloc.start()
    found = parse_diagnostics(lines)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert len(found) == 5000
    assert peak < 5000 * 6000


SHAPES = [
    "  CC [M]  drivers/a.o",
    "make[2]: *** [scripts/Makefile.build:229: drivers/a.o] Error 1",
    "make: *** No rule to make target 'a.o', needed by 'b.a'.  Stop.",
    "/src/a.c: In function 'f':",
    WARNING,
    "\x1b[01m\x1b[K/src/a.c:6:13:\x1b[m\x1b[K \x1b[01;31m\x1b[Kerror: \x1b[m\x1b[Kx",
    "    6 |         int x;",
    "      |             ^",
    "In file included from include/a.h:1,",
    "                 from drivers/b.c:2:",
    "ld: drivers/a.o: in function `f':",
    "drivers/a.c:7:(.text+0x20): undefined reference to `g'",
    ">>> referenced by a.c:7 (/src/drivers/a.c:7)",
    "ld.lld: error: undefined symbol: g",
    'ERROR: modpost: "symbol" [drivers/a.ko] undefined!',
    "WARNING: unmet direct dependencies detected for KVM_VFIO",
    ".config:3:warning: symbol value 'x' invalid for FOO",
    "drivers/a.o: warning: objtool: f+0x3: return with modified stack frame",
    "clang: error: unknown argument: '-mnonsense'",
    "/bin/sh: 1: nosuch: not found",
    "***",
    "drivers/c.S:3: Error: unrecognized opcode: `nope'",
    "  RUSTC L rust/kernel.o",
    "error[E0425]: cannot find function `f` in module `bindings`",
    "  --> /src/rust/kernel/a.rs:11:24",
    "11 |     unsafe { bindings::f(4) }",
    "   |                        ^ not found in `bindings`",
    "   = note: `-D unused-imports` implied by `-D warnings`",
    "help: consider importing it",
    "thread 'main' panicked at bindgen-cli/main.rs:52:36:",
    "*** Rust compiler 'rustc' is too old.",
    "***   Your version:    1.74.0",
    "Error: /src/arch/arm64/boot/dts/a.dts:387.1-13 Label or path gpu not found",
    "FATAL ERROR: Syntax error parsing input tree",
    "a.dts:30.16-33.4: ERROR (duplicate_label): /soc: Duplicate label 'i2c0' on /soc/a and /soc/b",
    "  also defined at a.dtsi:12.3-5",
    "a.dtb: extcon@14: 'connector' does not match any of the regexes: 'pinctrl-[0-9]+'",
    "\tfrom schema $id: http://devicetree.org/schemas/extcon/x.yaml#",
    "Documentation/devicetree/bindings/a.yaml:4:7: [warning] too many spaces after colon (colons)",
    "drivers/a.c:379: warning: Function parameter or member 'i' not described in 'f'",
    "Warning: drivers/a.c:417 function parameter 'x' not described in 'f'",
    "sound/a.c:163 f() error: uninitialized symbol 'ret'.",
    "drivers/a.c:12:3-9: ERROR: reference preceded by free on line 10",
    "Traceback (most recent call last):",
    '  File "/src/scripts/gen.py", line 10, in <module>',
    "ModuleNotFoundError: No module named 'yaml'",
]


def mutate(line: str, seed: int) -> str:
    """The line with some characters cut, doubled or replaced."""
    random_source = random.Random(seed)
    for _ in range(random_source.randint(0, 4)):
        at = random_source.randint(0, len(line))
        other = random_source.choice(
            ["", "\0", "\r", "\x1b[", ":", " ", "'", "(", "\udc80", "9" * 50, line[:9]]
        )
        line = line[:at] + other + line[at + random_source.randint(0, 6) :]
    return line


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    st.lists(
        st.one_of(
            st.builds(mutate, st.sampled_from(SHAPES), st.integers(0, 10_000)),
            st.text(max_size=40),
            st.binary(max_size=40).map(lambda data: data.decode("utf-8", "surrogateescape")),
        ),
        max_size=40,
    )
)
def test_no_log_makes_the_parser_raise(lines: list[str]) -> None:
    for diagnostic, _ in read_all(lines):
        assert diagnostic.model_dump_json().encode()
