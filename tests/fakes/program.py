"""kmatrix as a process of its own, on an engine in memory: ``python -m tests.fakes.program WORDS``.

``PLAYED_ERROR`` is what the compiler says of the one object, ``PLAYED_BREAK`` a module and a function of it,
with a colon between them, that raises instead of working.
"""

import importlib
import os
from typing import NoReturn

from matrix.__main__ import main
from matrix.commands import doctor, session, setup, sweep
from matrix.engine.images import ImageRecipe, compute_base_tag
from tests.fakes.engine import FakeEngine
from tests.fakes.kernel import Kernel, Made, Symbol, quiet


def _build_engine() -> FakeEngine:
    said = os.environ.get("PLAYED_ERROR", "")
    made = Made("VFIO", says=lambda _: [said] if said else [])
    kernel = Kernel(
        {"MODULES": Symbol(), "VFIO": Symbol(tristate=True)}, {"drivers/vfio/vfio.o": made}, quiet
    )
    return FakeEngine(kernel, images=[compute_base_tag(), ImageRecipe("gcc-14", "gcc", 14).tag])


def _break_function(target: str) -> None:
    module, _, name = target.partition(":")

    def fail(*_: object, **__: object) -> NoReturn:
        raise ZeroDivisionError("played")

    owner, *path = name.split(".")
    holder = importlib.import_module(module)
    if path:
        holder = getattr(holder, owner)
    setattr(holder, name.rpartition(".")[2], fail)


if __name__ == "__main__":
    engine = _build_engine()
    for module in (session, setup, doctor, sweep):
        module.connect_engine = lambda: engine  # type: ignore[attr-defined]
    if os.environ.get("PLAYED_BREAK"):
        _break_function(os.environ["PLAYED_BREAK"])
    main()
