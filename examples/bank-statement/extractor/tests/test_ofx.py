"""The reader: headers, SGML and XML forms, and files that are damaged."""

import unittest

from extractor.failure import ValidationFailure
from extractor.ofx import parse
from extractor.tests.support import (
    SGML_HEADER,
    XML_HEADER,
    bank,
    document,
    transaction,
)

RAW = {"OFX": {"STMTTRN": {"FITID": "7", "NAME": "A", "MEMO": "B"}}}


def raw(text: str) -> object:
    """The document as plain data."""
    root = parse(text)
    return {root.tag: root.raw()}


class Forms(unittest.TestCase):
    def test_every_way_to_write_a_document_reads_the_same(self) -> None:
        forms = {
            "unclosed": "<OFX><STMTTRN><FITID>7<NAME>A<MEMO>B</STMTTRN></OFX>",
            "closed": "<OFX><STMTTRN><FITID>7</FITID><NAME>A</NAME><MEMO>B</MEMO></STMTTRN></OFX>",
            "mixed": "<OFX><STMTTRN><FITID>7</FITID><NAME>A<MEMO>B</MEMO></STMTTRN></OFX>",
            "lower case": "<ofx><stmttrn><fitid>7<Name>A<memo>B</STMTTRN></ofx>",
            "white space": "\n <OFX >\n\t<STMTTRN>\n<FITID> 7 \n<NAME>A\n <MEMO>B </STMTTRN>\n</OFX>\n\n",
            "comments": "<OFX><!-- <STMTTRN> --><STMTTRN><FITID>7<!-- id --><NAME>A<MEMO>B</STMTTRN></OFX>",
            "cdata": "<OFX><STMTTRN><FITID>7</FITID><NAME><![CDATA[ A ]]></NAME><MEMO>B</MEMO></STMTTRN></OFX>",
            "attributes": '<OFX xmlns="urn:x"><STMTTRN><FITID>7<NAME>A<MEMO>B</STMTTRN></OFX>',
            "no end of the transaction": "<OFX><STMTTRN><FITID>7<NAME>A<MEMO>B</OFX>",
            "stray end": "<OFX><STMTTRN><FITID>7</FITID></FITID><NAME>A<MEMO>B</STMTTRN></OFX>",
        }
        for name, text in forms.items():
            with self.subTest(name):
                self.assertEqual(raw(text), RAW)

    def test_line_ends_do_not_matter(self) -> None:
        text = (
            SGML_HEADER
            + "<OFX>\n<STMTTRN>\n<FITID>7\n<NAME>A\n<MEMO>B\n</STMTTRN>\n</OFX>"
        )
        for end in ("\n", "\r\n", "\r", "\r\r\n"):
            with self.subTest(end=end):
                self.assertEqual(raw(text.replace("\n", end)), RAW)

    def test_headers_may_have_any_form_or_none(self) -> None:
        headers = {
            "SGML": SGML_HEADER,
            "XML": XML_HEADER,
            "none": "",
            "blank lines": "\n\n\r\n",
            "no blank line after it": SGML_HEADER.rstrip(),
            "another order": "\n".join(reversed(SGML_HEADER.splitlines())) + "\n",
            "one line": SGML_HEADER.replace("\n", ""),
            "byte order mark": "\ufeff" + SGML_HEADER,
        }
        for name, header in headers.items():
            with self.subTest(name):
                text = header + "<OFX><STMTTRN><FITID>7<NAME>A<MEMO>B</STMTTRN></OFX>"
                self.assertEqual(raw(text), RAW)

    def test_entities_become_characters_and_lone_ampersands_stay(self) -> None:
        cases = {
            "A &amp; B": "A & B",
            "&lt;x&gt;": "<x>",
            "Joe&#8217;s &#x20AC;5": "Joe’s €5",
            "&quot;a&apos;&nbsp;b": "\"a'\xa0b",
            "&#146;": "’",
            "&amp;amp;": "&amp;",
            "A&P R&D &notes; &copy 5 &;": "A&P R&D &notes; &copy 5 &;",
            "5 < 6 <> <3 a<b": "5 < 6 <> <3 a<b",
            "me <me@example.com>": "me <me@example.com>",
            "<![CDATA[<A> &amp; </A>]]>": "<A> &amp; </A>",
        }
        for text, expected in cases.items():
            with self.subTest(text=text):
                root = parse(f"<OFX><STMTTRN><NAME>{text}<MEMO>x</STMTTRN></OFX>")
                self.assertEqual(root.children[0].value("NAME"), expected)

    def test_empty_elements_take_nothing_from_their_neighbours(self) -> None:
        expected = {"OFX": {"STMTTRN": {"NAME": "", "MEMO": "", "FITID": "7"}}}
        forms = (
            "<OFX><STMTTRN><NAME><MEMO><FITID>7</STMTTRN></OFX>",
            "<OFX><STMTTRN>\n<NAME>\n<MEMO>\n<FITID>7\n</STMTTRN>\n</OFX>",
            "<OFX><STMTTRN><NAME></NAME><MEMO> </MEMO><FITID>7</STMTTRN></OFX>",
            "<OFX><STMTTRN><NAME/><MEMO /><FITID>7</FITID></STMTTRN></OFX>",
        )
        for text in forms:
            with self.subTest(text=text):
                self.assertEqual(raw(text), expected)

    def test_aggregates_nest_and_repeated_fields_are_lists(self) -> None:
        text = "<OFX><STMTTRN><PAYEE><NAME>A<CITY>C</PAYEE><X>1<X>2<X>3</STMTTRN></OFX>"
        self.assertEqual(
            raw(text),
            {
                "OFX": {
                    "STMTTRN": {
                        "PAYEE": {"NAME": "A", "CITY": "C"},
                        "X": ["1", "2", "3"],
                    }
                }
            },
        )

    def test_end_tags_that_banks_leave_out_are_implied(self) -> None:
        complete = document(bank(transaction(FITID="1"), transaction(FITID="2")))
        for left_out in ("</STMTTRN>", "</BANKTRANLIST>", "</STMTRS>", "</STATUS>"):
            with self.subTest(left_out=left_out):
                root = parse(complete.replace(left_out, ""))
                found = [e.value("FITID") for e in root.walk() if e.tag == "STMTTRN"]
                self.assertEqual(found, ["1", "2"])

    def test_elements_know_their_line(self) -> None:
        root = parse("\r\n\r\n<OFX>\r\n<NAME>two\r\nlines\r\n<MEMO>x</OFX>")
        self.assertEqual(
            [(e.tag, e.line) for e in root.walk()],
            [("OFX", 3), ("NAME", 4), ("MEMO", 6)],
        )


class Damage(unittest.TestCase):
    def refused(self, text: str, reason: str) -> None:
        with self.assertRaisesRegex(ValidationFailure, reason):
            parse(text)

    def test_other_files_are_named_for_what_they_are(self) -> None:
        cases = {
            "": "file is empty",
            " \r\n": "file is empty",
            "%PDF-1.7": "is a PDF",
            "PK\x03\x04": "is a ZIP",
            "\n<!DOCTYPE html><title>Sign in</title>": "is a web page",
            "!Type:Bank\nD1/1'24": "is a QIF file",
            '{"a": 1}': "is JSON",
            "Date,Amount\n2024-01-01,5": "has no <OFX> element",
            SGML_HEADER: "has no <OFX> element",
        }
        for text, reason in cases.items():
            with self.subTest(text=text):
                self.refused(text, reason)

    def test_a_file_cut_short_anywhere_is_refused(self) -> None:
        text = SGML_HEADER + document(bank(transaction(NAME="A &amp; B"))).rstrip()
        for length in range(len(text)):
            with self.subTest(length=length):
                with self.assertRaises(ValidationFailure):
                    parse(text[:length])

    def test_a_cut_is_described_by_where_it_is(self) -> None:
        text = document(bank(transaction(), transaction(MEMO="long")))
        self.refused(
            text[: text.index("long")], r"inside STMTTRN \(line 4\).*truncated"
        )
        self.refused("<OFX><!-- never ended", "truncated")
        self.refused("<OFX><NAME><![CDATA[never ended", "truncated")

    def test_what_could_hide_a_transaction_is_refused(self) -> None:
        one = transaction()
        whole = document(bank(one, one))
        never_begun = "</STMTTRN> ends what was never begun"
        cases = {
            "begin tag lost": (whole.replace("<STMTTRN>", ""), never_begun),
            "begin tag cut": (whole.replace("<STMTTRN>", "<STMTTRN"), never_begun),
            "begin tag broken": (whole.replace("<STMTTRN>", "<STMTTRX>"), never_begun),
            "text after a transaction": (whole.replace(one, one + "x"), "text between"),
            "two files in one": (whole + whole, "more than one OFX document"),
            "a file in a file": (whole.replace(one, whole), "more than one OFX"),
        }
        for name, (text, reason) in cases.items():
            with self.subTest(name):
                self.refused(text, reason)

    def test_nesting_without_end_is_refused(self) -> None:
        self.refused("<OFX>" + "<A>" * 100_000, "nest deeper than 64")


if __name__ == "__main__":
    unittest.main()
