"""The keys of two recorded profiles: which of them ask for something else, and how that is said. Pure."""

from collections.abc import Mapping

FREE_KEYS = frozenset(
    {"jobs", "lanes", "memory", "retries", "deadline", "cache-size", "images", "description"}
)
"""Keys of a profile on which no result depends: they may differ when a run goes on. What images are, and not
where they come from, is compared by their ids."""

_DERIVED_KEYS = frozenset({"rows"})
"""Keys that say what became of others on a source. They are compared by the plan."""


def list_differing_keys(was: Mapping[str, object], now: Mapping[str, object]) -> list[str]:
    """The keys in which two profiles, as runs record them, ask for something else."""
    keys = dict.fromkeys([*was, *now])
    return [key for key in keys if key not in FREE_KEYS | _DERIVED_KEYS and was.get(key) != now.get(key)]


def describe_difference(key: str, was: object, now: object) -> str:
    """``stage is vmlinux, and was focus``."""
    return f"{key} is {format_profile_value(now)}, and was {format_profile_value(was)}"


def format_profile_value(value: object) -> str:
    """A value as it is said in a sentence."""
    if isinstance(value, list | tuple):
        return ", ".join(map(str, value)) or "nothing"
    if isinstance(value, dict):
        return ", ".join(f"{name}={item}" for name, item in value.items()) or "nothing"
    return "not set" if value is None else str(value)
