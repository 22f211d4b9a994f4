"""Amounts and dates."""

import unittest
from datetime import timedelta

from extractor.values import parse_amount, parse_datetime, rfc3339


class Amounts(unittest.TestCase):
    def test_amounts_keep_the_digits_that_were_written(self) -> None:
        cases = {
            "-6.60": "-6.60",
            "-22.00": "-22.00",
            "+12": "12",
            "1234": "1234",
            "0.01": "0.01",
            ".5": "0.5",
            "-.05": "-0.05",
            "5.": "5",
            "12,34": "12.34",
            ",5": "0.5",
            "-00000000001500.0000": "-1500.0000",
            "123456789012345678901.23": "123456789012345678901.23",
            "0.123456789012345678901234567891": "0.123456789012345678901234567891",
        }
        for text, expected in cases.items():
            with self.subTest(text=text):
                self.assertEqual(format(parse_amount(text), "f"), expected)

    def test_zero_has_no_sign(self) -> None:
        for text, expected in {"-0": "0", "-0.00": "0.00", "+0,0": "0.0"}.items():
            with self.subTest(text=text):
                self.assertEqual(format(parse_amount(text), "f"), expected)

    def test_thousands_are_read_where_they_can_mean_nothing_else(self) -> None:
        cases = {
            "1,234.56": "1234.56",
            "-1.234,56": "-1234.56",
            "1,234,567": "1234567",
            "1.234.567": "1234567",
            "1,234,567.8": "1234567.8",
            "1234,567": "1234.567",
            "0,125": "0.125",
            "1.234": "1.234",
        }
        for text, expected in cases.items():
            with self.subTest(text=text):
                self.assertEqual(format(parse_amount(text), "f"), expected)

    def test_a_comma_that_may_mean_either_is_refused(self) -> None:
        for text in ("1,234", "-12,345", "+999,000"):
            with self.subTest(text=text):
                with self.assertRaisesRegex(ValueError, "thousands or a decimal comma"):
                    parse_amount(text)

    def test_what_is_no_number_is_refused(self) -> None:
        refused = (
            "$120 120$ 1e3 0x10 NaN -Infinity - + . , 1_000 --1 1-2 12.34- 1,23,456.00 "
            "1.2.3 1,234.567,890 ١٢ ½ −5"
        ).split() + ["1 234,56", "9" * 33, "- 5"]
        for text in refused:
            with self.subTest(text=text):
                with self.assertRaisesRegex(ValueError, "not a decimal number"):
                    parse_amount(text)

    def test_a_missing_amount_is_named_as_missing(self) -> None:
        with self.assertRaisesRegex(ValueError, "^is missing$"):
            parse_amount("")


class Dates(unittest.TestCase):
    def test_dates_become_rfc_3339_with_their_own_zone(self) -> None:
        cases = {
            "20240229": "2024-02-29T00:00:00Z",
            "202402291305": "2024-02-29T13:05:00Z",
            "20240229130559": "2024-02-29T13:05:59Z",
            "20240229130559.000": "2024-02-29T13:05:59Z",
            "20240229130559.25": "2024-02-29T13:05:59.250Z",
            "20240229130559:014": "2024-02-29T13:05:59.014Z",
            "20240229120000[0:GMT]": "2024-02-29T12:00:00Z",
            "20240229120000.000[-5:EST]": "2024-02-29T12:00:00-05:00",
            "20240229120000 [-05:EST]": "2024-02-29T12:00:00-05:00",
            "20240229[+9:JST]": "2024-02-29T00:00:00+09:00",
            "20240229120000[10]": "2024-02-29T12:00:00+10:00",
            "20240229120000[-3.5]": "2024-02-29T12:00:00-03:30",
            "20240229120000[-3.50:NST]": "2024-02-29T12:00:00-03:30",
            "20240229120000[+5.75:NPT]": "2024-02-29T12:00:00+05:45",
            "20240229120000[+5.30:IST]": "2024-02-29T12:00:00+05:30",
            "20240229120000[5:30]": "2024-02-29T12:00:00+05:30",
            "20240229120000[+0530:IST]": "2024-02-29T12:00:00+05:30",
            "20240229120000[-0:GMT]": "2024-02-29T12:00:00Z",
            "20240229120000[EST]": "2024-02-29T12:00:00-05:00",
            "20240229120000[]": "2024-02-29T12:00:00Z",
        }
        for text, expected in cases.items():
            with self.subTest(text=text):
                self.assertEqual(rfc3339(parse_datetime(text)), expected)

    def test_zones_given_by_name_alone_have_their_rfc_5322_offsets(self) -> None:
        hours = {"GMT": 0, "utc": 0, "EDT": -4, "EST": -5, "CDT": -5, "CST": -6}
        hours.update({"MDT": -6, "MST": -7, "PDT": -7, "PST": -8})
        for name, offset in hours.items():
            with self.subTest(name=name):
                moment = parse_datetime(f"20240229120000[{name}]")
                self.assertEqual(moment.utcoffset(), timedelta(hours=offset))

    def test_offsets_reach_as_far_as_zones_do(self) -> None:
        for text in ("20240229[14:LINT]", "20240229[-12]"):
            with self.subTest(text=text):
                parse_datetime(text)
        with self.assertRaisesRegex(ValueError, "more than 14 hours"):
            parse_datetime("20240229[14.25]")

    def test_what_is_no_date_is_refused_and_quoted(self) -> None:
        refused = (
            "20240230 20241301 00000000 0 201120000000 2024 2024-02-29 20240229240000 "
            "20240229126000 202402291 20240229120000[XYZ] 20240229120000[-15:X] "
            "20240229120000[-5:EST ٢٠٢٤٠٢٢٩ yesterday"
        ).split()
        for text in refused:
            with self.subTest(text=text):
                with self.assertRaises(ValueError) as raised:
                    parse_datetime(text)
                self.assertIn(text, str(raised.exception))

    def test_a_missing_date_is_named_as_missing(self) -> None:
        with self.assertRaisesRegex(ValueError, "^is missing$"):
            parse_datetime("")


if __name__ == "__main__":
    unittest.main()
