"""What the extractor must do with a statement of the bank."""

from __future__ import annotations

import tempfile
import unittest
from decimal import Decimal
from pathlib import Path

from extractor.__main__ import line, records

STATEMENT = "Date,Payee,Amount,Reference\n2026-03-02,Harbour Bakery,-4.20,A1\n"


class Extractor(unittest.TestCase):
    def read(self, text: str) -> list[str]:
        with tempfile.TemporaryDirectory() as directory:
            statement = Path(directory) / "statement.csv"
            statement.write_text(text, encoding="utf-8")
            found = list(records(statement, "first_bank", "2026-03-06T00:00:00Z"))
        self.assertTrue(all(isinstance(record["amount"], Decimal) for record in found))
        return [line(record) for record in found]

    def test_an_amount_keeps_its_digits(self) -> None:
        self.assertIn('"amount": -4.20,', self.read(STATEMENT)[0])

    def test_a_missing_column_is_an_error(self) -> None:
        with self.assertRaises(KeyError):
            self.read(STATEMENT.replace("Amount", "Sum"))


if __name__ == "__main__":
    unittest.main()
