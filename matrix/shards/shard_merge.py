"""The runs of shards as one run: which of them belong together, and what comes of each cell. Pure."""

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from itertools import combinations

from matrix.errors import RequestError
from matrix.plan import compute_id_digest
from matrix.record.run_model import Cell, MergedShard, Run, ShardRecord
from matrix.record.states import Evidence, State
from matrix.shards.run_facts import list_differences

_MAKE_SHARD = "./inv run --shard I/N makes one"
_MOST_NAMED = 6


def check_shards(shards: Mapping[str, Run]) -> None:
    """RequestError, with what differs, where runs are not shards of one split, each another. By name."""
    for name, run in shards.items():
        _check_shard(name, run)
    (first_name, first), *others = shards.items()
    for name, run in others:
        differing = list(_list_split_differences(first, run)) or list(list_differences(first, run))
        if differing:
            raise RequestError(
                f"{name} is no shard of the same run as {first_name}: {'; '.join(differing)}",
                "merge shards that were built alike, or build the others again",
            )
    for (first_name, first), (name, run) in combinations(shards.items(), 2):
        if _get_shard(first).index == _get_shard(run).index:
            raise RequestError(
                f"{first_name} and {name} are both shard {_get_shard(run).name}",
                "name one run of each shard; ./inv run --resume goes on with one that was stopped",
            )


def _get_shard(run: Run) -> ShardRecord:
    assert run.shard is not None, "it was checked"
    return run.shard


def _check_shard(name: str, run: Run) -> None:
    shard = run.shard
    if shard is None:
        what = "is merged already" if run.shards else "is a whole run, and no shard of one"
        raise RequestError(f"{name} {what}", _MAKE_SHARD)
    if not 1 <= shard.index <= shard.count == len(shard.shares):
        raise RequestError(
            f"{name} is damaged: there is no shard {shard.name} of {len(shard.shares)}", _MAKE_SHARD
        )
    if compute_id_digest(cell.id for cell in run.cells) != shard.shares[shard.index - 1]:
        raise RequestError(f"{name} is damaged: its cells are not those of shard {shard.name}", _MAKE_SHARD)


def _list_split_differences(first: Run, other: Run) -> Iterator[str]:
    was, now = _get_shard(first), _get_shard(other)
    if was.count != now.count:
        yield f"it is shard {now.name}, and not one of {was.count}"
    elif first.plan_sha256 == other.plan_sha256 and was.shares != now.shares:
        yield "its plan was split otherwise, by another plan's file or another baseline's times"


def merge_records(runs: Sequence[Run], blank_cells: Sequence[Cell], facts: Mapping[str, object]) -> Run:
    """The run that shards make together, which `check_shards` has passed. ``blank_cells`` are those of the
    whole plan, in its order; ``facts`` are those keys of the run that are the merge's own, as its id."""
    runs = sorted(runs, key=lambda run: _get_shard(run).index)
    started = min(run.started for run in runs)
    found: dict[str, Cell] = {}
    origins = {f"{run.id}/{cell.id}": cell.id for run in runs for cell in run.cells}
    for run in runs:
        shift = (run.started - started).total_seconds()
        found |= {cell.id: _adopt_cell(cell, run, shift, origins) for cell in run.cells}
    absent = _describe_absence(runs)
    diagnostics = {key: item for run in runs for key, item in run.diagnostics.items()}
    return runs[0].model_copy(
        update={
            "started": started,
            "finished": max(map(_find_end, runs)),
            "interrupted": False,
            "pauses": (),
            "diagnostics": dict(sorted(diagnostics.items())),
            "providers": {name: text for run in runs for name, text in run.providers.items()},
            "unused_workers": {name: text for run in runs for name, text in run.unused_workers.items()},
            "cells": tuple(
                found.get(cell.id) or cell.model_copy(update={"reason": absent}) for cell in blank_cells
            ),
            "shard": None,
            "shards": tuple(map(_describe_shard, runs)),
            **facts,
        }
    )


def _adopt_cell(cell: Cell, run: Run, shift: float, origins: Mapping[str, str]) -> Cell:
    """A shard's cell as one of the whole run, which began so many seconds before the shard."""
    update: dict[str, object] = {}
    if cell.at_work:
        update["at_work"] = tuple(round(moment + shift, 1) for moment in cell.at_work)
    origin = origins.get(cell.evidence_from or "") if cell.evidence is Evidence.REMEMBERED else None
    if origin is not None:
        # Another shard built it, on a machine that then built this one.
        update |= {"evidence": Evidence.SAME_CONFIG, "evidence_from": origin}
    if cell.state is State.NOT_RUN and not cell.reason:
        update["reason"] = f"not started: shard {_get_shard(run).name} was stopped"
    return cell.model_copy(update=update) if update else cell


def _describe_absence(runs: Sequence[Run]) -> str:
    """Why a cell is in none of these runs."""
    count = _get_shard(runs[0]).count
    present = {_get_shard(run).index for run in runs}
    names = [f"{index}/{count}" for index in range(1, count + 1) if index not in present]
    if len(names) == 1:
        return f"not started: shard {names[0]} is missing"
    more = f" and {len(names) - _MOST_NAMED} more" if len(names) > _MOST_NAMED else ""
    return f"not started: its shard is missing, one of {', '.join(names[:_MOST_NAMED])}{more}"


def _find_end(run: Run) -> datetime:
    """When a shard ended; of one that was killed, when it last had a cell."""
    spans = (cell.at_work[1] for cell in run.cells if cell.at_work)
    return run.finished or run.started + timedelta(seconds=run.paused_seconds + max(spans, default=0.0))


def _describe_shard(run: Run) -> MergedShard:
    return MergedShard(
        shard=_get_shard(run),
        id=run.id,
        command=run.command,
        host=run.host,
        started=run.started,
        finished=run.finished,
        interrupted=run.interrupted,
        cells=len(run.cells),
    )
