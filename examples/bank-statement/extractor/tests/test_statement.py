"""Bank statuses and the statements of a document."""

import unittest

from extractor.failure import (
    AuthFailure,
    JobFailure,
    TemporaryFailure,
    ValidationFailure,
)
from extractor.ofx import parse
from extractor.statement import Defaults, check_status, statements
from extractor.tests.support import bank, document, extract, transaction


def status(code: str, severity: str = "ERROR", message: str = "") -> str:
    """The content of a STATUS aggregate."""
    return f"<CODE>{code}<SEVERITY>{severity}" + (
        f"<MESSAGE>{message}" if message else ""
    )


def answered(content: str) -> str:
    """A document whose statement has this status and no statement."""
    return document(f"<STMTTRNRS><TRNUID>1<STATUS>{content}</STATUS></STMTTRNRS>")


class Statuses(unittest.TestCase):
    def test_a_refused_sign_on_is_an_auth_failure_with_the_banks_words(self) -> None:
        for code in ("15500", "15501", "15502", "15512", "15000", "3000"):
            with self.subTest(code=code):
                text = document(sign_on=status(code, message="Wrong password."))
                with self.assertRaisesRegex(
                    AuthFailure,
                    f"^the sign-on has status {code}: Wrong password. Sign on",
                ):
                    check_status(parse(text))

    def test_a_password_that_must_change_is_an_auth_failure_although_it_is_info(
        self,
    ) -> None:
        with self.assertRaises(AuthFailure):
            check_status(parse(document(sign_on=status("15000", "INFO"))))

    def test_other_errors_have_the_class_that_their_code_calls_for(self) -> None:
        cases: "dict[str, type[JobFailure]]" = {
            "2000": TemporaryFailure,
            "2002": TemporaryFailure,
            "2001": ValidationFailure,
            "2003": ValidationFailure,
            "2004": ValidationFailure,
            "2020": ValidationFailure,
            "2027": ValidationFailure,
            "2028": ValidationFailure,
            "2005": AuthFailure,
            "3001": AuthFailure,
            "15599": AuthFailure,
            "15600": TemporaryFailure,
            "15500": AuthFailure,
            "6502": TemporaryFailure,
            "999999": TemporaryFailure,
            "oops": ValidationFailure,
            "": ValidationFailure,
            "9" * 5000: ValidationFailure,
        }
        for code, failure in cases.items():
            with self.subTest(code=code[:10]):
                with self.assertRaises(failure):
                    check_status(parse(answered(status(code))))
                with self.assertRaises(failure):
                    check_status(parse(answered(f"<CODE>{code}")))

    def test_the_sign_on_is_judged_before_the_statements(self) -> None:
        text = answered(status("2000")).replace("<CODE>0", "<CODE>15500", 1)
        with self.assertRaises(AuthFailure):
            check_status(parse(text))

    def test_success_and_notices_are_no_failures(self) -> None:
        self.assertEqual(check_status(parse(document(bank()))), [])
        self.assertEqual(check_status(parse("<OFX></OFX>")), [])
        self.assertEqual(
            check_status(parse(answered(status("2028", "WARN", "Some tags unknown")))),
            ["STMTTRNRS on line 2 has status 2028: Some tags unknown"],
        )
        self.assertEqual(len(check_status(parse(answered("<CODE>1")))), 1)


class Statements(unittest.TestCase):
    def test_bank_card_and_investment_accounts_are_found(self) -> None:
        text = document(
            bank(transaction(), account="<BANKID>9<ACCTID>77<ACCTTYPE>CHECKING"),
            "<CCSTMTTRNRS><CCSTMTRS><CURDEF>usd<CCACCTFROM><ACCTID>4111</CCACCTFROM>"
            f"<BANKTRANLIST>{transaction()}{transaction()}</BANKTRANLIST></CCSTMTRS></CCSTMTTRNRS>",
            "<INVSTMTTRNRS><INVSTMTRS><CURDEF>USD<INVACCTFROM><BROKERID>b<ACCTID>I1</INVACCTFROM>"
            "<INVTRANLIST><DTSTART>20240101<DTEND>20240201"
            "<BUYSTOCK><INVBUY><INVTRAN><FITID>9</INVTRAN></INVBUY></BUYSTOCK>"
            "<INCOME><INVTRAN><FITID>10</INVTRAN><TOTAL>2.00</INCOME>"
            f"<INVBANKTRAN>{transaction()}<SUBACCTFUND>CASH</INVBANKTRAN>"
            "</INVTRANLIST></INVSTMTRS></INVSTMTTRNRS>",
        )
        found = [
            (
                s.account.kind,
                s.account.number,
                s.currency,
                len(s.transactions),
                s.ignored_trades,
            )
            for s in statements(parse(text), Defaults())
        ]
        self.assertEqual(
            found,
            [
                ("bank", "77", "EUR", 1, 0),
                ("credit_card", "4111", "USD", 2, 0),
                ("investment", "I1", "USD", 1, 2),
            ],
        )

    def test_accounts_without_transactions_are_statements(self) -> None:
        listless = (
            bank(account="<ACCTID>1")
            .replace("<BANKTRANLIST>", "")
            .replace("</BANKTRANLIST>", "")
        )
        for text in (
            document(bank(), bank(account="<ACCTID>78")),
            document(listless, bank()),
        ):
            with self.subTest(text=text):
                result = extract(text)
                self.assertEqual(result.transactions, [])
                self.assertEqual([t.transactions for t in result.totals], [0, 0])

    def test_a_document_without_a_statement_is_refused(self) -> None:
        listing = "<ACCTINFORS><BANKACCTFROM><ACCTID>1</BANKACCTFROM></ACCTINFORS>"
        for text in ("<OFX></OFX>", document(), document(listing)):
            with self.subTest(text=text):
                with self.assertRaisesRegex(ValidationFailure, "holds no statement"):
                    statements(parse(text), Defaults())

    def test_a_transaction_outside_of_any_statement_is_refused(self) -> None:
        text = document(bank(), transaction())
        with self.assertRaisesRegex(ValidationFailure, "outside of any statement"):
            statements(parse(text), Defaults())

    def test_a_missing_account_is_refused_unless_there_is_a_default(self) -> None:
        for account in ("<ACCTID>", "<BANKID>9", ""):
            with self.subTest(account=account):
                root = parse(document(bank(transaction(), account=account)))
                with self.assertRaisesRegex(
                    ValidationFailure, "line 2 names no account"
                ):
                    statements(root, Defaults())
                found = statements(root, Defaults(account_id="mine"))
                self.assertEqual([s.account.number for s in found], ["mine"])


if __name__ == "__main__":
    unittest.main()
