"""One call that comes to light through one caller more or less: what a function is inlined into differs.

memcpy is wrong in f(), and gcc inlines f() into g() on one arch:

    inlined from 'f' at net/a.c:20:2                                            f() is to blame
    inlined from 'f' at net/a.c:20:2, inlined from 'g' at net/a.c:90:9          the same call
    inlined from 'f' at net/a.c:20:2, inlined from 'h' at net/a.c:95:9          so is this, beside the first

Without the first, what g() and what h() hand on are two: each may be wrong by itself.
"""

from collections.abc import Iterator, Mapping, Sequence

from matrix.diagnostics.diagnostic import Diagnostic
from matrix.findings.blame import is_forbidden_call, list_sites
from matrix.findings.diagnostic_group import DiagnosticGroup, DisjointGroups
from matrix.findings.fingerprint import ProblemKind

_Chain = tuple[tuple[str, int | None], ...]
"""The places of the callers, innermost first."""


def join_inlined_calls(
    groups: Sequence[DiagnosticGroup], diagnostics: Mapping[str, Diagnostic]
) -> list[DiagnosticGroup]:
    """Join the calls that must not be made whose callers are the first of the other's callers."""
    joining = DisjointGroups(list(groups))
    chains = [
        (number, *row) for number, group in enumerate(groups) for row in _list_chains(group, diagnostics)
    ]
    known: dict[tuple[ProblemKind, _Chain], int] = {}
    for number, kind, chain in chains:
        known.setdefault((kind, chain), number)
    for number, kind, chain in chains:
        for length in range(1, len(chain)):
            if (shorter := known.get((kind, chain[:length]))) is not None:
                joining.join_all([shorter, number])
    return joining.remaining_groups


def _list_chains(
    group: DiagnosticGroup, diagnostics: Mapping[str, Diagnostic]
) -> Iterator[tuple[ProblemKind, _Chain]]:
    if len(group.kinds) != 1:
        return
    kind = next(iter(group.kinds))._replace(place="")
    for key in {key for key, _ in group.toolchains_by_diagnostic}:
        if is_forbidden_call(diagnostics[key]):
            sites = (site for site in list_sites(diagnostics[key]) if site.caller)
            if chain := tuple((site.file, site.line) for site in sites):
                yield kind, chain
