"""TOML → checked types. A bad row is refused by file, key, what was expected, and the nearest valid name."""

import reprlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, TypeAdapter, ValidationError
from pydantic_core import ErrorDetails

from matrix.catalog.toml_file import read_toml
from matrix.catalog.types import Arch, Base, Knob, Profile, Setting, Toolchain
from matrix.errors import RequestError, format_nearest
from matrix.kconfig.config import Config, ConfigCompiler, verify_symbols
from matrix.user_files import expand_user_path

_CATALOG_DIR = Path(__file__).parent
_PROFILES_DIR = _CATALOG_DIR / "profiles"
T = TypeVar("T")
# For messages: a value may have any size.
_MESSAGE_LENGTH = 400
_SHORT = reprlib.Repr()
_SHORT.maxstring = _SHORT.maxother = _SHORT.maxlong = 120


@lru_cache(maxsize=4096)
def _create_plain_setting(symbol: str, value: str) -> Setting:
    """Every cell asks for those of its symbols again, several times."""
    return Setting(set={symbol: value}, proof={symbol: value})


@dataclass(frozen=True)
class Catalog:
    """All rows by name: the built-in ones, and a profile's own on top.

    ``with_ccache``: the images of the toolchains have ccache. ``registry``: where kmatrix's own images
    come from; None where they are built.
    """

    arches: Mapping[str, Arch]
    toolchains: Mapping[str, Toolchain]
    bases: Mapping[str, Base]
    knobs: Mapping[str, Knob]
    with_ccache: bool = False
    registry: str | None = None

    def build_make_variables(self, arch: str, toolchain: str) -> dict[str, str]:
        """The variables of the make line, ARCH first; ``{triplet}`` filled in."""
        row, tool = self.arches[arch], self.toolchains[toolchain]
        chosen = tool.arch.get(arch, tool.make)
        variables = {"ARCH": arch, **row.make, **chosen}
        return {name: value.replace("{triplet}", row.triplet) for name, value in variables.items()}

    def find_setting(self, arch: str, symbol: str, value: str) -> Setting:
        """The setting for a symbol's value on an arch: a knob's, else the symbol itself at this value."""
        knob = self.knobs.get(symbol, {}).get(arch, {})
        return knob[value] if value in knob else _create_plain_setting(symbol, value)

    def match_symbol_value(self, arch: str, symbol: str, values: Iterable[str], config: Config) -> str:
        """The value of a symbol in a configuration: the first of these values whose proof holds there, else
        the one in the .config."""
        for value in values:
            if all(
                check.is_satisfied
                for check in verify_symbols(self.find_setting(arch, symbol, value).proof, config)
            ):
                return value
        return config.value_of(symbol)

    def detect_arch(self, config: Config, named: str | None) -> str | None:
        """The arch that a .config is for: by its symbol, else ``named``, the ARCH in its head comment."""
        matches = (name for name, row in self.arches.items() if config.value_of(row.symbol) == "y")
        return next(matches, named)

    def find_toolchain(self, compiler: ConfigCompiler) -> str:
        """The toolchain that has this compiler in this major version; empty where none has."""
        major = compiler.version // 10000
        rows = self.toolchains.items()
        return next(
            (name for name, row in rows if (row.template, row.version) == (compiler.family, major)), ""
        )

    def find_base_target(self, arch: str, base: str) -> str | None:
        """The make target a base starts from on an arch, or None where it is a file."""
        row = self.bases[base]
        return row.arch.get(arch, row.target)

    def with_profile(self, profile: Profile) -> "Catalog":
        """This catalog and the profile's own rows."""
        return replace(
            self,
            toolchains={**self.toolchains, **profile.toolchains},
            bases={**self.bases, **profile.bases},
            knobs=_merge_knobs(self.knobs, profile.knobs),
            with_ccache=profile.ccache,
            registry=profile.images,
        )


def _merge_knobs(builtin: Mapping[str, Knob], own: Mapping[str, Knob]) -> dict[str, Knob]:
    """A profile's own knob replaces the built-in one on the arches that it names, and on no other."""
    return dict(builtin) | {symbol: {**builtin.get(symbol, {}), **knob} for symbol, knob in own.items()}


def _check_names(where: str, kind: str, names: Iterable[str], valid: Mapping[str, object]) -> None:
    for name in names:
        if name not in valid:
            raise RequestError(
                f"{where}: unknown {kind} {name!r}{format_nearest(name, valid)}",
                f"the {kind} names are: {', '.join(valid)}",
            )


def load_catalog() -> Catalog:
    """The built-in catalog."""
    return Catalog(
        arches=_load_rows("arches.toml", Arch),
        toolchains=_load_rows("toolchains.toml", Toolchain),
        bases=_load_rows("bases.toml", Base),
        knobs=_load_rows("knobs.toml", dict[str, dict[str, Setting]]),
    )


def list_profile_names() -> tuple[str, ...]:
    """The built-in profiles."""
    return tuple(sorted(path.stem for path in _PROFILES_DIR.glob("*.toml")))


def load_profile(spec: str, layers: Iterable[tuple[str, Mapping[str, Any]]] = ()) -> Profile:
    """The profile with this built-in name or in this TOML file, with later layers over its keys.

    Each layer is (what to call it in an error, its keys); a later one wins.
    """
    path = _find_profile_path(spec)
    data = _resolve_profile_paths(read_toml(path), path.parent)
    if "profile" in data:
        raise RequestError(f"{path}: profile: unknown key: a profile is named by its file")
    origin = dict.fromkeys(data, str(path) if path.parent != _PROFILES_DIR else path.name)
    for label, keys in layers:
        data |= keys
        origin |= dict.fromkeys(keys, label)
    profile = validate_toml_data(Profile, {**data, "profile": path.stem}, origin, default=str(path))
    _check_profile_names(profile, origin, str(path))
    return profile


def parse_recorded_profile(
    data: Mapping[str, Any], where: str, layers: Iterable[tuple[str, Mapping[str, Any]]] = ()
) -> Profile:
    """A profile out of a run's record, with layers over its keys as `load_profile` has them. ``where`` names
    it in the RequestError when it cannot be read."""
    whole, origin = dict(data), dict[str, str]()
    for label, keys in layers:
        whole |= keys
        origin |= dict.fromkeys(keys, label)
    profile = validate_toml_data(Profile, _freeze_lists(whole), origin, default=where)
    _check_profile_names(profile, origin, where)
    return profile


def _freeze_lists(value: Any) -> Any:
    if isinstance(value, list):
        return tuple(map(_freeze_lists, value))
    return {key: _freeze_lists(item) for key, item in value.items()} if isinstance(value, Mapping) else value


def _check_profile_names(profile: Profile, origin: Mapping[str, str], path: str) -> None:
    """Every name that the profile uses is one of the catalog's or of its own."""
    whole = load_catalog().with_profile(profile)
    used = [
        ("arch", "arch", profile.arch, whole.arches),
        ("toolchain", "toolchain", profile.toolchain, whole.toolchains),
        ("base", "base", profile.base, whole.bases),
        *(("knobs", "arch", knob, whole.arches) for knob in profile.knobs.values()),
        *(("toolchains", "arch", tool.arch, whole.arches) for tool in profile.toolchains.values()),
        *(("bases", "arch", base.arch, whole.arches) for base in profile.bases.values()),
    ]
    for key, kind, names, valid in used:
        _check_names(f"{origin.get(key, path)}: {key}", kind, names, valid)


def _find_profile_path(spec: str) -> Path:
    if spec in list_profile_names():
        return _PROFILES_DIR / f"{spec}.toml"
    if spec.endswith(".toml") or "/" in spec:
        return expand_user_path(spec)
    raise RequestError(
        f"there is no profile {spec!r}{format_nearest(spec, list_profile_names())}",
        f"built-in profiles: {', '.join(list_profile_names())}; or name a TOML file",
    )


def _resolve_profile_paths(data: dict[str, Any], folder: Path) -> dict[str, Any]:
    """The files that a profile names are relative to the profile."""
    if isinstance(data.get("patch"), tuple):
        data["patch"] = tuple(_resolve_if_path(folder, item) for item in data["patch"])
    for base in data["bases"].values() if isinstance(data.get("bases"), dict) else ():
        if isinstance(base, dict) and isinstance(base.get("file"), str):
            base["file"] = str(folder / base["file"])
        if isinstance(base, dict) and isinstance(base.get("fragment"), tuple):
            base["fragment"] = tuple(_resolve_if_path(folder, item) for item in base["fragment"])
    return data


def _resolve_if_path(folder: Path, item: Any) -> Any:
    is_path = isinstance(item, str) and item and "=" not in item and not item.startswith("#")
    return str(folder / item) if is_path else item


def _load_rows(name: str, row: type[T]) -> dict[str, T]:
    path = _CATALOG_DIR / name
    return {
        key: validate_toml_data(row, value, {}, default=f"{name}: {key}")
        for key, value in read_toml(path).items()
    }


def validate_toml_data(kind: type[T], data: Any, origin: Mapping[str, str], *, default: str) -> T:
    """``data`` as ``kind``; RequestError names file (or layer), key, and what was expected."""
    try:
        return TypeAdapter(kind).validate_python(data)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        top = str(first["loc"][0]) if first["loc"] else ""
        raise RequestError(f"{origin.get(top, default)}: {_format_validation_error(first, kind)}") from error


# What the rows of a profile's own tables are checked as.
_TABLE_MODELS = {"bases": Base, "toolchains": Toolchain, "knobs": Setting}


def _format_validation_error(error: ErrorDetails, kind: object) -> str:
    where = ".".join(str(part)[:120] for part in error["loc"] if part != "[key]")
    if error["type"] == "extra_forbidden":
        fields = _list_model_keys(kind if len(error["loc"]) == 1 else _TABLE_MODELS.get(str(error["loc"][0])))
        return f"{where}: unknown key{format_nearest(str(error['loc'][-1]), fields)}"
    if error["type"] == "missing":
        return f"{where}: this key is needed"
    if error["type"] == "too_short":
        return f"{where}: an empty axis selects nothing; name at least one value"
    if error["type"] == "tuple_type":
        return f"{where}: expected a list, got {_SHORT.repr(error['input'])}"
    message = error["msg"].removeprefix("Value error, ")[:_MESSAGE_LENGTH]
    if error["type"] != "value_error":
        message = f"{message[0].lower()}{message[1:]}, got {_SHORT.repr(error['input'])}"
    return f"{where}: {message}" if where else message


def _list_model_keys(kind: object) -> tuple[str, ...]:
    if not (isinstance(kind, type) and issubclass(kind, BaseModel)):
        return ()
    return tuple(field.alias or name for name, field in kind.model_fields.items() if name != "name")
