"""Options, ``KMATRIX_*`` variables and the profile, laid over each other into one checked profile.

Order of precedence: option, variable, profile, default.
"""

import re
from collections.abc import Callable, Mapping, Sequence, Set
from dataclasses import dataclass
from typing import Any

from matrix.catalog.load import load_profile
from matrix.catalog.types import DEFAULT_CACHE_SIZE, Profile
from matrix.errors import RequestError
from matrix.exit_codes import ExitCode
from matrix.plan import find_matching_terms
from matrix.user_files import check_utf8

DEFAULT_PROFILE = "kvm-vfio"
_WHOLE_NUMBER = re.compile(r"-?[0-9]{1,18}")


def split_words(given: Sequence[str]) -> tuple[str, ...]:
    """Split at commas as well: such an option repeats, or takes commas."""
    return tuple(word for item in given for word in (part.strip() for part in item.split(",")) if word)


def _keep_words(given: Sequence[str]) -> tuple[str, ...]:
    """Keep each value whole: a selection term or a path may hold commas, so such an option only repeats."""
    return tuple(_take_name([word]) for word in given)


def _parse_make_variables(given: Sequence[str]) -> dict[str, str]:
    pairs = [item.partition("=") for item in given]
    for name, equals, _ in pairs:
        if not name or not equals:
            raise RequestError(f"expected VAR=VALUE, got {name!r}", "for example --make W=1")
    return {name: value for name, _, value in pairs}


def _take_last(given: Sequence[str]) -> str:
    return given[-1]


def _take_name(given: Sequence[str]) -> str:
    if not given[-1].strip():
        raise RequestError("is empty", "leave it out, or give it a value")
    return given[-1]


def parse_number(given: Sequence[str]) -> int:
    # int() takes digits of every script, blanks and underscores.
    if not _WHOLE_NUMBER.fullmatch(given[-1]):
        raise RequestError(f"expected a whole number, got {given[-1]!r}")
    return int(given[-1])


def _parse_switch(given: Sequence[str]) -> bool:
    word = given[-1].lower()
    if word not in {"", "0", "1", "no", "yes", "false", "true"}:
        raise RequestError(f"expected yes or no, got {given[-1]!r}")
    return word in {"1", "yes", "true"}


@dataclass(frozen=True)
class Option:
    """An option that is also a key of a profile and a ``KMATRIX_`` variable of the same name."""

    name: str
    help: str
    parse_words: Callable[[Sequence[str]], object] = _take_last

    @property
    def is_repeatable(self) -> bool:
        return self.parse_words in (split_words, _keep_words, _parse_make_variables)

    @property
    def is_switch(self) -> bool:
        return self.parse_words is _parse_switch


PROFILE_OPTION = Option(
    "profile", f"a built-in profile (kvm-vfio, quick) or a TOML file; default {DEFAULT_PROFILE}"
)
OPTIONS = (
    Option("arch", "arches, as in the kernel's ARCH=; repeat or separate with commas", split_words),
    Option(
        "toolchain", "toolchains, such as gcc-14 or clang-19; repeat or separate with commas", split_words
    ),
    Option("cover", "not the product of the symbols: each 2 or 3 of their values together", parse_number),
    Option(
        "select",
        "only what matches: a glob on ids, or fields such as KVM=y; !TERM takes away; repeats",
        _keep_words,
    ),
    Option("source", "kernel source: DIR, DIR@REV, TARBALL, or debian:PACKAGE", _take_name),
    Option("patch", "apply this patch to a copy of the source; repeats, in order", _keep_words),
    Option("stage", "how far to build: focus, vmlinux or modules"),
    Option("make", "a make variable, VAR=VALUE (W=1, C=1, KCFLAGS=...); repeats", _parse_make_variables),
    Option("jobs", "compile jobs in total (default: the engine's processors)", parse_number),
    Option("lanes", "lanes at once (default: as many as there are jobs)", parse_number),
    Option("memory", "memory limit of a container, such as 4G (default: its share of the machine)"),
    Option("timeout", "time limit of a cell, such as 30m or 2h"),
    Option("deadline", "start no new cell after this long, such as 2h"),
    Option("retries", "tries again of a cell that a fault of the machine ended (default: 2)", parse_number),
    Option("fail-fast", "start no new cell after a failure", _parse_switch),
    Option("werror", f"exit {ExitCode.WARNED} when there were warnings and no failure", _parse_switch),
    Option("verify", "build this share of the remembered cells again, and compare: 0.1 or 10%"),
    Option(
        "fresh",
        "take no result and no object of earlier runs, and start with empty build directories",
        _parse_switch,
    ),
    Option("ccache", "call the compilers through ccache (for whole kernels, see README)", _parse_switch),
    Option(
        "cache-size",
        f"what results, objects, build directories and ccache's files may take, such as 20G (default: "
        f"{DEFAULT_CACHE_SIZE})",
    ),
    Option("images", "take kmatrix's images from a registry, as REGISTRY/PREFIX, and build none", _take_name),
    Option("out", "directory of this run (default: runs/<run-id>)", _take_name),
)


@dataclass(frozen=True)
class GivenSettings:
    """What was said of a profile: the options that were given, each with its words, and the variables."""

    options: Mapping[str, Sequence[str]]
    environment: Mapping[str, str]

    @property
    def profile(self) -> str | None:
        """The profile that is named; None where none is."""
        chosen = self.options.get("profile")
        return chosen[-1] if chosen else self.environment.get("KMATRIX_PROFILE")

    @property
    def layers(self) -> list[tuple[str, Mapping[str, Any]]]:
        """What is laid over a profile, as `load_profile` takes it. Raises RequestError."""
        variables = {
            option.name: [self.environment[name]]
            for option in OPTIONS
            if (name := format_environment_variable(option.name)) in self.environment
        }
        return [
            *_build_layers(variables, format_environment_variable),
            *_build_layers(self.options, lambda name: f"--{name}"),
        ]

    @property
    def keys(self) -> frozenset[str]:
        """The keys of the profile that are said."""
        return frozenset(key for _, keys in self.layers for key in keys)

    def leave_variables_out(self, but: Set[str]) -> "GivenSettings":
        """The same without variables, but for those of these keys."""
        kept = {format_environment_variable(key) for key in but}
        variables = {name: value for name, value in self.environment.items() if name in kept}
        return GivenSettings(self.options, variables)

    def build_profile(self) -> Profile:
        """The profile that they name, or the default one, with what is said laid over it. Raises
        RequestError."""
        named = DEFAULT_PROFILE if self.profile is None else self.profile
        return _narrow_selection(load_profile(named, self.layers), self.keys)


def resolve_profile(options: Mapping[str, Sequence[str]], environment: Mapping[str, str]) -> Profile:
    """Load the profile that is asked for, with the options and variables laid over it.

    ``options`` are those that were given, each with its words. Raises RequestError.
    """
    return GivenSettings(options, environment).build_profile()


def _narrow_selection(profile: Profile, given: Set[str]) -> Profile:
    """Drop the terms of the profile's own selection that an option for an axis has left without a match."""
    if "select" in given or not given & {"arch", "toolchain"}:
        return profile
    terms = find_matching_terms(profile, profile.select)
    return profile.model_copy(update={"select": terms}) if terms else profile


def format_environment_variable(option: str) -> str:
    """``fail-fast`` → ``KMATRIX_FAIL_FAST``."""
    return f"KMATRIX_{option.upper().replace('-', '_')}"


def _build_layers(
    given: Mapping[str, Sequence[str]], label: Callable[[str], str]
) -> list[tuple[str, Mapping[str, Any]]]:
    layers: list[tuple[str, Mapping[str, Any]]] = []
    for option in OPTIONS:
        if option.name in given:
            try:
                for word in given[option.name]:
                    check_utf8(word)
                layers.append((label(option.name), {option.name: option.parse_words(given[option.name])}))
            except RequestError as error:
                raise RequestError(f"{label(option.name)}: {error}", error.hint) from error
    return layers
