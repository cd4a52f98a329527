"""Configurations that are tried out: each is built as a run of one cell, in a lane that all of them share.

What was built or resolved before, by any run, is found again: what is tried a second time costs a second.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from matrix.builder.run_context import Session
from matrix.catalog.load import load_catalog
from matrix.catalog.types import Base, Profile
from matrix.commands.run import build_cell_alone
from matrix.errors import MachineError
from matrix.findings.stored_run import StoredRun
from matrix.kconfig.config import Config, format_fragment
from matrix.plan import plan_requests
from matrix.record.run_model import Cell
from matrix.record.states import UNTRIED_STATES, State

_CHANGED_BASE = "changed"
_LIMITED_STATES = {State.TIMEOUT, State.OOM}
"""It was tried, and would come to the same limit again."""


@dataclass(frozen=True)
class ProbeResult:
    """A run of one cell, and that cell."""

    stored: StoredRun
    cell: Cell

    @property
    def config(self) -> Config:
        """Its configuration. RequestError where it has none."""
        return Config.parse(self.stored.load_config(self.cell))


@dataclass
class ConfigProbes:
    """Builds configurations of one arch and toolchain, those of ``profile``, below ``folder``."""

    session: Session
    profile: Profile
    folder: Path
    _count: int = 0

    def build(self, name: str, base: Base | None = None) -> ProbeResult:
        """Build a base of the profile, or another one under a name of its own.

        KeyboardInterrupt where the user ended that; MachineError where it could not be tried.
        """
        bases = self.profile.bases if base is None else {**self.profile.bases, name: base}
        profile = self.profile.model_copy(update={"base": (name,), "bases": bases})
        session = replace(self.session, profile=profile, catalog=load_catalog().with_profile(profile))
        (request,) = plan_requests(profile)
        self._count += 1
        stored = build_cell_alone(session, request, self.folder / str(self._count), "minimise")
        if stored.run.interrupted:
            raise KeyboardInterrupt
        (cell,) = stored.run.cells
        if cell.state in UNTRIED_STATES - _LIMITED_STATES:
            raise MachineError(
                f"a configuration could not be tried: {cell.reason or cell.state}",
                "the same command goes on, with all that was built",
            )
        return ProbeResult(stored, cell)

    def build_changed(self, start: Path, changes: Mapping[str, str]) -> ProbeResult:
        """Build a .config with other values of some symbols. Kconfig may bend them: the result's tell."""
        fragment = tuple(format_fragment(changes).splitlines())
        return self.build(_CHANGED_BASE, Base(file=str(start), fragment=fragment))
