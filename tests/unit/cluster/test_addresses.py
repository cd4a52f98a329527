"""Only a scheduler that is closed to others is an address."""

from pathlib import Path

import pytest

from matrix.cluster.addresses import VARIABLES, TlsFiles, parse_cluster_address
from matrix.errors import RequestError

NO_FILES = dict.fromkeys(VARIABLES, "")


@pytest.fixture
def files(tmp_path: Path) -> dict[str, str]:
    """The certificates' options, each with a file that exists."""
    for name in VARIABLES:
        (tmp_path / name).touch()
    return {name: str(tmp_path / name) for name in VARIABLES}


@pytest.mark.parametrize("host", ["127.0.0.1", "127.9.9.9", "localhost", "[::1]"])
def test_loopback_needs_no_certificate(host: str) -> None:
    found = parse_cluster_address(f"tcp://{host}:8786", NO_FILES, {})
    assert (found.host, found.tls) == (host, None)


@pytest.mark.parametrize(
    "host", ["10.0.0.1", "build1", "0.0.0.0", "[::]", "[2001:db8::1]", "localhost.example"]
)
def test_any_other_address_without_tls_is_refused(host: str) -> None:
    with pytest.raises(RequestError, match="is open to others"):
        parse_cluster_address(f"tcp://{host}:8786", NO_FILES, {})


@pytest.mark.parametrize(
    "text",
    ["", "build1", "build1:8786", "tls://build1", "tls://build1:0", "tls://build1:65536", "http://a:1"],
)
def test_what_lacks_a_part_is_no_address(text: str) -> None:
    with pytest.raises(RequestError, match="is no address of a cluster"):
        parse_cluster_address(text, NO_FILES, {})


@pytest.mark.parametrize("text", ["tls://a:1/x", "tls://a b:1", "tls://a:1\n", "tls://user@a:1", "tls://:1"])
def test_what_has_more_in_it_is_no_address(text: str) -> None:
    with pytest.raises(RequestError, match="is no address of a cluster"):
        parse_cluster_address(text, NO_FILES, {})


def test_tls_takes_its_files_from_options_and_else_from_variables(files: dict[str, str]) -> None:
    variables = {VARIABLES[name]: path for name, path in files.items()}
    expected = TlsFiles(*(Path(files[name]) for name in VARIABLES))
    assert parse_cluster_address("tls://build1:1", files, {}).tls == expected
    assert parse_cluster_address("tls://build1:1", NO_FILES, variables).tls == expected
    mixed = parse_cluster_address("tls://build1:1", {**NO_FILES, "tls-ca": files["tls-key"]}, variables).tls
    assert mixed is not None
    assert mixed.ca == Path(files["tls-key"]), "the option goes first"


@pytest.mark.parametrize("name", [*VARIABLES])
def test_each_missing_file_is_named(files: dict[str, str], name: str) -> None:
    with pytest.raises(RequestError, match=f"--{name} is missing"):
        parse_cluster_address("tls://build1:1", {**files, name: ""}, {})
    with pytest.raises(RequestError, match=f"--{name} nosuch does not exist"):
        parse_cluster_address("tls://build1:1", {**files, name: "nosuch"}, {})


def test_variables_for_tls_do_not_stand_in_the_way_of_loopback(files: dict[str, str]) -> None:
    variables = {VARIABLES[name]: path for name, path in files.items()}
    assert parse_cluster_address("tcp://127.0.0.1:1", NO_FILES, variables).tls is None
    with pytest.raises(RequestError, match="is reached without TLS"):
        parse_cluster_address("tcp://127.0.0.1:1", files, {})
