"""Registries by name, and what engines say of them in words that help."""

import pytest

from matrix.engine.registry_host import error_from_registry, find_registry_host, is_on_loopback


@pytest.mark.parametrize(
    ("ref", "host", "on_loopback"),
    [
        ("debian:trixie-slim", "docker.io", False),
        ("team/gcc-14:1", "docker.io", False),
        ("localhost/team/gcc-14:1", "localhost", True),
        ("localhost:5000/team/gcc-14:1", "localhost:5000", True),
        ("127.0.0.1:5000/team/gcc-14@sha256:0", "127.0.0.1:5000", True),
        ("127.9.9.9/team/gcc-14", "127.9.9.9", True),
        ("[::1]:5000/team/gcc-14:1", "[::1]:5000", True),
        ("localhost.example.org/team/gcc-14:1", "localhost.example.org", False),
        ("127.0.0.1.example.org/team/gcc-14:1", "127.0.0.1.example.org", False),
        ("registry.example.org/localhost:1", "registry.example.org", False),
    ],
)
def test_the_host_of_an_image_s_name(ref: str, host: str, *, on_loopback: bool) -> None:
    assert find_registry_host(ref) == host
    assert is_on_loopback(ref) is on_loopback


# As Docker 20.10 and Podman 4.3 say it, with Debian's docker-registry.
SAID = {
    "manifest for localhost:5000/team/a:1 not found: manifest unknown: manifest unknown": "no such image",
    "initializing source docker://localhost:5000/team/a:1: reading manifest 1 in localhost:5000/team/a: "
    "manifest unknown: manifest unknown": "no such image",
    "name unknown: repository name not known to registry": "no such image",
    "pull access denied for team/a, repository does not exist or may require 'docker login'": "it refuses",
    'Head "http://localhost:5000/v2/team/a/manifests/1": no basic auth credentials': "it refuses",
    "unauthorized: authentication required": "it refuses",
    'Get "http://localhost:5000/v2/": dial tcp 127.0.0.1:5000: connect: connection refused': "not answer",
    "dial tcp: lookup nohost.invalid on 10.0.0.1:53: no such host": "not answer",
    "net/http: request canceled (Client.Timeout exceeded while awaiting headers)": "not answer",
    "http: server gave HTTP response to HTTPS client": "no TLS",
    "x509: certificate signed by unknown authority": "certificate",
    "write /var/lib/docker/tmp/x: no space left on device": "disk is full",
    "received unexpected HTTP status: 500 Internal Server Error": "does not work",
}


@pytest.mark.parametrize("message", SAID)
def test_what_is_said_is_put_into_words_and_kept(message: str) -> None:
    error = error_from_registry("docker", "pull", "localhost:5000/team/a:1", message)
    assert SAID[message] in str(error)
    assert message in str(error)
    assert error.hint
    assert error.is_missing is (SAID[message] == "no such image")


def test_an_image_s_own_name_is_no_sign_of_a_fault() -> None:
    ref = "localhost:5000/denied/not-found:1"
    error = error_from_registry("docker", "pull", ref, f"{ref}: received unexpected HTTP status: 500")
    assert "it does not work" in str(error)


def test_what_would_be_obeyed_is_not_printed() -> None:
    error = error_from_registry("docker", "pull", "localhost:5000/a/b:1", "denied \x1b[31m;rm")
    assert "\x1b" not in f"{error}{error.hint}"
    assert error.hint.endswith("docker login localhost:5000")
