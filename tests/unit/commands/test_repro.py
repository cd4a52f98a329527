"""The reproducer in every shell that is here, with fake tools: no fault of the machine is an answer."""

import resource
import shutil
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from matrix.commands.repro import ReproTarget
from matrix.diagnostics.diagnostic import Diagnostic
from matrix.errors import RequestError
from matrix.findings.derive import derive_findings
from matrix.findings.finding import Finding
from matrix.findings.stored_run import StoredRun
from matrix.kbuild_words import find_unplain_variables
from matrix.record.run_model import BaseRecord, Cell, DiagnosticRef, Run, ToolchainRecord, Verified
from matrix.record.states import State
from tests.fakes.runs import CLANG_ERROR, GCC_ERROR, a_cell, a_run
from tests.fakes.scripts import script_of
from tests.fakes.tools import FakeTools

SHELLS = {
    name: (path, *words)
    for name, words in {"dash": (), "bash": (), "busybox": ("sh",)}.items()
    if (path := shutil.which(name))
} or {"sh": ("/bin/sh",)}
SH = next(iter(SHELLS.values()))
OBJECT = "arch/powerpc/kvm/vfio.o"
KEPT = f'mkdir -p "$out/arch/powerpc/kvm"; touch "$out/{OBJECT}"'
GCC_SAYS = (
    "/src/include/linux/vfio.h:311:35: error: weak declaration of ‘vfio_file_iommu_group’ being applied to a "
    "already existing, static definition"
)
CLANG_SAYS = (
    "/src/arch/powerpc/kvm/../../../virt/kvm/vfio.c:91:7: warning: attribute declaration must precede "
    "definition [-Wignored-attributes]"
)
GONE, THERE, SKIP, MACHINE = 0, 1, 125, 200
IMAGE = "kmatrix/gcc-14:1"
VERIFIED = (
    Verified(symbol="KVM", want="y", got="y"),
    Verified(symbol="LOCALVERSION", want="-mine", got='"-mine"'),
    Verified(symbol="MODULES", want="n", got="n"),
)
RESOLVED = 'CONFIG_KVM=y\nCONFIG_LOCALVERSION="-mine"\n# CONFIG_MODULES is not set'


def failing(toolchain: str = "gcc-14", said: Diagnostic = GCC_ERROR, **fields: Any) -> Cell:
    known = {"verified": VERIFIED, "fragment": {"MODULES": "n"}, "state": State.FAIL}
    return a_cell("powerpc", toolchain, diagnostics=[said], **(known | fields))


def story(*cells: Cell, base: BaseRecord | None = None, **fields: Any) -> Run:
    rows = cells or (failing(), failing("clang-19", CLANG_ERROR), a_cell(symbols={"KVM": "n"}))
    start = base or BaseRecord(targets={"powerpc": "ppc64le_defconfig"})
    return a_run(rows, [GCC_ERROR, CLANG_ERROR], bases={"defconfig": start}, **fields)


def finding(run: Run) -> Finding:
    (found,) = derive_findings(run, {}).findings
    return found


Run_ = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture
def tools(tmp_path: Path) -> FakeTools:
    made = FakeTools(tmp_path)
    made.configure_engine(images=IMAGE)
    made.configure_kernel(resolved=RESOLVED, build=KEPT)
    return made


@pytest.fixture
def ask(tools: FakeTools, tmp_path: Path) -> Run_:
    """Run the reproducer of a run's first cell: ``ask(*words, run=…, finding=…, shell=…)``."""

    def asked(
        *words: str, run: Run | None = None, about: Finding | None = None, shell: tuple[str, ...] = SH
    ) -> "subprocess.CompletedProcess[str]":
        done = run or story()
        script = tmp_path / "repro.sh"
        script.write_text(script_of(StoredRun(done, tmp_path), done.cells[0], about or finding(done)))
        ended = tools.run_script(shell, script, *words)
        assert not list(tools.temporary.iterdir()), "nothing temporary is left"
        return ended

    return asked


@pytest.mark.parametrize("shell", SHELLS.values(), ids=SHELLS)
@pytest.mark.parametrize(
    ("build", "code", "told"),
    [
        (KEPT, GONE, f"{OBJECT} is made without it"),
        (f"{KEPT}; echo 'kernel/a.c:1:2: error: no'; false", GONE, f"{OBJECT} is made without it"),
        ("true", GONE, "does not belong to this configuration"),
        (f'echo "{GCC_SAYS}"; false', THERE, "weak declaration"),
        (f'{KEPT}; echo "{CLANG_SAYS}"', THERE, "attribute declaration"),
        ("echo 'kernel/a.c:1:2: error: no'; false", SKIP, "for another reason"),
        ("echo 'cc1: fatal error: x: No space left on device'; false", MACHINE, "no space left"),
        ("echo 'powerpc64le-linux-gnu-gcc: fatal error: Killed signal'; false", MACHINE, "out of memory"),
    ],
)
def test_it_answers_what_the_build_shows(
    ask: Run_, tools: FakeTools, shell: tuple[str, ...], build: str, code: int, told: str
) -> None:
    tools.configure_kernel(build=build)
    ended = ask(shell=shell)
    assert ended.returncode == code, ended.stderr
    assert told in ended.stderr
    assert ended.stdout == ""


@pytest.mark.parametrize(
    "path", ["/src/virt/lib/../kvm/vfio.c", "virt/./kvm/vfio.c", "/src/a/b/../../virt/x/../kvm/vfio.c"]
)
def test_a_file_is_known_by_whatever_way_it_is_named(ask: Run_, tools: FakeTools, path: str) -> None:
    said = CLANG_SAYS.partition(":")[2]
    tools.configure_kernel(build=f'{KEPT}; echo "{path}:{said}"')
    assert ask().returncode == THERE


def test_the_same_words_about_another_file_are_not_it(ask: Run_, tools: FakeTools) -> None:
    tools.configure_kernel(
        build=f'{KEPT}; echo "{CLANG_SAYS.replace("virt/kvm/vfio.c", "virt/kvm/other.c")}"'
    )
    assert ask().returncode == GONE


def test_a_failure_that_was_seen_is_final(ask: Run_, tools: FakeTools) -> None:
    tools.configure_kernel(build=f'echo "{GCC_SAYS}"; echo "x: No space left on device"; echo Killed; false')
    assert ask().returncode == THERE


@pytest.mark.parametrize(
    ("resolved", "told"),
    [
        (f"{RESOLVED}\nCONFIG_MODULES=y", "CONFIG_MODULES is y and not n"),
        (RESOLVED.replace("KVM=y", "KVM=m"), "CONFIG_KVM is m and not y"),
        (RESOLVED.replace("-mine", "-ours"), 'CONFIG_LOCALVERSION is "-ours" and not "-mine"'),
        ("", "CONFIG_KVM is n and not y"),
    ],
)
def test_a_symbol_that_cannot_be_reached_is_no_answer_whatever_is_said(
    ask: Run_, tools: FakeTools, resolved: str, told: str
) -> None:
    tools.configure_kernel(resolved=resolved, configure=f'echo "{GCC_SAYS}"')
    ended = ask()
    assert ended.returncode == SKIP
    assert told in ended.stderr
    assert not any(line.endswith("/kvm/ ") for line in tools.make_calls), "nothing is built for it"


@pytest.mark.parametrize(
    ("step", "told"), [("base", "make ppc64le_defconfig fails"), ("configure", "make olddefconfig fails")]
)
def test_a_tree_that_cannot_be_configured_is_no_answer(
    ask: Run_, tools: FakeTools, step: str, told: str
) -> None:
    tools.configure_kernel(**{step: "echo Kconfig:1: syntax error; exit 1"})
    ended = ask()
    assert (ended.returncode, told in ended.stderr) == (SKIP, True)
    assert "Kconfig:1: syntax error" in ended.stderr


@pytest.mark.parametrize("code", [1, 2, 3, 124, 125, 126, 127, 130, 137, 139, 143])
def test_what_ends_the_engine_is_never_an_answer(ask: Run_, tools: FakeTools, code: int) -> None:
    tools.configure_engine(run=f"echo 'docker: something is wrong'; exit {code}")
    ended = ask()
    assert ended.returncode == MACHINE
    assert "docker: something is wrong" in ended.stderr
    assert any(line.startswith("rm -f kmatrix-repro-") for line in tools.engine_calls)


def test_a_build_that_takes_too_long_is_given_up_and_its_container_removed(
    ask: Run_, tools: FakeTools
) -> None:
    # Like a client that hands the signal on to a container, which ignores it.
    tools.configure_engine(run="trap '' TERM INT")
    tools.configure_kernel(build="sleep 30")
    began = time.monotonic()
    ended = ask("--timeout", "1")
    assert ended.returncode == MACHINE
    assert "gave up after 1 seconds" in ended.stderr
    assert time.monotonic() - began < 20
    assert any(line.startswith("rm -f kmatrix-repro-") for line in tools.engine_calls)


def test_a_container_that_was_killed_for_its_memory_is_no_answer(ask: Run_, tools: FakeTools) -> None:
    tools.configure_engine(run="exit 87")
    ended = ask()
    assert (ended.returncode, "out of memory" in ended.stderr) == (MACHINE, True)


@pytest.mark.parametrize("shell", SHELLS.values(), ids=SHELLS)
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
@pytest.mark.parametrize("words", [(), ("--host",)], ids=["container", "host"])
@pytest.mark.usefixtures("hangups_arrive")
def test_interrupted_it_stops_at_once_and_leaves_nothing(
    tools: FakeTools, tmp_path: Path, shell: tuple[str, ...], number: int, words: tuple[str, ...]
) -> None:
    tools.configure_kernel(build='echo $$ >"$src/pid.new"; mv "$src/pid.new" "$src/pid"; sleep 30')
    script = tmp_path / "repro.sh"
    run = story()
    script.write_text(script_of(StoredRun(run, tmp_path), run.cells[0], finding(run)))
    with subprocess.Popen(
        [*shell, str(script), *words], cwd=tools.tree, env=tools.build_environment()
    ) as process:
        assert within(20, (tools.tree / "pid").exists)
        process.send_signal(number)
        assert process.wait(10) == MACHINE
    builder = Path("/proc", (tools.tree / "pid").read_text().strip(), "stat")
    assert within(10, lambda: has_ended(builder)), "what built is ended"
    removed = any(line.startswith("rm -f kmatrix-repro-") for line in tools.engine_calls)
    assert removed == (not words)
    assert not list(tools.temporary.iterdir())


def has_ended(stat: Path) -> bool:
    """Whether a process is gone, or waits as a zombie for an init that takes its time to collect it."""
    try:
        return stat.read_text().rpartition(")")[2].split()[0] == "Z"
    except (FileNotFoundError, ProcessLookupError):
        return True


def within(seconds: float, holds: Callable[[], bool]) -> bool:
    deadline = time.monotonic() + seconds
    while not holds() and time.monotonic() < deadline:
        time.sleep(0.05)
    return holds()


def test_without_an_engine_it_says_what_else_there_is(ask: Run_, tools: FakeTools) -> None:
    tools.configure_engine(version="1")
    ended = ask()
    assert (ended.returncode, "--host" in ended.stderr) == (MACHINE, True)
    assert ask("--engine", "podman").returncode == MACHINE


def test_an_engine_named_is_the_one_that_is_used(ask: Run_, tools: FakeTools) -> None:
    (tools.bin / "podman").symlink_to("docker")
    tools.configure_engine(version="0")
    assert ask("--engine", "podman").returncode == GONE
    assert ask("--engine", "nosuch").returncode == MACHINE


def test_podman_alone_is_found_and_named_and_asked_for_no_more_than_it_may_give(
    ask: Run_, tools: FakeTools
) -> None:
    (tools.bin / "docker").rename(tools.bin / "podman")
    tools.configure_engine(version="0")
    ended = ask()
    assert (ended.returncode, " with podman\n" in ended.stderr) == (GONE, True)
    [run] = [line.split() for line in tools.engine_calls if line.startswith("run ")]
    assert "--read-only-tmpfs=false" in run
    limits = {word.partition("=")[0]: word.partition("=")[2] for word in run if word.startswith("n")}
    own = resource.getrlimit(resource.RLIMIT_NPROC)[1]
    most = int(Path("/proc/sys/kernel/pid_max").read_text())
    asked = most if own == resource.RLIM_INFINITY else min(own, most)
    assert limits["nproc"] == f"{asked}:{asked}"
    assert "nofile" in limits


def test_docker_is_named_and_asked_as_ever(ask: Run_, tools: FakeTools) -> None:
    tools.configure_engine(version="0")
    assert " with docker\n" in ask().stderr
    [run] = [line for line in tools.engine_calls if line.startswith("run ")]
    assert "ulimit" not in run
    assert "read-only-tmpfs" not in run


@pytest.mark.parametrize("left", [".config", "include/config", "arch/powerpc/include/generated"])
def test_a_tree_that_was_built_in_place_is_not_touched(ask: Run_, tools: FakeTools, left: str) -> None:
    (tools.tree / left).mkdir(parents=True)
    ended = ask()
    assert (ended.returncode, "make mrproper" in ended.stderr) == (MACHINE, True)
    assert tools.make_calls == []


def test_what_is_no_kernel_tree_is_said(ask: Run_, tmp_path: Path) -> None:
    assert "no kernel tree" in ask("--tree", str(tmp_path)).stderr
    assert "there is no directory nowhere" in ask("--tree", "nowhere").stderr
    assert ask("--tree", "nowhere").returncode == MACHINE


@pytest.mark.parametrize("words", [("--nosuch",), ("extra",), ("--tree",), ("--timeout", "1h")])
def test_a_wrong_option_is_no_answer(ask: Run_, words: tuple[str, ...]) -> None:
    ended = ask(*words)
    assert ended.returncode == MACHINE
    assert "usage: repro.sh" in ended.stderr


def test_help_is_help(ask: Run_) -> None:
    ended = ask("--help")
    assert ended.returncode == 0
    for word in ("--tree", "--build", "--host", "125 does not apply", "200 the machine failed"):
        assert word in ended.stdout


def test_the_container_has_no_network_no_privileges_and_cannot_write_the_tree(
    ask: Run_, tools: FakeTools
) -> None:
    ask("--memory", "4g")
    (started,) = (line for line in tools.engine_calls if line.startswith("run "))
    for words in (
        *("--network none", "--read-only", "--cap-drop ALL", "no-new-privileges", "--memory 4g"),
        *("--memory-swap 4g", f"-v {tools.tree}:/src:ro", IMAGE),
    ):
        assert words in started


def test_in_a_rootless_engine_its_root_is_the_caller(ask: Run_, tools: FakeTools) -> None:
    for said in ("  rootless: true", "  rootless"):
        tools.configure_engine(info=said)
        ask()
    tools.configure_engine(info="  rootless: false")
    ask()
    users = [line.split("--user ")[1].split()[0] for line in tools.engine_calls if line.startswith("run ")]
    assert users[:2] == ["0:0", "0:0"]
    assert len(users) == 3


def test_the_very_image_is_used_where_it_is_there(ask: Run_, tools: FakeTools) -> None:
    image_id = story().toolchains["gcc-14"].image_id
    tools.configure_engine(images=f"{IMAGE}\n{image_id}")
    ask()
    assert any(f"{image_id} /given/steps" in line for line in tools.engine_calls)


RECIPE = ToolchainRecord(
    image=IMAGE,
    image_id="sha256:b",
    root="kmatrix/root:trixie",
    recipe=("FROM kmatrix/root:trixie\nRUN one\n", "FROM kmatrix/base:7\nRUN two\n"),
)


def test_an_image_that_is_not_there_is_built_from_its_recipe(ask: Run_, tools: FakeTools) -> None:
    tools.configure_engine(images="", registry="debian:trixie-slim")
    run = story(toolchains={"gcc-14": RECIPE, "clang-19": RECIPE})
    assert ask(run=run).returncode == GONE
    done = [line for line in tools.engine_calls if line.split()[0] in {"pull", "tag", "build"}]
    assert [line.split()[:3] for line in done] == [
        ["pull", "debian:trixie-slim"],
        ["tag", "debian:trixie-slim", "kmatrix/root:trixie"],
        ["build", "-t", "kmatrix/base:7"],
        ["build", "-t", IMAGE],
    ]
    assert (tools.bin / "dockerfiles").read_text().split("\n") == [
        *("FROM kmatrix/root:trixie", "RUN one", "FROM kmatrix/base:7", "RUN two", "")
    ]


def test_what_of_the_images_is_there_is_not_built_again(ask: Run_, tools: FakeTools) -> None:
    tools.configure_engine(images="kmatrix/root:trixie\nkmatrix/base:7")
    ask(run=story(toolchains={"gcc-14": RECIPE, "clang-19": RECIPE}))
    built = [line.split()[2] for line in tools.engine_calls if line.startswith("build")]
    assert built == [IMAGE]


@pytest.mark.parametrize("chain", [RECIPE, None])
def test_an_image_that_nobody_gives_is_the_machines_fault(
    ask: Run_, tools: FakeTools, chain: ToolchainRecord | None
) -> None:
    tools.configure_engine(images="")
    run = story(toolchains={"gcc-14": chain, "clang-19": chain}) if chain else story()
    ended = ask(run=run)
    assert (ended.returncode, "there is no image" in ended.stderr) == (MACHINE, True)


def test_on_the_host_no_engine_is_asked_and_nothing_of_the_callers_environment_counts(
    ask: Run_, tools: FakeTools
) -> None:
    tools.configure_kernel(build=f'{KEPT}; echo "KCFLAGS=$KCFLAGS" >"$src/flags"')
    assert ask("--host").returncode == GONE
    assert tools.engine_calls == []
    assert (tools.tree / "flags").read_text() == "KCFLAGS=\n"


@pytest.mark.parametrize("tool", ["make", "powerpc64le-linux-gnu-gcc", "powerpc64le-linux-gnu-ld", "flex"])
def test_a_tool_that_the_host_lacks_is_named(ask: Run_, tools: FakeTools, tool: str) -> None:
    tools.remove_tools(tool)
    ended = ask("--host")
    assert (ended.returncode, f"there is no {tool} " in ended.stderr) == (MACHINE, True)


def test_it_types_the_recorded_make_line_and_asks_for_the_directory_only(ask: Run_, tools: FakeTools) -> None:
    ask("--host")
    variables = "ARCH=powerpc CROSS_COMPILE=powerpc64le-linux-gnu-"
    base, configure, build = tools.make_calls
    assert base.endswith(f"{variables} ppc64le_defconfig ")
    assert configure.endswith(f"{variables} olddefconfig ")
    assert f"{variables} -k -j" in build
    assert build.endswith("--output-sync=target arch/powerpc/kvm/ ")
    assert (tools.tree / "asked").read_text() == "CONFIG_BASE=y\n# CONFIG_MODULES is not set\n"


def test_a_kept_directory_cannot_hide_the_finding(ask: Run_, tools: FakeTools, tmp_path: Path) -> None:
    """What is there already is not compiled, and so not complained of: it has to go first."""
    made = tmp_path / "kept" / OBJECT
    made.parent.mkdir(parents=True)
    made.touch()
    tools.configure_kernel(build=f'[ -e "$out/{OBJECT}" ] || {{ {KEPT}; echo "{CLANG_SAYS}"; }}')
    assert ask("--build", str(tmp_path / "kept")).returncode == THERE
    assert made.exists()


def test_the_log_is_kept_where_one_wants_it(ask: Run_, tools: FakeTools, tmp_path: Path) -> None:
    tools.configure_kernel(build=f'{KEPT}; echo "  CC      {OBJECT}"')
    ask("--log", str(tmp_path / "log"))
    assert f"CC      {OBJECT}" in (tmp_path / "log").read_text()


def test_a_random_base_has_its_seed_and_a_file_is_carried_along(
    ask: Run_, tools: FakeTools, tmp_path: Path
) -> None:
    tools.configure_kernel(base='echo "$KCONFIG_SEED" >"$src/seed"')
    ask(run=story(base=BaseRecord(targets={"powerpc": "randconfig"}, seed=7)))
    assert (tools.tree / "seed").read_text() == "7\n"
    (tmp_path / "configs").mkdir()
    (tmp_path / "configs/abc").write_text("CONFIG_MINE=y\nCONFIG_MODULES=y\n")
    ask(run=story(base=BaseRecord(config_sha256="abc", fragment=("CONFIG_EXTRA=y",))))
    asked = (tools.tree / "asked").read_text().splitlines()
    assert [line for line in asked if line] == [
        *("CONFIG_MINE=y", "CONFIG_MODULES=y", "CONFIG_EXTRA=y", "# CONFIG_MODULES is not set")
    ]


def test_a_base_that_the_run_lost_is_refused(tmp_path: Path) -> None:
    run = story(base=BaseRecord(config_sha256="abc"))
    with pytest.raises(RequestError, match="configs/abc"):
        script_of(StoredRun(run, tmp_path), run.cells[0], finding(run))


KCONFIG_SAYS = Diagnostic(
    severity="warning",
    tool="kconfig",
    message="unmet direct dependencies detected for KVM_VFIO",
    symbols=("KVM_VFIO",),
)


@pytest.mark.parametrize(
    ("configure", "code"),
    [("true", GONE), ("echo 'WARNING: unmet direct dependencies detected for KVM_VFIO'", THERE)],
)
def test_what_kconfig_says_is_looked_for_without_a_build(
    ask: Run_, tools: FakeTools, configure: str, code: int
) -> None:
    tools.configure_kernel(
        configure=configure, base="echo 'WARNING: unmet direct dependencies detected for KVM_VFIO'"
    )
    ref = DiagnosticRef(key=KCONFIG_SAYS.key, stage="configure")
    cell = failing(state=State.WARN).model_copy(update={"diagnostics": (ref,)})
    run = story(cell).model_copy(update={"diagnostics": {KCONFIG_SAYS.key: KCONFIG_SAYS}})
    assert ask(run=run).returncode == code
    assert not any("-k" in line for line in tools.make_calls)


LD_SAYS = Diagnostic(
    severity="error", tool="ld", message="undefined reference to 'vfio_find'", symbols=("vfio_find",)
)


@pytest.mark.parametrize(
    ("build", "code"),
    [('echo "ld: vfio.c:(.text+0x20): undefined reference to \\`vfio_find\'"; false', THERE), ("true", GONE)],
)
def test_what_the_linker_says_takes_a_link_that_is_made_anew(
    ask: Run_, tools: FakeTools, tmp_path: Path, build: str, code: int
) -> None:
    (tmp_path / "kept").mkdir()
    (tmp_path / "kept/vmlinux").touch()
    tools.configure_kernel(build=f'[ ! -e "$out/vmlinux" ] || exit 0; {build}')
    ref = DiagnosticRef(key=LD_SAYS.key, object="vmlinux", stage="focus")
    cell = failing().model_copy(update={"diagnostics": (ref,)})
    run = story(cell).model_copy(update={"diagnostics": {LD_SAYS.key: LD_SAYS}})
    assert ask("--build", str(tmp_path / "kept"), run=run).returncode == code


@pytest.mark.parametrize(("build", "code"), [("echo whatever; false", THERE), ("true", GONE)])
def test_without_a_finding_it_asks_whether_the_build_fails(
    tools: FakeTools, tmp_path: Path, build: str, code: int
) -> None:
    tools.configure_kernel(build=build)
    run = story()
    script = tmp_path / "repro.sh"
    script.write_text(script_of(StoredRun(run, tmp_path), run.cells[0], None))
    assert tools.run_script(SH, script).returncode == code


EVIL = 'x\' "y" $(touch pwned) `touch pwned` \\ \nKMATRIX_EOF\ntouch pwned\n'


def test_nothing_that_a_run_holds_is_a_command_for_the_host(tools: FakeTools, tmp_path: Path) -> None:
    said = GCC_ERROR.model_copy(update={"message": EVIL, "symbols": ()})
    cell = failing(
        said=said,
        verified=(Verified(symbol=f"KVM{EVIL}", want="y", got=f"y{EVIL}"),),
        make=f"ARCH=powerpc 'X={EVIL.replace(chr(39), '')}'",
    )
    tools.configure_engine(images="root")
    chain = ToolchainRecord(image="x", image_id="y", root="root", recipe=(EVIL, f"FROM x\n{EVIL}"))
    base = BaseRecord(targets={"powerpc": EVIL}, fragment=("CONFIG_A=y",))
    run = a_run([cell], [said], bases={"defconfig": base}, toolchains={"gcc-14": chain}, id="run")
    script = tmp_path / "repro.sh"
    script.write_text(script_of(StoredRun(run, tmp_path), cell, finding(run)))
    for shell in SHELLS.values():
        for words in ([], ["--host"], ["--help"]):
            tools.run_script(shell, script, *words)
    assert not list(tmp_path.rglob("pwned"))


@pytest.mark.parametrize("name", [EVIL, "--privileged", "-v/:/host", "", "a b"])
@pytest.mark.parametrize("field", ["image", "image_id", "root"])
def test_an_image_whose_name_is_none_is_refused(tmp_path: Path, field: str, name: str) -> None:
    chain = RECIPE.model_copy(update={field: name})
    run = story(toolchains={"gcc-14": chain, "clang-19": chain})
    with pytest.raises(RequestError, match="is no name of an image"):
        script_of(StoredRun(run, tmp_path), run.cells[0], finding(run))


def test_an_object_that_leads_out_of_the_build_directory_is_not_removed(
    ask: Run_, tools: FakeTools, tmp_path: Path
) -> None:
    (tmp_path / "kept").mkdir()
    (tmp_path / "mine.o").touch()
    refs = (DiagnosticRef(key=GCC_ERROR.key, object="../mine.o", stage="focus"),)
    cell = failing().model_copy(update={"diagnostics": refs})
    tools.configure_kernel(build=f'echo "{GCC_SAYS}"; false')
    assert ask("--host", "--build", str(tmp_path / "kept"), run=story(cell)).returncode == THERE
    assert (tmp_path / "mine.o").exists()


def test_a_script_stays_in_the_run_whatever_its_cell_is_called() -> None:
    cell = failing().model_copy(update={"arch": "/../../x", "toolchain": "../y"})
    assert ReproTarget(cell, None).script_name == "repro-cell-%2F..%2F..%2Fx-..%2Fy.sh"


@pytest.mark.parametrize(
    "make",
    [
        *("X=y", "CC='touch x'", "CC=touch", "KCFLAGS='-wrapper touch,x'", "KCFLAGS=-Wl,-x", "SHELL=/bin/sh"),
        *(
            "Q=touch",
            "ARCH='$(shell touch x)'",
            "CROSS_COMPILE='touch x;'",
            "LD_PRELOAD=/x.so",
            "cmd_cc_o_c=x",
        ),
        *("MAKEFLAGS=--eval=x", "LLVM='1;x'", "KCFLAGS=-fplugin=x", "KCFLAGS=x", "CC=/tmp/x"),
    ],
)
def test_a_make_line_that_may_run_more_than_a_build_is_kept_to_a_container(
    ask: Run_, tools: FakeTools, make: str
) -> None:
    run = story(failing(make=f"ARCH=powerpc {make}".replace("ARCH=powerpc ARCH", "ARCH")))
    ended = ask("--host", run=run)
    assert (ended.returncode, "so only in a container" in ended.stderr) == (MACHINE, True)
    assert tools.make_calls == []
    assert ask(run=run).returncode == GONE


@pytest.mark.parametrize(
    "make",
    [
        *("CC=gcc-14", "CC=/opt/x/powerpc64le-linux-gnu-gcc-14", "LLVM=1", "LLVM=-19", "LLVM=/opt/llvm/bin/"),
        *("KCFLAGS='-O2 -g -Wno-error=foo -DX=1'", "W=1", "LLVM_IAS=0", "LD=ld.lld", "HOSTCC=clang-19"),
    ],
)
def test_a_make_line_that_selects_a_compiler_may_run_on_the_host(make: str) -> None:
    assert find_unplain_variables(failing(make=make).make_variables) == []


@pytest.mark.parametrize("shell", SHELLS.values(), ids=SHELLS)
def test_every_shell_can_read_it(shell: tuple[str, ...], tmp_path: Path) -> None:
    run = story(toolchains={"gcc-14": RECIPE, "clang-19": RECIPE})
    script = tmp_path / "repro.sh"
    script.write_text(script_of(StoredRun(run, tmp_path), run.cells[0], finding(run)))
    read = subprocess.run([*shell, "-n", str(script)], capture_output=True, text=True, check=False)
    assert (read.returncode, read.stderr) == (0, "")
