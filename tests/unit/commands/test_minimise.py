"""`minimise` as a job: a .config that fails, with an engine in memory and a make that is played."""

from dataclasses import replace
from io import StringIO
from pathlib import Path

import pytest
from rich.console import Console

from matrix.commands.minimise import MinimisedConfig, minimise_config
from matrix.commands.minimise_request import MinimiseRequest, parse_minimise_request
from matrix.commands.settings import GivenSettings
from matrix.errors import InterruptedRunError, MachineError, RequestError
from matrix.findings.cause_search import Outcome
from matrix.record.events import ProgressEvent, ProgressNote
from matrix.record.states import State
from reports.cause_text import show_causes
from tests.fakes.kernel import Made, Symbol
from tests.unit.commands.run_desk import ERROR, VFIO, Desk

INIT = "init/main.o"
NOISE = tuple(f"NOISE{number:03}" for number in range(60))
KCONFIG = """\
config X86
	def_bool y
config MODULES
	bool "modules"
config VIRTUALIZATION
	bool "virtualization"
config VFIO
	bool "vfio"
	depends on VIRTUALIZATION
"""
UNPROVEN = "not proven: without it, the others cannot be had, or the build fails otherwise"
HEAD = "# Linux/x86 6.1.0 Kernel Configuration\nCONFIG_X86=y\n"


class Robot(Desk):
    """A robot with a .config of sixty symbols, of which few matter."""

    def __init__(self, place: Path) -> None:
        super().__init__(place)
        entries = "".join(f'config {name}\n\tbool "{name}"\n' for name in NOISE)
        (self.tree / "Kconfig").write_text(KCONFIG + entries)
        (self.tree / "init").mkdir(exist_ok=True)
        (self.tree / "init/main.c").write_text("int main;\n")
        (self.tree / "init/Makefile").write_text("obj-y := main.o\n")
        self.kernel.symbols = {
            "X86": Symbol(default="y"),
            "MODULES": Symbol(default="y"),
            "VIRTUALIZATION": Symbol(),
            "VFIO": Symbol(needs="VIRTUALIZATION"),
            **{name: Symbol() for name in NOISE},
        }
        self.kernel.objects = {INIT: Made("X86")}
        self.fails_with(MODULES="n", VFIO="y")
        self.file = place / "robot.config"
        self.sets(VIRTUALIZATION="y", VFIO="y", MODULES="n")

    def fails_with(self, **values: str) -> None:
        """The error comes up with these values together."""
        self.says(
            VFIO,
            lambda config: [ERROR] if all(config[name] == value for name, value in values.items()) else [],
            sees=tuple(values),
        )

    def default(self, **values: str) -> None:
        """What defconfig has. A symbol that may be m is a tristate."""
        kconfig = self.tree / "Kconfig"
        for name, value in values.items():
            known = self.kernel.symbols[name]
            changed = replace(known, default=value, tristate=value == "m")
            self.kernel.symbols = {**self.kernel.symbols, name: changed}
            if value == "m":
                kconfig.write_text(kconfig.read_text().replace(f'bool "{name}"', f'tristate "{name}"'))

    def sets(self, **values: str) -> None:
        given = {**dict.fromkeys(NOISE[::2], "y"), **values}
        self.file.write_text(
            HEAD
            + "".join(
                f"# CONFIG_{name} is not set\n" if value == "n" else f"CONFIG_{name}={value}\n"
                for name, value in given.items()
            )
        )

    def asks_for(
        self, neighbour: str = "defconfig", message: str = "", probes: str = "200"
    ) -> MinimiseRequest:
        given = GivenSettings({"source": [str(self.tree)], "toolchain": ["gcc-14"], "lanes": ["1"]}, {})
        focus = ["drivers/vfio/"]
        return parse_minimise_request(given, str(self.file), neighbour, focus, message, probes)

    def minimise(
        self, neighbour: str = "defconfig", message: str = "", probes: str = "200"
    ) -> MinimisedConfig:
        return minimise_config(
            self.asks_for(neighbour, message, probes), self._tell, ["./inv", "minimise"], self.world
        )

    def notes(self) -> list[str]:
        return [event.text for event in self.events if isinstance(event, ProgressNote)]


@pytest.fixture
def robot(tmp_path: Path) -> Robot:
    return Robot(tmp_path)


def test_of_many_symbols_those_that_matter_are_found_and_proven_by_a_run(robot: Robot) -> None:
    found = robot.minimise()
    assert found.found.changes == {"MODULES": ("y", "n"), "VFIO": ("n", "y"), "VIRTUALIZATION": ("n", "y")}
    (cause,) = found.found.causes
    assert cause.without == {
        "MODULES": Outcome.PASSES,
        "VFIO": Outcome.PASSES,
        "VIRTUALIZATION": Outcome.UNRESOLVED,
    }
    assert found.found.candidates == 33
    assert found.found.probes < 33
    run = found.stored.run
    # What the others need is as it was: without it there is nothing to try.
    assert run.profile["fixed"] == {"VIRTUALIZATION": "y"}
    (finding,) = found.stored.findings.findings
    assert finding.condition == ({"MODULES": ("n",), "VFIO": ("y",)},)
    assert {(proof.flip, proof.has_finding) for proof in finding.proof} == {
        ("MODULES", False),
        ("VFIO", False),
    }
    assert [cell.state for cell in run.cells].count(State.FAIL) == 1


def test_it_tells_each_experiment_and_what_came_of_it(robot: Robot) -> None:
    found = robot.minimise()
    told = [note for note in robot.notes() if note.startswith("Experiment ")]
    assert len(told) == found.found.probes
    assert told[0].startswith("Experiment 1 of at most 200: 33 of 33 symbols")
    assert {note.rsplit(": ", 1)[1] for note in told} == {"fails.", "passes.", "unresolved."}


def test_a_flip_that_kconfig_does_not_make_shows_nothing(robot: Robot) -> None:
    """NOISE003 cannot be on without NOISE001, which is off."""
    needing = replace(robot.kernel.symbols["NOISE003"], needs="NOISE001")
    robot.kernel.symbols = {**robot.kernel.symbols, "NOISE003": needing}
    source = robot.tree / "drivers/vfio/vfio.c"
    source.write_text(source.read_text() + "/* CONFIG_NOISE003 */\n")
    robot.minimise()
    (told,) = (note for note in robot.notes() if "NOISE003=y" in note)
    assert told.endswith(": fails, though Kconfig bent a value.")


def test_the_same_command_again_builds_nothing(robot: Robot) -> None:
    first = robot.minimise()
    robot.kernel.jobs.clear()
    again = robot.minimise()
    assert again.found.causes == first.found.causes
    assert not robot.kernel.ran(configures=False)


def test_the_terminal_has_each_symbol_with_what_its_flip_showed(robot: Robot) -> None:
    found, shown = robot.minimise().found, StringIO()
    show_causes(found, Console(file=shown, width=120))
    assert shown.getvalue().splitlines()[1:] == [
        f"of 33 symbols that differ, 3 matter; found by {found.probes} experiments",
        "  MODULES=n         (instead of y)  without it the error is gone",
        f"  VIRTUALIZATION=y  (instead of n)  {UNPROVEN}",
        "  VFIO=y            (instead of n)  without it the error is gone",
    ]


def test_two_causes_are_told_as_two(robot: Robot) -> None:
    robot.says(
        VFIO,
        lambda config: [ERROR] if config["NOISE010"] == "y" or config["NOISE020"] == "y" else [],
        sees=("NOISE010", "NOISE020"),
    )
    found = robot.minimise()
    # The object is there with VFIO only, which needs another.
    assert [set(cause.changes) - {"VFIO", "VIRTUALIZATION"} for cause in found.found.causes] == [
        {"NOISE010"},
        {"NOISE020"},
    ]


def test_another_error_is_another_problem(robot: Robot) -> None:
    other = "/src/drivers/vfio/vfio.c:9:5: error: 'y' undeclared"
    robot.says(
        VFIO,
        lambda config: [ERROR] if config["MODULES"] == "n" else [other] if config["NOISE010"] == "y" else [],
        sees=("MODULES", "NOISE010"),
    )
    found = robot.minimise()
    assert set(found.found.changes) == {"MODULES", "VFIO", "VIRTUALIZATION"}


def test_a_neighbour_may_be_a_config_of_ones_own(robot: Robot) -> None:
    near = robot.place / "near.config"
    near.write_text(robot.file.read_text().replace("# CONFIG_MODULES is not set", "CONFIG_MODULES=y"))
    found = robot.minimise(neighbour=str(near))
    assert found.found.changes == {"MODULES": ("y", "n")}
    assert found.found.candidates == 1


def test_what_does_not_fail_is_refused(robot: Robot) -> None:
    robot.sets(VFIO="n")
    with pytest.raises(RequestError, match="does not fail here: pass"):
        robot.minimise()


def test_a_neighbour_that_fails_alike_is_refused(robot: Robot) -> None:
    with pytest.raises(RequestError, match="fails in the same way"):
        robot.minimise(neighbour=str(robot.file))


def test_a_message_that_no_error_has_is_refused_with_those_there_are(robot: Robot) -> None:
    with pytest.raises(RequestError, match="no error of it has the words 'implicit'") as caught:
        robot.minimise(message="implicit")
    assert "undeclared" in caught.value.hint
    assert robot.minimise(message="undeclared").found.changes


def test_too_few_experiments_say_how_far_they_came(robot: Robot) -> None:
    with pytest.raises(MachineError, match=r"after 3 experiments [0-9]+ symbols may still matter") as caught:
        robot.minimise(probes="3")
    assert "--probes 6" in caught.value.hint


def test_flips_that_there_is_no_room_for_are_counted(robot: Robot) -> None:
    robot.says(
        VFIO,
        lambda config: [ERROR] if config["MODULES"] == "n" and config["NOISE001"] == "n" else [],
        sees=("MODULES", "NOISE001"),
    )
    source = robot.tree / "drivers/vfio/vfio.c"
    source.write_text(source.read_text() + "/* CONFIG_NOISE001 CONFIG_NOISE003 */\n")
    whole = robot.minimise().found
    assert "the cause that was found, with NOISE001=y: passes." in "\n".join(robot.notes())
    assert whole.needed == {"NOISE001": "n"}
    assert whole.untried == 0
    short = robot.minimise(probes=str(whole.probes - 2)).found
    assert short.untried > 0


def test_what_is_a_module_in_the_neighbour_is_built_in_where_there_are_none(robot: Robot) -> None:
    """So the run that proves asks for that, and not for a module without modules."""
    robot.default(VIRTUALIZATION="y", VFIO="y", NOISE001="m")
    robot.fails_with(MODULES="n", NOISE001="n")
    robot.sets(VIRTUALIZATION="y", VFIO="y", MODULES="n", NOISE001="n")
    found = robot.minimise()
    assert found.found.changes == {"MODULES": ("y", "n"), "NOISE001": ("m", "n")}
    assert found.stored.run.axes["NOISE001"] == ("y", "n")
    (finding,) = found.stored.findings.findings
    assert finding.condition == ({"MODULES": ("n",), "NOISE001": ("n",)},)
    assert {proof.flip: proof.has_finding for proof in finding.proof} == {"MODULES": False, "NOISE001": False}


def test_what_a_symbol_near_to_the_error_takes_is_told_and_no_term(robot: Robot) -> None:
    """NOISE001 is on and depends on NOISE003, as SPAPR_TCE_IOMMU does on IOMMU_SUPPORT."""
    robot.default(NOISE001="y", NOISE003="y", VIRTUALIZATION="y", VFIO="y")
    robot.fails_with(MODULES="n", NOISE003="y")
    robot.sets(VIRTUALIZATION="y", VFIO="y", MODULES="n")
    kconfig, source = robot.tree / "Kconfig", robot.tree / "drivers/vfio/vfio.c"
    kconfig.write_text(kconfig.read_text().replace('"NOISE001"\n', '"NOISE001"\n\tdepends on NOISE003\n'))
    source.write_text(source.read_text() + "/* CONFIG_NOISE001 */\n")
    found, shown = robot.minimise(), StringIO()
    assert (found.found.needed, found.found.takers) == ({"NOISE003": "y"}, {"NOISE003": ("NOISE001",)})
    (finding,) = found.stored.findings.findings
    assert finding.condition == ({"MODULES": ("n",)},)
    assert found.stored.run.profile["fixed"] == {"NOISE003": "y"}
    show_causes(found.found, Console(file=shown, width=120))
    assert shown.getvalue().splitlines()[-1] == "  NOISE003=y  (taken by NOISE001)"


def test_what_the_focus_names_is_built_once_with_what_every_configuration_has(robot: Robot) -> None:
    request = replace(robot.asks_for(), max_probes=1)
    assert request.profile.focus == ("drivers/vfio/", "init/")
    with pytest.raises(MachineError, match="after 1 experiments"):
        minimise_config(request, robot._tell, ["./inv", "minimise"], robot.world)
    # The .config, its neighbour, and the one experiment, which is the .config again.
    assert len(robot.kernel.ran(configures=False)) <= 3


def test_a_neighbour_that_fails_otherwise_is_refused(robot: Robot) -> None:
    other = ERROR.replace("'x'", "'y'")
    robot.says(
        INIT, lambda config: [other] if config["MODULES"] == "y" else [], symbol="X86", sees=("MODULES",)
    )
    with pytest.raises(RequestError, match=r"defconfig is no \.config that passes here"):
        robot.minimise()


def test_what_the_environment_says_of_other_runs_ends_no_experiment(robot: Robot) -> None:
    given = GivenSettings({"toolchain": ["gcc-14"]}, {"KMATRIX_FAIL_FAST": "1", "KMATRIX_FRESH": "1"})
    profile = parse_minimise_request(given, str(robot.file), "defconfig", [], "", "9").profile
    assert (profile.fail_fast, profile.fresh, profile.description) == (False, False, "")


def test_an_interruption_is_told_with_how_it_goes_on(robot: Robot) -> None:
    def interrupt(event: ProgressEvent) -> None:
        if isinstance(event, ProgressNote) and event.text.startswith("Experiment 3"):
            raise KeyboardInterrupt

    robot.on_event = interrupt
    with pytest.raises(InterruptedRunError, match="the same command goes on"):
        robot.minimise()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("CONFIG_MODULES=y\n", "does not say which arch"),
        ("# Linux/loongarch 6.1.0 Kernel Configuration\nCONFIG_A=y\n", "for loongarch"),
        ("no config\n", "is no line of a .config"),
    ],
)
def test_a_config_that_will_not_do_is_refused(robot: Robot, text: str, message: str) -> None:
    robot.file.write_text(text)
    with pytest.raises(RequestError, match=message):
        robot.asks_for()


def test_a_toolchain_follows_from_the_config_or_is_asked_for(robot: Robot) -> None:
    given = GivenSettings({"source": [str(robot.tree)]}, {})
    with pytest.raises(RequestError, match=r"robot\.config names no compiler"):
        parse_minimise_request(given, str(robot.file), "defconfig", [], "", "9")
    robot.file.write_text(
        robot.file.read_text() + 'CONFIG_CC_IS_GCC=y\nCONFIG_GCC_VERSION=140200\nCONFIG_CC_VERSION_TEXT="g"\n'
    )
    request = parse_minimise_request(given, str(robot.file), "defconfig", [], "", "9")
    assert request.profile.toolchain == ("gcc-14",)
    assert request.profile.stage == "modules"


@pytest.mark.parametrize(
    ("neighbour", "focus", "probes", "message"),
    [
        ("defconfg", [], "9", "nearest: 'defconfig'"),
        ("defconfig", ["drivers/vfio"], "9", "neither a directory nor an object"),
        ("defconfig", [], "0", "at least one"),
        ("defconfig", [], "many", "expected a whole number"),
    ],
)
def test_what_is_asked_wrongly_is_refused(
    robot: Robot, neighbour: str, focus: list[str], probes: str, message: str
) -> None:
    given = GivenSettings({"source": [str(robot.tree)], "toolchain": ["gcc-14"]}, {})
    with pytest.raises(RequestError, match=message):
        parse_minimise_request(given, str(robot.file), neighbour, focus, "", probes)
