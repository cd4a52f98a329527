"""Registries by the names of their images, and errors with their words."""

import re
from dataclasses import dataclass

from matrix.engine.docker_api import clean_message, find_hint
from matrix.errors import RegistryError
from matrix.shell_words import format_command

_DEFAULT_HOST = "docker.io"
_LOOPBACK = re.compile(r"(?:localhost|127(?:\.[0-9]{1,3}){3}|\[::1\])(?::[0-9]+)?")


def find_registry_host(ref: str) -> str:
    """The registry in an image's name, with its port: ``localhost:5000`` of ``localhost:5000/a/b:1``."""
    host, slash, _ = ref.partition("/")
    return host if slash and (host == "localhost" or set(".:") & set(host)) else _DEFAULT_HOST


def is_on_loopback(ref: str) -> bool:
    """Whether an image's registry is on this machine, where it needs no certificate."""
    return _LOOPBACK.fullmatch(find_registry_host(ref)) is not None


@dataclass(frozen=True)
class _Fault:
    """What may be wrong, by signs in what an engine says of it, in small letters. ``advice`` may name the
    ``{host}``, and the ``{login}`` there; an empty one is found by the engine's own words."""

    signs: tuple[str, ...]
    words: str
    advice: str = ""
    is_missing: bool = False


# In this order: a registry that refuses may say as well that there is no such image.
_FAULTS = (
    _Fault(("no space left on device",), "the disk is full"),
    _Fault(
        ("server gave http response to https client",),
        "it has no TLS, which engines do without on this machine only",
        "give it a certificate; or name {host} to the engine, as insecure-registries in "
        "/etc/docker/daemon.json or with insecure = true in /etc/containers/registries.conf",
    ),
    _Fault(
        ("x509:", "tls: "),
        "its certificate is not one that the engine trusts",
        "put its authority's certificate into /etc/docker/certs.d/{host}/ca.crt, where engines look for it",
    ),
    _Fault(
        ("denied", "unauthorized", "authentication required", "no basic auth credentials", "forbidden"),
        "it refuses, or has no such image",
        "log in as a user who may: {login}",
    ),
    _Fault(
        ("manifest unknown", "name unknown", "name not known", "not found"),
        "it has no such image",
        "check the name",
        is_missing=True,
    ),
    _Fault(
        (
            *("connection refused", "no such host", "timeout", "timed out", "deadline exceeded"),
            *("no route to host", "network is unreachable", "server misbehaving", "connection reset"),
            *("temporary failure", "unexpected eof", ": eof"),
        ),
        "it does not answer",
        "check its name and the network, and that {host} is at work; then try again",
    ),
)
_OTHER_FAULT = _Fault((), "it does not work")


def error_from_registry(engine: str, what: str, ref: str, message: str) -> RegistryError:
    """The error for an image that the engine could not ``pull`` or ``push``, as ``what`` says. ``engine`` is
    the name of its client, and ``message`` what it says."""
    host = find_registry_host(ref)
    # The image's own name may have any of the signs in it.
    said = message.replace(ref.rpartition(":")[0] or ref, "").lower()
    fault = next((fault for fault in _FAULTS if any(sign in said for sign in fault.signs)), _OTHER_FAULT)
    login = format_command(engine, "login", host)
    return RegistryError(
        f"cannot {what} {ref} with the registry {host}: {fault.words} ({clean_message(message)})",
        fault.advice.format(host=host, login=login) or find_hint(message),
        is_missing=fault.is_missing,
    )
