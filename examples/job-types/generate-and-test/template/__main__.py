"""Turns a CSV statement into `tx_v1` records, one JSON object a line."""

from __future__ import annotations

import csv
import json
import os
import sys
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

COLUMNS = {"posted_at": "Date", "description": "Payee", "amount": "Amount", "id": "Reference"}
CURRENCY = "EUR"


def records(statement: Path, source_id: str, ingested_at: str) -> Iterator[dict[str, Any]]:
    """The records of a statement; `KeyError` when a column is not there."""
    with statement.open(encoding="utf-8", newline="") as rows:
        for row in csv.DictReader(rows):
            yield {
                "source_id": source_id,
                "account_id": "checking",
                "transaction_id": row[COLUMNS["id"]],
                "posted_at": row[COLUMNS["posted_at"]] + "T00:00:00Z",
                "ingested_at": ingested_at,
                "amount": Decimal(row[COLUMNS["amount"]]),
                "currency": CURRENCY,
                "description": row[COLUMNS["description"]],
                "raw": dict(row),
            }


def line(record: dict[str, Any]) -> str:
    """A record as JSON; the amount keeps its digits and is never a binary fraction."""
    amount = str(record["amount"])
    text = json.dumps({**record, "amount": "@amount"}, sort_keys=True)
    return text.replace('"@amount"', amount, 1)


def main() -> int:
    document = json.loads(Path(os.environ["MOORLINE_INPUT"]).read_text(encoding="utf-8"))
    statement = Path(document["inputs"]["sample"]["path"])
    lines = [
        line({**record, "extraction_run_id": document["run_id"]})
        for record in records(statement, document["source_id"], "2026-03-06T00:00:00Z")
    ]
    output = Path(os.environ["MOORLINE_OUTPUT_DIR"]) / "transactions.jsonl"
    output.write_text("".join(text + "\n" for text in lines), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
