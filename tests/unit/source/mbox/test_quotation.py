import pytest

from matrix.source.mbox.message import Mail, extract_quote, parse_mail
from tests.fakes.mails import a_diff, a_mail, a_patch


def mail(text: str, subject: str = "[PATCH] fix it") -> Mail:
    found = parse_mail(a_mail(subject, text).encode())
    assert found is not None
    return found


TEXT = "One.\nTwo.\n\nThree.\n\nFour.\n"


def test_a_patch_s_message_is_quoted_without_trailers_diffstat_and_diff() -> None:
    assert extract_quote(mail(a_patch(text="It breaks.\n\nSo fix it."))) == ("It breaks.", "", "So fix it.")


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
    assert extract_quote(mail(TEXT), most) == lines


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
    assert extract_quote(mail(f"One.\n\n{end}")) == ("One.",)


def test_trailers_are_left_out_wherever_they_stand() -> None:
    text = (
        'One.\nFixes: 0123 ("x")\nReported-by: B <b@example.org>\n\nNote: this is text.\nCc: c@example.org\n'
    )
    assert extract_quote(mail(text)) == ("One.", "", "Note: this is text.")


def test_who_the_author_is_in_a_message_sent_by_somebody_else_is_no_text() -> None:
    assert extract_quote(mail("From: B <b@example.org>\n\nOne.\n")) == ("One.",)
    assert extract_quote(mail("One.\n\nFrom: the beginning.\n")) == ("One.", "", "From: the beginning.")


def test_of_a_reply_only_its_sender_s_own_words_are_quoted() -> None:
    text = (
        "On Wed, 20 Sep 2023, B wrote:\n\nB <b@example.org> writes:\n> It breaks.\n> It does.\nNot here.\n\n"
        f"> Why?\n\nWhat about this?\n\n{a_diff()}"
    )
    assert extract_quote(mail(text, "Re: it breaks")) == ("Not here.", "", "What about this?")


def test_what_a_compiler_printed_is_a_patch_s_own_though_it_looks_quoted() -> None:
    text = "It says:\n\n>> x.c:1: warning: no\n   int x;\n"
    assert extract_quote(mail(text)) == ("It says:", "", ">> x.c:1: warning: no", "   int x;")


@pytest.mark.parametrize("text", ["", "\n\n", "Signed-off-by: A <a@example.org>\n", a_diff()])
def test_of_a_mail_without_words_nothing_is_quoted(text: str) -> None:
    assert extract_quote(mail(text)) == ()


def test_of_a_book_only_the_beginning_is_looked_at() -> None:
    assert len(extract_quote(mail("One.\n" * 10_000), most=1000)) == 300
