"""The objects of a stage when make has ended: which belong to it, which were made, which were compiled now.

kbuild's lists show it where nothing failed. A directory with a failure has none: there the log shows what was
compiled, and a dry run what was up to date already.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from matrix.builder.dry_run import BelongingObjects, DryRun, find_belonging_objects
from matrix.builder.kbuild_objects import (
    find_made_since,
    list_module_files,
    read_listed_objects,
    to_make_target,
)
from matrix.builder.lane_objects import LaneObjects, MadeDirectory
from matrix.diagnostics.diagnostic import BuildLog, Occurrence
from matrix.memory.objects import is_built_apart


@dataclass(frozen=True)
class StageObjects:
    """The objects of one stage, relative to the build directory.

    ``own``: those known to belong to the stage, made or not. ``proven``: what was made in it and make did not
    blame, wherever it lies, or stood there up to date; and what was refused with an error that names it.
    ``unproven``: what make failed to make without such an error. ``current``: those whose warnings on record
    hold, unless they were compiled anew. ``compiled``: what was compiled now, of the stage's own and of what
    warned. ``listed``: what the configuration is known to have on its lists. ``refused``: what failed with
    an error that names it.
    """

    own: frozenset[str]
    proven: frozenset[str]
    unproven: frozenset[str]
    current: frozenset[str]
    compiled: frozenset[str]
    listed: frozenset[str]
    refused: frozenset[str] = frozenset()

    def collect_recorded(self) -> frozenset[str]:
        """Those that the record of a cell names.

        What make prepares for any configuration is left out: whether it was made now depends on what stood in
        the directory.
        """
        prepared = (name for name in self.proven - self.own - self.refused if is_built_apart(name))
        return self.proven - frozenset(prepared)

    def exclude(self, objects: frozenset[str]) -> "StageObjects":
        """The same where nothing is known of these objects."""
        return replace(
            self,
            own=self.own - objects,
            proven=self.proven - objects,
            unproven=self.unproven | objects,
            current=self.current - objects,
        )


def read_built_objects(
    lane: LaneObjects, targets: Sequence[str], printed: Iterable[Occurrence], directory: MadeDirectory
) -> StageObjects:
    """The objects of a stage without a failure."""
    own = read_listed_objects(lane.lane.build, targets)
    listed = own | _read_lists(lane, targets)
    compiled = _find_compiled(lane, own, printed, directory.moment)
    current = listed | lane.list_library_members(directory.entries)
    return StageObjects(own, own, frozenset(), current, compiled, listed)


def read_failing_objects(
    lane: LaneObjects, targets: Sequence[str], log: BuildLog, dry_run: DryRun, directory: MadeDirectory
) -> StageObjects:
    """The objects of a stage with a failure. ``dry_run``: what make would do after it."""
    failed = frozenset(target.object for target in log.failed_targets if target.object)
    refused = {item.object for item in log.occurrences if item.diagnostic.severity == "error"}
    build = lane.lane.build
    belonging = find_belonging_objects(build, dry_run, log.compiled_objects, failed)
    listed, files = read_listed_objects(build, targets), list_module_files(build, targets)
    beside = _read_lists(lane, targets)
    own = listed | belonging.standing | _select_own(log, targets, belonging)
    single = (listed | belonging.standing | log.compiled_objects) - failed
    made = single | (_find_whole_modules(lane, belonging, single, files) - failed)
    return StageObjects(
        own=own,
        proven=made | (failed & refused),
        unproven=failed - refused,
        current=beside | (made - log.compiled_objects) | lane.list_library_members(directory.entries),
        compiled=_find_compiled(lane, own, log.occurrences, directory.moment),
        listed=beside | belonging.belonging,
        refused=failed & refused,
    )


def _read_lists(lane: LaneObjects, targets: Iterable[str]) -> frozenset[str]:
    """All that the lists of these targets name. Of an object in the focus, make makes the whole directory."""
    whole = [*map(to_make_target, targets)]
    return read_listed_objects(lane.lane.build, whole) | list_module_files(lane.lane.build, whole)


def _select_own(log: BuildLog, targets: Sequence[str], belonging: BelongingObjects) -> frozenset[str]:
    """Of what the log shows compiled, what belongs to the stage. make prepares other objects for any."""
    logged = log.compiled_objects
    if belonging.belonging or not all("/" in target for target in targets):
        return logged & belonging.belonging if belonging.belonging else logged
    folders = tuple(map(to_make_target, targets))
    blamed = {item.object for item in log.occurrences if item.diagnostic.severity == "error"}
    return frozenset(name for name in logged if name.startswith(folders) or name in blamed)


def _find_whole_modules(
    lane: LaneObjects, belonging: BelongingObjects, made: frozenset[str], files: frozenset[str]
) -> frozenset[str]:
    """The modules' own objects, ``x.o`` of its parts, that were linked: where a part is missing, none is."""
    linked = {name for name in files if name.endswith(".o")}
    linked |= {name for name, parts in belonging.modules.items() if parts <= made}
    return frozenset(name for name in linked if lane.lane.files.stat_file(name))


def _find_compiled(
    lane: LaneObjects, objects: frozenset[str], printed: Iterable[Occurrence], moment: int
) -> frozenset[str]:
    # What was put back just before make began may have the very time of its beginning.
    made = (name for name in find_made_since(lane.lane.build, objects, moment) if not lane.is_standing(name))
    return frozenset(made) | {item.object for item in printed if item.object}
