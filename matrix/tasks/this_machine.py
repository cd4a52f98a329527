"""This machine: its images, sources and caches, and what is wrong with it."""

from rich.console import Console

from matrix.catalog.types import Profile
from matrix.command_line import define_task
from matrix.commands import session
from matrix.commands.cache_size import list_cache_holdings
from matrix.commands.doctor import diagnose_machine
from matrix.commands.kept_verdicts import describe_stopped_work
from matrix.commands.setup import (
    build_images,
    fetch_profile_source,
    load_profile_images,
    parse_registry,
    push_profile_images,
    save_profile_images,
)
from matrix.commands.sweep import parse_age, sweep_leftovers
from matrix.errors import RequestError
from matrix.exit_codes import ExitCode
from reports.progress import display_progress
from reports.style import print_line, print_lines
from reports.task_output import show_checks, show_dead_runs, show_holdings, show_leftovers


@define_task(
    "profile",
    "toolchain",
    "images",
    own=[
        ("save", "", "also write them into this file, for another machine"),
        ("load", "", "load them out of such a file in place of building them"),
        ("push", "", "also give them to a registry, as REGISTRY/PREFIX: --images takes them from there"),
    ],
)
def images(profile: Profile, *, save: str, load: str, push: str) -> int:
    """Build or pull the images of the profile's toolchains; their ids."""
    given = [f"--{name}" for name, value in (("save", save), ("load", load), ("push", push)) if value]
    if len(given) > 1:
        raise RequestError(
            f"{given[0]} and {given[1]} cannot go together", "load them first, then save or push them"
        )
    registry = parse_registry(push, "--push") if push else ""
    with display_progress(Console(stderr=True)) as emit:
        if load:
            image_ids = load_profile_images(profile, load)
        elif registry:
            image_ids = push_profile_images(profile, registry, emit)
        else:
            image_ids = save_profile_images(profile, save, emit) if save else build_images(profile, emit)
    print_lines(Console(), [f"{name} {image}" for name, image in image_ids.items()])
    return 0


@define_task("profile", "source", "patch")
def source(profile: Profile) -> int:
    """Fetch the source into the cache, with its patches; its place."""
    with display_progress(Console(stderr=True)) as emit:
        tree = fetch_profile_source(profile, emit)
    print_line(Console(), f"{tree.version} {tree.digest} {tree.path}")
    return 0


@define_task("profile", "toolchain", "source", "cache-size", "images")
def doctor(profile: Profile) -> int:
    """What is wrong with this machine, and what to do about it."""
    checks = diagnose_machine(profile)
    show_checks(checks, Console())
    return ExitCode.PASSED if all(check.ok for check in checks) else ExitCode.MACHINE_FAULT


@define_task(
    "profile",
    "cache-size",
    own=[
        ("yes", False, "remove it; without this, only show it"),
        ("runs-older", "", "also runs that nothing was written to for so long, such as 30d"),
    ],
)
def sweep(profile: Profile, *, yes: bool, runs_older: str) -> int:
    """What the cache holds, and what can go: containers of dead runs, lanes, sources, what is old, images."""
    age = parse_age(runs_older)
    show_holdings(list_cache_holdings(), Console())
    show_dead_runs(describe_stopped_work(session.RUNS_DIRECTORY), Console())
    leftovers = sweep_leftovers(
        remove=yes, cache_size=profile.cache_size, runs=session.RUNS_DIRECTORY, runs_older=age
    )
    show_leftovers(leftovers, Console(), removed=yes)
    stayed = any(leftover.problem for leftover in leftovers)
    return ExitCode.MACHINE_FAULT if stayed else ExitCode.PASSED
