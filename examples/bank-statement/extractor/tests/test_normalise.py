"""tx_v1 records: fields, money, and what is refused."""

import json
import unittest
from decimal import Decimal

from extractor.failure import ValidationFailure
from extractor.statement import Defaults
from extractor.tests.support import (
    SGML_HEADER,
    bank,
    document,
    extract,
    extract_one,
    transaction,
)


class Records(unittest.TestCase):
    def test_a_record_has_the_fields_of_tx_v1_and_no_others(self) -> None:
        result = extract_one(
            TRNTYPE="POS",
            DTPOSTED="20240301081500.000[-5:EST]",
            TRNAMT="-6.60",
            FITID="A1",
            NAME="Café  “R&amp;B”",
            MEMO="card 12",
        )
        line = result.transactions[0].json_line()
        self.assertEqual(
            line,
            '{"source_id":"river_bank","account_id":"77","transaction_id":"A1",'
            '"posted_at":"2024-03-01T08:15:00-05:00","amount":-6.60,"currency":"EUR",'
            '"description":"Café “R&B”","pending":false,"raw":{"TRNTYPE":"POS",'
            '"DTPOSTED":"20240301081500.000[-5:EST]","TRNAMT":"-6.60","FITID":"A1",'
            '"NAME":"Café  “R&B”","MEMO":"card 12"},"ingested_at":"2024-03-05T06:15:00Z",'
            '"extraction_run_id":"run-1"}\n',
        )
        json.loads(line)

    def test_amounts_are_written_as_exact_json_numbers(self) -> None:
        for text, literal in {
            "-0.10": "-0.10",
            "+12": "12",
            ",5": "0.5",
            "-00012,30": "-12.30",
            "90071992547409931.01": "90071992547409931.01",
            "-0.00": "0.00",
        }.items():
            with self.subTest(text=text):
                line = extract_one(TRNAMT=text).transactions[0].json_line()
                self.assertIn(f'"amount":{literal},', line)
                self.assertEqual(
                    json.loads(line, parse_float=Decimal)["amount"], Decimal(literal)
                )

    def test_sums_are_exact(self) -> None:
        cents = [transaction(FITID=f"c{n}", TRNAMT="0.10") for n in range(10)]
        large = transaction(FITID="l", TRNAMT="99999999999999999999999999.01")
        total = extract(document(bank(*cents, large))).totals[0]
        self.assertEqual(
            total.report()["net"], {"EUR": "100000000000000000000000000.01"}
        )

    def test_the_description_is_the_first_field_that_says_something(self) -> None:
        cases = (
            ({"NAME": "Shop", "MEMO": "memo"}, "Shop"),
            (
                {"NAME": "", "PAYEE": "<NAME>Payee<CITY>X</PAYEE>", "MEMO": "memo"},
                "Payee",
            ),
            ({"NAME": "", "PAYEE": "plain payee", "MEMO": "memo"}, "plain payee"),
            ({"NAME": "", "EXTDNAME": "Extended", "MEMO": "memo"}, "Extended"),
            ({"NAME": " ", "MEMO": "two\n  lines\x07"}, "two lines"),
            ({"NAME": "", "TRNTYPE": "CHECK", "CHECKNUM": "1000"}, "CHECK 1000"),
            ({"NAME": "", "TRNTYPE": ""}, "no description"),
        )
        for fields, expected in cases:
            with self.subTest(fields=fields):
                self.assertEqual(
                    extract_one(**fields).transactions[0].description, expected
                )

    def test_the_currency_is_the_one_that_the_amount_is_in(self) -> None:
        cases: tuple[tuple[dict[str, str], str], ...] = (
            ({}, "EUR"),
            ({"CURRENCY": "<CURRATE>1.1<CURSYM>usd</CURRENCY>"}, "USD"),
            ({"CURRENCY": "CHF"}, "CHF"),
            ({"ORIGCURRENCY": "<CURRATE>0.9<CURSYM>GBP</ORIGCURRENCY>"}, "EUR"),
        )
        for fields, expected in cases:
            with self.subTest(fields=fields):
                self.assertEqual(
                    extract_one(**fields).transactions[0].currency, expected
                )

    def test_a_missing_currency_needs_a_default(self) -> None:
        text = document(bank(transaction(), currency=""))
        with self.assertRaisesRegex(ValidationFailure, "no CURDEF: set the parameter"):
            extract(text)
        found = extract(text, Defaults(currency="SEK")).transactions
        self.assertEqual([t.currency for t in found], ["SEK"])
        self.assertEqual(extract(document(bank(currency=""))).transactions, [])

    def test_pending_transactions_are_marked(self) -> None:
        pending = (
            "<BANKTRANLISTP><DTASOF>20240401<STMTTRNP><TRNTYPE>POS<DTTRAN>20240401"
            "<TRNAMT>-3.00<NAME>Later</STMTTRNP></BANKTRANLISTP>"
        )
        text = document(
            bank(transaction()).replace("<LEDGERBAL>", pending + "<LEDGERBAL>")
        )
        found = [
            (t.pending, t.posted_at[:10], str(t.amount))
            for t in extract(text).transactions
        ]
        self.assertEqual(
            found, [(False, "2024-03-01", "-1.00"), (True, "2024-04-01", "-3.00")]
        )

    def test_accounts_that_share_a_number_are_told_apart(self) -> None:
        checking = bank(transaction(), account="<BANKID>9<ACCTID>77<ACCTTYPE>CHECKING")
        savings = bank(transaction(), account="<BANKID>9<ACCTID>77<ACCTTYPE>SAVINGS")
        found = [
            t.account_id for t in extract(document(checking, savings)).transactions
        ]
        self.assertEqual(found, ["bank/9/77/CHECKING", "bank/9/77/SAVINGS"])
        self.assertEqual(extract(document(checking)).transactions[0].account_id, "77")

    def test_charsets_reach_the_description(self) -> None:
        text = SGML_HEADER + document(bank(transaction(NAME="Bäcker Ö")))
        for charset in ("cp1252", "utf-8", "utf-8-sig"):
            with self.subTest(charset=charset):
                found = extract(text.encode(charset)).transactions[0]
                self.assertEqual(found.description, "Bäcker Ö")

    def test_signs_stay_as_written_and_odd_ones_are_noted(self) -> None:
        note = "1 amounts have another sign than their TRNTYPE: kept as written"
        cases: tuple[tuple[str, str, list[str]], ...] = (
            ("DEBIT", "5.00", [note]),
            ("CHECK", "5.00", [note]),
            ("CREDIT", "-5.00", [note]),
            ("DEP", "-5.00", [note]),
            ("DIRECTDEP", "-5.00", [note]),
            ("DEBIT", "-5.00", []),
            ("DEBIT", "0.00", []),
            ("CREDIT", "5.00", []),
            ("PAYMENT", "5.00", []),
            ("OTHER", "5.00", []),
        )
        for kind, amount, notes in cases:
            with self.subTest(kind=kind, amount=amount):
                result = extract_one(TRNTYPE=kind, TRNAMT=amount)
                self.assertEqual(str(result.transactions[0].amount), amount)
                self.assertEqual(result.notes, notes)


class Refusals(unittest.TestCase):
    def test_a_bad_transaction_is_named_with_everything_that_is_wrong(self) -> None:
        with self.assertRaises(ValidationFailure) as raised:
            extract(
                document(
                    bank(
                        transaction(FITID="good"),
                        transaction(FITID="bad", DTPOSTED="20240231", TRNAMT="$120"),
                        transaction(FITID="", DTPOSTED=""),
                    )
                )
            )
        self.assertEqual(
            str(raised.exception),
            "2 of 3 transactions can not be used: "
            "transaction 2 (FITID bad, line 4): DTPOSTED `20240231` is no date of the calendar "
            "(day is out of range for month); TRNAMT `$120` is not a decimal number; "
            "transaction 3 (line 5): DTPOSTED is missing",
        )

    def test_a_long_list_of_problems_is_cut(self) -> None:
        for count, ending in (
            (5, "is missing"),
            (6, "; and 1 more"),
            (50, "; and 45 more"),
        ):
            with self.subTest(count=count):
                bad = [transaction(FITID=f"f{n}", TRNAMT="") for n in range(count)]
                with self.assertRaises(ValidationFailure) as raised:
                    extract(document(bank(*bad)))
                reason = str(raised.exception)
                self.assertRegex(reason, f"^{count} of {count} .*{ending}$")
                self.assertEqual(reason.count("TRNAMT is missing"), min(count, 5))

    def test_transactions_that_damage_ran_together_are_refused(self) -> None:
        text = document(bank(transaction(FITID="1"), transaction(FITID="2")))
        with self.assertRaisesRegex(ValidationFailure, "TRNAMT occurs 2 times"):
            extract(text.replace("</STMTTRN>\n<STMTTRN>", ""))

    def test_a_currency_that_is_none_is_refused(self) -> None:
        for currency in ("EURO", "€", "12A", "ЕUR"):
            with self.subTest(currency=currency):
                text = document(bank(transaction(), currency=currency))
                with self.assertRaisesRegex(ValidationFailure, "not an ISO 4217 code"):
                    extract(text)


if __name__ == "__main__":
    unittest.main()
