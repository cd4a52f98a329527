"""Wrong use of the tasks that look after this machine: images, caches, engines."""

from tests.unit.wrong_use.row import ESCAPE, LATIN, LONG, Row, at

IMAGES = [
    Row(
        "images --profile ok.toml --save a --load b",
        "--save and --load cannot go together",
        "load them first",
    ),
    Row(
        "images --profile ok.toml --load a --push localhost:5000/a",
        "--load and --push cannot go together",
        "load them first",
    ),
    *(
        row
        for value in (
            "team",
            "team/a",
            "localhost:5000",
            "http://r.example/a",
            "r.example/A",
            "r.example/a:1",
            "r.example/",
        )
        for row in (
            Row(at("--images", value), "--images: images: expected REGISTRY/PREFIX such as"),
            Row(
                ("images", "--profile", "ok.toml", "--push", value),
                "--push: expected REGISTRY/PREFIX",
                "--push localhost",
            ),
        )
    ),
    Row(at("--images", ""), "--images: is empty", "leave it out"),
    Row("doctor", "KMATRIX_IMAGES: images: expected REGISTRY/PREFIX", "", 1, {"KMATRIX_IMAGES": "x"}),
    Row("images --profile ok.toml --load gone", "cannot be read: No such file", "check the path"),
    Row("images --profile ok.toml --load ok.toml", "ok.toml holds no images", "--save FILE writes"),
]
MACHINE = [
    Row("setup --profile nosuch", "no profile 'nosuch'", "built-in profiles"),
    Row("setup --jobs 0", "greater than or equal to 1"),
    Row("images --toolchain gcc-1", "unknown toolchain 'gcc-1'", "the toolchain names are"),
    Row("images --source x", "images has no option '--source'", "images --help"),
    Row("source --profile ok.toml --source nosuch", "no source 'nosuch'", "A source is"),
    Row("source --jobs 1", "source has no option '--jobs'", "source --help"),
    Row("doctor --profile nosuch", "no profile 'nosuch'", "built-in profiles"),
    Row("doctor --jobs 3", "doctor has no option '--jobs'", "doctor --help"),
    Row("sweep --profile nosuch", "no profile 'nosuch'", "built-in profiles"),
    Row("sweep --runs-older=", "--runs-older is empty", "leave it out"),
    Row("sweep --runs-older old", "--runs-older: expected a duration such as 30m", "--runs-older 30d"),
    Row("sweep --runs-older -1d", "--runs-older: expected a duration such as 30m", "--runs-older 30d"),
    Row("sweep --yes=no", "--yes takes no value, and 'no'", "leave the value out"),
    Row("sweep everything", "no task 'everything'", "--list"),
    Row("test --only=", "--only is empty", "leave it out"),
    Row("test --nosuch", "test has no option '--nosuch'", "test --help"),
    Row("lint x", "no task 'x'", "--list"),
    *(
        Row(task, f"the cache .* cannot be used: {reason}", "set KMATRIX_CACHE", 2, {"KMATRIX_CACHE": place})
        for task in ("plan --profile ok.toml", "sweep", "source --profile ok.toml")
        for place, reason in (
            ("file", "Not a directory"),
            ("file/below", "Not a directory"),
            ("/dev/null", "Not a directory"),
            ("loop", "Not a directory"),
            ("dangling", "Not a directory"),
            (LONG, "File name too long"),
            ("/proc/nosuch", "No such file or directory"),
        )
    ),
    *(
        Row(task, "no such user here", "write the whole path", 1, {"KMATRIX_CACHE": "~nosuchuser/x"})
        for task in ("plan --profile ok.toml", "sweep", "doctor")
    ),
    Row("plan --profile ok.toml", "is no UTF-8", "rename it", 1, {"KMATRIX_CACHE": LATIN}),
]
# These reach for the engine that DOCKER_HOST names: the world's own is not asked.
ENGINES = [
    Row(task, says, hint, 2, {"DOCKER_HOST": url})
    for task in ("images", "plan --profile ok.toml")
    for url, says, hint in (
        ("nonsense", "DOCKER_HOST is nonsense, and kmatrix knows", "unset DOCKER_HOST"),
        ("//", "DOCKER_HOST is //, and kmatrix knows", "unset DOCKER_HOST"),
        ("ssh://user@host", "knows engines at unix:// and tcp:// only", "unset DOCKER_HOST"),
        ("fd://3", "knows engines at unix:// and tcp:// only", "unset DOCKER_HOST"),
        (ESCAPE, "DOCKER_HOST is red, and kmatrix knows", "unset DOCKER_HOST"),
        ("unix://", "a socket has its whole path", "write unix:///"),
        ("unix://relative", "a socket has its whole path", "write unix:///"),
        ("unix:relative", "a socket has its whole path", "write unix:///"),
        ("unix:///nosuch", "there is no such socket", "start that engine, or unset DOCKER_HOST"),
        ("unix:///dev/null", "that is no socket", "start that engine"),
        ("unix:///" + "x" * 300, "AF_UNIX path too long", "start that engine"),
        (f"unix:///{LATIN}", "there is no such socket", "start that engine"),
        ("tcp://[::1", "which is no address: Invalid IPv6 URL", "unset DOCKER_HOST"),
        ("tcp://localhost:port", "which is no address", "unset DOCKER_HOST"),
        ("tcp://localhost:99999", "which is no address: Port out of range", "unset DOCKER_HOST"),
        ("tcp://127.0.0.1:1", "Connection refused", "start that engine"),
        ("tcp://..:1", "that is no name of a host", "start that engine"),
        (f"tcp://{LATIN}:1", "that is no name of a host", "start that engine"),
        (f"tcp://{LONG}:1", "that is no name of a host", "start that engine"),
    )
]
