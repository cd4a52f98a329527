"""One error or warning out of a build log, as a value."""

import hashlib
from typing import Literal, NamedTuple

from pydantic import BaseModel, ConfigDict

Severity = Literal["error", "warning"]


class Diagnostic(BaseModel):
    """What a tool said, with as many fields as its log gave.

    ``file`` is normalised and relative to the source tree (``virt/kvm/vfio.c``, never
    ``arch/powerpc/kvm/../../../virt/kvm/vfio.c``), or to the build directory for generated files.
    ``included_from`` runs outward, ``file:line`` each. ``excerpt`` is the tool's own quotation of the
    source, caret lines included. ``promoted`` says that -Werror made the error of a warning.
    """

    model_config = ConfigDict(frozen=True, extra="ignore")

    severity: Severity
    tool: str
    file: str | None = None
    line: int | None = None
    column: int | None = None
    message: str
    flag: str | None = None
    function: str | None = None
    symbols: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    included_from: tuple[str, ...] = ()
    excerpt: tuple[str, ...] = ()
    promoted: bool = False

    @property
    def place(self) -> str:
        """``virt/kvm/vfio.c:89:7``, as far as it is known."""
        return ":".join(str(part) for part in (self.file, self.line, self.column) if part is not None)

    @property
    def key(self) -> str:
        """A name for this exact diagnostic: equal values, equal keys."""
        return hashlib.sha256(self.model_dump_json().encode()).hexdigest()[:16]


class Occurrence(NamedTuple):
    """A diagnostic and the object (relative to the build directory) whose making brought it up."""

    diagnostic: Diagnostic
    object: str | None
