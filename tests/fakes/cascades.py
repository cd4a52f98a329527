"""An error and what follows from it, as gcc says it."""

from matrix.diagnostics.diagnostic import Diagnostic

CAUSE = Diagnostic(
    severity="error",
    tool="gcc",
    file="virt/kvm/vfio.c",
    line=12,
    column=16,
    message="'ONE_MAX' undeclared (first use in this function)",
    function="one_get",
    symbols=("ONE_MAX",),
)
FOLLOWER = Diagnostic(
    severity="error",
    tool="gcc",
    file="virt/kvm/vfio.c",
    line=13,
    column=1,
    message="control reaches end of non-void function",
    flag="-Wreturn-type",
    promoted=True,
    function="one_get",
)
