"""A .config against a condition: what holds, what it misses, which conjunction is nearest."""

from collections.abc import Mapping

import pytest

from matrix.catalog.load import Catalog, load_catalog, load_profile
from matrix.catalog.types import Setting
from matrix.findings.check_config import (
    ConditionFit,
    ConfigChecker,
    ResolvedConfig,
    UnprovenSymbol,
    find_nearest_toolchain,
    fit_other_arch,
)
from matrix.findings.derive import derive_findings
from matrix.findings.finding import Assumption, Finding
from matrix.kconfig.config import Config, ConfigCompiler, SymbolCheck
from matrix.record.run_model import Cell, Run
from matrix.record.states import State
from tests.fakes.runs import GCC_ERROR, STORY, a_cell, a_run, the_story

CATALOG = load_catalog()
HV = {"KVM": "y", "KVM_BOOK3S_64": "y"}
GCC, CLANG = ConfigCompiler("gcc", 140200, "gcc 14"), ConfigCompiler("clang", 190107, "clang 19")


def the_finding(run: Run) -> Finding:
    return derive_findings(run, {}).findings[0]


def cells_of(run: Run, finding: Finding, toolchain: str = "gcc-14") -> list[Cell]:
    return [cell for cell in run.cells if cell.id in finding.cells and cell.toolchain == toolchain]


def mine(
    values: Mapping[str, str], arch: str = "powerpc", toolchain: str | None = "gcc-14"
) -> ResolvedConfig:
    config = Config(values)
    return ResolvedConfig(arch, toolchain, config, config)


def closest(run: Run, finding: Finding, held: ResolvedConfig, catalog: Catalog = CATALOG) -> ConditionFit:
    return ConfigChecker(catalog, run.axes).find_closest_fit(finding, cells_of(run, finding), held)


def fit(values: Mapping[str, str], toolchain: str | None = "gcc-14") -> ConditionFit:
    run = the_story()
    return closest(run, the_finding(run), mine(values, toolchain=toolchain))


def with_condition(*cubes: Mapping[str, tuple[str, ...]], cells: list[Cell]) -> tuple[Run, Finding]:
    """A run of these cells, all with the finding, whose condition is set by hand."""
    run = a_run(cells, [GCC_ERROR])
    finding = the_finding(run)
    return run, finding.model_copy(update={"condition": tuple(dict(cube) for cube in cubes)})


def failing(symbols: Mapping[str, str], arch: str = "powerpc", toolchain: str = "gcc-14") -> Cell:
    return a_cell(arch, toolchain, symbols, state=State.FAIL, diagnostics=[GCC_ERROR])


# Terms


def test_the_storys_maintainer_misses_modules_alone() -> None:
    told = fit({**HV, "MODULES": "y"})
    assert [(term.axis, term.actual, term.needed) for term in told.missed_terms] == [("MODULES", "y", ("n",))]
    assert told.missing_symbols == {"MODULES": "n"}
    assert told.satisfied_symbols == {"KVM": "y", "VFIO": "n"}


def test_a_config_that_has_it_all_misses_nothing() -> None:
    told = fit(HV)
    assert told.missed_terms == ()
    assert [term.axis for term in told.terms] == ["arch", "KVM", "MODULES", "VFIO"]
    assert all(term.holds for term in told.terms)


@pytest.mark.parametrize(
    ("values", "has", "lacks"),
    [
        ({"KVM": "y", "KVM_BOOK3S_64": "m"}, "m", [("KVM_BOOK3S_64", "y", "m")]),
        ({"KVM": "y"}, "y", [("KVM_BOOK3S_64", "y", "n")]),
        ({}, "n", [("KVM", "y", "n"), ("KVM_BOOK3S_64", "y", "n")]),
    ],
)
def test_a_symbol_means_what_its_knob_proves_on_that_arch(
    values: dict[str, str], has: str, lacks: list[tuple[str, str, str]]
) -> None:
    (term,) = fit(values).missed_terms
    assert (term.axis, term.actual, term.wanted) == ("KVM", has, "y")
    assert term.failed_checks == tuple(SymbolCheck(*each) for each in lacks)


def test_a_knob_of_the_profile_counts() -> None:
    knob = {"powerpc": {"y": Setting(set={}, proof={"KVM_HV": "y"})}}
    profile = load_profile("kvm-vfio").model_copy(update={"knobs": {"KVM": knob}})
    run = the_story()
    held = closest(run, the_finding(run), mine({"KVM_HV": "y"}), CATALOG.with_profile(profile))
    assert held.missed_terms == ()


def test_what_the_file_said_is_kept_beside_what_the_tree_makes_of_it() -> None:
    run = the_story()
    held = ResolvedConfig("powerpc", None, Config(HV), Config({}))
    (term,) = closest(run, the_finding(run), held).missed_terms
    assert (term.axis, term.written, term.actual) == ("KVM", "y", "n")


@pytest.mark.parametrize(("made_with", "holds"), [("gcc-14", True), ("clang-19", False), (None, None)])
def test_a_compiler_is_what_the_config_was_made_with(made_with: str | None, holds: bool | None) -> None:
    run, finding = with_condition({"toolchain": ("gcc-14",)}, cells=[failing(STORY)])
    told = closest(run, finding, mine(HV, toolchain=made_with))
    assert [term.holds for term in told.terms] == [holds]
    assert told.missing_symbols == {}


def test_of_its_base_a_config_says_nothing() -> None:
    run, finding = with_condition({"base": ("defconfig",), "VFIO": ("n",)}, cells=[failing(STORY)])
    assert [term.holds for term in closest(run, finding, mine(HV)).terms] == [None, True]


# Which conjunction, which cell


def test_the_conjunction_that_misses_least_is_chosen() -> None:
    here, there = {"A": "y", "B": "y", "C": "n"}, {"A": "n", "B": "n", "C": "y"}
    run, finding = with_condition(
        {"A": ("y",), "B": ("y",)}, {"C": ("y",)}, cells=[failing(here), failing(there)]
    )
    told = closest(run, finding, mine({}))
    assert (told.cube_index, told.missing_symbols, told.cell.request) == (1, {"C": "y"}, there)
    assert closest(run, finding, mine({"A": "y"})).cube_index == 0


def test_fewer_missed_terms_count_more_than_a_nearer_cell() -> None:
    far = {"A": "y", "B": "n", "C": "n", "D": "y", "E": "y"}
    near = {"A": "n", "B": "y", "C": "y", "D": "n", "E": "n"}
    run, finding = with_condition(
        {"B": ("y",), "C": ("y",)}, {"A": ("y",)}, cells=[failing(near), failing(far)]
    )
    assert closest(run, finding, mine({})).missing_symbols == {"A": "y"}


def test_where_they_miss_as_much_the_nearer_cell_decides_and_then_the_order() -> None:
    one, two = {"A": "y", "B": "n", "C": "m"}, {"A": "n", "B": "y", "C": "y"}
    run, finding = with_condition({"A": ("y",)}, {"B": ("y",)}, cells=[failing(one), failing(two)])
    assert closest(run, finding, mine({"C": "y"})).cube_index == 1
    assert closest(run, finding, mine({"C": "m"})).cube_index == 0
    assert closest(run, finding, mine({"C": "0"})).cube_index == 0


def test_of_several_values_the_nearest_cells_is_asked_for() -> None:
    cells = [failing({"VFIO": "m", "X": "n"}), failing({"VFIO": "y", "X": "y"})]
    run, finding = with_condition({"VFIO": ("m", "y")}, cells=cells)
    assert closest(run, finding, mine({"X": "y"})).missing_symbols == {"VFIO": "y"}
    assert closest(run, finding, mine({})).missing_symbols == {"VFIO": "m"}
    assert closest(run, finding, mine({"VFIO": "y"})).satisfied_symbols == {"VFIO": "y"}


# Another arch, the toolchain


def test_a_config_of_another_arch_is_judged_by_nothing_else() -> None:
    run = the_story()
    cells = cells_of(run, the_finding(run))
    assert fit_other_arch(cells, "powerpc") is None
    told = fit_other_arch(cells, "x86")
    assert told is not None
    assert [(term.axis, term.actual, term.needed) for term in told.missed_terms] == [
        ("arch", "x86", ("powerpc",))
    ]
    assert told.missing_symbols == {}


@pytest.mark.parametrize(
    ("mine", "chosen"),
    [
        (ConfigCompiler("clang", 150000, ""), "clang-19"),
        (ConfigCompiler("gcc", 120200, ""), "gcc-12"),
        (ConfigCompiler("gcc", 150100, ""), "gcc-14"),
        (ConfigCompiler("icc", 0, ""), "gcc-12"),
        (None, "gcc-12"),
    ],
)
def test_the_toolchain_nearest_to_a_compiler_is_of_its_family(
    mine: ConfigCompiler | None, chosen: str
) -> None:
    known = {"gcc-12": ConfigCompiler("gcc", 120200, ""), "gcc-14": GCC, "clang-19": CLANG}
    assert find_nearest_toolchain(known, mine) == chosen


def test_where_no_compiler_is_known_the_first_toolchain_serves() -> None:
    assert find_nearest_toolchain({"a": None, "b": None}, GCC) == "a"


# What else differs


def others(values: Mapping[str, str], finding: Finding, run: Run, **fixed: str) -> tuple[UnprovenSymbol, ...]:
    held = mine(values)
    return ConfigChecker(CATALOG, run.axes).find_unproven_symbols(
        finding, closest(run, finding, held), fixed, held
    )


def test_symbols_that_every_cell_has_alike_are_named_where_they_differ() -> None:
    run = a_run([failing(STORY), a_cell(symbols={**STORY, "VFIO": "y"})], [GCC_ERROR])
    finding = the_finding(run)
    assert finding.context == {"arch": "powerpc", "toolchain": "gcc-14", "base": "defconfig"} | {
        "KVM": "y",
        "MODULES": "n",
    }
    assert others({**HV, "MODULES": "y"}, finding, run) == (
        UnprovenSymbol("MODULES", "y", ("n",), assumed=False),
    )
    assert others(HV, finding, run, PCI="y") == (UnprovenSymbol("PCI", "n", ("y",), assumed=False),)
    assert others({**HV, "PCI": "y"}, finding, run, PCI="y") == ()


def test_an_assumption_of_the_chosen_conjunction_is_named_where_it_is_not_met() -> None:
    run, finding = with_condition({"VFIO": ("n",)}, cells=[failing(STORY)])
    assumed = (
        Assumption(of=0, axis="MODULES", seen=("n",), unknown=("y",), because={"empty": 1}),
        Assumption(of=1, axis="KVM", seen=("y",), unknown=("n",), because={"empty": 1}),
    )
    finding = finding.model_copy(update={"assumes": assumed, "context": {}})
    assert others({"MODULES": "y"}, finding, run) == (UnprovenSymbol("MODULES", "y", ("n",), assumed=True),)
    assert others({}, finding, run) == ()
