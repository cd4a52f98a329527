"""What an engine's fault means for the user, in words: one sentence, and what to type next."""

from collections.abc import Sequence

from matrix.errors import EngineError

_DOCTOR_HINT = "./inv doctor says what is wrong with the engine"
# What an engine says, in lower case, and what to do about it.
_HINTS_BY_MESSAGE = (
    ("no space left on device", "free some disk space: ./inv sweep removes what kmatrix no longer needs"),
    ("no such image", "./inv images builds what is missing"),
    (
        "is already in use by container",
        "another run uses that name, or was killed: ./inv sweep removes what it left",
    ),
    ("bind source path does not exist", "the engine must run on this machine and see its directories"),
    ("executable file not found", "the image lacks that program: check the image that the profile names"),
    ("exec format error", "the image is for another kind of machine"),
    ("permission denied", "add yourself to the group docker (and log in again), or run this as root"),
    (
        "temporary failure resolving",
        "the engine's containers have no network: check DNS and proxy, and try again",
    ),
    ("failed to fetch", "a package could not be downloaded: check the network and try again"),
)


def find_hint(said: str, otherwise: str = _DOCTOR_HINT) -> str:
    """What to do about something that an engine said."""
    lowered = said.lower()
    return next((hint for sign, hint in _HINTS_BY_MESSAGE if sign in lowered), otherwise)


def error_from_refusal(what: str, said: str) -> EngineError:
    """The engine answered, and its answer was no."""
    return EngineError(f"the container engine could not {what}: {said}", hint=find_hint(said))


def error_from_silence(url: str, what: str, said: str, *, slow: bool) -> EngineError:
    """No answer at all: dead, restarted, or (``slow``) too busy to give one in time."""
    how = "gave no answer in time" if slow else "does not answer, or stopped in the middle"
    message = f"the container engine at {url} {how}, asked to {what}: {said}"
    return EngineError(message, hint=f"{_DOCTOR_HINT}; ./inv setup starts it")


def error_from_build_failure(name: str, error: str, last: Sequence[str]) -> EngineError:
    """A step of an image's Dockerfile failed; ``last`` is the end of its output."""
    said = "\n".join(("  " + line).rstrip() for line in (*last, error))
    return EngineError(
        f"the image {name} could not be built:\n{said}",
        hint=find_hint(said, otherwise="mend what the lines above say, and try again: ./inv images"),
    )


def error_from_old_version(url: str, said: str) -> EngineError:
    """It answers, in an older language than the client's."""
    return EngineError(
        f"the container engine at {url} is too old: {said}",
        hint="install a newer one: Docker 20.10 and later are known to work",
    )
