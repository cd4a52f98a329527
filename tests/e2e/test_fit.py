"""A .config of somebody's against a finding, on the miniature tree, resolved and built in real containers."""

from pathlib import Path

import pytest

from matrix.commands.explain_config import ConfigCheckRequest, explain_config
from matrix.findings.check_config import ConfigExplanation
from matrix.findings.stored_run import StoredRun
from matrix.kconfig.config import Config
from matrix.record.run_directory import RunDirectory
from matrix.record.run_model import Run
from matrix.record.states import State
from tests.e2e.conftest import Kmatrix
from tests.minitree import REGRESSION

pytestmark = pytest.mark.engine
CORNER = ["toolchain=gcc-14,KVM=[ny],VFIO=[ny]"]
HOLDS = '\nconfig HOLDS_VFIO\n\tbool "Keeps VFIO on"\n\tselect VFIO\n'


@pytest.fixture(scope="module")
def kmatrix(tmp_path_factory: pytest.TempPathFactory) -> Kmatrix:
    """One run for all: nobody's question changes it."""
    return Kmatrix(tmp_path_factory.mktemp("fit"))


@pytest.fixture(scope="module")
def broken(kmatrix: Kmatrix) -> Run:
    with (Path(kmatrix.tree) / "init/Kconfig").open("a") as file:
        file.write(HOLDS)
    return kmatrix.run(source=[kmatrix.tree], patch=[str(REGRESSION)], select=CORNER)


def ask(kmatrix: Kmatrix, run: Run, file: Path) -> ConfigExplanation:
    stored = StoredRun(run, kmatrix.place / "runs" / run.id)
    (finding,) = (one for one in stored.findings.findings if one.is_error)
    return explain_config(stored, finding, ConfigCheckRequest(file), kmatrix.on_event, kmatrix.world)


def config_with(kmatrix: Kmatrix, run: Run, more: str = "", **symbols: str) -> Path:
    """The .config that a cell of the run was built with, as a file of somebody's own."""
    cell = next(cell for cell in run.cells if cell.request == symbols)
    file = kmatrix.place / "mine.config"
    file.write_text(f"{RunDirectory.load(kmatrix.place / 'runs' / run.id).load_config(cell)}{more}")
    return file


def test_the_maintainers_config_gets_the_change_that_he_missed_and_then_fails(
    kmatrix: Kmatrix, broken: Run
) -> None:
    told = ask(kmatrix, broken, config_with(kmatrix, broken, KVM="y", MODULES="y", VFIO="n"))
    assert told.user_config.origin.arch == told.user_config.arch == "powerpc"
    assert told.fit.missing_symbols == {"MODULES": "n"}
    assert told.change is not None
    assert told.change.file is not None
    assert dict(told.change.side_effects) == {"KVM_BOOK3S_64_HV": ("m", "y"), "MODULE_UNLOAD": ("y", "n")}
    assert told.changed_by_conf == {}
    assert told.differences is not None
    assert told.differences.differing_symbols == 0
    changed = Config.parse(told.change.file.read_text())
    assert [changed.value_of(name) for name in ("KVM", "MODULES", "VFIO")] == ["y", "n", "n"]
    kmatrix.profile.write_text(
        'focus = ["arch/{srcarch}/kvm/"]\narch = ["powerpc"]\ntoolchain = ["gcc-14"]\nbase = ["his"]\n'
        f'[bases.his]\nfile = "{told.change.file}"\n'
    )
    again = kmatrix.run(source=[kmatrix.tree], patch=[str(REGRESSION)])
    assert [cell.state for cell in again.cells] == [State.FAIL]


def test_a_config_that_keeps_the_symbol_on_is_told_what_keeps_it(kmatrix: Kmatrix, broken: Run) -> None:
    file = config_with(kmatrix, broken, "CONFIG_HOLDS_VFIO=y\n", KVM="y", MODULES="n", VFIO="y")
    told = ask(kmatrix, broken, file)
    assert told.fit.missing_symbols == {"VFIO": "n"}
    assert told.change is not None
    assert told.change.unreachable_reasons == ("VFIO=n: selected by HOLDS_VFIO (=y)",)
    assert told.change.file is None


def test_the_config_of_the_failing_cell_meets_the_condition(kmatrix: Kmatrix, broken: Run) -> None:
    told = ask(kmatrix, broken, config_with(kmatrix, broken, KVM="y", MODULES="n", VFIO="n"))
    assert told.fit.missed_terms == ()
    assert told.differences is not None
    assert told.differences.differing_symbols == 0
    assert told.differences.compiler == told.user_config.origin.compiler
