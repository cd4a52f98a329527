"""A user's .config resolved on a run's own tree: the base of requests, with a cell's image and make line."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

from matrix.builder.cell_build import Stages
from matrix.builder.lane_dir import LaneDirectory
from matrix.builder.lanes import Lane
from matrix.builder.run_context import Session
from matrix.catalog.load import Catalog
from matrix.catalog.types import Base, Setting
from matrix.commands.restore import restore_session
from matrix.commands.session import Environment
from matrix.errors import MachineError, RequestError
from matrix.kconfig.config import Config
from matrix.plan import Request
from matrix.record.events import EventSink, ProgressNote
from matrix.record.journal import generate_run_id
from matrix.record.run_model import Cell, Run
from matrix.record.states import State
from matrix.resolve.make_runner import MakeRunner
from matrix.resolve.reasons import explain_unreached
from matrix.resolve.resolution import Resolution
from matrix.resolve.resolver import Resolver

_CONFIG_BASE = "given"


@dataclass(frozen=True)
class ConfigResolver:
    """Resolves requests on top of a .config, in a lane's directory and with one toolchain."""

    session: Session
    runner: MakeRunner
    lane_directory: LaneDirectory
    catalog: Catalog
    lane_axes: tuple[str, str, str]

    def build_resolver(self, satisfied: dict[str, str]) -> Resolver:
        """``satisfied`` are symbols that have their value already: they are verified, and nothing is set."""
        arch = self.lane_axes[0]
        knobs = {
            name: {arch: {value: Setting(set={}, proof=self.catalog.find_setting(arch, name, value).proof)}}
            for name, value in satisfied.items()
        }
        merged = {name: {**self.catalog.knobs.get(name, {}), **knob} for name, knob in knobs.items()}
        catalog = replace(self.catalog, knobs={**self.catalog.knobs, **merged})
        return self.session.create_resolver(self.runner, catalog, {})

    def resolve_request(self, request: Request, satisfied: dict[str, str]) -> Resolution:
        """RequestError when the tree's Kconfig refuses, MachineError when make could not be run."""
        self.lane_directory.prepare_configure()
        resolution = self.build_resolver(satisfied).resolve(request, lambda _: None)
        self.lane_directory.finish_step(resolution.stage.state)
        if resolution.config is None:
            raise _build_refusal_error(resolution)
        return resolution

    def explain_unreached(self, resolution: Resolution, config: Config) -> tuple[str, ...]:
        """Why the tree does not give what was asked for."""
        definitions = self.session.read_definitions(self.lane_axes[0])
        return explain_unreached(resolution, config, definitions, self.catalog)


def _build_refusal_error(resolution: Resolution) -> RequestError | MachineError:
    state = resolution.stage.state
    if state is State.FAIL:
        message = next((item.diagnostic.message for item in resolution.diagnostics), "make failed")
        return RequestError(f"the tree's conf takes no .config: {message}", "./inv plan says more")
    return MachineError(f"olddefconfig could not be run: {state}", "./inv doctor looks at this machine")


@contextmanager
def open_config_resolver(
    run: Run, cell: Cell, config: Path, emit: EventSink, environment: Environment
) -> Iterator[ConfigResolver]:
    """Open a resolver with the run's own tree, a cell's image and make line, and the .config as a base."""
    with restore_session(run, cell.toolchain, emit, environment) as session:
        emit(ProgressNote(f"Asking the conf of Linux {session.tree.version} what it makes of {config.name}."))
        catalog = replace(session.catalog, bases={_CONFIG_BASE: Base(file=str(config))})
        lane = Lane(cell.arch, cell.toolchain, _CONFIG_BASE, ())
        axes, variables = (lane.arch, lane.toolchain, lane.base), cell.make_variables
        steps = session.create_step_runner(generate_run_id("explain", datetime.now(UTC)))
        with session.open_lane(lane, Stages("focus", ()), variables) as directory:
            runner = session.create_make_runner(steps, lane.toolchain, variables, lambda: directory.build)
            yield ConfigResolver(session, runner, directory, catalog, axes)
