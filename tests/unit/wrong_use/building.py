"""Wrong use of the tasks that build: where to, in which shares, on which machines, how often."""

from tests.unit.wrong_use.row import ESCAPE, LATIN, LONG, MAKES_ANOTHER, MAKES_ONE, NO_SUCH_RUN, READS, Row

IS_A_SHARD = "--{} is for a whole run, and .* is shard 1/4 of one"
OUTPUTS = [
    Row("run --profile ok.toml --out=", "--out: is empty", "leave it out"),
    Row("run --profile ok.toml --out dir", "--out .*/dir is in use: it is not empty", "does not exist yet"),
    Row("run --profile ok.toml --out file", "--out .*/file cannot be written: Not a directory"),
    Row("run --profile ok.toml --out file/below", "below cannot be written: Not a directory", "may write"),
    Row("run --profile ok.toml --out ~nosuchuser/x", "no such user here", "write the whole path"),
    Row(f"run --profile ok.toml --out {LONG}", "cannot be written: File name too long"),
    Row("run --profile ok.toml --out loop", "loop cannot be written: it is a link to nothing", "may write"),
    Row("run --profile ok.toml --out dangling", "dangling cannot be written: it is a link", "may write"),
    Row(("run", "--profile", "ok.toml", "--out", LATIN), r"'\\udcff' is no UTF-8", "rename it"),
]
BASELINES = [
    Row("run --resume", "--resume needs a value", "run --help shows"),
    Row("run --resume=", "--resume is empty", "leave it out"),
    Row("run --resume nosuch", NO_SUCH_RUN, MAKES_ONE),
    Row("run --resume latest", NO_SUCH_RUN, MAKES_ONE),
    Row("run --resume empty", NO_SUCH_RUN, MAKES_ONE),
    Row("run --resume damaged", "run.json is damaged", MAKES_ANOTHER),
    Row(f"run --resume {LONG}", "cannot be read: File name too long$", READS),
    Row(("run", "--resume", ESCAPE), r"there is no run '\\x1b\[31mred'", MAKES_ONE),
    Row("run --resume a-run", "cannot be resumed: kmatrix is .*, and was", r"\./inv run, without --resume"),
    Row("run --resume a-shard --plan plan.json", "--plan says how a plan is split", "leave out --plan"),
    Row(
        "run --resume a-shard --baseline a-run",
        IS_A_SHARD.format("baseline"),
        r"\./inv merge takes --baseline",
    ),
    Row("run --resume a-shard --known file", IS_A_SHARD.format("known"), "merge takes --known"),
    Row("patch --resume", "--resume needs a value", "patch --help shows"),
    Row("patch --resume=", "--resume is empty", "leave it out"),
    Row("patch --resume nosuch", "there is no verdict 'nosuch'", r"\./inv patch makes another"),
    Row("patch --resume a-run", "a-run is a run, not a verdict", r"\./inv run --resume a-run goes on"),
    Row(f"patch --resume {LONG}", "cannot be read: File name too long$", READS),
    Row(("patch", "--resume", ESCAPE), r"there is no verdict '\\x1b\[31mred'", "makes another"),
    Row("patch --resume nosuch --message x", "patch needs 'file'", "patch --help"),
    Row("patch fix.patch file", "patch takes one file, and 'file' stands behind 'fix.patch'", "a series"),
    Row("patch --resume asked", "asked/request.json is damaged", r"\./inv patch makes another"),
    Row("run --resume asked", "asked is a verdict, not a run", r"\./inv patch --resume asked"),
    Row("run --baseline=", "--baseline is empty", "leave it out"),
    Row("run --baseline nosuch", NO_SUCH_RUN, MAKES_ONE),
    Row("run --baseline damaged", "run.json is damaged", MAKES_ANOTHER),
    Row(f"run --baseline {LONG}", "cannot be read: File name too long$", READS),
    Row("run --known=", "--known is empty", "leave it out"),
    Row("run --known nosuch", "nosuch: cannot be read: No such file", READS),
    Row("run --known dir", "dir: cannot be read: Is a directory", READS),
    Row("run --known ~nosuchuser/x", "no such user here", "whole path"),
    Row("run --known loose.toml", "loose.toml: one: .*this key is needed"),
    Row("run --known soon.toml", "soon.toml: one: expires: input should be a valid date, got 'soon'"),
    Row("run --known never.toml", "not valid TOML"),
    Row("run --known script.toml", r"link: expected a link \(https"),
    Row("run --known silent.toml", "reason: is empty"),
    Row("run --known shared.toml", "two: keys: 'a' is one's already"),
]
WATCHES = [
    *(
        Row(f"watch --profile ok.toml {words}", says, hint)
        for words, says, hint in (
            ("", "only a branch can be watched, and the source is tree", "--source /srv/linux@origin/master"),
            ("--source debian:linux-source-6.12", "only a branch can be watched", "DIR@BRANCH"),
            ("--source gone@master", "no source 'gone@master'", "A source is DIR"),
            ("--source tree@x --every often", "--every: expected a duration", "--every 1h"),
            ("--source tree@x --every 9999d", "--every: expected a duration of at most", "--every 1h"),
            ("--source tree@x --fetch=--all", "--fetch '--all' names no remote", "--fetch origin"),
            ("--source tree@x --known gone.toml", "gone.toml", ""),
            ("--source tree@x --mail-to tree", "is neither a file nor a program", "mailbox's file"),
            ("--source tree@x --mail-to gone/box", "there is no directory", "make it"),
            ("--source tree@x --out there", "watch has no option '--out'", "watch --help"),
        )
    ),
    Row(
        ("watch", "--profile", "ok.toml", "--source", "tree@x", "--mail-to", "nosuch you@example.org"),
        "there is no program 'nosuch' here",
        "with its arguments",
    ),
]
WORKFLOWS = [
    Row("ci", "ci needs 'forge'", "ci --help"),
    Row("ci giithub", r"there is no workflow for 'giithub' \(nearest: 'github'\)", "forges: github, gitlab"),
    Row("ci github --shards 257", "--shards: expected 1 to 256, as github has no more jobs", "few shards"),
    Row("ci gitlab --shards 201", "--shards: expected 1 to 200, as gitlab has no more jobs", "few shards"),
    Row("ci github --shards four", "--shards: expected a whole number, got 'four'", "--shards 4"),
    Row("ci github --known /srv/known.toml", "is a place on this machine", "a file of the repository"),
    Row(("ci", "github", "--source", "${{ github.token }}"), r"it has '\$'", "rename it"),
    Row("ci github --profile nosuch", "there is no profile 'nosuch'", "built-in profiles"),
    Row("ci github --out gone/a.yml", "there is no directory", "mkdir -p"),
]
BENCHES = [
    Row("bench --case frist", r"--case: there is no 'frist' \(nearest: 'first'\)", "it takes first, again"),
    Row(
        "bench --case first,",
        "tuxmake is not installed",
        "or leave it out: --against",
        1,
        {"PATH": "/nosuch"},
    ),
    Row(("bench", "--case", ESCAPE), r"--case: there is no '\\x1b\[31mred'", "it takes first"),
    Row("bench --against make", "--against: there is no 'make'", "it takes tuxmake, fresh, kept"),
    Row("bench --case next", "the case next needs another version of the tree", "name it: --next SPEC"),
    Row("bench --next=", "--next is empty", "leave it out"),
    Row("bench --next nosuch", "no source 'nosuch'", "A source is DIR"),
    *(
        Row(f"bench --{option}={value}", f"--{option}: expected a {says}")
        for option, value, says in (
            ("repeat", "0", "number from 1 to 100, got 0"),
            ("repeat", "101", "number from 1 to 100, got 101"),
            ("repeat", "x", "whole number, got 'x'"),
            ("sample", "-1", "number from 0 to 1000000, got -1"),
            ("sample", "1.5", "whole number, got '1.5'"),
        )
    ),
    Row("bench --repeat=", "--repeat: expected a whole number, got ''"),
    Row("bench --format html", "no format 'html' of a bench's table", "formats: text, markdown"),
    *(
        Row(f"bench --{words}", f"bench has no option '--{words.split()[0]}'", "bench --help")
        for words in ("patch fix.patch", "fresh", "deadline 2h", "verify 0.1")
    ),
    Row("bench --case first --next debian:linux-source-6.13", "--next is for the case next", "--case next"),
    Row("bench --against fresh --profile nosuch.toml", "nosuch.toml: cannot be read", READS),
    Row("bench --against fresh --profile ok.toml --out dir", "--out .*/dir is in use", "does not exist yet"),
    Row("bench --against fresh --profile ok.toml --case first --source nosuch", "no source 'nosuch'"),
    Row("bench first", "no task 'first'", "--list"),
]
SHARDS = [
    *(
        Row(("run", f"--shard={text}"), r"--shard: expected I/N, .*, got '", "for example --shard 2/4")
        for text in ("0/4", "5/4", "a/b", "1", "/", "1/", "1/0", "-1/4", "1/2/3", "1.5/2", ESCAPE, LATIN)
    ),
    Row("run --shard=", "--shard is empty", "leave it out"),
    Row("run --shard 1/1001", "1001 shards are too many", "few shards"),
    Row("run --plan file", "no share is named", "--shard 1/4"),
    Row("run --plan=", "--plan is empty", "leave it out"),
    Row(
        "run --shard 1/2 --plan file --baseline a-run",
        "--plan has its times already",
        "plan --json --baseline",
    ),
    Row("run --shard 1/2 --known soon.toml", "--known is for a whole run", r"\./inv merge takes --known"),
    Row("run --shard 1/2 --baseline nosuch", NO_SUCH_RUN, MAKES_ONE),
    Row("run --shard 1/2 --plan nosuch", "--plan nosuch cannot be read", "plan --json prints one"),
    Row("run --shard 1/2 --plan dir", "--plan dir cannot be read: Is a directory", "plan --json"),
    Row("run --shard 1/2 --plan blank", "--plan blank is no plan", "plan --json"),
    Row("run --shard 1/2 --plan binary", "--plan binary is no plan", "plan --json"),
    Row("run --shard 1/2 --plan runs/a-run/run.json", "is no plan: lanes: Field required", "plan --json"),
    Row("patch fix.patch --shard 1/2", "patch has no option '--shard'", "patch --help"),
    *(
        Row(f"plan --profile ok.toml --json --shards={text}", f"--shards: expected {says}", "--shards 4")
        for text, says in (("0", "1 or more, got 0"), ("-1", "1 or more, got -1"), ("x", "a whole number"))
    ),
    Row("plan --profile ok.toml --json --shards 1001", "1001 shards are too many"),
    Row("plan --profile ok.toml --shards 4", "--shards is for the plan as JSON", "add --json"),
    Row("plan --profile ok.toml --baseline a-run", "--baseline is for the plan as JSON", "add --json"),
    Row("plan --profile ok.toml --json --baseline nosuch", NO_SUCH_RUN, MAKES_ONE),
    Row("merge", "merge needs 'dir'", r"name the run of each shard"),
    Row(("merge", ""), "dir is empty", "leave it out"),
    Row("merge nosuch", NO_SUCH_RUN, MAKES_ONE),
    Row("merge empty", NO_SUCH_RUN, MAKES_ONE),
    Row("merge damaged", "run.json is damaged", MAKES_ANOTHER),
    Row("merge a-run", "a-run is a whole run, and no shard", "run --shard I/N makes one"),
    Row("merge a-run a-run", "a-run and a-run are the same run", "one run of each shard"),
    Row("merge a-run --out dir", "--out .*/dir is in use", "does not exist yet"),
    Row("merge a-run --format nosuch", "no report format 'nosuch'"),
    Row("merge a-run --jobs 3", "merge has no option '--jobs'", "merge --help"),
]
CLUSTERS = [
    Row("worker http://x", "'http://x' is no address of a cluster", "tls://build1:8786"),
    Row("worker tcp://10.0.0.1:8786", "is open to others", "use tls://"),
    Row("worker tls://a:1", "--tls-ca is missing", "--tls-cert FILE"),
    Row("worker tcp://127.0.0.1:1 --tls-ca x", "is reached without TLS", "leave the certificates out"),
    Row("worker tcp://127.0.0.1:1 --lanes 0", "--lanes: expected 1 to", "--lanes 4"),
    Row("worker tcp://127.0.0.1:1 --cpus x", "--cpus: expected a whole number", "--cpus 4"),
    Row("worker tcp://127.0.0.1:1 --memory x", "--memory: expected a size", "--memory 4G"),
    Row(
        "cluster tls://a:1 --tls-ca nosuch --tls-cert a --tls-key b",
        "--tls-ca nosuch does not",
        "docs/cluster",
    ),
    Row("run --cluster nowhere", "'nowhere' is no address of a cluster", "tls://build1:8786"),
    Row("run --tls-ca x", "--tls-ca is for a cluster, and none is named", "add --cluster"),
]
