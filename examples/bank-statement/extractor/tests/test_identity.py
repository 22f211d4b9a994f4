"""Which transactions a file holds, and their ids."""

import unittest

from extractor.failure import ValidationFailure
from extractor.tests.support import bank, document, extract, transaction


def ids(*statements: str) -> "list[str]":
    """The transaction ids of a document with these statements."""
    return [t.transaction_id for t in extract(document(*statements)).transactions]


class Ids(unittest.TestCase):
    def test_the_banks_number_is_the_id(self) -> None:
        self.assertEqual(ids(bank(transaction(FITID="2024-A/7 x"))), ["2024-A/7 x"])

    def test_a_missing_number_gives_an_id_that_is_the_same_in_every_download(
        self,
    ) -> None:
        coffee, tea = transaction(FITID="", NAME="Coffee"), transaction(
            FITID="", NAME="Tea"
        )
        first = ids(bank(coffee, tea))
        self.assertEqual(ids(bank(tea)), [first[1]])
        self.assertEqual(ids(bank(tea, coffee)), first[::-1])
        for name in first:
            self.assertRegex(name, "^derived-[0-9a-f]{24}$")

    def test_a_number_of_zeros_is_a_missing_number(self) -> None:
        found = ids(
            bank(transaction(FITID="0", NAME="A"), transaction(FITID="000", NAME="B"))
        )
        self.assertEqual(len(set(found)), 2)
        self.assertTrue(all(name.startswith("derived-") for name in found))

    def test_one_number_on_different_transactions_gives_each_its_own_id(self) -> None:
        morning = transaction(FITID="5", TRNAMT="-1.10")
        evening = transaction(FITID="5", TRNAMT="-2.20")
        found = ids(bank(morning, evening, transaction(FITID="6")))
        self.assertEqual(len(set(found)), 3)
        self.assertRegex(found[0], "^5~[0-9a-f]{8}$")
        self.assertEqual(found[2], "6")
        self.assertEqual(ids(bank(evening, morning)), [found[1], found[0]])

    def test_postings_alike_in_one_statement_both_stand(self) -> None:
        ticket = transaction(FITID="5", TRNAMT="-2.75")
        result = extract(document(bank(ticket, ticket, ticket)))
        self.assertEqual(
            [t.transaction_id for t in result.transactions], ["5", "5~2", "5~3"]
        )
        self.assertEqual(result.totals[0].report()["net"], {"EUR": "-8.25"})
        blank = transaction(FITID="")
        self.assertEqual(len(set(ids(bank(blank, blank)))), 2)

    def test_the_same_number_in_two_accounts_is_no_conflict(self) -> None:
        self.assertEqual(
            ids(bank(transaction()), bank(transaction(), account="<ACCTID>78")),
            ["1", "1"],
        )

    def test_overlapping_statements_of_an_account_count_once(self) -> None:
        a, b, c = (transaction(FITID=fitid) for fitid in "abc")
        blank = transaction(FITID="", NAME="none")
        result = extract(document(bank(a, b, blank), bank(b, blank, c, c)))
        self.assertEqual(
            [t.transaction_id[:4] for t in result.transactions],
            ["a", "b", "deri", "c", "c~2"],
        )
        self.assertEqual(
            result.notes,
            ["2 transactions stand in two statements of one account: taken once"],
        )

    def test_an_id_made_here_never_hides_one_of_the_banks(self) -> None:
        twice = transaction(FITID="5")
        text = document(bank(twice, twice, transaction(FITID="5~2")))
        with self.assertRaisesRegex(
            ValidationFailure, "lines 4 and 5 both have .* 5~2"
        ):
            extract(text)


class Corrections(unittest.TestCase):
    old = transaction(FITID="1", TRNAMT="-10.00")
    other = transaction(FITID="2", TRNAMT="-0.01")
    replaced = transaction(
        FITID="9", TRNAMT="-11.00", CORRECTFITID="1", CORRECTACTION="REPLACE"
    )
    deleted = transaction(
        FITID="9", TRNAMT="-10.00", CORRECTFITID="1", CORRECTACTION="DELETE"
    )

    def test_a_replacement_takes_the_place_of_the_old_one_in_either_order(self) -> None:
        for listed in (
            (self.old, self.other, self.replaced),
            (self.replaced, self.other, self.old),
        ):
            with self.subTest(listed=listed):
                found = {
                    t.transaction_id: str(t.amount)
                    for t in extract(document(bank(*listed))).transactions
                }
                self.assertEqual(found, {"9": "-11.00", "2": "-0.01"})

    def test_a_deletion_leaves_neither(self) -> None:
        self.assertEqual(ids(bank(self.old, self.other, self.deleted)), ["2"])

    def test_a_correction_of_an_earlier_statement_is_taken_and_noted(self) -> None:
        result = extract(document(bank(self.replaced)))
        self.assertEqual([t.transaction_id for t in result.transactions], ["9"])
        self.assertIn("1 transactions correct earlier ones", result.notes[0])

    def test_a_transaction_that_corrects_its_own_number_stands(self) -> None:
        own = transaction(FITID="1", CORRECTFITID="1", CORRECTACTION="REPLACE")
        self.assertEqual(ids(bank(own)), ["1"])

    def test_a_correction_reaches_only_its_own_account(self) -> None:
        self.assertEqual(
            ids(bank(self.old), bank(self.replaced, account="<ACCTID>78")), ["1", "9"]
        )

    def test_corrections_that_leave_it_open_are_refused(self) -> None:
        again = transaction(FITID="10", CORRECTFITID="1", CORRECTACTION="REPLACE")
        unclear = transaction(FITID="10", CORRECTFITID="1", CORRECTACTION="MAYBE")
        for listed, reason in (
            ((self.replaced, again), "both correct"),
            ((unclear,), "neither"),
        ):
            with self.subTest(reason):
                with self.assertRaisesRegex(ValidationFailure, reason):
                    extract(document(bank(*listed)))


if __name__ == "__main__":
    unittest.main()
