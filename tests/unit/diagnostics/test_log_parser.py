"""Captured logs of real tools, each with a TOML file beside it that says what is in it.

A row gives every field that is not at its default, and the object; but for the sites, which
test_diagnostics_sites.py looks at.
"""

import json
import re
import tomllib
from pathlib import Path
from typing import Any

import pytest

from matrix.diagnostics.diagnostic import Diagnostic, Occurrence
from matrix.diagnostics.log_parser import parse_build_log, parse_diagnostics

_LOGS = Path(__file__).parents[2] / "logs"
_CASES = sorted(path.stem for path in _LOGS.glob("*.log"))
_ABSOLUTE = re.compile(r"(?:^|(?<=[\s:(\['\"=]))/(\w+)/")
_STORY = "vfio_file_iommu_group"


def _found(case: str) -> list[Occurrence]:
    return parse_diagnostics((_LOGS / f"{case}.log").read_text().splitlines())


def _row(occurrence: Occurrence) -> dict[str, Any]:
    fields = occurrence.diagnostic.model_dump(mode="json", exclude_defaults=True, exclude={"sites"})
    return fields if occurrence.object is None else {"object": occurrence.object, **fields}


def _as_toml(row: dict[str, Any]) -> str:
    """As it may be copied into a log's TOML file."""
    return "\n".join(["[[diagnostic]]", *(f"{key} = {json.dumps(value)}" for key, value in row.items())])


@pytest.mark.parametrize("case", _CASES)
def test_a_captured_log_holds_exactly_what_is_expected_of_it(case: str) -> None:
    expected = tomllib.loads((_LOGS / f"{case}.toml").read_text())["diagnostic"]
    found = [_row(occurrence) for occurrence in _found(case)]
    assert found == expected, f"{case}.log has\n" + "\n".join(map(_as_toml, found))


def test_every_expectation_has_its_log() -> None:
    assert sorted(path.stem for path in _LOGS.glob("*.toml")) == _CASES


@pytest.mark.parametrize("case", _CASES)
def test_captured_logs_are_short_and_name_only_the_containers_paths(case: str) -> None:
    lines = (_LOGS / f"{case}.log").read_text().splitlines()
    assert len(lines) <= 60
    tops = {top for line in lines for top in _ABSOLUTE.findall(line)}
    assert tops <= {"bin", "build", "lib", "src", "tmp", "usr"}


@pytest.mark.parametrize("version", [12, 13, 14])
def test_gcc_calls_the_story_an_error_in_the_header(version: int) -> None:
    [(diagnostic, made)] = _found(f"gcc-{version}-story")
    assert (diagnostic.tool, diagnostic.severity, diagnostic.promoted) == ("gcc", "error", False)
    assert diagnostic.message == (
        f"weak declaration of '{_STORY}' being applied to a already existing, static definition"
    )
    assert (diagnostic.file, diagnostic.function) == ("include/linux/vfio.h", "kvm_vfio_file_iommu_group")
    assert diagnostic.included_from == ("virt/kvm/vfio.c:17",)
    assert diagnostic.symbols == (_STORY,)
    assert made == "virt/kvm/vfio.o"


@pytest.mark.parametrize("version", [17, 18, 19])
def test_clang_calls_the_story_a_warning_that_werror_promotes(version: int) -> None:
    [(diagnostic, made)] = _found(f"clang-{version}-story")
    assert (diagnostic.tool, diagnostic.severity, diagnostic.promoted) == ("clang", "error", True)
    assert diagnostic.message == "attribute declaration must precede definition"
    assert (diagnostic.file, diagnostic.flag) == ("virt/kvm/vfio.c", "-Wignored-attributes")
    assert diagnostic.notes == (
        "include/linux/module.h:836: expanded from macro 'symbol_get'",
        "include/linux/vfio.h:305: previous definition is here",
    )
    assert any(_STORY in line for line in diagnostic.excerpt)
    assert made == "virt/kvm/vfio.o"


def test_quotes_of_either_kind_give_the_same_symbols() -> None:
    def symbols(case: str) -> dict[tuple[str | None, int | None, int | None], tuple[str, ...]]:
        return {(d.file, d.line, d.column): d.symbols for d, _ in _found(case)}

    plain = symbols("gcc-14-errors-in-functions") | symbols("gcc-14-werror-and-fatal")
    curly = symbols("gcc-14-utf8")
    assert curly
    assert curly == {place: plain[place] for place in curly}


@pytest.mark.parametrize("compiler", ["gcc-14", "clang-19"])
def test_colours_and_verbosity_change_nothing(compiler: str) -> None:
    def werror(case: str) -> Diagnostic:
        return _found(f"{compiler}-{case}")[0].diagnostic

    assert werror("werror-and-fatal") == werror("colours") == werror("verbose")


@pytest.mark.parametrize("compiler", ["gcc-14", "clang-19"])
def test_output_of_two_jobs_at_once_names_the_same_objects(compiler: str) -> None:
    tidy = {*_found(f"{compiler}-werror-and-fatal"), *_found(f"{compiler}-errors-in-functions")}
    mixed = [o for o in _found(f"{compiler}-unsynchronised") if o in tidy]
    assert {o.object for o in mixed} == {
        "drivers/diag/werror.o",
        "drivers/diag/fatal.o",
        "drivers/diag/undeclared.o",
    }


@pytest.mark.parametrize(
    ("step", "made"),
    [
        ("CC32    arch/arm64/kernel/vdso32/vgettimeofday.o", True),
        ("AS32    arch/arm64/kernel/vdso32/note.o", True),
        ("VDSO32C arch/powerpc/kernel/vdso/vgettimeofday-32.o", True),
        ("VDSO64A arch/powerpc/kernel/vdso/getcpu-64.o", True),
        ("VDSOAS  arch/riscv/kernel/compat_vdso/rt_sigreturn.o", True),
        ("BOOTCC  arch/powerpc/boot/main.o", True),
        ("SPU_CC  arch/powerpc/platforms/cell/spufs/spu_save.o", True),
        ("CC [M]  drivers/net/dummy.o", True),
        ("CLIPPY [M] drivers/net/phy/ax88796b_rust.o", True),
        ("RUSTC L rust/core.o", True),
        ("LD [M]  drivers/net/dummy.o", False),
        ("HOSTCC  scripts/mod/modpost.o", False),
        ("CHECK   /src/drivers/net/dummy.c", False),
    ],
)
def test_the_steps_that_make_an_object_of_a_source_are_known(step: str, made: bool) -> None:
    log = parse_build_log([f"  {step}"])
    assert bool(log.compiled_objects) == made
