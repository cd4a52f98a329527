"""From a failing .config to the condition: which of its symbols bring an error about, found by experiments.

1. The .config is built as it is, and its neighbour, which must not have the error.
2. The symbols that differ are candidates. Which of them matter is searched for (`cause_search`): each
   experiment is the neighbour with some of them as in the failing .config.
3. The neighbour may share values that the error needs as well. So symbols that the sources of the error name
   are flipped one by one.
4. What was found is proven by a run like any other: those symbols are its axes, the neighbour is its base.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory

from matrix.builder.run_context import Session
from matrix.catalog.types import Profile, Setting
from matrix.commands.cause_experiments import CauseExperiments, NeededValues, SoughtProblem
from matrix.commands.config_probes import ConfigProbes, ProbeResult
from matrix.commands.minimise_request import GIVEN_BASE, MinimiseRequest
from matrix.commands.run import check_output_unused, run_matrix
from matrix.commands.session import LOCAL_ENVIRONMENT, Environment, prepare_session
from matrix.errors import InterruptedRunError, MachineError, RequestError
from matrix.findings.cause_search import Cause, FoundCauses
from matrix.findings.finding import Finding
from matrix.findings.stored_run import StoredRun
from matrix.foreign_text import clean_text
from matrix.fs import write_atomically
from matrix.kconfig.config import Config
from matrix.kconfig.config_changes import list_config_changes, list_near_symbols, order_changes
from matrix.record.events import EventSink, ProgressNote
from matrix.record.states import COMPLETE_STATES, State

MAX_CELLS = 64
"""Configurations of the run that proves."""
_NEARER = "hold it against a .config that does not fail, and is nearer: --neighbour FILE"
_TITLE_LENGTH = 120


@dataclass(frozen=True)
class MinimisedConfig:
    """What was found, and the run that proves it."""

    stored: StoredRun
    found: FoundCauses


@dataclass(frozen=True)
class _Search:
    """The candidates, with their values in the failing .config, and what was found among them.

    ``without``: symbol of the first cause → its value in an experiment without it, with the error gone.
    ``profile`` builds no more than shows the error. ``beside``: what the error needs as both have it.
    ``may_have_more``: a further cause may be there.
    """

    profile: Profile
    causes: tuple[Cause, ...]
    start: Config
    changes: dict[str, str]
    without: dict[str, str]
    beside: NeededValues
    probes: int
    untried: int
    may_have_more: bool


def minimise_config(
    request: MinimiseRequest,
    emit: EventSink,
    argv: Sequence[str] = (),
    environment: Environment = LOCAL_ENVIRONMENT,
) -> MinimisedConfig:
    """Find the symbols of a .config that bring an error about, and prove them by a run.

    RequestError where the .config does not fail, or its neighbour fails as well; MachineError where an
    experiment could not be tried, or there were too few. InterruptedRunError when the user stopped it.
    """
    check_output_unused(request.profile)
    with (
        prepare_session(request.profile, emit, environment) as session,
        TemporaryDirectory(prefix="kmatrix-minimise-") as folder,
    ):
        try:
            found = _Minimiser(request, session, Path(folder), emit).search()
        except KeyboardInterrupt as error:
            raise InterruptedRunError(
                "interrupted; the same command goes on, with all that was built"
            ) from error
    profile = _build_proving_profile(request, found)
    stored = run_matrix(profile, emit, argv, environment)
    return MinimisedConfig(stored, _summarise(found))


def _summarise(found: _Search) -> FoundCauses:
    named = {name for cause in found.causes for name in cause.changes}
    changes = {name: (found.start.value_of(name), found.changes[name]) for name in sorted(named)}
    return FoundCauses(
        found.causes,
        changes,
        {name: values[-1] for name, values in sorted(found.beside.flips.items())},
        found.beside.takers,
        len(found.changes),
        found.probes,
        found.untried,
        found.may_have_more,
    )


@dataclass(frozen=True)
class _Minimiser:
    request: MinimiseRequest
    session: Session
    folder: Path
    emit: EventSink

    def search(self) -> _Search:
        """Build the .config and its neighbour, and look for what of their difference matters."""
        probes = ConfigProbes(self.session, self.request.profile, self.folder)
        self._tell(f"Building {self.request.config.path.name} as it is.")
        failing = probes.build(GIVEN_BASE)
        problem = SoughtProblem(self._choose_finding(failing), failing)
        probes = self._narrow(probes, problem)
        self._tell(f"Building {self.request.neighbour}, which should not have this: {_shorten(problem)}")
        neighbour = self._check_neighbour(probes.build(self.request.neighbour), problem)
        start = self.folder / "neighbour.config"
        write_atomically(start, neighbour.stored.load_config(neighbour.cell))
        experiments = CauseExperiments(probes, problem, start, self.request.max_probes, self.emit)
        return self._find_what_matters(experiments, neighbour.config, failing.config)

    def _narrow(self, probes: ConfigProbes, problem: SoughtProblem) -> ConfigProbes:
        """What builds no more than shows the problem; all, where the .config does not show it then."""
        narrow = replace(probes, profile=problem.narrow_profile(probes.profile))
        if narrow.profile == probes.profile or problem.is_in(narrow.build(GIVEN_BASE)):
            return narrow
        # It keeps count of the directories that are there.
        return replace(narrow, profile=probes.profile)

    def _find_what_matters(
        self, experiments: CauseExperiments, neighbour: Config, failing: Config
    ) -> _Search:
        definitions = self.session.read_definitions(self.request.arch)
        tree = self.session.tree_contents
        near = experiments.problem.find_near_symbols(tree.root, tree.manifest.entries)
        changes = list_config_changes(neighbour, failing, definitions)
        causes = experiments.find_causes(changes, order_changes(changes, definitions, near))
        self._check_found(causes)
        cause = {name: changes[name] for name in causes[0].changes}
        around = [name for name in list_near_symbols(near, definitions) if name not in cause]
        beside = experiments.find_needed(cause, around, definitions)
        without = experiments.list_values_without(cause)
        whole = tuple(found for found in causes if found.is_whole)
        profile, count, untried = (
            experiments.probes.profile,
            len(experiments.outcomes),
            experiments.untried_flips,
        )
        may_have_more = len(whole) < len(causes)
        return _Search(profile, whole, neighbour, changes, without, beside, count, untried, may_have_more)

    def _choose_finding(self, failing: ProbeResult) -> Finding:
        name, wanted = self.request.config.path.name, self.request.message
        errors = [finding for finding in failing.stored.findings.findings if finding.is_error]
        if failing.cell.state is not State.FAIL:
            raise RequestError(
                f"{name} does not fail here: {failing.cell.state}",
                "is it this tree, with these patches, and this compiler? --source, --patch, --toolchain",
            )
        if not errors:
            raise RequestError(
                f"{name} fails here, and its log has no error that kmatrix knows: {failing.cell.reason}",
                "let ./inv diagnose read a log of such a build",
            )
        matching = [
            finding
            for finding in errors
            if any(
                wanted in failing.stored.run.diagnostics[key].message
                for key in (*finding.diagnostics, *finding.consequences)
            )
        ]
        if not matching:
            shown = "; ".join(clean_text(finding.title, _TITLE_LENGTH) for finding in errors[:3])
            raise RequestError(
                f"{name} fails, and no error of it has the words {wanted!r}", f"it has: {shown}"
            )
        return matching[0]

    def _check_neighbour(self, neighbour: ProbeResult, problem: SoughtProblem) -> ProbeResult:
        if problem.is_in(neighbour):
            raise RequestError(
                f"{self.request.neighbour} fails in the same way, so it needs nothing of this .config",
                "hold it against a .config that does not fail: --neighbour FILE",
            )
        if neighbour.cell.state not in COMPLETE_STATES:
            raise RequestError(
                f"{self.request.neighbour} is no .config that passes here: "
                f"{neighbour.cell.reason or neighbour.cell.state}",
                "name another: --neighbour FILE",
            )
        return neighbour

    def _check_found(self, causes: Sequence[Cause]) -> None:
        if not causes:
            raise RequestError(
                f"the symbols of {self.request.config.path.name} on top of {self.request.neighbour} do not "
                "bring the error about, so it depends on something else",
                _NEARER,
            )
        cause, count = causes[0], len(causes[0].changes)
        named = f"{', '.join(cause.changes[:10])}{' …' if count > 10 else ''}"
        if not cause.is_whole:
            raise MachineError(
                f"after {self.request.max_probes} experiments {count} symbols may still matter: {named}",
                f"allow more: --probes {2 * self.request.max_probes}; what was tried is remembered",
            )

    def _tell(self, text: str) -> None:
        self.emit(ProgressNote(text))


def _shorten(problem: SoughtProblem) -> str:
    return clean_text(problem.finding.title, _TITLE_LENGTH)


def _build_proving_profile(request: MinimiseRequest, found: _Search) -> Profile:
    """The run that proves the first cause: what was shown to matter as axes, as many as make `MAX_CELLS`
    configurations; the rest as it was when it failed."""
    axes = _list_axes(found)
    held = {name: found.changes[name] for name in found.causes[0].changes}
    held |= {name: values[-1] for name, values in found.beside.flips.items()}
    update = {
        "base": (request.neighbour,),
        "bases": {name: base for name, base in found.profile.bases.items() if name != GIVEN_BASE},
        "symbols": axes,
        "fixed": {name: held[name] for name in sorted(held.keys() - axes.keys())},
        # A knob of the catalog's would set other symbols under such a name.
        "knobs": {
            name: {request.arch: {value: Setting(set={name: value}, proof={name: value}) for value in values}}
            for name, values in axes.items()
        },
    }
    return found.profile.model_copy(update=update)


def _list_axes(found: _Search) -> dict[str, tuple[str, ...]]:
    """Symbol → the values without the error, and last the one with it.

    What others that are near to the error take is no axis, as all of a kernel would be that they take.
    """
    pairs = {
        name: (value, found.changes[name])
        for name, value in found.without.items()
        if _can_be_asked(value, found.changes[name])
    }
    axes: dict[str, tuple[str, ...]] = {}
    cells = 1
    flips = {name: values for name, values in found.beside.flips.items() if name not in found.beside.takers}
    for name, values in (pairs | flips).items():
        if cells * len(values) <= MAX_CELLS:
            cells *= len(values)
            axes[name] = values
    return dict(sorted(axes.items()))


def _can_be_asked(without: str, value: str) -> bool:
    """Whether a value without the error can be. A text that is absent there would have its default."""
    return without != "n" or value in {"y", "m"}
