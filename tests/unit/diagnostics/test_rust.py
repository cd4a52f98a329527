"""What rustc's spans, notes and lints become."""

from matrix.diagnostics.diagnostic import Diagnostic, Site
from matrix.diagnostics.log_parser import parse_diagnostics
from matrix.diagnostics.rust import find_rust_symbols

MESSAGE = """\
  RUSTC L rust/kernel.o
error[E0308]: mismatched types
  --> /src/rust/kernel/window.rs:11:36
   |
11 |     let window = Window::new(count);
   |                  ----------- ^^^^^ expected `u64`, found `u32`
   |                  |
   |                  arguments to this function are incorrect
   |
   = note: expected type `u64`
              found type `u32`
note: associated function defined here
  --> /src/rust/kernel/regs.rs:7:16
   |
7  |         pub fn new(base: u64) -> Self { Self { base } }
   |                ^^^ ---------
help: you can convert a `u32` to a `u64`
   |
11 |     let window = Window::new(count.into());
   |                                   +++++++

error: aborting due to 1 previous error
"""


def read(text: str) -> list[Diagnostic]:
    return [found for found, _ in parse_diagnostics(text.splitlines())]


def test_a_message_has_what_its_carets_point_at_and_the_places_of_its_notes() -> None:
    [found] = read(MESSAGE)
    assert found.sites == (
        Site(file="rust/kernel/window.rs", line=11, symbol="count", code="let window = Window::new(count);"),
        Site(
            file="rust/kernel/regs.rs",
            line=7,
            symbol="new",
            code="pub fn new(base: u64) -> Self { Self { base } }",
        ),
    )
    assert found.notes == (
        "expected type `u64` found type `u32`",
        "rust/kernel/regs.rs:7: associated function defined here",
        "you can convert a `u32` to a `u64`",
    )


def test_a_suggested_line_is_no_source() -> None:
    [found] = read(MESSAGE)
    assert not any("count.into()" in line for line in found.excerpt)


def test_the_symbols_are_paths_and_names_without_keywords_and_types() -> None:
    assert find_rust_symbols("unresolved import `kernel::iio::sensors`") == ("kernel::iio::sensors",)
    assert find_rust_symbols("the trait bound `Window<u8>: Send` is not satisfied") == ("Window", "Send")
    assert find_rust_symbols("expected `&mut u32`, found `()`; `f` and `r#type` and `'a`") == ("f",)


def test_a_lint_that_rustc_names_once_is_the_flag_of_all_its_messages() -> None:
    text = """\
  RUSTC a.o
warning: unused import: `x`
 --> a.rs:1:2
  = note: `#[warn(unused_imports)]` on by default

warning: unused imports: `y` and `z`
 --> a.rs:2:2

warning: other `y`
 --> a.rs:3:2
"""
    assert [found.flag for found in read(text)] == ["unused_imports", "unused_imports", None]
    assert not any(found.promoted for found in read(text))


def test_a_warning_that_a_job_printed_below_another_step_is_rustcs() -> None:
    text = "  RUSTC [M] drivers/net/phy/one.o\n  CC      drivers/a.o\n"
    text += "warning: unused variable: `x`\n  --> drivers/net/phy/one.rs:7:5\n   |\n7  | x\n   | ^\n"
    [(found, made)] = parse_diagnostics(text.splitlines())
    assert (found.tool, made) == ("rustc", "drivers/net/phy/one.o")


def test_a_lint_is_promoted_where_somebody_denies_it_and_not_where_it_is_an_error_by_itself() -> None:
    def is_promoted(note: str) -> bool:
        [found] = read(f"  RUSTC a.o\nerror: literal out of range\n --> a.rs:1:2\n{note}\n")
        return found.promoted

    assert is_promoted("  = note: `-D overflowing-literals` implied by `-D warnings`")
    assert is_promoted(
        "note: the lint level is defined here\n --> a.rs:1:9\n1 | #![deny(overflowing_literals)]"
    )
    assert not is_promoted("  = note: `#[deny(overflowing_literals)]` on by default")
