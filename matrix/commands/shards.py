"""A plan with its lanes and their times, and the share of it that one machine builds."""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import NamedTuple

from matrix.builder.lanes import weigh_template
from matrix.builder.run_context import RunContext, Session
from matrix.builder.visiting_order import ConfigSet
from matrix.catalog.types import Profile
from matrix.commands.resume import build_refusal
from matrix.commands.run import ShardChooser, build_blank_run, plan_session, resolve_plan
from matrix.commands.session import LOCAL_ENVIRONMENT, Environment
from matrix.commands.settings import parse_number
from matrix.errors import InterruptedRunError, MachineError, RequestError
from matrix.kconfig.config import Config
from matrix.plan import Request, plan_requests
from matrix.record.events import EventSink, OutputLine, ProgressEvent, ProgressNote
from matrix.record.journal import Journal
from matrix.record.profile_keys import describe_difference
from matrix.record.run_directory import RECORD_LIMIT, find_run_directory, load_run
from matrix.record.run_model import AxesKey, Cell, Run
from matrix.record.states import UNTRIED_STATES, Evidence
from matrix.shards.lane_split import KnownTime, PlannedCell, PlannedLane
from matrix.shards.plan_file import ChosenShard, PlanFile, choose_share
from matrix.user_files import expand_user_path, read_user_file

MAX_SHARDS = 1000
_COUNT_HINT = "for example --shards 4"
_SHARD = re.compile(r"([0-9]{1,6})/([0-9]{1,6})")


@dataclass(frozen=True)
class ShardRequest:
    """The ``index``-th of ``count`` shards, from 1: of the lanes of a plan's file, or of lanes with a
    baseline's times."""

    index: int
    count: int
    plan: PlanFile | None = None
    plan_name: str = ""
    baseline: Run | None = None


def parse_shard_request(
    shard: str, plan: str, baseline: str, known: str, runs: Path, command: Sequence[str] = ()
) -> ShardRequest | None:
    """What these options ask for; None without ``--shard``. RequestError, before any work, for what will not
    do. ``command`` is what was typed."""
    if not shard:
        if plan:
            raise RequestError("--plan says how a plan is split, and no share is named", "add --shard 1/4")
        return None
    index, count = _parse_shard(shard)
    if known:
        raise RequestError(
            "--known is for a whole run, and a shard is a part of one", "./inv merge takes --known"
        )
    if not plan:
        return ShardRequest(index, count, baseline=_load_baseline(baseline, runs, command))
    if baseline:
        raise RequestError(
            "--plan has its times already, and --baseline would be others",
            "./inv plan --json --baseline RUN writes a plan with its times",
        )
    path = expand_user_path(plan)
    name = f"--plan {plan}"
    content = read_user_file(path, name, "./inv plan --json prints one", RECORD_LIMIT)
    return ShardRequest(index, count, PlanFile.parse(content, name), name)


def _parse_shard(text: str) -> tuple[int, int]:
    found = _SHARD.fullmatch(text)
    index, count = map(int, found.groups()) if found else (0, 0)
    if not 1 <= index <= count:
        raise RequestError(
            f"--shard: expected I/N, the I-th of N shares, got {text!r}",
            "for example --shard 2/4, with I from 1 to N",
        )
    _check_count(count)
    return index, count


@dataclass(frozen=True)
class PlanRequest:
    """What a plan's JSON has: the shares of so many ``shards``, of none where it is 0; a baseline's times."""

    shards: int = 0
    baseline: Run | None = None


def parse_plan_request(
    shards: str, baseline: str, runs: Path, command: Sequence[str] = (), *, as_json: bool
) -> PlanRequest | None:
    """What these options ask for; None for a plan that is only shown. RequestError for what will not do."""
    for name, given in (("--shards", shards), ("--baseline", baseline)):
        if given and not as_json:
            raise RequestError(f"{name} is for the plan as JSON", "add --json")
    count = _parse_count(shards) if shards else 0
    stored = _load_baseline(baseline, runs, command)
    return PlanRequest(count, stored) if as_json else None


def _load_baseline(name: str, runs: Path, command: Sequence[str]) -> Run | None:
    return load_run(find_run_directory(name, runs, command)) if name else None


def _parse_count(text: str) -> int:
    try:
        count = parse_number([text])
    except RequestError as error:
        raise RequestError(f"--shards: {error}", _COUNT_HINT) from error
    if count < 1:
        raise RequestError(f"--shards: expected 1 or more, got {count}", _COUNT_HINT)
    _check_count(count)
    return count


def _check_count(count: int) -> None:
    if count > MAX_SHARDS:
        raise RequestError(
            f"{count} shards are too many: {MAX_SHARDS} at most", "few shards with many cells each are faster"
        )


def check_resumed_options(run: Run, *, shard: str, plan: str, baseline: str, known: str) -> None:
    """RequestError for what would have no effect on a run that is to go on, and where it builds another share
    than the one that is named."""
    if plan:
        raise RequestError(
            f"--plan says how a plan is split, and what {run.id} builds is settled", "leave out --plan"
        )
    for option, value in (("--baseline", baseline), ("--known", known)):
        if value and run.shard:
            raise RequestError(
                f"{option} is for a whole run, and {run.id} is shard {run.shard.name} of one",
                f"./inv merge takes {option}",
            )
    if shard and (run.shard is None or _parse_shard(shard) != (run.shard.index, run.shard.count)):
        was = run.shard.name if run.shard else None
        raise build_refusal(run.id, describe_difference("shard", was, shard))


def create_shard_chooser(asked: ShardRequest) -> ShardChooser:
    """What says which requests of a plan the shard has."""
    return partial(_choose_shard, asked)


def _choose_shard(
    asked: ShardRequest, session: Session, requests: Sequence[Request], emit: EventSink
) -> ChosenShard:
    """RequestError where the plan's file is of another plan. MachineError where a request could not be
    resolved: another machine would split otherwise."""
    order = [request.id for request in requests]
    if asked.plan is not None:
        blank = build_blank_run("plan", session, requests, datetime.now(UTC), ())
        asked.plan.check_fits(blank, order, asked.plan_name)
        lanes = asked.plan.lanes
    else:
        lanes = _plan_alike(session, requests, asked.baseline, emit)
    chosen = choose_share(lanes, asked.index, asked.count, order)
    emit(ProgressNote(_describe_share(chosen)))
    return chosen


def _describe_share(chosen: ChosenShard) -> str:
    record = chosen.record
    if not chosen.ids:
        return f"Shard {record.name} has nothing to build: the plan has fewer parts."
    return f"Shard {record.name} has {len(chosen.ids)} of {record.requests} requests."


def _plan_alike(
    session: Session, requests: Sequence[Request], baseline: Run | None, emit: EventSink
) -> tuple[PlannedLane, ...]:
    """The plan's lanes with nothing in them that another machine would not find as well: times are the
    baseline's only, and whatever this machine remembers does not count."""

    def emit_notes(event: ProgressEvent) -> None:
        if isinstance(event, ProgressNote | OutputLine):
            emit(event)

    emit(ProgressNote("The whole plan is resolved first, as each machine has to split it alike."))
    # Neither ends a plan: its lanes would be others.
    profile = session.profile.model_copy(update={"deadline": None, "fail_fast": False})
    with resolve_plan(replace(session, profile=profile), requests, emit_notes) as context:
        planned = context.journal.snapshot_run()
        if planned.interrupted:
            raise InterruptedRunError("interrupted while the plan was made")
        unknown = [cell for cell in planned.cells if _is_unresolved(cell)]
        if unknown:
            raise MachineError(
                f"the plan cannot be split alike: {len(unknown)} of its requests could not be resolved here, "
                f"as {unknown[0].id}: {unknown[0].reason or unknown[0].state}",
                "./inv plan shows them; with --plan FILE nothing has to be resolved for the split",
            )
        return _order_lanes(context, planned, _read_times(baseline, planned))


def _is_unresolved(cell: Cell) -> bool:
    return cell.state in UNTRIED_STATES and not cell.is_reachable


class PlannedMatrix(NamedTuple):
    """A plan with every request resolved, and its lanes."""

    run: Run
    lanes: tuple[PlannedLane, ...]


def plan_lanes(
    profile: Profile,
    emit: EventSink,
    baseline: Run | None = None,
    environment: Environment = LOCAL_ENVIRONMENT,
) -> PlannedMatrix:
    """Resolve every request and record nothing. How long cells take is known from the baseline, or else from
    what this machine remembers."""
    remembered: dict[str, KnownTime] = {}
    with (
        plan_session(profile, emit, environment) as session,
        resolve_plan(session, plan_requests(session.profile), emit, remembered.__setitem__) as context,
    ):
        planned = context.journal.snapshot_run()
        times = remembered | _read_times(baseline, planned)
        return PlannedMatrix(planned, _order_lanes(context, planned, times))


def _read_times(baseline: Run | None, planned: Run) -> dict[str, KnownTime]:
    """By a planned cell's id, what the same cell of the baseline took."""
    took: dict[AxesKey, KnownTime] = {}
    if baseline is None:
        return {}
    for cell in baseline.cells:
        if cell.is_finished and cell.stages:
            took[cell.axes_key] = KnownTime(_measure_making(cell), f"{baseline.id}/{cell.id}")
    return {cell.id: took[cell.axes_key] for cell in planned.cells if cell.axes_key in took}


def _measure_making(cell: Cell) -> float:
    """What it takes to make a cell: of one that was remembered, what it had taken then."""
    return cell.seconds if cell.evidence is Evidence.REMEMBERED else cell.own_seconds


def _order_lanes(
    context: RunContext, planned: Run, times: Mapping[str, KnownTime]
) -> tuple[PlannedLane, ...]:
    """The lanes of a plan, their cells as a lane that remembers nothing visits them."""
    cells = {cell.id: cell for cell in planned.cells}
    toolchains = context.session.catalog.toolchains
    return tuple(
        PlannedLane(
            arch=lane.arch,
            toolchain=lane.toolchain,
            base=lane.base,
            weight=weigh_template(toolchains[lane.toolchain].template),
            cells=tuple(order_cells([cells[each.id] for each in lane.requests], context.journal, times)),
        )
        for lane in context.lanes
    )


def order_cells(
    cells: Sequence[Cell], journal: Journal, times: Mapping[str, KnownTime]
) -> Iterator[PlannedCell]:
    """The cells of a resolved lane as one that remembers nothing visits them, with their known times."""
    twins: dict[str, list[Cell]] = {}
    for cell in cells:
        if cell.is_reachable:
            twins.setdefault(str(cell.config_sha256), []).append(cell)
    configs = ConfigSet()
    for digest in twins:
        configs.add(digest, Config.parse(journal.load_config(digest)))
    names = list(twins)
    ordered = (
        [cell for index in configs.plan_order(names, {}) for cell in twins[names[index]]] if names else []
    )
    for cell in (*ordered, *(cell for cell in cells if not cell.is_reachable)):
        time = times.get(cell.id)
        yield PlannedCell(
            id=cell.id,
            config_sha256=cell.config_sha256 if cell.is_reachable else None,
            seconds=round(time.seconds, 1) if time else None,
            times_from=time.origin if time else None,
        )
