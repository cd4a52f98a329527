"""What `minimise` is asked: the .config that fails, what it is held against, how much it may cost."""

from collections.abc import Sequence
from dataclasses import dataclass

from matrix.catalog.load import Catalog, load_catalog
from matrix.catalog.types import Base, Profile
from matrix.commands.explain_config import load_user_config
from matrix.commands.settings import GivenSettings, parse_number
from matrix.errors import RequestError, format_nearest
from matrix.findings.check_config import UserConfig
from matrix.user_files import expand_user_path, stat_user_path

GIVEN_BASE = "given"
"""The base that is the user's .config."""
ALWAYS_BUILT = "init/"
"""Something of every configuration. Where an object does not belong, nothing compiled proves nothing."""
_NEIGHBOUR_BASE = "neighbour"
DEFAULT_PROBES = "200"


@dataclass(frozen=True)
class MinimiseRequest:
    """``profile`` builds the .config and its neighbour, with one arch and toolchain. ``message``: a part of
    the error's words; empty for the first error. ``max_probes``: experiments at most."""

    config: UserConfig
    profile: Profile
    neighbour: str
    message: str
    max_probes: int

    @property
    def arch(self) -> str:
        return self.config.arch


def parse_minimise_request(
    given: GivenSettings, config: str, neighbour: str, focus: Sequence[str], message: str, probes: str
) -> MinimiseRequest:
    """Check what was asked. RequestError for what is wrong with it, before any work."""
    if not config:
        raise RequestError("name the .config that fails", "./inv minimise FILE")
    profile = given.build_profile()
    catalog = load_catalog().with_profile(profile)
    user_config = load_user_config(expand_user_path(config), catalog, config)
    if user_config.arch not in catalog.arches:
        raise RequestError(
            f"{config} is for {user_config.arch}{format_nearest(user_config.arch, catalog.arches)}, and "
            "kmatrix has no compilers for that",
            f"it builds {', '.join(catalog.arches)}",
        )
    name, base = _find_neighbour(neighbour, catalog)
    update = {
        "name": "minimise",
        "description": "",
        "arch": (user_config.arch,),
        "toolchain": (_choose_toolchain(given, profile, user_config, catalog),),
        "base": (GIVEN_BASE, name),
        "bases": {**profile.bases, GIVEN_BASE: Base(file=str(user_config.path)), name: base},
        "symbols": {},
        "fixed": {},
        "select": (),
        "stage": "focus" if focus else "modules",
        "focus": _list_focus(focus),
        # Every experiment is tried, and what was tried is remembered.
        "fail_fast": False,
        "deadline": None,
        "fresh": False,
        "verify": None,
    }
    return MinimiseRequest(
        user_config, profile.model_copy(update=update), name, message, _parse_probes(probes)
    )


def _find_neighbour(word: str, catalog: Catalog) -> tuple[str, Base]:
    """The base that passes: one of the catalog's by its name, or a .config."""
    if not word:
        raise RequestError("--neighbour is empty", "leave it out, or give it a value")
    if word in catalog.bases:
        return word, catalog.bases[word]
    path = expand_user_path(word)
    if stat_user_path(path, f"--neighbour {word}") is None:
        raise RequestError(
            f"--neighbour {word}: there is no such file, and no base of that name"
            f"{format_nearest(word, catalog.bases)}",
            f"name a .config that does not fail, or one of {', '.join(catalog.bases)}",
        )
    return _NEIGHBOUR_BASE, Base(file=str(path.absolute()))


def _choose_toolchain(
    given: GivenSettings, profile: Profile, user_config: UserConfig, catalog: Catalog
) -> str:
    """The one that was named, or the one whose compiler the .config was made with."""
    if "toolchain" in given.keys:
        if len(profile.toolchain) > 1:
            raise RequestError(
                "minimise builds with one toolchain", f"name one: --toolchain {profile.toolchain[0]}"
            )
        return profile.toolchain[0]
    compiler = user_config.origin.compiler
    found = catalog.find_toolchain(compiler) if compiler is not None else ""
    if not found:
        made_with = f"was made with {compiler.text}" if compiler is not None else "names no compiler"
        raise RequestError(
            f"{user_config.path.name} {made_with}, so no toolchain follows from it",
            f"name one: --toolchain {next(iter(catalog.toolchains))}",
        )
    return found


def _list_focus(focus: Sequence[str]) -> tuple[str, ...]:
    """What was named, and what every configuration has: an experiment that needs both has this lane."""
    for path in focus:
        if not path.endswith(("/", ".o")):
            raise RequestError(
                f"--focus {path}: neither a directory nor an object", f"a directory ends in a slash: {path}/"
            )
    return tuple(dict.fromkeys([*focus, ALWAYS_BUILT])) if focus else ()


def _parse_probes(word: str) -> int:
    try:
        number = parse_number([word])
    except RequestError as error:
        raise RequestError(f"--probes: {error}", error.hint) from error
    if number < 1:
        raise RequestError("--probes: at least one experiment is needed", f"such as {DEFAULT_PROBES}")
    return number
