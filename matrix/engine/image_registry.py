"""kmatrix's images in a registry, so that all machines compile with the very same compilers.

At ``REGISTRY/PREFIX``, ``kmatrix/gcc-14:0123456789ab`` is ``REGISTRY/PREFIX/gcc-14:0123456789ab``. The tag is
its recipe's hash, and the image itself says which recipe it was built by, so that one that was pushed under
another's name is refused. An engine has an image under its name in the registry when it was pulled from there
or pushed there: then nobody is asked again.
"""

from collections.abc import Iterator, Sequence

from matrix.engine.protocol import Engine, ImageDescription
from matrix.errors import EngineError, RegistryError, RequestError
from matrix.record.events import EventSink, OutputLine, ProgressNote
from matrix.shell_words import format_command


def name_registry_image(registry: str, tag: str) -> str:
    """What an image of ours is called in a registry."""
    return f"{registry}/{tag.partition('/')[2]}"


def ensure_registry_image(engine: Engine, registry: str, tag: str, emit: EventSink) -> str:
    """The id of the image that a registry has for this tag of ours; pulled when it is not there.

    It has our own tag then, too, also where another build of the recipe had it. RegistryError where the
    registry does not give it, EngineError where what it gives is of another recipe.
    """
    name = name_registry_image(registry, tag)
    image = engine.inspect_image(name) or _pull_image(engine, registry, tag, emit)
    _check_recipe(engine, image, name, tag)
    own = engine.find_image_id(tag)
    if own != image.id:
        if own is not None:
            emit(ProgressNote(f"{tag} is {name} from now on, and no longer what was built here."))
        engine.tag_image(name, tag)
    return image.id


def _pull_image(engine: Engine, registry: str, tag: str, emit: EventSink) -> ImageDescription:
    name = name_registry_image(registry, tag)
    emit(ProgressNote(f"Pulling the image {name}."))
    try:
        engine.pull_image(name)
    except RegistryError as error:
        if not error.is_missing:
            raise
        push = format_command("./inv", "images", "--push", registry)
        raise RegistryError(
            f"the registry has no image {name}, and none is built where a registry is named",
            f"on a machine that has it, with the same kmatrix, --profile and --toolchain: {push}",
            is_missing=True,
        ) from error
    emit(ProgressNote(f"Pulled the image {name}."))
    return _require_image(engine, name)


def _require_image(engine: Engine, name: str) -> ImageDescription:
    image = engine.inspect_image(name)
    if image is None:
        raise EngineError(
            f"the engine pulled the image {name} and has no such image",
            "it may have been restarted meanwhile: try again",
        )
    return image


def _check_recipe(engine: Engine, image: ImageDescription, name: str, tag: str) -> None:
    """EngineError for an image of another recipe, which the engine does not keep under that name."""
    if image.recipe == tag:
        return
    engine.remove_image(name)
    raise EngineError(
        f"the registry's image {name} is not the one of {tag}: {image.recipe or 'no recipe of kmatrix'} "
        "is what it was built by",
        "delete that tag in the registry, push the right one there (./inv images --push), and try again",
    )


def push_registry_image(engine: Engine, registry: str, tag: str, emit: EventSink) -> str:
    """Give an image of this engine to a registry; its name there by digest, ``REPOSITORY@sha256:…``.

    RequestError where the registry has another build of the recipe: others may compile with that one already.
    """
    name = name_registry_image(registry, tag)
    image = _label_recipe(engine, tag, emit)
    there = _find_pushed_image(engine, name)
    if there is None:
        emit(ProgressNote(f"Pushing the image {name}."))
        return _push_image(engine, image, name, tag)
    if there.id != image.id:
        remove = format_command(engine.query_info().name, "rmi", tag, name)
        take = format_command("./inv", "images", "--images", registry)
        raise RequestError(
            f"the registry has another build of {tag} already: {name} is {there.id}, and here {image.id}",
            f"take that one ({remove}; {take}), delete it in the registry, or push to another PREFIX",
        )
    emit(ProgressNote(f"The registry has the image {name} already."))
    return next(iter(list_registry_digests(there, registry, tag)), name)


def _label_recipe(engine: Engine, tag: str, emit: EventSink) -> ImageDescription:
    """The image of a tag. One that an earlier kmatrix built does not say its recipe: it gets a layer of
    nothing that does, and with it another id."""
    image = engine.inspect_image(tag)
    if image is None:
        raise EngineError(f"there is no image {tag} here", "build it: ./inv images")
    if image.recipe != tag:
        emit(ProgressNote(f"An earlier kmatrix built {tag}: it gets a label with its recipe, and a new id."))
        engine.build_image(tag, {"Dockerfile": f"FROM {tag}\n"}, lambda line: emit(OutputLine(line)))
        image = _require_image(engine, tag)
    return image


def _find_pushed_image(engine: Engine, name: str) -> ImageDescription | None:
    """What a registry has under a name, looked at here; None where it has nothing. An engine tells the id of
    none that it does not have."""
    try:
        engine.pull_image(name)
    except RegistryError as error:
        if error.is_missing:
            return None
        raise
    return _require_image(engine, name)


def _push_image(engine: Engine, image: ImageDescription, name: str, tag: str) -> str:
    """Push an image, and fetch it by its digest, so that it is known to be there, and as what."""
    engine.tag_image(tag, name)
    try:
        digest = f"{name.rpartition(':')[0]}@{engine.push_image(name)}"
        engine.pull_image(digest)
    except BaseException:
        # Under that name the engine has only what the registry has.
        engine.remove_image(name)
        raise
    given = engine.find_image_id(digest)
    if given != image.id:
        engine.remove_image(name)
        raise EngineError(
            f"the registry gives {given} for {digest}, and {image.id} was pushed", "push it again"
        )
    return digest


def list_registry_digests(image: ImageDescription, registry: str, tag: str) -> list[str]:
    """What a registry may know an image by: ``REPOSITORY@sha256:…``, of the repository of this tag."""
    repository = name_registry_image(registry, tag).rpartition(":")[0]
    # Docker leaves its own registry out.
    known = repository.removeprefix("docker.io/")
    pairs = (name.removeprefix("docker.io/").partition("@") for name in image.digests)
    return [f"{repository}@{digest}" for name, at, digest in pairs if at and name == known]


def pull_recorded_image(
    engine: Engine, registry: str, digests: Sequence[str], image_id: str, emit: EventSink
) -> None:
    """Fetch the very image that a run has on record: by any of these digests, but of this registry only, as a
    record may be a stranger's.

    EngineError, with why, where none of them gives it.
    """
    reasons = []
    for reason in _try_digests(engine, [name for name in digests if name.startswith(f"{registry}/")], emit):
        if engine.find_image_id(image_id) is not None:
            return
        reasons.append(reason)
    if engine.find_image_id(image_id) is None:
        raise EngineError(
            f"the registry {registry} does not give the image {image_id}: "
            f"{'; '.join(reasons) or 'the record does not say what it is called there'}",
            "push it from a machine that has it: ./inv images --push",
        )


def _try_digests(engine: Engine, digests: Sequence[str], emit: EventSink) -> Iterator[str]:
    """Pull by digest, and say of each what came of it."""
    for digest in digests:
        emit(ProgressNote(f"Pulling the image {digest}."))
        try:
            engine.pull_image(digest)
        except RegistryError as error:
            yield str(error)
        else:
            yield f"{digest} is {engine.find_image_id(digest)}"
