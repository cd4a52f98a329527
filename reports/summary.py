"""What a run amounts to, as values: counts, failures, reasons. Every format shows these same facts."""

import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from matrix.diagnostics.diagnostic import Diagnostic
from matrix.findings.finding import Finding
from matrix.findings.stored_run import StoredRun
from matrix.plan import LANE_AXES
from matrix.record.coverage import Coverage, measure_coverage, measure_planned_coverage
from matrix.record.run_model import Cell, Compiler, DiagnosticRef, Host, MergedShard, Run
from matrix.record.states import PROVEN_STATES, UNTRIED_STATES, Evidence, State
from matrix.verdict.verdict_model import SideFinding
from reports import limits
from reports.formatting import format_count, format_duration, shorten_line

_PROGRAM_PREFIX = re.compile(r"^\S*-(?=gcc\b|clang\b|ld\b|ld\.)")


@dataclass(frozen=True)
class OutcomeGroup:
    """Cells that share an outcome and its words."""

    state: State
    title: str
    cells: tuple[Cell, ...]


@dataclass(frozen=True)
class FlagCount:
    """Warnings of one flag: different ones, and cells that show any of them."""

    flag: str
    warnings: int
    cells: int


def count_states(cells: Iterable[Cell]) -> dict[State, int]:
    """How many cells are in each state that occurs, in the order of `State`."""
    seen = Counter(cell.state for cell in cells)
    return {state: seen[state] for state in State if seen[state]}


def list_cell_diagnostics(run: Run, cell: Cell) -> list[Diagnostic]:
    """A cell's diagnostics, as far as they prove something, each once, errors first."""
    return _list_diagnostics(run, cell.proven_diagnostics)


def list_unproven_diagnostics(run: Run, cell: Cell) -> list[Diagnostic]:
    """What a cell's tools had printed before they were stopped, likewise."""
    return _list_diagnostics(run, cell.unproven_diagnostics)


def _list_diagnostics(run: Run, refs: Iterable[DiagnosticRef]) -> list[Diagnostic]:
    keys = dict.fromkeys(ref.key for ref in refs)
    known = [run.diagnostics[key] for key in keys if key in run.diagnostics]
    return sorted(known, key=lambda diagnostic: diagnostic.severity != "error")


def format_location(diagnostic: Diagnostic) -> str:
    """``virt/kvm/vfio.c:89:7``, as far as it is known; else the tool's name."""
    if diagnostic.file is None:
        return diagnostic.tool
    numbers = (diagnostic.line, diagnostic.column)
    return ":".join([diagnostic.file, *(str(number) for number in numbers if number is not None)])


def format_warning_flag(diagnostic: Diagnostic) -> str:
    """A compiler's flag as it is typed, ``-Wignored-attributes``; the code or check that another tool names.

    Empty where there is none.
    """
    flag = diagnostic.flag or ""
    is_bare = flag and not flag.startswith("-") and diagnostic.tool in ("gcc", "clang")
    return f"-W{flag}" if is_bare else flag


def format_diagnostic_title(diagnostic: Diagnostic) -> str:
    """A diagnostic in one line, as compilers print it."""
    flag = format_warning_flag(diagnostic)
    promoted = "-Werror," if diagnostic.promoted and flag.startswith("-W") else ""
    tail = f" [{promoted}{flag}]" if flag else ""
    return shorten_line(
        f"{format_location(diagnostic)}: {diagnostic.severity}: {_strip_tool(diagnostic)}{tail}",
        limits.LINE_LENGTH,
    )


def _strip_tool(diagnostic: Diagnostic) -> str:
    """The message without the name of its tool, which stands before it where no file does."""
    head, colon, rest = diagnostic.message.partition(":")
    names_tool = re.split(r"[/-]", head)[-1] == diagnostic.tool or head == diagnostic.tool
    return rest.lstrip() if diagnostic.file is None and colon and names_tool else diagnostic.message


def format_unknown_failure(cell: Cell) -> str:
    """Words for a failing cell of which no error was recognised."""
    stage = cell.deciding_stage
    if cell.reason or stage is None:
        return cell.reason or cell.state.row.reason
    return shorten_line(
        f"{stage.name} ended with exit code {stage.exit}: {stage.command}", limits.LINE_LENGTH
    )


def group_failures(cells: Iterable[Cell]) -> list[OutcomeGroup]:
    """Failing cells of which no error is known, those that ended in the same way together."""
    groups: dict[str, list[Cell]] = {}
    for cell in cells:
        groups.setdefault(format_unknown_failure(cell), []).append(cell)
    return [OutcomeGroup(State.FAIL, title, tuple(alike)) for title, alike in groups.items()]


def group_unproven_cells(run: Run) -> list[OutcomeGroup]:
    """Cells that were planned and prove nothing (empty, timeout, …), by state and reason."""
    groups: dict[tuple[State, str], list[Cell]] = {}
    for cell in run.cells:
        if cell.state not in PROVEN_STATES | {State.UNREACHABLE}:
            reason = cell.reason or cell.state.row.reason
            groups.setdefault((cell.state, reason), []).append(cell)
    return [OutcomeGroup(state, reason, tuple(cells)) for (state, reason), cells in groups.items()]


def format_unreachable(run: Run) -> str:
    """One line: how many requests no configuration satisfies, and why; empty when there are none."""
    unreachable = [cell for cell in run.cells if cell.state is State.UNREACHABLE]
    if not unreachable:
        return ""
    reasons = Counter(cell.reason or cell.state.row.reason for cell in unreachable).most_common()
    words = [f"{count} × {reason}" for reason, count in reasons[: limits.UNREACHABLE_REASONS]]
    rest = sum(count for _, count in reasons[limits.UNREACHABLE_REASONS :])
    words += [f"{rest} for other reasons"] if rest else []
    return f"{len(unreachable)} of {format_count(len(run.cells), 'request')} unreachable: {'; '.join(words)}"


def format_coverage(run: Run) -> str:
    """One line: how much of what a run with `cover` is to have together its cells prove; else empty."""
    return _format_coverage(measure_coverage(run))


def format_planned_coverage(run: Run) -> str:
    """The same of a plan: what its cells will prove."""
    return _format_coverage(measure_planned_coverage(run))


def _format_coverage(coverage: Coverage | None) -> str:
    if coverage is None:
        return ""
    untried = f"; {coverage.untried} not tried" if coverage.untried else ""
    return (
        f"{coverage.name} covered: {coverage.covered} of {coverage.total}; "
        f"{coverage.unreachable} unreachable{untried}"
    )


def format_attempts(run: Run) -> str:
    """One line: which cells needed more than one attempt, as the machine had failed; empty when none did."""
    repeated = [cell for cell in run.cells if cell.attempts]
    if not repeated:
        return ""
    words = [f"{cell.id} ({cell.state} at attempt {len(cell.attempts)})" for cell in repeated]
    shown = words[: limits.REPEATED_CELLS]
    shown += [f"{len(words) - len(shown)} more"] if len(words) > len(shown) else []
    number = format_count(len(repeated), "cell")
    return f"{number} needed more than one attempt, as the machine had failed: {'; '.join(shown)}"


def format_remembered(run: Run) -> str:
    """``50 of 52 cells, from 20261125-174221-kvm-vfio``: those that earlier runs built; empty without any."""
    proven = [cell for cell in run.cells if cell.evidence]
    origins = Counter(format_origin_run(cell) for cell in proven if cell.evidence is Evidence.REMEMBERED)
    if not origins:
        return ""
    names = [name for name, _ in origins.most_common()]
    shown = names[: limits.ORIGIN_RUNS]
    shown += [f"{len(names) - len(shown)} more"] if len(names) > len(shown) else []
    return f"{origins.total()} of {format_count(len(proven), 'cell')}, from {', '.join(shown)}"


def format_same_objects(run: Run) -> str:
    """``8 of 52 cells``: those of which each object was compiled elsewhere; empty without any."""
    proven = [cell.evidence for cell in run.cells if cell.evidence]
    same = proven.count(Evidence.SAME_OBJECTS)
    return f"{same} of {format_count(len(proven), 'cell')}" if same else ""


def format_origin_run(cell: Cell) -> str:
    """The id of the run that built a remembered cell."""
    return (cell.evidence_from or "").partition("/")[0] or "a run that is not known"


def count_warnings(run: Run) -> list[FlagCount]:
    """Warnings per flag (or tool, where it gave no flag), the most frequent first."""
    seen: dict[str, tuple[set[str], set[str]]] = {}
    flags = {
        key: format_warning_flag(diagnostic) or diagnostic.tool
        for key, diagnostic in run.diagnostics.items()
        if diagnostic.severity == "warning"
    }
    for cell in run.cells:
        for ref in cell.proven_diagnostics:
            if ref.key in flags:
                keys, cells = seen.setdefault(flags[ref.key], (set(), set()))
                keys.add(ref.key)
                cells.add(cell.id)
    tallied = [FlagCount(flag, len(keys), len(cells)) for flag, (keys, cells) in seen.items()]
    return sorted(tallied, key=lambda count: -count.warnings)


def format_resolved_target(cells: Mapping[str, Cell], cell: Cell) -> str:
    """What an unreachable cell resolves to: the symbols of one of these, by their ids, where all else is the
    same, or its id."""
    target = cells.get(cell.resolves_to or "")
    if target is None or any(target.axes[axis] != cell.axes[axis] for axis in LANE_AXES):
        return cell.resolves_to or ""
    return ",".join(f"{symbol}={value}" for symbol, value in target.request.items())


def format_run_headline(stored: StoredRun) -> str:
    """The run's outcome in one sentence, the worst first."""
    run, findings = stored.run, stored.findings
    states = count_states(run.cells)
    tried = len(run.cells) - states.get(State.UNREACHABLE, 0)
    unknown = states.get(State.UNKNOWN, 0)
    untried = sum(states.get(state, 0) for state in UNTRIED_STATES) - unknown
    bad = {"failed": states.get(State.FAIL, 0), "could not be tried": untried, "of unknown end": unknown}
    parts = [f"{count} {what}" for what, count in bad.items() if count]
    if parts:
        parts[0] = parts[0].replace(" ", f" of {format_count(tried, 'cell')} ", 1)
    elif PROVEN_STATES & states.keys():
        parts = [f"{format_count(tried, 'cell')} tried, none failed"]
        parts += [f"{states[State.EMPTY]} had nothing to compile"] if State.EMPTY in states else []
    elif run.shard:
        parts = [
            f"{format_count(tried, 'cell')} to try, which compiled nothing" if tried else "nothing to build"
        ]
    else:
        parts = ["nothing was proven: no cell compiled anything"]
    parts += [f"{states[State.WARN]} with warnings"] if State.WARN in states else []
    parts += [_format_findings(findings.findings)] if findings.findings else []
    shard = f"shard {run.shard.name}: " if run.shard else ""
    return shard + ("interrupted: " if run.interrupted else "") + ", ".join(parts)


def _format_findings(findings: Sequence[Finding]) -> str:
    """``2 findings (1 of the toolchain: gcc-14 broke)``."""
    internal = [finding for finding in findings if finding.blames]
    count = format_count(len(findings), "finding")
    return (
        f"{count} ({len(internal)} of the toolchain: {format_broken_tools(internal)})" if internal else count
    )


def format_broken_tools(findings: Iterable[Finding | SideFinding]) -> str:
    """``gcc-14 broke``: the toolchains that broke by themselves in these findings."""
    names = dict.fromkeys(name for finding in findings for name in finding.severity)
    return f"{', '.join(names)} broke"


def measure_wall_time(run: Run) -> float | None:
    """Wall time of the run without its pauses; None while it has no end."""
    return run.measure_elapsed(run.finished) if run.finished else None


def format_source(run: Run) -> str:
    """The source in one line: version, spec, digest, revision, patches."""
    spec = f"{run.source.spec} {run.source.package}".strip()
    parts = [f"Linux {run.source.version}", spec]
    parts += [f"sha256 {run.source.digest[:12]}"] if run.source.digest else []
    if run.source.git:
        parts.append(run.source.git.describe + (" (dirty)" if run.source.git.dirty else ""))
    if run.source.patches:
        parts.append("patched with " + ", ".join(patch.name for patch in run.source.patches))
    return ", ".join(parts)


def format_toolchains(run: Run) -> dict[str, tuple[str, ...]]:
    """Each toolchain's compiler and binutils, one line for all arches that have the same."""
    return {name: _format_compiler_versions(record.compilers) for name, record in run.toolchains.items()}


def _format_compiler_versions(compilers: Mapping[str, Compiler]) -> tuple[str, ...]:
    arches: dict[str, list[str]] = {}
    for arch, compiler in compilers.items():
        versions = (_PROGRAM_PREFIX.sub("", text) for text in (compiler.version, compiler.binutils))
        arches.setdefault(", ".join(filter(None, versions)), []).append(arch)
    if len(arches) == 1:
        return tuple(arches)
    return tuple(f"{', '.join(names)}: {versions}" for versions, names in arches.items())


def format_hosts(run: Run) -> tuple[str, ...]:
    """Where it ran, one line for all shards that ran on such a machine."""
    hosts = [shard.host for shard in run.shards] or [run.host]
    return tuple(dict.fromkeys(map(_format_host, hosts)))


def _format_host(host: Host) -> str:
    memory = f"{host.memory / 2**30:.0f} GiB"
    return ", ".join((host.system, format_count(host.cpus, "CPU"), memory, host.engine))


def _format_shards(run: Run) -> dict[str, tuple[str, ...]]:
    """What of its plan a shard has, and what a merged run is made of."""
    if run.shard:
        share = f"{run.shard.name}, {len(run.cells)} of {format_count(run.shard.requests, 'request')}"
        return {"shard": (share,)}
    if not run.shards:
        return {}
    more = len(run.shards) - limits.SHARDS
    rest = [f"and {more} more"] if more > 0 else []
    return {"shards": (*map(_format_merged_shard, run.shards[: limits.SHARDS]), *rest)}


def _format_merged_shard(merged: MergedShard) -> str:
    if merged.finished is None:
        end = "stopped"
    else:
        took = format_duration((merged.finished - merged.started).total_seconds())
        end = f"interrupted after {took}" if merged.interrupted else took
    return f"{merged.shard.name} {merged.id}: {format_count(merged.cells, 'request')}, {end}"


def _format_workers(run: Run) -> dict[str, tuple[str, ...]]:
    """Which other machines built for a run: those first that were given nothing more, and why."""
    built = Counter(cell.worker for cell in run.cells if cell.worker)
    unused = [
        f"{address}: {format_count(built.pop(address, 0), 'cell')}, and nothing more: {reason}"
        for address, reason in run.unused_workers.items()
    ]
    used = [f"{address}: {format_count(count, 'cell')}" for address, count in built.most_common()]
    lines = (*_cut_list(unused, "more that were left out"), *_cut_list(used, "more"))
    return {"workers": lines} if lines else {}


def _cut_list(lines: Sequence[str], rest: str) -> list[str]:
    left = len(lines) - limits.WORKERS
    return [*lines[: limits.WORKERS], *([f"and {left} {rest}"] if left > 0 else [])]


def collect_run_facts(run: Run) -> dict[str, tuple[str, ...]]:
    """What decides about a run, by name: its source, its toolchains; where and how long it ran, where that is
    known."""
    made = {
        "run": (run.id,),
        **_format_shards(run),
        "source": (format_source(run),),
        **format_toolchains(run),
    }
    if run.is_imported:
        return made
    took = measure_wall_time(run)
    time = format_duration(took) if took is not None else "not finished"
    known = {"remembered": format_remembered(run), "same objects": format_same_objects(run)}
    return {
        **made,
        "machine": format_hosts(run),
        **_format_workers(run),
        "time": (time,),
        **{name: (text,) for name, text in known.items() if text},
    }
