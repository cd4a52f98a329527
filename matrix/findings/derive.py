"""A run → its findings: problems, each with its condition, proof and scope."""

import matrix
from matrix.findings.evidence import CellIndex, MadeObjects
from matrix.findings.finding import Finding, Findings
from matrix.findings.grouping import Problem, group_into_problems
from matrix.findings.minimize import minimize_condition
from matrix.record.run_model import Run, Tool


def derive_findings(run: Run, made: MadeObjects) -> Findings:
    """The findings of a run, most severe first. ``made``: what its failing cells made all the same."""
    evidence = CellIndex.from_run(run, made)
    problems = group_into_problems(run, made)
    found = (_build_finding(f"F{number}", problem, evidence) for number, problem in enumerate(problems, 1))
    return Findings(run=run.id, tool=Tool(version=matrix.__version__), findings=tuple(found))


def _build_finding(name: str, problem: Problem, evidence: CellIndex) -> Finding:
    seen = evidence.mask_cells(problem.cells)
    absent = evidence.find_absent_cells(problem.objects, problem.stages) & ~seen
    cover = minimize_condition(evidence.table, seen, absent)
    return Finding(
        id=name,
        title=problem.title,
        keys=problem.keys,
        severity=problem.severity,
        condition=cover.cubes,
        context=evidence.context,
        minimal=cover.minimal,
        proof=tuple(evidence.prove_terms(cover.cubes, seen, absent)),
        assumes=tuple(evidence.find_assumptions(cover.cubes, seen)),
        scope=evidence.compute_scope(seen, absent),
        cells=problem.cells,
        objects=problem.objects,
        diagnostics=problem.diagnostics,
    )
