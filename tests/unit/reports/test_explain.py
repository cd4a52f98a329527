"""A .config against a finding, told: the answer first, then what it rests on, then what to type."""

from dataclasses import replace
from io import StringIO
from pathlib import Path

import pytest
from rich.console import Console

from matrix.catalog.load import load_catalog
from matrix.findings.check_config import (
    ConfigChange,
    ConfigChecker,
    ConfigDifferences,
    ConfigExplanation,
    ResolvedConfig,
    UnprovenSymbol,
    UserConfig,
    fit_other_arch,
)
from matrix.findings.derive import derive_findings
from matrix.findings.finding import Finding
from matrix.findings.stored_run import StoredRun
from matrix.kconfig.config import Config, ConfigCompiler, ConfigOrigin
from matrix.record.run_model import Cell, Run
from matrix.record.states import State
from reports.explain import show_config_explanation
from tests.fakes.runs import a_run, the_story

DIRECTORY = Path("/nowhere/20250601-120000-kvm-vfio")
RUN: Run = the_story()
HV = {"KVM": "y", "KVM_BOOK3S_64": "y"}
GCC = ConfigCompiler("gcc", 140200, "gcc (Debian 14.2.0-19) 14.2.0")
OLD = ConfigCompiler("gcc", 120200, "gcc (Debian 12.2.0-14) 12.2.0")
FILE = DIRECTORY / "F1-mine-3f2a91c0.config"
CHANGE = ConfigChange({"MODULES": "n"}, {"MODULE_UNLOAD": ("y", "n"), "VFIO_PCI": ("m", "n")}, file=FILE)
THE_STORY = """\
you have MODULES=y; F1 needs MODULES=n

  with this change the tree's conf reaches the condition; it is written to
    /nowhere/20250601-120000-kvm-vfio/F1-mine-3f2a91c0.config

  finding     F1  arch/powerpc/kvm/vfio.o: include/linux/vfio.h: weak
              declaration of 'vfio_file_iommu_group' being applied to a already
              existing, static definition
  condition   KVM=y, MODULES=n, VFIO=n on powerpc
  holds       KVM=y, VFIO=n on powerpc
  change      MODULES=n
              2 symbols followed: MODULE_UNLOAD y -> n, VFIO_PCI m -> n
  compiler    yours is gcc (Debian 12.2.0-14) 12.2.0; the run's is gcc (Debian
              14.2.0-19) 14.2.0
  source      your .config was made for 6.1.0; the run built Linux 6.12.48,
              debian:linux-source-6.12, sha256 4f1c4f1c4f1c, patched with
              0001-vfio-static-stub.patch
              its conf changes 1 symbol of your file by itself: LATE
  base        231 symbols differ from the .config of
              powerpc/gcc-14/defconfig/KVM=y,MODULES=n,VFIO=n

  to see it, in a kernel tree, with a cross compiler
    mkdir -p /tmp/kmatrix && cp /nowhere/20250601-120000-kvm-vfio/F1-mine-3f2a91c0.config \
/tmp/kmatrix/.config
    make O=/tmp/kmatrix ARCH=powerpc CROSS_COMPILE=powerpc64le-linux-gnu- olddefconfig
    make O=/tmp/kmatrix ARCH=powerpc CROSS_COMPILE=powerpc64le-linux-gnu- -k -j"$(nproc)" \
arch/powerpc/kvm/

  what else differs from the cell that has it, symbol by symbol
    scripts/diffconfig /nowhere/20250601-120000-kvm-vfio/configs/CELL \
/nowhere/20250601-120000-kvm-vfio/F1-mine-3f2a91c0.config
"""


def the_finding(run: Run = RUN) -> Finding:
    return derive_findings(run, {}).findings[0]


def cells_of(finding: Finding, run: Run = RUN) -> list[Cell]:
    return [cell for cell in run.cells if cell.id in finding.cells]


def given(values: dict[str, str], arch: str = "powerpc", compiler: ConfigCompiler | None = OLD) -> UserConfig:
    config = Config(values)
    return UserConfig(
        Path("/home/me/mine.config"), str(config), config, ConfigOrigin(arch, "6.1.0", compiler), arch
    )


def answered(
    values: dict[str, str], resolved: dict[str, str] | None = None, **made: object
) -> ConfigExplanation:
    """An answer to this .config; without ``resolved``, the tree takes it as it is."""
    file, finding = given(values), the_finding()
    mine = ResolvedConfig("powerpc", "gcc-14", file.config, Config(values if resolved is None else resolved))
    fit = ConfigChecker(load_catalog(), RUN.axes).find_closest_fit(finding, cells_of(finding), mine)
    known = {"changed_by_conf": {}, "differences": ConfigDifferences(GCC, (), 0)}
    return ConfigExplanation(file, finding, fit, **(known | made))  # type: ignore[arg-type]


def told(answer: ConfigExplanation, run: Run = RUN) -> str:
    out = StringIO()
    show_config_explanation(StoredRun(run, DIRECTORY), answer, Console(file=out, width=80, color_system=None))
    return out.getvalue()


def labelled(text: str, label: str) -> str:
    """What stands beside a label, joined."""
    lines = text.splitlines()
    start = next(i for i, line in enumerate(lines) if line.startswith(f"  {label:<12}"))
    rest = lines[start + 1 :]
    more = next((i for i, line in enumerate(rest) if not line.startswith(" " * 14)), len(rest))
    return " ".join(line[14:] for line in lines[start : start + 1 + more])


def test_the_story_is_told_whole() -> None:
    answer = answered(
        {**HV, "MODULES": "y"},
        change=CHANGE,
        changed_by_conf={"LATE": ("n", "y")},
        differences=ConfigDifferences(GCC, (), 231),
    )
    assert told(answer) == THE_STORY.replace("CELL", str(answer.fit.cell.config_sha256))


def test_prose_keeps_to_80_columns_and_commands_stay_whole() -> None:
    text = told(answered({**HV, "MODULES": "y"}, change=CHANGE, differences=ConfigDifferences(GCC, (), 231)))
    long = [line for line in text.splitlines() if len(line) > 80]
    assert long
    assert all(line.split()[0] in {"mkdir", "make", "scripts/diffconfig"} for line in long)


def test_every_missed_term_is_a_line_of_the_answer() -> None:
    text = told(answered({"MODULES": "y", "VFIO": "m"}, change=CHANGE))
    assert text.splitlines()[:4] == [
        "you have KVM=n; F1 needs KVM=y",
        "you have MODULES=y; F1 needs MODULES=n",
        "you have VFIO=m; F1 needs VFIO=n",
        "",
    ]


def test_what_the_file_said_is_told_where_the_tree_makes_something_else_of_it() -> None:
    text = told(answered({**HV, "VFIO": "y"}, resolved={"VFIO": "n"}, change=CHANGE))
    assert text.startswith(
        "you have KVM=n (your file says y, which this tree's conf makes n); F1 needs\n  KVM=y\n"
    )


def test_a_value_that_is_not_proven_is_told_by_what_it_lacks() -> None:
    text = told(answered({"KVM": "y"}, change=CHANGE))
    assert text.startswith("you have KVM_BOOK3S_64=n; F1 needs KVM_BOOK3S_64=y, for KVM=y\n")


def test_a_config_that_meets_it_is_told_so_with_what_else_differs() -> None:
    text = told(answered(HV, differences=ConfigDifferences(OLD, (), 0)))
    assert " ".join(text.split()).startswith(
        "your .config meets the condition of F1 already: KVM=y, MODULES=n, VFIO=n on powerpc so the .config"
    )
    assert labelled(text, "compiler") == "the same: gcc (Debian 12.2.0-14) 12.2.0"
    assert labelled(text, "base").startswith("every symbol is as in powerpc/gcc-14/")
    assert "cp /home/me/mine.config /tmp/kmatrix/.config" in text
    assert "diffconfig" not in text
    assert "change " not in text


def test_what_cannot_be_reached_has_its_reasons_and_no_commands() -> None:
    change = ConfigChange({"VFIO": "n"}, {}, ("VFIO=n: selected by FOO (=y)",))
    text = told(answered({**HV, "VFIO": "y"}, change=change))
    assert (
        "the tree's conf does not reach that from your .config:\n    VFIO=n: selected by FOO (=y)\n" in text
    )
    assert "make " not in text


def test_a_config_for_another_arch_is_told_what_to_start_from() -> None:
    finding = the_finding()
    fit = fit_other_arch(cells_of(finding), "x86")
    assert fit is not None
    text = told(ConfigExplanation(given({"MODULES": "y"}, "x86"), finding, fit))
    assert text.startswith("your .config is for x86; F1 was seen on powerpc only\n")
    assert "an arch cannot be changed in a .config" in text
    assert "    ./inv explain --finding F1 --run 20250601-120000-kvm-vfio\n" in text
    assert "make O=" not in text


def test_another_compiler_is_a_miss_that_no_config_can_mend() -> None:
    answer = answered(HV)
    term = replace(answer.fit.terms[0], axis="toolchain", actual="gcc-12", needed=("gcc-14",), holds=False)
    text = told(replace(answer, fit=replace(answer.fit, terms=(term,))))
    assert " ".join(text.split()).startswith(
        "your .config was made with gcc (Debian 12.2.0-14) 12.2.0; F1 comes with gcc-14 only a compiler"
    )
    assert "make O=" in text


def test_what_a_config_cannot_say_is_not_known() -> None:
    answer = answered(HV)
    term = replace(answer.fit.terms[0], axis="base", actual="", needed=("allnoconfig",), holds=None)
    text = told(replace(answer, fit=replace(answer.fit, terms=(term,))))
    assert labelled(text, "not known") == "from base allnoconfig: your .config does not say"


def test_symbols_at_values_that_were_never_tried_are_named_with_the_reason() -> None:
    others = (
        UnprovenSymbol("PCI", "n", ("y",), assumed=False),
        UnprovenSymbol("SMP", "y", ("n",), assumed=True),
    )
    assert labelled(told(answered(HV, differences=ConfigDifferences(GCC, others, 0))), "not proven") == (
        "PCI=n: every cell of the run has PCI=y "
        "SMP=y: it was seen with SMP=n only, and no cell says whether that matters"
    )


def test_the_nearest_of_several_conjunctions_is_said_to_be_one() -> None:
    answer = answered(HV)
    cube = answer.finding.condition[0]
    finding = answer.finding.model_copy(update={"condition": (cube, {"KVM": ("m",)})})
    assert "(the nearest of 2)" in labelled(told(replace(answer, finding=finding)), "condition")


def test_where_the_run_has_lost_its_config_and_the_file_says_nothing_the_lines_are_left_out() -> None:
    answer = answered(HV, differences=ConfigDifferences(None, (), None))
    text = told(
        replace(answer, user_config=replace(answer.user_config, origin=ConfigOrigin(None, None, None)))
    )
    assert "compiler" not in text.split("source")[0].split("condition")[1]
    assert "  base " not in text
    assert labelled(text, "source").startswith("the run built Linux 6.12.48")


@pytest.mark.parametrize("foreign", ["\x1b[31mred", "\x07"])
def test_foreign_text_is_clean(foreign: str) -> None:
    change = ConfigChange({"MODULES": "n"}, {foreign: ("y", "n")}, (f"why {foreign}",))
    answer = answered({**HV, "MODULES": "y"}, change=change, changed_by_conf={foreign: ("y", "n")})
    origin = ConfigOrigin("powerpc", foreign, ConfigCompiler("gcc", 0, foreign))
    text = told(replace(answer, user_config=replace(answer.user_config, origin=origin)), a_run(RUN.cells))
    assert "\x1b" not in text
    assert "\x07" not in text


# Nothing is claimed beyond what was tried


def paragraph(text: str) -> str:
    """What stands below the headline, joined."""
    return " ".join(text.split("\n\n")[1].split())


@pytest.mark.parametrize(
    ("differing", "untried", "claimed"),
    [
        (0, {}, "so the .config is not what hides it; your source, 6.1.0 may be; what else differs is below"),
        (None, {}, "the run has lost the .config of CELL: whether another symbol hides it, nothing says"),
        (
            3,
            {},
            (
                "each of its values was in some cell with F1, though CELL has not all of them: "
                "whether they hide it together, nothing says"
            ),
        ),
        (
            3,
            {"PCI": ("n", "y")},
            "whether F1 comes with these values, nothing says; CELL has it without them",
        ),
    ],
)
def test_only_the_very_configuration_that_fails_is_cleared(
    differing: int | None, untried: dict[str, tuple[str, str]], claimed: str
) -> None:
    answer = answered(HV, differences=ConfigDifferences(GCC, (), differing, untried))
    assert paragraph(told(answer)) == claimed.replace("CELL", answer.fit.cell.id)


def test_what_was_not_tried_comes_before_that_the_condition_is_met() -> None:
    others = (
        UnprovenSymbol("SMP", "y", ("n",), assumed=True),
        UnprovenSymbol("PCI", "n", ("y",), assumed=False, base="ours"),
    )
    differences = ConfigDifferences(
        GCC, others, 9, {"A": ("y", "n"), "B": ("m", "y")}, tried_compilers=(GCC,)
    )
    headline = " ".join(told(answered(HV, differences=differences)).split("\n\n")[0].split())
    assert headline == (
        "your SMP=y was tried in no cell with F1, and may be what hides it: it was seen with SMP=n only, and "
        "no cell says whether that matters "
        "your PCI=n was tried in no cell with F1, and may be what hides it: the base ours sets PCI=y in "
        "every cell of the run "
        "your compiler, gcc (Debian 12.2.0-14) 12.2.0, was tried in no cell, and may be what hides F1: "
        "the run had gcc (Debian 14.2.0-19) 14.2.0 "
        "2 more symbols of your .config have values that no cell with F1 has, and any of them may be what "
        "hides it: A=y (there n), B=m (there y) "
        "it meets the condition of F1 as far as that is known: KVM=y, MODULES=n, VFIO=n on powerpc"
    )


def test_a_term_that_a_config_cannot_show_is_not_claimed_to_hold() -> None:
    answer = answered(HV)
    term = replace(answer.fit.terms[0], axis="base", actual="", needed=("allnoconfig",), holds=None)
    text = told(replace(answer, fit=replace(answer.fit, terms=(term,))))
    assert " ".join(text.split()).startswith(
        "your .config meets what it can show of the condition of F1: KVM=y, MODULES=n, VFIO=n on powerpc; "
        "of 'from base allnoconfig' it says nothing"
    )


def test_a_search_that_was_cut_short_is_said_beside_the_condition() -> None:
    answer = answered(HV)
    short = answer.finding.model_copy(update={"minimal": False})
    assert labelled(told(replace(answer, finding=short)), "condition").endswith("(a smaller one may exist)")


def test_the_cell_with_the_files_values_that_could_not_be_tried_proves_nothing() -> None:
    answer = answered(HV)
    lost = answer.fit.cell.model_copy(update={"id": "x/y", "state": State.TIMEOUT})
    for twin, says in ((answer.fit.cell, "fail, with F1"), (lost, "timeout, which says nothing of F1")):
        differences = ConfigDifferences(GCC, (), 0, twin=twin)
        assert labelled(told(replace(answer, differences=differences)), "tried").endswith(
            f"has your values: {says}"
        )
