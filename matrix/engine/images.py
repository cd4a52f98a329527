"""kmatrix's images: what is in them, what they are called, and that they are there.

A tag carries a hash of everything that goes in (its own Dockerfile and, through FROM, its parent's tag),
so an edited template is a new image and an unchanged one is found again.
"""

import hashlib
import re
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from uuid import uuid4

import jinja2

from matrix.catalog.load import load_catalog
from matrix.engine.bootstrap import ROOT, ensure_root
from matrix.engine.engine import Container, Engine, Limits
from matrix.errors import EngineError, RequestError
from matrix.record.events import Emit, Note, Output

TEMPLATES = Path(__file__).parents[2] / "dockerfiles"
_NOT_IN_A_TAG = re.compile(r"[^a-z0-9]+")
_SUFFIX = ".Dockerfile.j2"
# Two lanes that want the same missing image: one builds it, the other then finds it.
_BUILDING = threading.Lock()
# Each command's first line that is not blank (perl begins with a blank one), or an empty one where the
# command fails or does not exist.
_FIRST_LINES = """
for command; do
    said=$(sh -c "$command" 2>&1) || said=
    line=$(printf '%s\\n' "$said" | sed '/./!d;q')
    printf '%s\\n' "$line"
done
"""


@dataclass(frozen=True)
class Blueprint:
    """A toolchain whose image is built here: ``Blueprint("gcc-14", "gcc", 14)``.

    ``family`` is the template's name, ``version`` the compiler's.
    """

    name: str
    family: str
    version: int

    @property
    def recipe(self) -> str:
        """Its Dockerfile, on the base as it stands now."""
        return recipe(self.name, self.family, self.version, base_tag())

    @property
    def tag(self) -> str:
        """What its image is called, whether there is one or not."""
        return tag(self.name, self.recipe)


def recipes(wanted: Blueprint) -> tuple[str, ...]:
    """All Dockerfiles of a toolchain's image, each on the one before; the first is on ``bootstrap.ROOT``."""
    return (recipe("base", "base", None, ROOT), wanted.recipe)


@cache
def _templates() -> jinja2.Environment:
    # autoescape is for HTML; a Dockerfile must come out as it was written.
    return jinja2.Environment(
        loader=jinja2.FileSystemLoader(TEMPLATES),
        undefined=jinja2.StrictUndefined,
        keep_trailing_newline=True,
        autoescape=False,  # noqa: S701
    )


@cache
def _triplets() -> tuple[str, ...]:
    """The GNU names of the machines that every toolchain's image compiles for: the catalog's arches."""
    return tuple(arch.triplet for arch in load_catalog().arches.values())


def families() -> tuple[str, ...]:
    """The templates that a toolchain may name: ``clang``, ``gcc``, and whatever lies beside them."""
    names = (path.name.removesuffix(_SUFFIX) for path in TEMPLATES.glob(f"*{_SUFFIX}"))
    return tuple(sorted(name for name in names if name != "base"))


def recipe(name: str, family: str, version: int | None, parent: str) -> str:
    """The Dockerfile of an image: the template ``family``, filled in.

    ``version`` is the compiler's (None for the base), ``parent`` the image in FROM. RequestError when
    there is no such template.
    """
    try:
        template = _templates().get_template(family + _SUFFIX)
    except jinja2.TemplateNotFound:
        known = ", ".join(families())
        raise RequestError(
            f"the image {name} wants the template {family!r}, and there is no dockerfiles/{family}{_SUFFIX}",
            hint=f"the templates are: {known}",
        ) from None
    return template.render(name=name, version=version, parent=parent, triplets=_triplets())


def tag(name: str, recipe: str) -> str:
    """``kmatrix/gcc-14:0123456789ab``: the name, and 12 hexadecimal digits of its recipe's SHA-256.

    What an image may not be called (capitals, most punctuation) becomes a hyphen or a small letter.
    """
    allowed = _NOT_IN_A_TAG.sub("-", name.lower()).strip("-") or "image"
    return f"kmatrix/{allowed}:{hashlib.sha256(recipe.encode()).hexdigest()[:12]}"


def base_tag() -> str:
    """The tag of the image under all toolchains."""
    return tag("base", recipe("base", "base", None, ROOT))


def ensure_base(engine: Engine, emit: Emit, *, install: bool = False) -> str:
    """The base image's id; built, with the root file system under it, when it is not there.

    ``install`` allows installing what the bootstrap needs on this machine.
    """
    if found := engine.image_id(base_tag()):
        return found
    with _BUILDING:
        return _built_base(engine, emit, install=install)


def ensure(engine: Engine, wanted: Blueprint, emit: Emit, *, install: bool = False) -> str:
    """The id (``sha256:…``) of a toolchain's image; built, with all under it, when it is not there.

    Raises EngineError with the end of the build's output when a step of it fails.
    """
    if found := engine.image_id(wanted.tag):
        return found
    with _BUILDING:
        _built_base(engine, emit, install=install)
        return _built(engine, wanted.tag, wanted.recipe, emit)


def ensure_named(engine: Engine, ref: str, emit: Emit) -> str:
    """The id of an image that a profile names (by digest, id or tag): local, or else pulled."""
    if found := engine.image_id(ref):
        return found
    emit(Note(f"Pulling the image {ref}."))
    if engine.pull(ref) and (found := engine.image_id(ref)):
        return found
    raise EngineError(
        f"the image {ref} is not on this machine and no registry gives it",
        hint=f"check the name in the profile, or load the image and try again: docker pull {ref}",
    )


def _built_base(engine: Engine, emit: Emit, *, install: bool) -> str:
    wanted = base_tag()
    if found := engine.image_id(wanted):
        return found
    ensure_root(engine, emit, install=install)
    return _built(engine, wanted, recipe("base", "base", None, ROOT), emit)


def _built(engine: Engine, wanted: str, dockerfile: str, emit: Emit) -> str:
    if found := engine.image_id(wanted):
        return found
    emit(Note(f"Building the image {wanted}."))
    built = engine.build(wanted, {"Dockerfile": dockerfile}, lambda line: emit(Output(line)))
    emit(Note(f"Built the image {wanted}."))
    return built


def first_lines(engine: Engine, image: str, commands: Sequence[str], user: str) -> list[str]:
    """The first line that each shell command prints in the image, in order; one container for all.

    ``powerpc64le-linux-gnu-gcc --version`` gives what a record keeps of a compiler. A command that fails,
    or that the image lacks, gives an empty string. EngineError when the image has no shell.
    """
    container = Container(
        name=f"kmatrix-ask-{uuid4().hex[:12]}",
        image=image,
        command=("sh", "-c", _FIRST_LINES, "sh", *commands),
        user=user,
        limits=Limits(seconds=60),
    )
    lines: list[str] = []
    ended = engine.run(container, lines.append, threading.Event())
    if ended.exit or ended.timed_out or len(lines) != len(commands):
        said = "; ".join(lines[-3:])
        raise EngineError(
            f"the image {image} does not tell its tools' versions (exit {ended.exit}): {said}",
            hint=f"try it by hand: docker run --rm {image} {commands[0] if commands else 'true'}",
        )
    return lines
