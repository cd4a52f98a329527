"""What of a user's .config no cell with a finding had, and the run that would try it. Pure.

Nothing is known of what was not tried: a value that differs from that of every cell with a finding may be
what hides it.
"""

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from matrix.catalog.load import list_profile_names
from matrix.catalog.types import Profile
from matrix.kconfig.config import Config, ConfigCompiler
from matrix.record.run_model import Cell
from matrix.shell_words import format_command


@dataclass(frozen=True)
class RunTrial:
    """How a run tries a value that none of its cells had.

    ``profile_changes`` are what its profile has to say for that, none where it plans the values already.
    """

    profile_changes: tuple[str, ...]
    command: str


def find_untried_symbols(
    user: Config, cell: Config, others: Iterable[Config], known: Iterable[str]
) -> dict[str, tuple[str, str]]:
    """Symbols at a value that no cell with the finding has: symbol → (the user's, the cell's).

    ``others`` are the configurations of the other cells with it; ``known`` are left out.
    """
    left_out = frozenset(known)
    untried = {name: pair for name, pair in user.diff(cell).items() if name not in left_out}
    for other in others:
        if not untried:
            break
        untried = {name: pair for name, pair in untried.items() if other.value_of(name) != pair[0]}
    return untried


def find_untried_compiler(
    mine: ConfigCompiler | None, tried: Collection[ConfigCompiler] | None
) -> ConfigCompiler | None:
    """The compiler that a .config names, where it is none of these; None where either is not known."""
    if mine is None or tried is None:
        return None
    known = {(compiler.family, compiler.version) for compiler in tried}
    return None if (mine.family, mine.version) in known else mine


def plan_trial(
    profile: Profile, cell: Cell, values: Mapping[str, tuple[str, ...]], toolchain: str = ""
) -> RunTrial:
    """The run that builds a cell with the finding once more, at values that it was not built at.

    ``values``: symbol → the values that the run had, and last the one to try. ``toolchain`` is another than
    the cell's, or empty.
    """
    lines = [line for name, wanted in values.items() for line in _list_profile_changes(profile, name, wanted)]
    tried = {name: wanted[-1] for name, wanted in values.items()}
    axes = cell.axes | tried | ({"toolchain": toolchain} if toolchain else {})
    term = ",".join(f"{axis}={value}" for axis, value in axes.items())
    options = [*_list_profile_options(profile, is_changed=bool(lines))]
    options += ["--toolchain", toolchain] if toolchain else []
    return RunTrial(tuple(lines), format_command("./inv", "run", *options, "--select", term))


def _list_profile_changes(profile: Profile, symbol: str, values: Sequence[str]) -> Iterator[str]:
    planned = profile.symbols.get(symbol, ())
    if values[-1] not in planned:
        listed = ", ".join(f'"{value}"' for value in dict.fromkeys([*planned, *values]))
        moved = ", and not below [fixed]" if symbol in profile.fixed else ""
        yield f"{symbol} = [{listed}] below [symbols]{moved}"


def _list_profile_options(profile: Profile, *, is_changed: bool) -> Iterator[str]:
    """The options that lead to the run's own profile, as far as a record shows them."""
    builtin = profile.name in list_profile_names() and not is_changed
    yield from ("--profile", profile.name if builtin else f"{profile.name}.toml")
    defaults = Profile.model_fields
    if profile.source != defaults["source"].default:
        yield from ("--source", profile.source)
    for patch in profile.patch:
        yield from ("--patch", patch)
    if profile.stage != defaults["stage"].default:
        yield from ("--stage", profile.stage)
    for name, value in profile.make.items():
        yield from ("--make", f"{name}={value}")
