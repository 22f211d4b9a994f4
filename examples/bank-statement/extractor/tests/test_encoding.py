"""Bytes to text, whatever the header says."""

import unittest

from extractor.encoding import decode


class Decode(unittest.TestCase):
    def test_the_declared_charset_is_used_where_the_bytes_are_not_utf_8(self) -> None:
        cases = {
            b"CHARSET:1252\n\n<NAME>Caf\xe9 \x80 5": "Café € 5",
            b"CHARSET:8859-1\r\n<NAME>Caf\xe9": "Café",
            b"CHARSET: ISO-8859-15 \n<NAME>\xa4": "€",
            b"CHARSET:1251\n<NAME>\xcc\xe0\xe3\xe0\xe7\xe8\xed": "Магазин",
            b"CHARSET:1252COMPRESSION:NONE<NAME>\x80": "€",
            b'<?xml version="1.0" encoding="ISO-8859-1"?><NAME>M\xfcller': "Müller",
            b"<?xml version='1.0' encoding='Windows-1252'?><NAME>\x80": "€",
        }
        for data, name in cases.items():
            with self.subTest(data=data):
                self.assertEqual(decode(data).split("<NAME>")[1], name)

    def test_utf_8_is_recognised_against_the_header(self) -> None:
        data = "CHARSET:1252\n<NAME>Café €".encode()
        self.assertEqual(decode(data), "CHARSET:1252\n<NAME>Café €")

    def test_byte_order_marks_decide_and_are_no_part_of_the_text(self) -> None:
        text = "OFXHEADER:100 Ä"
        for charset in ("utf-8-sig", "utf-16"):
            with self.subTest(charset=charset):
                self.assertEqual(decode(text.encode(charset)), text)

    def test_no_bytes_are_refused(self) -> None:
        everything = bytes(range(256))
        headers = (b"", b"CHARSET:NONE\n", b"CHARSET:hex\n", b"CHARSET:UTF-8\n")
        for header in headers:
            with self.subTest(header=header):
                self.assertTrue(decode(header + everything))


if __name__ == "__main__":
    unittest.main()
