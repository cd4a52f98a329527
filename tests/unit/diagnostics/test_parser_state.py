"""Where a diagnostic and its notes point: the places that tell two compilers' messages to be one problem."""

from pathlib import Path

import pytest

from matrix.diagnostics.diagnostic import Diagnostic, Site
from matrix.diagnostics.log_parser import parse_diagnostics

LOGS = Path(__file__).parents[2] / "logs"
STUB = Site(
    file="include/linux/vfio.h",
    line=305,
    symbol="vfio_file_iommu_group",
    code="static inline struct iommu_group *vfio_file_iommu_group(struct file *file)",
)
CALL = Site(
    file="virt/kvm/vfio.c", line=89, symbol="symbol_get", code="fn = symbol_get(vfio_file_iommu_group);"
)


def logged(case: str) -> list[Diagnostic]:
    return [item.diagnostic for item in parse_diagnostics((LOGS / f"{case}.log").read_text().splitlines())]


def said(*lines: str) -> Diagnostic:
    (only,) = parse_diagnostics(["  CC      drivers/a.o", *lines])
    return only.diagnostic


def test_a_message_without_a_place_has_no_sites() -> None:
    assert said("make[3]: *** No rule to make target 'drivers/a.o'.  Stop.").sites == ()


@pytest.mark.parametrize("version", [12, 13, 14])
def test_gccs_site_of_the_story_is_the_stub(version: int) -> None:
    (error,) = logged(f"gcc-{version}-story")
    assert error.sites == (STUB,)


@pytest.mark.parametrize("version", [17, 18, 19])
def test_clangs_sites_are_the_call_the_macro_and_the_very_stub(version: int) -> None:
    (error,) = logged(f"clang-{version}-story")
    assert error.sites == (CALL, Site(file="include/linux/module.h", line=836, macro=True), STUB)


@pytest.mark.parametrize("case", ["build-bug-on", "macros"])
def test_both_compilers_share_the_place_where_a_macro_is_used(case: str) -> None:
    (gcc,), (clang,) = logged(f"gcc-14-{case}"), logged(f"clang-19-{case}")
    used = {site for site in gcc.sites if not site.macro}
    assert used == {site for site in clang.sites if not site.macro}
    (site,) = used
    assert site.file.startswith("drivers/diag/")


def test_a_messages_own_place_comes_first() -> None:
    for case in ("gcc-14-notes", "clang-19-notes", "gcc-14-warnings", "clang-19-warnings"):
        for one in logged(case):
            assert (one.sites[0].file, one.sites[0].line) == (one.file, one.line)


def test_the_symbol_is_the_identifier_at_the_caret() -> None:
    one = said(
        "/src/drivers/a.c:3:9: warning: unused [-Wunused]",
        "    3 |     int spare = other;",
        "      |         ^~~~~",
    )
    assert one.sites == (Site(file="drivers/a.c", line=3, symbol="spare", code="int spare = other;"),)


def test_a_caret_under_no_identifier_names_none() -> None:
    one = said("/src/drivers/a.c:9:1: warning: no return", "    9 | }", "      | ^")
    assert one.sites == (Site(file="drivers/a.c", line=9, symbol=None, code="}"),)


def test_a_quotation_without_margin_is_read_too() -> None:
    one = said("/src/drivers/a.c:3:6: error: what", "        x = spare;", "            ^~~~~")
    assert one.sites[0].symbol == "spare"
    assert one.sites[0].code == "x = spare;"


def test_a_notes_quotation_is_not_the_messages() -> None:
    one = said(
        "/src/drivers/a.c:3:9: error: redefined",
        "    3 | int spare;",
        "      |     ^~~~~",
        "/src/include/a.h:7:5: note: previously here",
        "    7 | long spare;",
        "      |      ^~~~~",
    )
    assert one.excerpt == ("    3 | int spare;", "      |     ^~~~~")
    assert one.notes == ("include/a.h:7: previously here",)
    assert one.sites[1] == Site(file="include/a.h", line=7, symbol="spare", code="long spare;")


def test_the_next_messages_quotation_is_its_own() -> None:
    found = parse_diagnostics(
        [
            "  CC      drivers/a.o",
            "/src/drivers/a.c:3:9: error: redefined",
            "/src/include/a.h:7:5: note: previously here",
            "    7 | long spare;",
            "/src/drivers/a.c:4:5: error: other",
            "    4 | int other;",
            "      |     ^",
        ]
    )
    assert found[1].diagnostic.excerpt == ("    4 | int other;", "      |     ^")
    assert found[1].diagnostic.sites[0].symbol == "other"
