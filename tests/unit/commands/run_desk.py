"""A run with an engine in memory and a make that is played: what tests of commands share."""

import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

from matrix.cache_layout import CacheLayout
from matrix.commands.run import plan_matrix, run_matrix
from matrix.commands.session import Environment
from matrix.commands.settings import resolve_profile
from matrix.engine.images import ImageRecipe, compute_base_tag
from matrix.engine.protocol import ContainerResult
from matrix.errors import EngineError
from matrix.record.events import EventSink, ProgressEvent
from matrix.record.run_model import Cell, Run
from matrix.record.states import compute_run_exit_code
from matrix.source.cache import SourceCache
from tests.fakes.engine import FakeEngine
from tests.fakes.kernel import Job, Kernel, Made, Messages, Symbol
from tests.fakes.small_tree import small_tree

VFIO, GROUP = "drivers/vfio/vfio.o", "drivers/vfio/group.o"
KCONFIG = """\
config MODULES
	bool "modules"
config VFIO
	tristate "vfio"
config GROUP
	bool "group"
	depends on VFIO
"""
SYMBOLS = {"MODULES": Symbol(), "VFIO": Symbol(tristate=True), "GROUP": Symbol(needs="VFIO")}
PROFILE = """
focus = ["drivers/vfio/"]
arch = ["x86"]
toolchain = ["gcc-14"]
lanes = 1
[symbols]
"""
SIX = 'MODULES = ["n", "y"]\nVFIO = ["n", "m", "y"]\n'
TWO_LANES = 'VFIO = ["n", "y"]\n'
WARNING = "/src/drivers/vfio/vfio.c:7:5: warning: unused variable 'x' [-Wunused-variable]"
ERROR = "/src/drivers/vfio/vfio.c:7:5: error: 'x' undeclared"
CELL = "x86/gcc-14/defconfig/"


def always(*lines: str) -> Messages:
    return lambda _: list(lines)


class Desk:
    """One user's kmatrix on a small tree, with the kernel that its make plays."""

    def __init__(self, place: Path) -> None:
        self.place = place
        self.tree = place / "tree"
        sources = {VFIO: "int vfio;\n", GROUP: "int group;\n"}
        more = {name.replace(".o", ".c"): text for name, text in sources.items()}
        small_tree(self.tree, Kconfig=KCONFIG, **more)
        self.kernel = Kernel(SYMBOLS, {VFIO: Made("VFIO"), GROUP: Made("GROUP")})
        toolchains = [ImageRecipe("gcc-14", "gcc", 14).tag, ImageRecipe("clang-19", "clang", 19).tag]
        self.engine = FakeEngine(self.kernel, images=[compute_base_tag(), *toolchains, "mine:1"])
        self.world = Environment(self.engine, SourceCache(CacheLayout(place / "cache")), place / "runs")
        self.profile = place / "small.toml"
        self.asks(SIX)
        self.events: list[ProgressEvent] = []
        self.on_event: EventSink = self.events.append
        self.directory = place

    def asks(self, symbols: str, head: str = PROFILE) -> None:
        self.profile.write_text(head + symbols)

    def says(self, name: str, says: Messages, *, symbol: str = "VFIO", sees: tuple[str, ...] = ()) -> None:
        self.kernel.objects[name] = Made(symbol, sees, says)

    def _tell(self, event: ProgressEvent) -> None:
        self.on_event(event)

    def _settled(self, options: dict[str, list[str]]) -> dict[str, list[str]]:
        given = {name.replace("_", "-"): words for name, words in options.items()}
        return {"profile": [str(self.profile)], "source": [str(self.tree)], **given}

    def run(self, **options: list[str]) -> Run:
        self.kernel.jobs.clear()
        self.stored = run_matrix(
            resolve_profile(self._settled(options), {}), self._tell, ["test"], self.world
        )
        self.directory = self.stored.directory
        return self.stored.run

    def forget_results(self) -> None:
        """Make the next run build its cells once more, in the lanes as they are."""
        for index in (self.place / "cache/memory").glob("*/index.sqlite"):
            with closing(sqlite3.connect(index)) as connection, connection:
                connection.execute("DELETE FROM entries WHERE kind = 'result'")

    def plan(self, **options: list[str]) -> Run:
        return plan_matrix(resolve_profile(self._settled(options), {}), self._tell, self.world)

    def build_directory(self) -> Path:
        return self.kernel.jobs[-1].host("/build")

    def lanes(self) -> set[str]:
        return {path.name for path in (self.place / "cache/lanes").iterdir()}


def let_speak(desk: Desk) -> None:
    """Let the kernel's objects say what makes cells of every state."""
    desk.says(VFIO, lambda config: [ERROR] if config["MODULES"] == "n" else [WARNING], sees=("MODULES",))
    desk.says(GROUP, always(WARNING.replace("vfio.c", "group.c")), symbol="GROUP", sees=("MODULES",))


def states(done: Run) -> list[str]:
    return [cell.state.value for cell in done.cells]


def code(done: Run) -> int:
    return compute_run_exit_code((cell.state for cell in done.cells), interrupted=done.interrupted)


def cell_of(done: Run, tail: str) -> Cell:
    return next(cell for cell in done.cells if cell.id == f"{CELL}{tail}")


def messages(done: Run, cell: Cell) -> list[str]:
    return [done.diagnostics[ref.key].message for ref in cell.diagnostics]


def in_cell(
    tail: str, act: Callable[[Job], int | ContainerResult | None]
) -> Callable[[Job], int | ContainerResult | None]:
    """Act on the build of one cell only."""
    return lambda job: act(job) if job.cell == f"{CELL}{tail}" and not job.configures else None


def applying(job: Job) -> int:
    """What the patch of these tests does, in the container that applies it."""
    (job.host("/work") / "drivers/vfio/vfio.c").write_text("int v;\n")
    return 0


def dying(sentence: str) -> Callable[[Job], int]:
    def act(_job: Job) -> int:
        raise EngineError(sentence)

    return act
