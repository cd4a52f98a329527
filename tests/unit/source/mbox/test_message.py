import base64
import quopri

import pytest

from matrix.errors import RequestError
from matrix.source.mbox.message import (
    Mail,
    MailAddress,
    PatchSubject,
    extract_quote,
    parse_mail,
    parse_subject,
    split_mailbox,
)
from tests.fakes.mails import FROM_GIT, FROM_LIST, a_diff, a_mail, a_mbox, a_patch
from tests.stopwatch import limit_cpu


def read(text: str | bytes) -> Mail:
    mail = parse_mail(text if isinstance(text, bytes) else text.encode())
    assert mail is not None
    return mail


def test_a_mail_is_its_headers_and_its_text() -> None:
    more = {
        "To": "B <b@example.org>, c@example.org",
        "Cc": "kvm@example.org,\n\tD <d@example.org>",
        "In-Reply-To": "<1@example.org>",
        "References": "<0@example.org>\n <1@example.org>",
    }
    mail = read(a_mail("Re: [PATCH] fix it", "Hello.\n", "2@example.org", more))
    assert (mail.id, mail.subject, mail.sender) == (
        "2@example.org",
        "Re: [PATCH] fix it",
        MailAddress("A", "a@example.org"),
    )
    assert mail.to == (MailAddress("B", "b@example.org"), MailAddress("", "c@example.org"))
    assert mail.cc == (MailAddress("", "kvm@example.org"), MailAddress("D", "d@example.org"))
    assert (mail.in_reply_to, mail.references) == ("1@example.org", ("0@example.org", "1@example.org"))
    assert (mail.date, mail.text, mail.content) == (
        "Wed, 20 Sep 2023 15:18:42 -0300",
        "Hello.\n",
        b"Hello.\n",
    )


def test_the_nearest_parent_comes_first() -> None:
    mail = read(a_mail("x", "", "3", {"In-Reply-To": "<2>", "References": "<0> <1>"}))
    assert mail.parent_ids == ("2", "1", "0")


def test_encoded_words_are_decoded_after_addresses_are_told_apart() -> None:
    mail = read(
        a_mail(
            "=?utf-8?q?=5BPATCH=5D_f=C3=BCr?=\n =?iso-8859-1?q?_=E4?=",
            "",
            more={"To": "=?utf-8?q?M=C3=BCller=2C_Eva?= <e@example.org>, f@example.org"},
        )
    )
    assert mail.subject == "[PATCH] für ä"
    assert mail.to == (MailAddress("Müller, Eva", "e@example.org"), MailAddress("", "f@example.org"))


def test_a_long_subject_is_one_line() -> None:
    assert read(a_mail("[PATCH] fix\n it", "")).subject == "[PATCH] fix it"


def test_headers_in_plain_utf_8_are_read_as_that() -> None:
    mail = read(a_mail("für", "", more={"From": "Jörg <j@example.org>"}))
    assert (mail.subject, mail.sender.name) == ("für", "Jörg")


@pytest.mark.parametrize("subject", ["=?utf-8?b?a?=", "=?no-such?q?x?=", "=?utf-8?q?=FF?="])
def test_a_broken_encoding_of_a_header_costs_nothing_but_itself(subject: str) -> None:
    assert read(a_mail(subject, "Hello.\n")).text == "Hello.\n"


@pytest.mark.parametrize("encoding", ["quoted-printable", "base64", "8bit"])
def test_a_transfer_encoding_is_undone(encoding: str) -> None:
    body = a_diff().replace("new", "new /* = ä \x0c\r */").encode()
    coded = {"quoted-printable": quopri.encodestring(body), "base64": base64.encodebytes(body), "8bit": body}
    head = a_mail("x", "", more={"Content-Transfer-Encoding": encoding, "Content-Type": "text/plain"})
    assert read(head.encode() + coded[encoding]).content == body


def test_an_encoding_named_in_the_text_is_only_text() -> None:
    body = "Content-Transfer-Encoding: base64\n\na =3D b\n"
    assert read(a_mail("x", body)).text == body


@pytest.mark.parametrize(
    ("charset", "text"),
    [
        ("iso-8859-1", "für"),
        ("utf-8", "f\N{REPLACEMENT CHARACTER}r"),
        ("no-such", "f\N{REPLACEMENT CHARACTER}r"),
        ("base64", "f\N{REPLACEMENT CHARACTER}r"),
    ],
)
def test_text_is_decoded_by_its_charset_and_content_is_left_as_it_is(charset: str, text: str) -> None:
    head = a_mail("x", "", more={"Content-Type": f"text/plain; charset={charset}"})
    mail = read(head.encode() + b"f\xfcr\n")
    assert (mail.text, mail.content) == (f"{text}\n", b"f\xfcr\n")


def test_a_charset_that_no_text_is_written_in_is_not_believed() -> None:
    assert (
        read(a_mail("x", "fix-it\n", more={"Content-Type": "text/plain; charset=punycode"})).text
        == "fix-it\n"
    )


def test_a_charset_cannot_make_text_that_no_file_takes() -> None:
    head = a_mail("x", "", more={"Content-Type": "text/plain; charset=raw_unicode_escape"})
    assert read(head + "\\ud800\n").text == "?\n"


MULTIPART = """\
--=-=
Content-Type: text/plain

See below.
--=-=
Content-Type: text/html

<p>See below.</p>
--=-=
Content-Type: text/x-patch
Content-Disposition: attachment
Content-Transfer-Encoding: base64

{diff}
--=-=--
"""


def test_of_several_parts_people_read_the_first_and_git_every_one_but_html() -> None:
    body = MULTIPART.format(diff=base64.encodebytes(a_diff().encode()).decode())
    mail = read(a_mail("x", body, more={"Content-Type": 'multipart/mixed; boundary="=-="'}))
    assert mail.text == "See below.\n"
    assert mail.content.decode() == f"See below.\n{a_diff()}"


def test_windows_line_ends_of_a_saved_mail_are_not_the_patch_s() -> None:
    assert read(a_mail("x", a_diff()).replace("\n", "\r\n")).content.decode() == a_diff()


def test_windows_line_ends_inside_base64_are_not_the_patch_s() -> None:
    coded = base64.encodebytes(a_diff().replace("\n", "\r\n").encode()).decode()
    assert read(a_mail("x", coded, more={"Content-Transfer-Encoding": "Base64"})).content.decode() == a_diff()


def test_line_ends_that_git_encoded_are_the_patch_s_own() -> None:
    head = a_mail("x", "", more={"Content-Transfer-Encoding": "quoted-printable"})
    assert read(head + "+int x;=0D\n").content == b"+int x;\r\n"


@pytest.mark.parametrize(
    "text",
    [
        a_diff(),
        f"Fix it.\n\n{a_diff()}",
        f"virt/kvm: fix it\n\n{a_diff()}",
        f"commit 0123\nAuthor: A <a@example.org>\nDate:   Wed\n\n    Fix it.\n\n{a_diff()}",
        f"Index: virt/x.c\n=====\n{a_diff()}",
        "",
    ],
)
def test_what_is_no_mail_is_none(text: str) -> None:
    assert parse_mail(text.encode()) is None


def test_a_patch_with_headers_and_no_id_is_a_mail() -> None:
    mail = read(f"\nFrom: A <a@example.org>\nSubject: fix it\n\n{a_diff()}")
    assert (mail.id, mail.subject, mail.content.decode()) == ("", "fix it", a_diff())


@pytest.mark.parametrize(
    "separator",
    [
        FROM_LIST,
        FROM_GIT,
        "From a@example.org  Wed Sep 20 15:18:42 2023\n",
        "From - Wed Sep 20 15:18:42 +0000 2023\r\n",
    ],
)
def test_a_mailbox_is_cut_at_its_separators(separator: str) -> None:
    pieces = split_mailbox(a_mbox([a_mail("one", "1\n"), a_mail("two", "2\n")], separator).encode())
    assert [read(piece).subject for piece in pieces] == ["one", "two"]


def test_empty_lines_before_a_mailbox_are_no_message() -> None:
    assert len(split_mailbox(f"\n\n{a_mbox([a_mail('one', '1')])}".encode())) == 1


def test_a_sentence_that_begins_with_from_cuts_nothing() -> None:
    body = "From here on\nFrom 1 Mon Sep 17 00:00:00 2001\nit breaks.\n"
    assert len(split_mailbox(a_mbox([a_mail("one", body)]).encode())) == 1


def test_a_mailbox_s_mark_before_from_is_taken_away_again() -> None:
    quoted, body = ">From here on\n>>From there\n> From\n", "From here on\n>From there\n> From\n"
    assert read(a_mbox([a_mail("one", quoted)])).text == f"{body}\n"
    assert read(a_mail("one", quoted)).text == quoted


def test_parts_within_parts_without_end_are_refused() -> None:
    nested = "".join(
        f'Content-Type: multipart/mixed; boundary="{index}"\n\n--{index}\n' for index in range(2000)
    )
    with pytest.raises(RequestError, match="too deep"):
        parse_mail(f"From: A <a@example.org>\n{nested}".encode())


@pytest.mark.parametrize(
    "field",
    [
        "To: " + "(" * 10**5,
        "To: " + "<" * 10**6,
        "Cc: " + '"' * 10**6,
        "Subject: " + "=?a?q?x " * 10**5,
        "Message-ID: <" + "a" * 10**6,
        "References: " + "<" * 10**6,
        'Content-Type: text/plain; x="' + ";" * 10**6,
        "Content-Type: multipart/mixed; boundary=" + "x" * 10**6,
        "Content-Transfer-Encoding: (",
        "\0: \0",
    ],
)
def test_hostile_headers_are_read_in_no_time(field: str) -> None:
    with limit_cpu(5):
        assert read(f"From: A <a@example.org>\n{field}\n\nHello.\n").sender.address == "a@example.org"


def test_what_is_no_text_at_all_is_read_in_no_time() -> None:
    with limit_cpu(10):
        noise = bytes(range(256)) * 20_000
        assert [parse_mail(piece) for piece in split_mailbox(noise)] == [None]
        assert b"\0" in read(b"From: A <a@example.org>\n\n" + noise).content


# The subject


@pytest.mark.parametrize(
    ("text", "version", "number", "total"),
    [
        ("[PATCH] fix it", 1, 0, 0),
        ("[PATCH v2] fix it", 2, 0, 0),
        ("[PATCH 1/2] fix it", 1, 1, 2),
        ("[PATCH v3 0/3] fix it", 3, 0, 3),
        ("[PATCH net-next v3 02/10] fix it", 3, 2, 10),
        ("[PATCH 6.12 1/2 v4] fix it", 4, 1, 2),
        ("[PATCHv2 1/2] fix it", 2, 1, 2),
        ("[RFC PATCH v2 1/1] fix it", 2, 1, 1),
        ("[RFCv2 1/1] fix it", 2, 1, 1),
        ("[v2,2/3] fix it", 2, 2, 3),
        ("[Some-list] [PATCH V2 1/2]fix it", 2, 1, 2),
        ("[PATCH v2.1 1/2] fix it", 2, 1, 2),
    ],
)
def test_the_brackets_say_version_and_number(text: str, version: int, number: int, total: int) -> None:
    assert parse_subject(text) == PatchSubject("fix it", False, True, version, False, number, total)


@pytest.mark.parametrize("text", ["[PATCH RESEND v2] fix it", "[RESEND][PATCH v2] fix it"])
def test_what_is_sent_again_says_so(text: str) -> None:
    assert parse_subject(text) == PatchSubject("fix it", is_tagged=True, version=2, is_resend=True)


@pytest.mark.parametrize("text", ["fix it", "[kvm] fix it", "[1/0] fix it"])
def test_other_brackets_make_no_patch(text: str) -> None:
    assert not parse_subject(text).is_tagged


@pytest.mark.parametrize("text", ["Re: [PATCH v2 1/2] fix it", "RE: fix it", "Aw: fix it", "Re[2]: fix it"])
def test_a_reply_has_neither_version_nor_number(text: str) -> None:
    assert parse_subject(text) == PatchSubject("fix it", is_reply=True)


def test_only_a_number_zero_of_some_is_a_cover_letter() -> None:
    texts = ["[PATCH 0/2] x", "[PATCH 00/12] x", "[PATCH 1/2] x", "[PATCH] x", "Re: [PATCH 0/2] x"]
    assert [parse_subject(text).is_cover for text in texts] == [True, True, False, False, False]


@pytest.mark.parametrize("word", ["3/2", "1/1000000000", "²/³", "1/2/3"])
def test_what_cannot_be_a_number_is_none(word: str) -> None:
    assert parse_subject(f"[PATCH {word}] fix it").total == 0


def test_brackets_inside_a_title_belong_to_it() -> None:
    assert parse_subject("[PATCH] a[1/2] [v2]").title == "a[1/2] [v2]"


# What an answer quotes


def mail_of(text: str, subject: str = "[PATCH] fix it") -> Mail:
    return read(a_mail(subject, text))


TEXT = "One.\nTwo.\n\nThree.\n\nFour.\n"


def test_a_patch_s_message_is_quoted_without_trailers_diffstat_and_diff() -> None:
    assert extract_quote(mail_of(a_patch(text="It breaks.\n\nSo fix it."))) == (
        "It breaks.",
        "",
        "So fix it.",
    )


@pytest.mark.parametrize(
    ("most", "lines"),
    [
        (1, ("One.",)),
        (3, ("One.", "Two.")),
        (4, ("One.", "Two.", "", "Three.")),
        (6, ("One.", "Two.", "", "Three.", "", "Four.")),
    ],
)
def test_paragraphs_are_quoted_whole_as_far_as_they_fit(most: int, lines: tuple[str, ...]) -> None:
    assert extract_quote(mail_of(TEXT), most) == lines


@pytest.mark.parametrize(
    "end",
    [
        "---\nv2: better\n",
        "-- \n2.47.1\n",
        a_diff(),
        "--- a/x.c\n+++ b/x.c\n",
        "A Person (2):\n  fix one\n  fix two\n",
    ],
)
def test_a_quote_ends_where_the_message_does(end: str) -> None:
    assert extract_quote(mail_of(f"One.\n\n{end}")) == ("One.",)


def test_trailers_are_left_out_wherever_they_stand() -> None:
    text = (
        'One.\nFixes: 0123 ("x")\nReported-by: B <b@example.org>\n\nNote: this is text.\nCc: c@example.org\n'
    )
    assert extract_quote(mail_of(text)) == ("One.", "", "Note: this is text.")


def test_who_the_author_is_in_a_message_sent_by_somebody_else_is_no_text() -> None:
    assert extract_quote(mail_of("From: B <b@example.org>\n\nOne.\n")) == ("One.",)
    assert extract_quote(mail_of("One.\n\nFrom: the beginning.\n")) == ("One.", "", "From: the beginning.")


def test_of_a_reply_only_its_sender_s_own_words_are_quoted() -> None:
    text = (
        "On Wed, 20 Sep 2023, B wrote:\n\nB <b@example.org> writes:\n> It breaks.\n> It does.\nNot here.\n\n"
        f"> Why?\n\nWhat about this?\n\n{a_diff()}"
    )
    assert extract_quote(mail_of(text, "Re: it breaks")) == ("Not here.", "", "What about this?")


def test_what_a_compiler_printed_is_a_patch_s_own_though_it_looks_quoted() -> None:
    text = "It says:\n\n>> x.c:1: warning: no\n   int x;\n"
    assert extract_quote(mail_of(text)) == ("It says:", "", ">> x.c:1: warning: no", "   int x;")


@pytest.mark.parametrize("text", ["", "\n\n", "Signed-off-by: A <a@example.org>\n", a_diff()])
def test_of_a_mail_without_words_nothing_is_quoted(text: str) -> None:
    assert extract_quote(mail_of(text)) == ()


def test_of_a_book_only_the_beginning_is_looked_at() -> None:
    assert len(extract_quote(mail_of("One.\n" * 10_000), max_lines=1000)) == 300
