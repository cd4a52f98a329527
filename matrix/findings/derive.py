"""A run → its findings: problems, each with its condition, proof and scope."""

import matrix
from matrix.findings.cover import smallest
from matrix.findings.evidence import Evidence
from matrix.findings.model import Finding, Findings
from matrix.findings.presence import Made
from matrix.findings.unify import Problem, unify
from matrix.record.model import Run, Tool


def derive(run: Run, made: Made) -> Findings:
    """The findings of a run, most severe first. ``made``: what its failing cells made all the same."""
    evidence = Evidence.of(run, made)
    problems = unify(run, made)
    found = (_finding(f"F{number}", problem, evidence) for number, problem in enumerate(problems, 1))
    return Findings(run=run.id, tool=Tool(version=matrix.__version__), findings=tuple(found))


def _finding(name: str, problem: Problem, evidence: Evidence) -> Finding:
    seen = evidence.mask(problem.cells)
    absent = evidence.absent(problem.objects, problem.stages) & ~seen
    cover = smallest(evidence.table, seen, absent)
    return Finding(
        id=name,
        title=problem.title,
        keys=problem.keys,
        severity=problem.severity,
        condition=cover.cubes,
        context=evidence.context,
        minimal=cover.minimal,
        proof=tuple(evidence.proof(cover.cubes, seen, absent)),
        assumes=tuple(evidence.assumptions(cover.cubes, seen)),
        scope=evidence.scope(seen, absent),
        cells=problem.cells,
        objects=problem.objects,
        diagnostics=problem.diagnostics,
    )
