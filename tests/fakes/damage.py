"""What mailers, web pages and terminals do to a patch."""

import html
import quopri
from collections.abc import Callable

SOURCE = """\
#include <linux/kvm.h>
#include <linux/vfio.h>

static int first(struct kvm *kvm, const char *name_of_a_device, unsigned long flags)
{
	return kvm && name_of_a_device ? 1 : 0;
}

static int second;

static int third;

"""
PATCH = """\
diff --git a/virt/kvm/long.c b/virt/kvm/long.c
index 0123456789ab..ba9876543210 100644
--- a/virt/kvm/long.c
+++ b/virt/kvm/long.c
@@ -3,6 +3,7 @@ static int first(struct kvm *kvm, const char *name_of_a_device)
~
 static int first(struct kvm *kvm, const char *name_of_a_device, unsigned long flags)
 {
-	return kvm && name_of_a_device ? 1 : 0;
+	int x = kvm != NULL;
+	return x && name_of_a_device ? 1 : 0;
 }
~
@@ -9,4 +10,4 @@ static int first(struct kvm *kvm, const char *name_of_a_device)
 static int second;
~
-static int third;
+static int fourth;
~
""".replace("~", " ")  # blank lines of context
PATCHED = SOURCE.replace("\treturn kvm &&", "\tint x = kvm != NULL;\n\treturn x &&").replace(
    "third", "fourth"
)


def change_lines(change: Callable[[str], str]) -> Callable[[str], str]:
    return lambda text: "".join(f"{change(line)}\n" for line in text.removesuffix("\n").split("\n"))


def stuff(line: str) -> str:
    return f" {line}" if line.startswith((" ", "From ", ">")) else line


def wrap(start: str, width: int) -> Callable[[str], str]:
    """Break the lines that start so at the last space before a column."""

    def wrap_line(line: str) -> str:
        at = line.rfind(" ", 2, width)
        if not line.startswith(start) or len(line) <= width or at < 2:
            return line
        return f"{line[:at]}\n{line[at + 1 :]}"

    return change_lines(wrap_line)


REPAIRED: dict[str, tuple[Callable[[str], str], str]] = {
    "last blank line lost": (lambda text: text.removesuffix(" \n"), "1 blank lines at a hunk's end restored"),
    "blank lines stripped": (change_lines(str.rstrip), ""),
    "blank lines stripped, last one lost": (
        lambda text: change_lines(str.rstrip)(text).removesuffix("\n"),
        "1 blank lines at a hunk's end restored",
    ),
    "CRLF": (change_lines(lambda line: f"{line}\r"), "its line ends were CRLF"),
    "CRLF, last blank line lost": (
        lambda text: change_lines(lambda line: f"{line}\r")(text.removesuffix(" \n")),
        "its line ends were CRLF; 1 blank lines at a hunk's end restored",
    ),
    "no newline at the end": (lambda text: text.removesuffix("\n"), "its last line end was restored"),
    "quoted": (change_lines(lambda line: f"> {line}"), "quotation signs"),
    "quoted twice": (change_lines(lambda line: f"> > {line}"), "quotation signs"),
    "quoted without spaces": (change_lines(lambda line: f">{line}"), "quotation signs"),
    "quoted, blanks stripped": (change_lines(lambda line: f"> {line}".rstrip()), "quotation signs"),
    "indented": (change_lines(lambda line: f"    {line}"), "indentation"),
    "indented by one": (change_lines(lambda line: f" {line}"), "indentation"),
    "indented, blanks stripped": (change_lines(lambda line: f"\t{line}".rstrip()), "indentation"),
    "entities": (html.escape, "HTML's entities were decoded"),
    "hard spaces": (lambda text: text.replace(" 1 :", "\u00a01 :"), "hard spaces"),
    "hard spaces of a page": (
        lambda text: html.escape(text).replace(" 1 :", "&nbsp;1\u00a0:"),
        "entities and hard spaces",
    ),
    "quoted-printable": (
        lambda text: quopri.encodestring(text.encode()).decode(),
        "quoted-printable text was decoded",
    ),
    "format=flowed, stuffed": (change_lines(stuff), "format=flowed"),
    "wrapped context": (wrap(" static", 60), "1 wrapped lines joined"),
    "wrapped removed line": (wrap("-\treturn", 30), "1 wrapped lines joined"),
    "wrapped hunk headers": (wrap("@@", 60), "2 wrapped hunk headers cut"),
}
"""Damage that a reading mends: name → what does it, and words of the note (empty where git needs none)."""

LOST: dict[str, tuple[Callable[[str], str], str]] = {
    "tabs became spaces": (lambda text: text.replace("\t", "        "), "its tabs have become spaces"),
    "wrapped added line": (wrap("+\treturn", 24), "has wrapped a long line that the patch adds"),
    "cut off": (lambda text: text[: text.index("-static int third")], "it does not apply either"),
    "cut in the middle": (lambda text: text[: text.index(" }\n")], "it does not apply either"),
    "cut early": (lambda text: text[: text.index("+\tint x")], "the hunk ends too early, . of its lines"),
    "edited by hand": (
        lambda text: text.replace("+\tint x = kvm != NULL;\n", ""),
        "ends too early|other lines than its header says",
    ),
}
"""Damage that nothing mends for certain: name → what does it, and words of the error."""
