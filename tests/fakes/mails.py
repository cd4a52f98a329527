"""Mails to kernel lists, written for the tests, and mailboxes of them."""

from collections.abc import Iterable, Mapping
from types import MappingProxyType

FROM_LIST = "From mboxrd@z Thu Jan  1 00:00:00 1970\n"
FROM_GIT = "From 0123456789abcdef0123456789abcdef01234567 Mon Sep 17 00:00:00 2001\n"
NOTHING: Mapping[str, str] = MappingProxyType({})


def a_diff(name: str = "x") -> str:
    """A change of one line in ``virt/NAME.c``."""
    path = f"virt/{name}.c"
    return f"diff --git a/{path} b/{path}\n--- a/{path}\n+++ b/{path}\n@@ -1 +1 @@\n-int old;\n+int new;\n"


def a_patch(name: str = "x", text: str = "It breaks the build.") -> str:
    """The body of a patch mail: a message, a diffstat, the diff, git's signature."""
    stat = f" virt/{name}.c | 2 +-\n 1 file changed, 1 insertion(+), 1 deletion(-)\n"
    return f"{text}\n\nSigned-off-by: A <a@example.org>\n---\n{stat}\n{a_diff(name)}-- \n2.47.1\n"


def a_mail(subject: str, body: str, id: str = "", more: Mapping[str, str] = NOTHING) -> str:  # noqa: A002
    """One message; ``more`` are headers that it has beside, or instead of, the usual."""
    fields = {"From": "A <a@example.org>", "Subject": subject, "Date": "Wed, 20 Sep 2023 15:18:42 -0300"}
    fields |= {"Message-ID": f"<{id}>"} if id else {}
    return "".join(f"{name}: {value}\n" for name, value in (fields | dict(more)).items()) + f"\n{body}"


def a_mbox(mails: Iterable[str], separator: str = FROM_LIST) -> str:
    return "".join(f"{separator}{mail}\n" for mail in mails)


def answering(id: str) -> Mapping[str, str]:  # noqa: A002
    return {"In-Reply-To": f"<{id}>", "References": f"<{id}>"}
