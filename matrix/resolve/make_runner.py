"""``make`` on a kernel tree, in a container: the step that resolving and building consist of."""

import shlex
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass, field, replace
from pathlib import Path

from matrix.engine.job_pool import JobPool
from matrix.engine.protocol import TEMPORARY_DIRECTORIES, ContainerResult, LineCallback, Mount
from matrix.engine.step import Step, StepRunner
from matrix.record.states import CUT_SHORT_STATES, State
from matrix.resolve.container_report import measure_space, parse_report
from matrix.resolve.container_shell import build_shell
from matrix.resolve.output_signs import Sign, SignReader
from matrix.resolve.step_faults import StepEvidence, StepFault
from matrix.resolve.step_output import StepOutput
from matrix.resolve.tool_answers import TOOL_ANSWERS, ToolAnswers

# The same paths in every cell, so that logs and objects of different machines can be compared.
SOURCE_MOUNT, BUILD_MOUNT = "/src", "/build"

# What ended by a signal has a larger one.
_LAST_OWN_EXIT_CODE = 128

# Without these a build carries the container's host name, user and clock. LC_ALL: tools quote in ASCII.
_ENVIRONMENT = {
    "LC_ALL": "C",
    "HOME": "/tmp",  # noqa: S108 - the container's own tmpfs
    # With --output-sync make keeps what tools print in files. Where the tools fill /tmp, their messages
    # would be lost with it.
    "MAKE_TMPDIR": TEMPORARY_DIRECTORIES[1],
    "KBUILD_BUILD_USER": "kmatrix",
    "KBUILD_BUILD_HOST": "kmatrix",
    "KBUILD_BUILD_TIMESTAMP": "1970-01-01",
}


@dataclass(frozen=True)
class MakeResult:
    """How one make ended: its state, why it is that, its output, and how long it took.

    ``left_out_messages``: lines that name a warning or an error and were too many to be kept.
    ``is_cut_short``: it was ended from outside, and what the tools had printed until then is valid.
    ``crash``: the line that says that a program broke, or nothing.
    """

    command: str
    lines: tuple[str, ...]
    state: State
    exit: int
    seconds: float
    reason: str = ""
    left_out_messages: int = 0
    is_cut_short: bool = False
    crash: str = ""


@dataclass(frozen=True)
class MakeRunner:
    """One toolchain's container around one build directory and a kernel tree.

    ``share_jobs`` is called at every step, so that a lane takes over the cores of lanes that are done. With a
    ``job_pool`` it is all jobs, and the makes at work share them one by one.
    ``open_build_directory`` is called only when there is something to run: many cells need no directory.
    ``mounts`` and ``env`` are what the container holds beside the tree and that directory.
    ``answers`` are what makes here have asked of the tools before; without them, each asks all anew.
    """

    steps: StepRunner
    tree: Path
    image: str
    make_variables: Mapping[str, str]
    share_jobs: Callable[[], int]
    open_build_directory: Callable[[], Path]
    job_pool: JobPool | None = None
    mounts: tuple[Mount, ...] = ()
    env: Mapping[str, str] = field(default_factory=dict)
    answers: ToolAnswers | None = None

    @property
    def make_line(self) -> str:
        """The variables as they are typed: ``ARCH=powerpc CROSS_COMPILE=powerpc64le-linux-gnu-``."""
        return " ".join(f"{name}={shlex.quote(value)}" for name, value in self.make_variables.items())

    def format_command(self, targets: Iterable[str]) -> str:
        """The command that makes these targets, as it is typed."""
        return shlex.join(self._build_command(targets))

    def run(
        self,
        targets: Iterable[str],
        cell: str,
        log: LineCallback,
        *,
        env: Mapping[str, str] | None = None,
        spent: float = 0.0,
        dry_run: bool = False,
        preload: tuple[Path, ...] = (),
    ) -> MakeResult:
        """Make these targets for a cell. ``log`` takes the command, and each line of the output at once.

        ``spent``: seconds of the cell's time limit that its earlier steps have used. ``dry_run``: make
        nothing, and print the commands that would (``-n``). ``preload``: C sources of libraries that all
        programs are to load.
        """
        command = self._build_command(targets, *(("-n",) if dry_run else ()))
        output, signs = StepOutput(log), SignReader()

        def take_line(line: str) -> None:
            signs.read_line(line)
            output.add_line(line)

        log(f"$ {shlex.join(command)}")
        started = time.monotonic()
        libraries = (*preload, *([TOOL_ANSWERS] if self.answers else []))
        step = self._build_step((*build_shell(libraries), *command), cell, env or {})
        with self._lend_answers(), self._join_pool(step) as (shared, note_end):
            ended = self.steps.with_time_spent(spent).run(shared, take_line)
            note_end(ended)
        seconds = time.monotonic() - started
        lines = output.finish()
        state, fault = _classify(ended, self._find_fault(ended, signs))
        return MakeResult(
            command=shlex.join(command),
            lines=lines,
            state=state,
            exit=ended.exit,
            seconds=seconds,
            reason=fault.reason if fault else "",
            left_out_messages=output.left_out_messages,
            is_cut_short=state in CUT_SHORT_STATES or (fault is not None and not fault.spoils),
            crash=signs.found.get(Sign.CRASHED, ""),
        )

    def _lend_answers(self) -> AbstractContextManager[None]:
        return self.answers.lend(self.open_build_directory()) if self.answers else nullcontext()

    @contextmanager
    def _join_pool(self, step: Step) -> Iterator[tuple[Step, Callable[[ContainerResult], None]]]:
        """The step as one of those that share their jobs, where these are pooled; and what is to be told its
        end."""
        pool = self.job_pool
        if pool is None:
            yield step, lambda _: None
            return
        with pool.join() as share:
            # The recorded command is what a person types. With a -jN of its own, make would leave the pool.
            words = tuple(word for word in step.command if word != f"-j{self.share_jobs()}")
            env, mounts = {**step.env, **share.env}, (*step.mounts, share.mount)
            yield (
                replace(step, command=words, env=env, mounts=mounts),
                lambda ended: pool.replace_tokens() if _may_have_taken_tokens(ended) else None,
            )

    def _find_fault(self, ended: ContainerResult, signs: SignReader) -> StepFault | None:
        space = measure_space(self.open_build_directory())
        evidence = StepEvidence(ended, parse_report(ended.report), signs.found, self.steps.limits, space)
        return evidence.find_fault()

    def enter(self, command: tuple[str, ...], cell: str, env: Mapping[str, str]) -> int:
        """Run one command where a cell's steps run, on the caller's own terminal; its exit code."""
        return self.steps.run_interactively(self._build_step(command, cell, env))

    def _build_command(self, targets: Iterable[str], *options: str) -> tuple[str, ...]:
        """The literal make command. -k finds every error; without output sync two compilers' lines mix."""
        variables = (f"{name}={value}" for name, value in self.make_variables.items())
        fixed = ("make", "-C", SOURCE_MOUNT, f"O={BUILD_MOUNT}", "-k")
        return (*fixed, f"-j{self.share_jobs()}", "--output-sync=target", *options, *variables, *targets)

    def _build_step(self, command: tuple[str, ...], cell: str, env: Mapping[str, str]) -> Step:
        build = Mount(self.open_build_directory(), BUILD_MOUNT, read_only=False)
        return Step(
            image=self.image,
            command=command,
            mounts=(Mount(self.tree, SOURCE_MOUNT), build, *self.mounts),
            env={**_ENVIRONMENT, **self.env, **env},
            workdir=BUILD_MOUNT,
            cell=cell,
            reports=True,
        )


def _may_have_taken_tokens(ended: ContainerResult) -> bool:
    return ended.timed_out or ended.cancelled or ended.oom or ended.exit > _LAST_OWN_EXIT_CODE


def _classify(ended: ContainerResult, fault: StepFault | None) -> tuple[State, StepFault | None]:
    """The state that a make's end stands for: the machine's limits and faults come before the kernel's."""
    if ended.cancelled:
        return State.CANCELLED, None
    if ended.timed_out:
        return State.TIMEOUT, None
    if fault is not None:
        return fault.state, fault
    return (State.PASS if ended.exit == 0 else State.FAIL), None
