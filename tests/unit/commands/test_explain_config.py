"""`explain --config` as a job: a .config resolved on a run's own tree, with an engine in memory."""

import hashlib
import shutil
from dataclasses import replace
from io import StringIO
from pathlib import Path

import pytest
from rich.console import Console

from matrix.catalog.load import load_catalog
from matrix.commands.explain_config import (
    ConfigCheckRequest,
    explain_config,
    load_user_config,
    parse_config_request,
)
from matrix.engine.protocol import ContainerResult
from matrix.errors import MachineError, RequestError
from matrix.findings.check_config import ConfigExplanation
from matrix.findings.stored_run import StoredRun
from matrix.kconfig.config import Config
from matrix.record.run_model import Run
from reports.explain import show_config_explanation
from tests.fakes.kernel import Job, Made, Symbol
from tests.unit.commands.run_desk import ERROR, PROFILE, SIX, VFIO, Desk

MODULES_ON = "# Linux/x86 6.1.0 Kernel Configuration\nCONFIG_X86=y\nCONFIG_MODULES=y\nCONFIG_VFIO=y\n"


def without_modules(config: dict[str, str]) -> list[str]:
    """The story in small: refused with MODULES=n and VFIO=y only."""
    return [ERROR] if config["MODULES"] == "n" else []


class Maintainer(Desk):
    """Somebody with a .config, and a run with a finding that needs MODULES=n, VFIO=y."""

    def __init__(self, place: Path) -> None:
        super().__init__(place)
        self.asks(SIX)
        self.says(VFIO, without_modules, sees=("MODULES",))
        # Something that is compiled in every cell: without it VFIO=n would prove nothing.
        (self.tree / "drivers/vfio/always.c").write_text("int always;\n")
        self.kernel.objects["drivers/vfio/always.o"] = Made("ALWAYS")
        self.configures(ALWAYS=Symbol(default="y"))
        self.done = self.run()
        self.kernel.jobs.clear()
        self.file = place / "mine.config"

    def ask(
        self, text: str = MODULES_ON, toolchain: str = "", out: str = "", run: Run | None = None
    ) -> ConfigExplanation:
        self.file.write_text(text)
        (finding,) = StoredRun(self.done, self.directory).findings.findings
        asked = ConfigCheckRequest(self.file, toolchain, out)
        stored = StoredRun(run or self.done, self.directory)
        return explain_config(stored, finding, asked, self.events.append, self.world)

    def configures(self, **symbols: Symbol) -> None:
        """Further symbols, or other ones, in another tree's Kconfig: nothing that was resolved holds."""
        self.kernel.symbols = {**self.kernel.symbols, **symbols}
        shutil.rmtree(self.place / "cache/resolutions", ignore_errors=True)


@pytest.fixture
def somebody(tmp_path: Path) -> Maintainer:
    return Maintainer(tmp_path)


def written(told: ConfigExplanation) -> str:
    assert told.change is not None
    assert told.change.file is not None
    return told.change.file.read_text()


def refusal(somebody: Maintainer, toolchain: str = "", out: str = "") -> str:
    """What is refused, and that it was before any container ran."""
    with pytest.raises(RequestError) as caught:
        somebody.ask(toolchain=toolchain, out=out)
    assert somebody.kernel.jobs == []
    return f"{caught.value} ({caught.value.hint})"


def about_file(somebody: Maintainer) -> RequestError:
    """What is refused of the file as it lies there."""
    with pytest.raises(RequestError) as caught:
        load_user_config(somebody.file, load_catalog(), f"--config {somebody.file}")
    return caught.value


# The change


def test_the_missed_term_is_changed_and_the_trees_own_answer_is_written(somebody: Maintainer) -> None:
    told = somebody.ask()
    assert told.fit.missing_symbols == {"MODULES": "n"}
    assert Config.parse(written(told)).enabled_symbols == {("VFIO", "y"), ("ALWAYS", "y")}
    assert told.change is not None
    assert told.change.requested == {"MODULES": "n"}
    assert told.change.unreachable_reasons == ()


def test_the_file_lies_in_the_runs_directory_and_takes_nobodys_place(somebody: Maintainer) -> None:
    first, second = somebody.ask(), somebody.ask(f"{MODULES_ON}CONFIG_GROUP=y\n")
    files = [told.change.file for told in (first, second) if told.change]
    assert len({str(file) for file in files}) == 2
    assert [str(file).startswith(f"{somebody.directory}/F1-mine-") for file in files] == [True, True]
    assert somebody.file.read_text() == f"{MODULES_ON}CONFIG_GROUP=y\n"


def test_what_followed_the_change_is_told_from_what_the_tree_does_by_itself(somebody: Maintainer) -> None:
    somebody.configures(LATE=Symbol(default="y"), UNLOAD=Symbol(default="y", needs="MODULES"))
    told = somebody.ask(f"{MODULES_ON}CONFIG_ALWAYS=y\n")
    assert told.changed_by_conf == {"LATE": ("n", "y"), "UNLOAD": ("n", "y"), "X86": ("y", "n")}
    assert told.change is not None
    assert told.change.side_effects == {"UNLOAD": ("y", "n")}


def test_a_knobs_helpers_are_asked_for_but_only_for_what_is_missed(somebody: Maintainer) -> None:
    head = PROFILE.replace(
        "[symbols]",
        "[knobs.VFIO.x86.y]\nset = { VFIO = 'y', GROUP = 'y' }\nproof = { VFIO = 'y' }\n[symbols]",
    )
    somebody.asks(SIX, head)
    somebody.done = somebody.run()
    held = somebody.ask()
    assert Config.parse(written(held)).value_of("GROUP") == "n"
    missed = somebody.ask(MODULES_ON.replace("VFIO=y", "VFIO=m"))
    assert missed.fit.missing_symbols == {"MODULES": "n", "VFIO": "y"}
    assert Config.parse(written(missed)).value_of("GROUP") == "y"


def test_a_config_that_meets_it_is_told_so_and_nothing_is_written(somebody: Maintainer) -> None:
    before = set(somebody.directory.iterdir())
    told = somebody.ask(MODULES_ON.replace("CONFIG_MODULES=y\n", ""))
    assert told.fit.missed_terms == ()
    assert told.change is None
    assert told.differences is not None
    assert told.differences.differing_symbols == 0
    assert set(somebody.directory.iterdir()) == before


def test_what_cannot_be_reached_says_why_and_is_not_written(somebody: Maintainer) -> None:
    somebody.kernel.symbols = {"MODULES": Symbol(), "BUS": Symbol()}
    somebody.configures(VFIO=Symbol(needs="BUS"))
    before = set(somebody.directory.iterdir())
    told = somebody.ask()
    assert told.fit.missing_symbols == {"MODULES": "n", "VFIO": "y"}
    assert told.change is not None
    assert told.change.file is None
    assert told.change.unreachable_reasons == ("VFIO=y: became n",)
    assert set(somebody.directory.iterdir()) == before


def test_what_was_held_and_breaks_by_the_change_is_not_reached(somebody: Maintainer) -> None:
    """The whole conjunction is verified, not only what was missed."""

    def forget(job: Job) -> None:
        config = job.host("/build") / ".config"
        if "# CONFIG_MODULES is not set" in config.read_text():
            config.write_text(config.read_text().replace("CONFIG_VFIO=y", "# CONFIG_VFIO is not set"))

    somebody.kernel.before = forget
    told = somebody.ask()
    assert told.change is not None
    assert told.change.unreachable_reasons == ("VFIO=y: became n",)


# How it is resolved


def test_it_is_resolved_twice_with_the_cells_own_make_line_image_and_tree(somebody: Maintainer) -> None:
    somebody.ask()
    jobs = somebody.kernel.jobs
    cell = somebody.done.cells[2]
    assert [job.targets for job in jobs] == [("olddefconfig",), ("olddefconfig",)]
    assert [" ".join(f"{k}={v}" for k, v in job.variables.items()).split(" ", 1)[1] for job in jobs] == [
        cell.make
    ] * 2
    assert {job.container.image for job in jobs} == {somebody.done.toolchains["gcc-14"].image_id}
    assert {job.host("/src").parent.name for job in jobs} == {somebody.done.source.digest}


def test_what_was_resolved_once_is_known(somebody: Maintainer) -> None:
    somebody.ask()
    somebody.kernel.jobs.clear()
    somebody.ask()
    assert somebody.kernel.jobs == []


def test_no_lane_that_builds_is_touched(somebody: Maintainer) -> None:
    before = {path: path.stat().st_mtime_ns for path in (somebody.place / "cache/lanes").rglob("*")}
    somebody.ask()
    assert {path: path.stat().st_mtime_ns for path in before} == before


def test_the_machines_faults_are_not_the_configs(somebody: Maintainer) -> None:
    somebody.kernel.before = lambda _: ContainerResult(137, 1.0, oom=True)
    with pytest.raises(MachineError, match="olddefconfig could not be run: oom"):
        somebody.ask()


def test_a_tree_whose_kconfig_refuses_is_told_in_its_words(somebody: Maintainer) -> None:
    def refuse(job: Job) -> int:
        job.say("drivers/vfio/Kconfig:1: syntax error")
        return 2

    somebody.kernel.before = refuse
    with pytest.raises(RequestError, match=r"takes no \.config: .*syntax error"):
        somebody.ask()


# What else differs


def test_the_configuration_that_comes_of_it_is_compared_with_the_cells_own(somebody: Maintainer) -> None:
    told = somebody.ask(f"{MODULES_ON}CONFIG_GROUP=y\n")
    assert told.fit.cell.request == {"MODULES": "n", "VFIO": "y"}
    assert told.differences is not None
    assert told.differences.differing_symbols == 1


def test_without_the_cells_own_config_nothing_is_compared(somebody: Maintainer) -> None:
    shutil.rmtree(somebody.directory / "configs")
    told = somebody.ask()
    assert told.differences is not None
    assert (told.differences.differing_symbols, told.differences.compiler) == (None, None)
    assert written(told)


def test_a_fixed_symbol_that_differs_is_named(somebody: Maintainer) -> None:
    somebody.asks(SIX, PROFILE.replace("[symbols]", "[fixed]\nGROUP = 'y'\n[symbols]"))
    somebody.done = somebody.run(select=["VFIO=y"])
    told = somebody.ask()
    assert told.differences is not None
    assert [(one.symbol, one.actual, one.seen) for one in told.differences.unproven_symbols] == [
        ("GROUP", "n", ("y",))
    ]


def test_what_differs_is_judged_after_the_change(somebody: Maintainer) -> None:
    """A fixed symbol that went with the change is one that differs."""
    somebody.asks(SIX, PROFILE.replace("[symbols]", "[fixed]\nGROUP = 'y'\n[symbols]"))
    somebody.done = somebody.run(select=["VFIO=y"])
    somebody.kernel.symbols = {"MODULES": Symbol(), "UNLOAD": Symbol(default="y", needs="MODULES")}
    somebody.configures(VFIO=Symbol(tristate=True), GROUP=Symbol(needs="UNLOAD"))
    told = somebody.ask(f"{MODULES_ON}CONFIG_GROUP=y\n")
    assert told.differences is not None
    assert [(one.symbol, one.actual) for one in told.differences.unproven_symbols] == [("GROUP", "n")]


# What was never tried


def headline(somebody: Maintainer, told: ConfigExplanation) -> str:
    """What is said before anything else."""
    out = StringIO()
    stored = StoredRun(somebody.done, somebody.directory)
    show_config_explanation(stored, told, Console(file=out, width=80, color_system=None))
    return " ".join(out.getvalue().split("\n\n")[0].split())


def test_what_every_cell_had_and_the_file_has_not_is_said_before_the_condition_is_met(
    somebody: Maintainer,
) -> None:
    """The story's own trap: all cells had MODULES=n, and the .config that does not show it has y."""
    somebody.done = somebody.run(select=["MODULES=n"])
    told = somebody.ask()
    assert told.fit.missed_terms == ()
    assert headline(somebody, told) == (
        "your MODULES=y was tried in no cell with F1, and may be what hides it: every cell of the run has "
        "MODULES=n it meets the condition of F1 as far as that is known: VFIO=y"
    )


def test_the_runs_own_values_are_written_and_the_files_own_are_tried_by_a_command(
    somebody: Maintainer,
) -> None:
    somebody.done = somebody.run(select=["MODULES=n"])
    told = somebody.ask()
    assert told.change is not None
    assert told.change.requested == {"MODULES": "n"}
    assert Config.parse(written(told)).enabled_symbols == {("VFIO", "y"), ("ALWAYS", "y")}
    assert told.differences is not None
    assert told.differences.trial is not None
    assert told.differences.trial.profile_changes == ()
    (term,) = told.differences.trial.command.split("--select ")[1:]
    assert term == "arch=x86,toolchain=gcc-14,base=defconfig,MODULES=y,VFIO=y"
    tried = somebody.run(select=[term])
    assert [cell.request for cell in tried.cells] == [{"MODULES": "y", "VFIO": "y"}]


def test_a_fixed_symbol_may_hide_it_and_the_profile_has_to_plan_its_other_value(
    somebody: Maintainer,
) -> None:
    fixed = PROFILE.replace("[symbols]", "[fixed]\nMODULES = 'n'\n[symbols]")
    somebody.asks('VFIO = ["n", "m", "y"]\n', fixed)
    somebody.done = somebody.run()
    told = somebody.ask()
    assert headline(somebody, told).startswith("your MODULES=y was tried in no cell with F1, and may be what")
    assert told.differences is not None
    assert told.differences.trial is not None
    assert told.differences.trial.profile_changes == (
        'MODULES = ["n", "y"] below [symbols], and not below [fixed]',
    )
    assert "--profile small.toml" in told.differences.trial.command


def test_a_fragment_of_the_base_may_hide_it(somebody: Maintainer) -> None:
    base = "base = ['ours']\n" + PROFILE.replace(
        "[symbols]", "[bases.ours]\ntarget = 'defconfig'\nfragment = ['CONFIG_MODULES=n']\n[symbols]"
    )
    somebody.asks('VFIO = ["n", "m", "y"]\n', base)
    somebody.done = somebody.run()
    told = somebody.ask()
    assert headline(somebody, told).startswith(
        "your MODULES=y was tried in no cell with F1, and may be what hides it: the base ours sets MODULES=n"
    )
    assert told.differences is not None
    assert told.differences.trial is not None
    assert told.differences.trial.profile_changes == ('MODULES = ["n", "y"] below [symbols]',)


def test_a_symbol_that_nobody_named_and_all_cells_have_alike_may_hide_it(somebody: Maintainer) -> None:
    told = somebody.ask(MODULES_ON.replace("CONFIG_MODULES=y", "CONFIG_GROUP=y"))
    assert told.fit.missed_terms == ()
    assert told.differences is not None
    assert told.differences.untried_symbols == {"GROUP": ("y", "n")}
    assert headline(somebody, told).startswith(
        "1 symbol of your .config has a value that no cell with F1 has, and it may be what hides it: "
        "GROUP=y (there n) it meets the condition of F1 as far as that is known"
    )


def test_a_value_that_some_cell_with_it_had_is_no_suspect(somebody: Maintainer) -> None:
    somebody.says(VFIO, lambda _: [ERROR])
    somebody.asks('VFIO = ["n", "y"]\nGROUP = ["n", "y"]\n')
    somebody.done = somebody.run()
    told = somebody.ask(MODULES_ON.replace("CONFIG_MODULES=y", "CONFIG_GROUP=y"))
    assert told.differences is not None
    assert (told.differences.unproven_symbols, told.differences.untried_symbols) == ((), {})
    assert headline(somebody, told) == "your .config meets the condition of F1 already: VFIO=y"


def test_a_missed_term_whose_value_no_cell_was_built_with_is_no_need(somebody: Maintainer) -> None:
    somebody.says(VFIO, lambda _: [ERROR])
    somebody.asks('VFIO = ["n", "y"]\n')
    somebody.done = somebody.run()
    told = somebody.ask(MODULES_ON.replace("VFIO=y", "VFIO=m"))
    assert headline(somebody, told).startswith(
        "you have VFIO=m; F1 was seen with VFIO=y only, and no cell shows whether it comes with VFIO=m"
    )
    named = somebody.ask(MODULES_ON.replace("CONFIG_VFIO=y\n", ""))
    assert headline(somebody, named).startswith("you have VFIO=n; F1 needs VFIO=y")


@pytest.mark.parametrize(
    ("version", "tried"), [("140200", True), ("130300", False), ("150000", False)], ids=["14", "13", "15"]
)
def test_a_compiler_that_built_no_cell_may_hide_it(somebody: Maintainer, version: str, tried: bool) -> None:
    compiler = "CONFIG_CC_IS_GCC=y\nCONFIG_GCC_VERSION={}\n"
    text = compiler.format("140200")
    digest = hashlib.sha256(text.encode()).hexdigest()
    (somebody.directory / "configs" / digest).write_text(text)
    cells = tuple(cell.model_copy(update={"config_sha256": digest}) for cell in somebody.done.cells)
    run = somebody.done.model_copy(update={"cells": cells})
    told = somebody.ask(MODULES_ON.replace("CONFIG_MODULES=y\n", compiler.format(version)), run=run)
    assert ("your compiler, gcc, was tried in no cell" in headline(somebody, told)) is not tried
    assert told.differences is not None
    trial = told.differences.trial
    # kmatrix has a gcc-13, and none of 15.
    assert (trial is not None and "--toolchain gcc-13" in trial.command) is (version == "130300")


def test_an_arch_that_the_run_did_not_try_is_told_from_one_that_lacks_it(somebody: Maintainer) -> None:
    told = somebody.ask("CONFIG_ARM64=y\n")
    assert headline(somebody, told) == (
        "your .config is for arm64; F1 was seen on x86 only whether F1 also comes on arm64, no cell shows"
    )


# The toolchain


def test_the_toolchain_is_that_of_the_finding_nearest_to_the_configs_own(somebody: Maintainer) -> None:
    made = "CONFIG_CC_IS_{}=y\n"
    both = {"gcc-14": made.format("GCC"), "clang-19": made.format("CLANG")}
    somebody.done = somebody.run(toolchain=["gcc-14,clang-19"])
    digests = {name: hashlib.sha256(text.encode()).hexdigest() for name, text in both.items()}
    for name, text in both.items():
        (somebody.directory / "configs" / digests[name]).write_text(text)
    cells = tuple(
        cell.model_copy(update={"config_sha256": digests[cell.toolchain]}) for cell in somebody.done.cells
    )
    run = somebody.done.model_copy(update={"cells": cells})
    for name, line in both.items():
        assert somebody.ask(f"{MODULES_ON}{line}", run=run).fit.cell.toolchain == name
    assert somebody.ask(MODULES_ON, run=run).fit.cell.toolchain == "gcc-14"
    assert somebody.ask(f"{MODULES_ON}{both['gcc-14']}", "clang-19", run=run).fit.cell.toolchain == "clang-19"


def test_a_toolchain_without_the_finding_is_refused_with_those_that_have_it(somebody: Maintainer) -> None:
    assert refusal(somebody, toolchain="gcc-41") == (
        "F1 was not seen with gcc-41 (nearest: 'gcc-14') (it was with gcc-14)"
    )


# What is no .config


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (b"", "sets no symbol"),
        (b"# nothing but a comment\n", "sets no symbol"),
        (b"\x1f\x8b\x08\x00\xff\xfe", "is no text (where it is compressed, unpack it first: zcat"),
        (b"make: *** No rule\n", "line 1 is no line of a .config: 'make: *** No rule'"),
        (b"CONFIG_VFIO=y\n", "does not say which arch it is for (let make write it whole: make ARCH=…"),
    ],
    ids=["empty", "comment", "binary", "other", "no-arch"],
)
def test_what_is_no_config_is_refused_with_what_is_wrong(
    somebody: Maintainer, content: bytes, told: str
) -> None:
    somebody.file.write_bytes(content)
    error = about_file(somebody)
    assert str(error).startswith(f"--config {somebody.file}")
    assert told in f"{error} ({error.hint})"


@pytest.mark.parametrize(("name", "told"), [("nosuch", "No such file"), ("", "Is a directory")])
def test_a_config_that_cannot_be_read_is_refused(somebody: Maintainer, name: str, told: str) -> None:
    somebody.file = somebody.place / name
    assert told in str(about_file(somebody))


def test_a_config_of_another_arch_is_answered_without_an_engine(somebody: Maintainer) -> None:
    somebody.world = replace(somebody.world, engine=None)
    told = somebody.ask("CONFIG_ARM64=y\n")
    assert [(term.axis, term.actual, term.needed) for term in told.fit.missed_terms] == [
        ("arch", "arm64", ("x86",))
    ]
    assert (told.change, told.differences) == (None, None)


# Options


def test_an_out_takes_the_file_and_what_is_there_is_not_replaced(somebody: Maintainer) -> None:
    out = somebody.place / "new" / "changed.config"
    told = somebody.ask(out=str(out))
    assert told.change is not None
    assert told.change.file == out
    kept = out.read_text()
    somebody.kernel.jobs.clear()
    assert "is there already" in refusal(somebody, out=str(out))
    assert "is there already" in refusal(somebody, out=str(somebody.file))
    assert (out.read_text(), somebody.file.read_text()) == (kept, MODULES_ON)


def test_an_out_that_cannot_be_written_is_told(somebody: Maintainer) -> None:
    with pytest.raises(RequestError, match="cannot be written: File exists"):
        somebody.ask(out=f"{somebody.file}/below")


def test_options_that_say_nothing_without_a_config_are_refused() -> None:
    assert parse_config_request("", "", "") is None
    assert parse_config_request("a", "b", "c") == ConfigCheckRequest(Path("a"), "b", "c")
    for toolchain, out, named in (("gcc-14", "", "--toolchain"), ("", "x", "--out")):
        with pytest.raises(RequestError, match=f"{named} needs a .config") as caught:
            parse_config_request("", toolchain, out)
        assert "--config FILE" in caught.value.hint
