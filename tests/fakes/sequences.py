"""Random sequences of edits, configurations, patches, kills and runs, and what each run must come to."""

import difflib
import itertools
import os
import random
import shutil
import signal
import sys
import time
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Protocol

from matrix.cache_layout import CacheLayout
from matrix.commands.run import run_matrix
from matrix.commands.session import Environment
from matrix.commands.settings import resolve_profile
from matrix.engine.images import ImageRecipe, compute_base_tag
from matrix.findings.stored_run import StoredRun
from matrix.record.run_model import Cell
from matrix.record.states import UNTRIED_STATES, State
from matrix.source.cache import SourceCache
from tests.fakes.edited_tree import FILES
from tests.fakes.engine import FakeEngine
from tests.fakes.kbuild import TreeKernel, put_files

_OLD = 1_000_000_000
_FAKE_AXES: Mapping[str, tuple[str, ...]] = {
    "MODULES": ("n", "y", "y"),
    "NET": ("n", "m", "y"),
    "VFIO": ("y", "m", "y", "m", "n"),
    "GROUP": ("n", "y"),
}
_FAKE_FOCUS = (
    ("drivers/vfio/",),
    ("drivers/vfio/", "virt/kvm/", "kernel/"),
    ("drivers/vfio/group.o", "virt/kvm/"),
)


class Machine(Protocol):
    """What plays or runs the containers, and what is seen of them.

    ``stale``: objects that make let stand though a compilation gives another. ``killed``: cells over which a
    container was killed. ``patches``: a patch's text → what it makes of files (None: gone).
    """

    stale: list[str]
    killed: list[str]
    patches: dict[str, Mapping[str, str | None]]

    def arm(self, compilations: int | None, ending: str) -> None:
        """Kill a container after so many compilations, in the middle of the next; None: none.

        ``ending``: how it looks: ``gone``, ``time`` or ``engine``.
        """


@dataclass(frozen=True)
class Subject:
    """What sequences are made of: a tree's files with their variants, what is asked of it, who builds it.

    ``files``: file → its variants (None: there is none), the first as most files are. ``axes``, ``focus`` and
    ``stages``: what an Ask chooses from. ``rest`` are further files, which nobody edits.
    """

    files: Mapping[str, tuple[str | None, ...]]
    axes: Mapping[str, tuple[str, ...]]
    focus: tuple[tuple[str, ...], ...]
    open_machine: Callable[[Path], tuple[Machine, Environment]]
    arch: str = "x86"
    stages: tuple[str, ...] = ("focus", "focus", "focus", "vmlinux", "modules")
    accesses: int = 1150
    max_cells: int = 4
    lay_rest: Callable[[Path], object] = lambda _: None

    def render(self, variants: Mapping[str, int]) -> dict[str, str]:
        """Name → text of each file with variants that the tree has."""
        texts = {name: texts[variants.get(name, 0)] for name, texts in self.files.items()}
        return {name: text for name, text in texts.items() if text is not None}


def open_fake_machine(place: Path) -> tuple[Machine, Environment]:
    """A kernel's make in memory."""
    kernel = TreeKernel()
    toolchains = [ImageRecipe("gcc-14", "gcc", 14).tag, ImageRecipe("clang-19", "clang", 19).tag]
    images = [compute_base_tag(), *toolchains]
    cache = SourceCache(CacheLayout(place / "cache"))
    return kernel, Environment(FakeEngine(kernel, images=images), cache, place / "runs")


FAKE = Subject(FILES, _FAKE_AXES, _FAKE_FOCUS, open_fake_machine)


@dataclass(frozen=True)
class Edit:
    """A file gets another variant. ``old``: with a time stamp of long ago."""

    file: str
    variant: int
    old: bool = False


@dataclass(frozen=True)
class Ask:
    """What runs ask for from now on: symbol → values, and how far."""

    axes: tuple[tuple[str, tuple[str, ...]], ...] = (("VFIO", ("y",)),)
    fixed: tuple[tuple[str, str], ...] = ()
    focus: tuple[str, ...] = _FAKE_FOCUS[0]
    stage: str = "focus"
    make: tuple[tuple[str, str], ...] = ()
    toolchain: str = "gcc-14"


@dataclass(frozen=True)
class Build:
    """A run, of the tree with a patch of these edits.

    ``fresh``: it takes nothing that earlier ones remembered. ``beside``: while another process runs the same
    unpatched. ``kill``: so many compilations until the container is killed, ``ending`` how that looks.
    """

    patch: tuple[Edit, ...] = ()
    fresh: bool = False
    kill: int | None = None
    ending: str = "gone"
    beside: bool = False


@dataclass(frozen=True)
class Crash:
    """A run in a process that is killed after so many of its accesses to files."""

    accesses: int
    patch: tuple[Edit, ...] = ()


@dataclass(frozen=True)
class Forget:
    """A part of the cache is removed."""

    part: str


@dataclass(frozen=True)
class Damage:
    """Files of the memories lose their second half, each with this chance."""

    seed: int
    share: float


Action = Edit | Ask | Build | Crash | Forget | Damage


@dataclass(frozen=True)
class Chooser:
    """Chooses sequences for a subject."""

    subject: Subject
    chance: random.Random

    def choose_sequence(self, length: int = 7) -> list[Action]:
        """A sequence that ends with a run."""
        first = [self._choose_edit() for _ in range(self.chance.randrange(10))]
        actions: list[Action] = [*first, self._choose_ask(), Build()]
        kinds: list[Callable[[], list[Action]]] = [
            lambda: [self._choose_edit() for _ in range(self.chance.choice([1, 1, 1, 2, 3]))],
            lambda: [self._choose_build()],
            lambda: [self._choose_ask()],
            lambda: [Crash(int(self.subject.accesses ** self.chance.random()), self._choose_patch())],
            lambda: [Forget(self.chance.choice(["lanes", "lanes", "resolutions", "memory"]))],
            lambda: [Damage(self.chance.randrange(1000), self.chance.choice([0.02, 0.2, 1.0]))],
        ]
        for _ in range(self.chance.randint(2, length)):
            actions += self.chance.choices(kinds, [6, 4, 2, 1, 0.5, 0.3])[0]()
        return [*actions, Build()]

    def _choose_edit(self) -> Edit:
        files = self.subject.files
        file = self.chance.choice([name for name, texts in files.items() if len(texts) > 1])
        # The first variant is what most files have: so edits are often reverted.
        variant = 0 if self.chance.random() < 0.3 else self.chance.randrange(len(files[file]))
        return Edit(file, variant, self.chance.random() < 0.4)

    def _choose_ask(self) -> Ask:
        axes: dict[str, tuple[str, ...]] = {}
        for name, values in self.subject.axes.items():
            possible = [value for value in values if value != "m" or axes["MODULES"] == ("y",)]
            if name == "GROUP" and axes["VFIO"] == ("n",):
                possible = ["n"]
            count = min(self.chance.choice([1, 1, 2, 3]), len(possible))
            chosen = tuple(dict.fromkeys(self.chance.sample(possible, count)))
            many = len(list(itertools.product(*axes.values(), chosen))) > self.subject.max_cells
            axes[name] = chosen[:1] if many else chosen
        fixed = {"WERROR": "y"} if self.chance.random() < 0.1 else {}
        fixed |= {"PCI": self.chance.choice("my")} if "GROUP" in axes and self.chance.random() < 0.2 else {}
        make = self.chance.choice([(), (), (), (("W", "1"),), (("KCFLAGS", "-DFOO"),)])
        stage, focus = self.chance.choice(self.subject.stages), self.chance.choice(self.subject.focus)
        toolchain = self.chance.choice(["gcc-14", "gcc-14", "clang-19"])
        return Ask(tuple(axes.items()), tuple(fixed.items()), focus, stage, make, toolchain)

    def _choose_patch(self) -> tuple[Edit, ...]:
        if self.chance.random() < 0.6:
            return ()
        return tuple(replace(self._choose_edit(), old=False) for _ in range(self.chance.choice([1, 1, 2])))

    def _choose_build(self) -> Build:
        kill = self.chance.choice([None, None, None, self.chance.randrange(8)])
        ending = self.chance.choice(["gone", "time", "engine"])
        is_fresh = self.chance.random() < 0.15
        is_beside = kill is None and self.chance.random() < 0.1
        return Build(self._choose_patch(), is_fresh, kill, ending if kill is not None else "gone", is_beside)


class Kmatrix:
    """One user's kmatrix on a tree of a subject."""

    def __init__(self, place: Path, subject: Subject) -> None:
        self.place, self.tree, self.subject = place, place / "tree", subject
        place.mkdir(parents=True)
        self.machine, self.environment = subject.open_machine(place)
        self.variants: dict[str, int] = {}
        self.ask = Ask()
        subject.lay_rest(self.tree)
        self.put(subject.render({}))

    def put(self, files: Mapping[str, str | None], *, old: bool = True) -> None:
        put_files(self.tree, files)
        for name, text in files.items():
            if text is not None and old:
                os.utime(self.tree / name, (_OLD, _OLD))

    def edit(self, edit: Edit) -> None:
        self.variants[edit.file] = edit.variant
        self.put({edit.file: self.subject.files[edit.file][edit.variant]}, old=edit.old)

    def build(self, build: Build) -> StoredRun:
        """Run, perhaps beside another process."""
        self.machine.killed.clear()
        self.machine.arm(build.kill, build.ending)
        child = self._fork(self.run_apart) if build.beside else None
        done = self.run(build.patch, fresh=build.fresh)
        self.machine.arm(None, "")
        if child is not None:
            os.waitpid(child, 0)
        return done

    def run(self, patch: Sequence[Edit], select: Sequence[str] = (), *, fresh: bool = False) -> StoredRun:
        # Each process has its own: one that is just being written is read as an empty one.
        profile = self.place / f"profile-{os.getpid()}.toml"
        profile.write_text(_format_profile(self.ask, self.subject.arch))
        settings: dict[str, list[str]] = {"profile": [str(profile)], "source": [str(self.tree)]}
        files = self._write_patch(patch)
        settings |= {"patch": files} if files else {}
        settings |= {"select": list(select)} if select else {}
        settings |= {"fresh": ["yes"]} if fresh else {}
        settled = resolve_profile(settings, {})
        return run_matrix(settled, _ignore, ["test"], self.environment, needs_focus=False)

    def _write_patch(self, edits: Sequence[Edit]) -> list[str]:
        new = self.subject.render(self.variants | {edit.file: edit.variant for edit in edits})
        old = self.subject.render(self.variants)
        names = [name for name in sorted(old.keys() | new.keys()) if old.get(name) != new.get(name)]
        if not names:
            return []
        text = "".join(format_diff(name, old.get(name), new.get(name)) for name in names)
        self.machine.patches[text] = {name: new.get(name) for name in names}
        path = self.place / f"change-{os.getpid()}.patch"
        path.write_text(text)
        return [str(path)]

    def crash(self, crash: Crash) -> None:
        """Run in a process that is killed on its way."""
        os.waitpid(self._fork(lambda: self.run_apart(crash.patch, crash.accesses)), 0)

    def _fork(self, act: Callable[[], object]) -> int:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            child = os.fork()
        if child == 0:
            try:
                act()
            finally:
                os._exit(0)
        return child

    def run_apart(self, patch: Sequence[Edit] = (), accesses: int | None = None) -> None:
        """Run in a process of its own, which is killed after so many accesses to files."""
        # A connection to an engine is the parent's.
        patches = self.machine.patches
        self.machine, self.environment = self.subject.open_machine(self.place)
        self.machine.patches = patches
        if accesses is not None:
            die_after(accesses)
        self.run(patch)

    def damage(self, damage: Damage) -> None:
        chance = random.Random(damage.seed)
        for path in sorted((self.place / "cache/memory").rglob("*")):
            if path.is_file() and chance.random() < damage.share:
                content = path.read_bytes()
                path.write_bytes(content[: len(content) // 2])

    def forget(self, part: str) -> None:
        shutil.rmtree(self.place / "cache" / part, ignore_errors=True)


def _ignore(_event: object) -> None:
    """Nobody watches."""


def die_after(accesses: int) -> None:
    """Kill this process at its so many-th access to files."""
    count = count_accesses()

    def end(_event: str, _arguments: tuple[Any, ...]) -> None:
        if count() > accesses:
            # os.kill() would be one more access, and end in a RecursionError and not in a kill.
            signal.raise_signal(signal.SIGKILL)
            time.sleep(10)

    sys.addaudithook(end)


def count_accesses() -> Callable[[], int]:
    """Count this process's accesses to files from now on, to its end; what comes back gives their number."""
    accesses = 0

    def count(event: str, _arguments: tuple[Any, ...]) -> None:
        nonlocal accesses
        if event == "open" or event.startswith(("os.", "sqlite3.", "shutil.")):
            accesses += 1

    sys.addaudithook(count)
    return lambda: accesses


def _format_profile(ask: Ask, arch: str) -> str:
    """The profile of what is asked for."""

    def quote(values: Sequence[str]) -> str:
        return f"[{', '.join(f'{chr(34)}{value}{chr(34)}' for value in values)}]"

    lines = [f'arch = ["{arch}"]', f'toolchain = ["{ask.toolchain}"]', "lanes = 1", f'stage = "{ask.stage}"']
    lines += [f"focus = {quote(ask.focus)}", "[symbols]"]
    lines += [f"{name} = {quote(values)}" for name, values in ask.axes]
    lines += ["[fixed]", *(f'{name} = "{value}"' for name, value in ask.fixed)]
    lines += ["[make]", *(f'{name} = "{value}"' for name, value in ask.make)]
    return "\n".join(lines) + "\n"


def format_diff(name: str, old: str | None, new: str | None) -> str:
    """git's diff of one file; None is a file that is not there."""
    before = f"a/{name}" if old is not None else "/dev/null"
    after = f"b/{name}" if new is not None else "/dev/null"
    head = f"diff --git a/{name} b/{name}\n"
    head += "new file mode 100644\n" if old is None else "deleted file mode 100644\n" if new is None else ""
    lines = difflib.unified_diff(
        (old or "").splitlines(keepends=True), (new or "").splitlines(keepends=True), before, after
    )
    return head + "".join(lines)


@dataclass(frozen=True)
class Answer:
    """What is known of a cell: its state, what was said of which object, and its objects."""

    state: State
    said: frozenset[tuple[str, str, str | None]]
    objects: frozenset[str]

    def __str__(self) -> str:
        said = "".join(f"\n      {text}  [{name}]" for text, _, name in sorted(self.said, key=str))
        return f"{self.state} of {', '.join(sorted(self.objects))}{said}"


def read_answer(stored: StoredRun, cell: Cell) -> Answer:
    """What a run says of a cell."""
    diagnostics = stored.run.diagnostics
    said = {
        (f"{diagnostics[ref.key].location}: {diagnostics[ref.key].message}", ref.key, ref.object)
        for ref in cell.diagnostics
    }
    # What of a cell that failed is known to be its own depends on what was compiled before.
    objects = frozenset() if cell.state is State.FAIL else stored.load_objects(cell)
    return Answer(cell.state, frozenset(said), objects)


@dataclass
class Judge:
    """Knows what each cell of each tree must come to: what a build in an empty directory comes to."""

    place: Path
    subject: Subject = FAKE
    _answers: dict[object, Answer] = field(default_factory=dict)
    _count: int = 0

    def expect(self, variants: Mapping[str, int], ask: Ask, cell: str) -> Answer:
        key = (tuple(sorted(self.subject.render(variants).items())), replace(ask, axes=()), cell)
        if key not in self._answers:
            self._answers[key] = self._build_fresh(variants, ask, cell)
        return self._answers[key]

    def _build_fresh(self, variants: Mapping[str, int], ask: Ask, cell: str) -> Answer:
        self._count += 1
        fresh = Kmatrix(self.place / str(self._count), self.subject)
        for file, variant in variants.items():
            fresh.edit(Edit(file, variant))
        fresh.ask = ask
        stored = fresh.run((), select=[cell.split("/", 3)[3]])
        (row,) = stored.run.cells
        answer = read_answer(stored, row)
        shutil.rmtree(fresh.place)
        return answer


def find_fault(actions: Sequence[Action], place: Path, judge: Judge) -> str:
    """Do all that in a new directory; what the first run that was wrong said, or nothing."""
    kmatrix = Kmatrix(place, judge.subject)
    try:
        for number, action in enumerate(actions):
            fault = _act(kmatrix, action, judge)
            if fault:
                return f"at step {number}: {fault}"
    finally:
        shutil.rmtree(place)
    return ""


def _act(kmatrix: Kmatrix, action: Action, judge: Judge) -> str:
    match action:
        case Edit():
            kmatrix.edit(action)
        case Ask():
            kmatrix.ask = action
        case Crash():
            kmatrix.crash(action)
        case Forget():
            kmatrix.forget(action.part)
        case Damage():
            kmatrix.damage(action)
        case Build():
            return _judge_run(kmatrix, action, judge)
    return ""


def _judge_run(kmatrix: Kmatrix, build: Build, judge: Judge) -> str:
    stored = kmatrix.build(build)
    if kmatrix.machine.stale:
        return f"make let stand what it had to compile: {kmatrix.machine.stale}"
    variants = kmatrix.variants | {edit.file: edit.variant for edit in build.patch}
    for cell in stored.run.cells:
        given, wanted = read_answer(stored, cell), judge.expect(variants, kmatrix.ask, cell.id)
        if _is_excused(given, cell, kmatrix) or given == wanted:
            continue
        evidence = f"{cell.evidence}, {cell.evidence_from}, {cell.reason}"
        return f"{cell.id} ({evidence})\n    was {given}\n    not {wanted}"
    return ""


def _is_excused(given: Answer, cell: Cell, kmatrix: Kmatrix) -> bool:
    """Whether a container was killed over it, and nothing is claimed that was not seen."""
    proves_less = given.state in UNTRIED_STATES or given.state is State.FAIL
    return cell.id in kmatrix.machine.killed and proves_less


def shrink_sequence(actions: Sequence[Action], fails: Callable[[Sequence[Action]], bool]) -> list[Action]:
    """The sequence without whatever it fails without."""
    left = list(actions)
    changed = True
    while changed:
        changed = False
        for simpler in _simplify(left):
            if fails(simpler):
                left, changed = simpler, True
                break
    return left


def _simplify(actions: list[Action]) -> "list[list[Action]]":
    simpler = [[*actions[:number], *actions[number + 1 :]] for number in range(len(actions))]
    for number, action in enumerate(actions):
        simpler += [[*actions[:number], other, *actions[number + 1 :]] for other in _simplify_action(action)]
    return simpler


def _simplify_action(action: Action) -> list[Action]:
    match action:
        case Edit() if action.old:
            return [replace(action, old=False)]
        case Build():
            fewer = [replace(action, patch=action.patch[1:]), replace(action, patch=action.patch[:-1])]
            plainer = [replace(action, kill=None, ending="gone"), replace(action, fresh=False), *fewer]
            plainer += [replace(action, beside=False)]
            return [one for one in plainer if one != action]
        case Ask():
            return [one for one in _simplify_ask(action) if one != action]
    return []


def _simplify_ask(ask: Ask) -> list[Action]:
    plain = Ask()
    simpler: list[Action] = [
        replace(ask, **{name: getattr(plain, name)})
        for name in ("stage", "focus", "make", "fixed", "toolchain")
    ]
    for number, (name, values) in enumerate(ask.axes):
        for value in values if len(values) > 1 else ():
            fewer = (name, tuple(other for other in values if other != value))
            simpler.append(replace(ask, axes=(*ask.axes[:number], fewer, *ask.axes[number + 1 :])))
    return simpler
