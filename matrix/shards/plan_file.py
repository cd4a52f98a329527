"""A plan as a file that travels: what `plan --json` prints, and all machines split alike."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, Self

from pydantic import ConfigDict, Field, ValidationError

from matrix.errors import RequestError
from matrix.plan import compute_id_digest
from matrix.record.run_model import (
    SCHEMA_VERSION,
    BaseRecord,
    Record,
    Run,
    ShardRecord,
    SourceRecord,
    Tool,
    ToolchainRecord,
)
from matrix.shards.lane_split import PlannedLane, PlanShare, split_lanes
from matrix.shards.run_facts import list_differences

_ANOTHER = "./inv plan --json, with the same options, prints a new one"


class PlanFile(Record):
    """What a plan is of, and its lanes. Its cells, which the file has as well, are for other readers."""

    schema_: Literal[1] = Field(default=SCHEMA_VERSION, alias="schema")
    tool: Tool
    profile: dict[str, object]
    plan_sha256: str
    source: SourceRecord
    toolchains: dict[str, ToolchainRecord]
    bases: dict[str, BaseRecord] = Field(default_factory=dict)
    lanes: tuple[PlannedLane, ...]

    model_config = ConfigDict(frozen=True, extra="ignore", populate_by_name=True)

    @classmethod
    def parse(cls, content: bytes, name: str) -> Self:
        """The plan in a file's content. RequestError where it is none."""
        try:
            return cls.model_validate_json(content)
        except (ValidationError, RecursionError) as error:
            reason = (
                error.errors()[0] if isinstance(error, ValidationError) else {"loc": (), "msg": "too deep"}
            )
            place = ".".join(map(str, reason["loc"]))
            raise RequestError(f"{name} is no plan: {place or 'it'}: {reason['msg']}", _ANOTHER) from error

    def check_fits(self, run: Run, ids: Sequence[str], name: str) -> None:
        """RequestError, with what differs, where the plan is not that of a run, or has other cells."""
        differing = list(list_differences(self, run))
        if not differing and sorted(ids) != sorted(cell.id for lane in self.lanes for cell in lane.cells):
            differing = ["its lanes have other cells than its plan"]
        if differing:
            raise RequestError(f"{name} is another plan: {'; '.join(differing)}", _ANOTHER)


def format_plan_file(planned: Run, lanes: Sequence[PlannedLane], count: int) -> dict[str, object]:
    """The JSON of a plan as a value: run.json's keys of what it is of, its lanes, and, where there is a
    ``count``, what each shard has."""
    keys = {"schema_", "tool", "profile", "axes", "plan_sha256", "source", "toolchains", "bases", "cells"}
    shown: dict[str, object] = planned.model_dump(mode="json", by_alias=True, include=keys)
    shown["lanes"] = [
        {**lane.model_dump(mode="json", by_alias=True), "seconds": _sum_seconds([lane])} for lane in lanes
    ]
    if count:
        shares = split_lanes(lanes, count)
        has_times = _sum_seconds(lanes) is not None
        order = [cell.id for cell in planned.cells]
        shown["shards"] = [
            _describe_share(share, f"{number}/{count}", order, has_times=has_times)
            for number, share in enumerate(shares, 1)
        ]
    return shown


def _sum_seconds(lanes: Sequence[PlannedLane]) -> float | None:
    """The seconds of all that is built there; None where no time is known."""
    known = [seconds for lane in lanes for seconds in lane.known_seconds]
    return round(sum(known), 1) if known else None


def _describe_share(
    share: PlanShare, name: str, order: Sequence[str], *, has_times: bool
) -> dict[str, object]:
    return {
        "shard": name,
        "seconds": round(share.cost, 1) if has_times else None,
        "lanes": [{"lane": piece.lane.name, "cells": len(piece.cells)} for piece in share.pieces],
        "cells": [name for name in order if name in share.ids],
    }


@dataclass(frozen=True)
class ChosenShard:
    """The share that one machine builds: what its run records of the split, and its cells' ids."""

    record: ShardRecord
    ids: frozenset[str]


def choose_share(lanes: Sequence[PlannedLane], index: int, count: int, order: Sequence[str]) -> ChosenShard:
    """The ``index``-th of ``count`` shares, from 1. ``order``: the ids of the whole plan."""
    shares = split_lanes(lanes, count)
    digests = (compute_id_digest(name for name in order if name in share.ids) for share in shares)
    record = ShardRecord(index=index, count=count, requests=len(order), shares=tuple(digests))
    return ChosenShard(record, shares[index - 1].ids)
