"""The sandbox without a container, for git on repositories that a test made."""

import subprocess
from pathlib import Path

from matrix.engine.protocol import ContainerSpec, LineCallback
from matrix.source.sandbox import Sandbox
from tests.fakes.engine import FakeEngine


def run_on_host(container: ContainerSpec, say: LineCallback) -> int:
    """Run a container's script here, with its environment and no other."""
    assert all(str(mount.host) == mount.path for mount in container.mounts)
    done = subprocess.run(
        container.command,
        cwd="/",
        env={"PATH": "/usr/local/bin:/usr/bin:/bin", **container.env, "HOME": "/nonexistent"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    for line in done.stdout.splitlines():
        say(line)
    return done.returncode


def host_sandbox() -> Sandbox:
    return Sandbox(FakeEngine(run_on_host, images=["base"]), "base", "0:0")


def git(tree: Path, *arguments: str) -> str:
    """Run git on a repository of the test's own; what it prints."""
    settings = ("user.name=A", "user.email=a@example.org", "tag.gpgSign=false", "commit.gpgSign=false")
    options = [word for setting in settings for word in ("-c", setting)]
    command = ["git", "-C", str(tree), *options, *arguments]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()
