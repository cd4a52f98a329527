"""An engine's client and a kernel's make as scripts on PATH, for what runs in a shell.

The fake kernel tree says how its build goes: `resolved` is what olddefconfig makes, `build.sh` is what make
does.
"""

import subprocess
from pathlib import Path

_MAKE = r"""#!/bin/sh
while [ $# -gt 0 ]; do
    case $1 in
    -C) src=$2; shift ;;
    O=*) out=${1#O=} ;;
    esac
    last=$1
    printf '%s ' "$1" >>"$src/said"
    shift
done
echo >>"$src/said"
case $last in
olddefconfig) . "$src/configure.sh"; cp "$out/.config" "$src/asked"; cp "$src/resolved" "$out/.config" ;;
*config) . "$src/base.sh"; echo CONFIG_BASE=y >"$out/.config" ;;
*) . "$src/build.sh" ;;
esac
"""
_DOCKER = r"""#!/bin/sh
here=$(dirname "$0")
printf '%s ' "$@" >>"$here/docker.said"
echo >>"$here/docker.said"
case $1 in
--version) echo "${0##*/} version 1" ;;
version) echo "Client: ${0##*/}"; exit "$(cat "$here/version")" ;;
info) cat "$here/info" ;;
image) grep -qx "$3" "$here/images" ;;
pull) grep -qx "$2" "$here/registry" && echo "$2" >>"$here/images" ;;
tag) echo "$3" >>"$here/images" ;;
build) cat >>"$here/dockerfiles"; echo "$3" >>"$here/images" ;;
run)
    [ ! -s "$here/run" ] || . "$here/run"
    while [ $# -gt 0 ]; do
        case $1 in
        -v)
            case $2 in
            *:/src:ro) src=${2%:/src:ro} ;;
            *:/build) out=${2%:/build} ;;
            *:/given:ro) given=${2%:/given:ro} ;;
            esac ;;
        esac
        shift
    done
    sh "$given/steps" "$src" "$out" "$given" ;;
esac
"""
_STUBS = ("flex", "bison", "bc", "powerpc64le-linux-gnu-gcc", "powerpc64le-linux-gnu-ld")
_NEEDED = (
    *(
        "sh",
        "cat",
        "tr",
        "tail",
        "grep",
        "sed",
        "mktemp",
        "mkdir",
        "rm",
        "id",
        "env",
        "timeout",
        "cp",
        "nproc",
    ),
    *("dirname", "sleep", "touch", "date", "mv"),
)


class FakeTools:
    """A PATH of its own with fake tools, and a fake kernel tree."""

    def __init__(self, place: Path) -> None:
        self.bin, self.tree = place / "bin", place / "tree"
        self.temporary = place / "temporary"
        for folder in (self.bin, self.tree, self.temporary):
            folder.mkdir()
        for name in _NEEDED:
            (self.bin / name).symlink_to(
                Path("/usr/bin") / name if Path("/usr/bin", name).exists() else f"/bin/{name}"
            )
        for name, text in {"make": _MAKE, "docker": _DOCKER, **dict.fromkeys(_STUBS, "#!/bin/sh\n")}.items():
            (self.bin / name).write_text(text)
            (self.bin / name).chmod(0o755)
        for name, text in {"version": "0", "info": "", "images": "", "registry": "", "run": ""}.items():
            (self.bin / name).write_text(text)
        for name in ("Kbuild", "Makefile", "said", "base.sh", "configure.sh", "build.sh", "resolved"):
            (self.tree / name).touch()

    def configure_engine(self, **files: str) -> None:
        """What the fake engine has and says: ``images``, ``registry``, ``info``, ``version``, ``run``."""
        for name, text in files.items():
            (self.bin / name).write_text(text + "\n")

    def configure_kernel(self, **files: str) -> None:
        """How the fake tree behaves: ``resolved``, and the scripts ``base``, ``configure`` and ``build``."""
        for name, text in files.items():
            (self.tree / (name if name == "resolved" else f"{name}.sh")).write_text(text + "\n")

    def remove_tools(self, *names: str) -> None:
        """Take these tools away."""
        for name in names:
            (self.bin / name).unlink()

    @property
    def engine_calls(self) -> list[str]:
        path = self.bin / "docker.said"
        return path.read_text().splitlines() if path.exists() else []

    @property
    def make_calls(self) -> list[str]:
        return (self.tree / "said").read_text().splitlines()

    def build_environment(self) -> dict[str, str]:
        return {"PATH": str(self.bin), "TMPDIR": str(self.temporary), "KCFLAGS": "-DOF_THE_CALLER"}

    def run_script(
        self, shell: tuple[str, ...], script: Path, *words: str
    ) -> "subprocess.CompletedProcess[str]":
        """Run a script in the tree."""
        return subprocess.run(
            [*shell, str(script), *words],
            cwd=self.tree,
            env=self.build_environment(),
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
        )
