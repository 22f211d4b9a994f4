"""The job as Moorline starts it: a process with an input document and an output directory."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import tempfile
import unittest
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any

from extractor.__main__ import MAX_STATEMENT_BYTES, OUTPUT_NAME
from extractor.tests.support import bank, document, transaction

JOB_DIR = Path(__file__).resolve().parents[2]
SPEC = json.loads((JOB_DIR / "job_spec.json").read_text(encoding="utf-8"))
PREFIX = "::moorline "


@dataclass
class Outcome:
    """What a process left: its exit code, reply lines, and files by name."""

    code: int
    replies: list[dict[str, Any]]
    files: dict[str, bytes]
    stderr: str

    @property
    def result(self) -> dict[str, Any]:
        """The one result."""
        (result,) = [reply for reply in self.replies if reply["type"] == "result"]
        return result


def run(
    statement: bytes | Path | None,
    environ: dict[str, str] | None = None,
    **changes: object,
) -> Outcome:
    """Runs the spec's own command; `changes` replace fields of the input document."""
    with tempfile.TemporaryDirectory() as directory:
        work, output = Path(directory), Path(directory, "out")
        output.mkdir()
        if isinstance(statement, bytes):
            (work / "statement.ofx").write_bytes(statement)
            statement = work / "statement.ofx"
        given = {"statement": {"path": str(statement), "name": "statement.ofx"}}
        fields: dict[str, object] = {
            "run_id": "run-1",
            "job_id": "bank-statement",
            "step": "extract",
            "attempt": 1,
            "mode": "real",
            "source_id": "river_bank",
            "params": SPEC["params"],
            "inputs": given if statement else {},
            "steps": {},
        }
        (work / "input.json").write_text(json.dumps({**fields, **changes}), "utf-8")
        contract = {
            "PATH": os.environ["PATH"],
            "LC_ALL": "C",
            "MOORLINE_PROTOCOL": "1",
            "MOORLINE_INPUT": str(work / "input.json"),
            "MOORLINE_OUTPUT_DIR": str(output),
        }
        done = subprocess.run(
            [sys.executable, *SPEC["steps"][0]["argv"][1:]],
            cwd=JOB_DIR,
            env={**contract, **(environ or {})},
            capture_output=True,
            encoding="utf-8",
            check=False,
        )
        replies = [
            json.loads(line[len(PREFIX) :])
            for line in done.stdout.splitlines()
            if line.startswith(PREFIX)
        ]
        files = {path.name: path.read_bytes() for path in output.iterdir()}
        return Outcome(done.returncode, replies, files, done.stderr)


class Success(unittest.TestCase):
    def test_the_sample_gives_the_sample_output(self) -> None:
        outcome = run(JOB_DIR / SPEC["inputs"]["statement"]["default"])
        self.assertEqual((outcome.code, outcome.stderr), (0, ""))
        written = outcome.files[OUTPUT_NAME].decode("utf-8")
        stamped = re.sub(
            '"ingested_at":"[^"]*"', '"ingested_at":"2026-03-02T11:15:30Z"', written
        )
        expected = (JOB_DIR / "sample_output.jsonl").read_text(encoding="utf-8")
        self.assertEqual(stamped, expected)
        amounts = [
            json.loads(line, parse_float=Decimal)["amount"]
            for line in written.splitlines()
        ]
        self.assertEqual(sum(amounts), Decimal("867.94"))

    def test_the_result_tells_count_and_totals_after_progress(self) -> None:
        outcome = run(JOB_DIR / "samples" / "statement.ofx")
        self.assertEqual(
            outcome.result,
            {
                "type": "result",
                "status": "success",
                "transaction_count": 7,
                "data": {
                    "accounts": [
                        {
                            "account_id": "000-415-7720",
                            "kind": "bank",
                            "transactions": 5,
                            "net": {"USD": "945.52"},
                        },
                        {
                            "account_id": "XXXXXXXXXXXX8843",
                            "kind": "credit_card",
                            "transactions": 2,
                            "net": {"USD": "-77.58"},
                        },
                    ],
                    "notes": [],
                },
            },
        )
        self.assertEqual(outcome.replies[-1], outcome.result)
        pcts = [reply["pct"] for reply in outcome.replies[:-1]]
        self.assertEqual(pcts, sorted(pcts))
        self.assertEqual(
            {reply["type"] for reply in outcome.replies[:-1]}, {"progress"}
        )

    def test_a_statement_without_transactions_gives_an_empty_output(self) -> None:
        outcome = run(document(bank(), bank(account="<ACCTID>78")).encode())
        self.assertEqual((outcome.code, outcome.files), (0, {OUTPUT_NAME: b""}))
        self.assertEqual(outcome.result["transaction_count"], 0)

    def test_parameters_stand_in_for_what_a_statement_leaves_out(self) -> None:
        text = document(bank(transaction(), account="<BANKID>1", currency=""))
        outcome = run(
            text.encode(),
            params={"default_account_id": "mine", "default_currency": "SEK"},
        )
        record = json.loads(outcome.files[OUTPUT_NAME])
        self.assertEqual((record["account_id"], record["currency"]), ("mine", "SEK"))

    def test_notes_go_to_the_log_and_to_the_result(self) -> None:
        outcome = run(document(bank(transaction(TRNAMT="5"))).encode())
        self.assertEqual(len(outcome.result["data"]["notes"]), 1)
        self.assertEqual(
            outcome.stderr, f"note: {outcome.result['data']['notes'][0]}\n"
        )

    def test_the_spec_declares_the_output_that_is_written(self) -> None:
        (output,) = SPEC["steps"][0]["outputs"]
        self.assertEqual(
            output, {"path": OUTPUT_NAME, "schema": "tx_v1", "format": "jsonl"}
        )


class Failure(unittest.TestCase):
    def failed(
        self, outcome: Outcome, failure_class: str, code: int, reason: str
    ) -> None:
        result = outcome.result
        self.assertEqual((result["status"], result["class"]), ("error", failure_class))
        self.assertRegex(result["reason"], reason)
        self.assertEqual((outcome.code, outcome.files, outcome.stderr), (code, {}, ""))

    def test_what_is_wrong_with_the_statement_is_validation(self) -> None:
        good = document(bank(transaction(FITID="a"), transaction(FITID="b")))
        cases = {
            "empty": (b"", "is empty"),
            "not OFX": (b"Date,Amount\n", "no <OFX> element"),
            "truncated": (good.encode()[:-60], "is truncated"),
            "no date": (
                good.replace("<DTPOSTED>20240301", "<DTPOSTED>").encode(),
                "DTPOSTED is missing",
            ),
            "no number": (
                good.replace("<TRNAMT>-1.00", "<TRNAMT>$120", 1).encode(),
                r"`\$120`",
            ),
            "too large": (b" " * (MAX_STATEMENT_BYTES + 1), "larger than 16 MiB"),
        }
        for name, (statement, reason) in cases.items():
            with self.subTest(name):
                self.failed(run(statement), "validation", 65, reason)

    def test_a_refused_sign_on_is_auth(self) -> None:
        text = document(sign_on="<CODE>15500<SEVERITY>ERROR<MESSAGE>Bad password")
        outcome = run(text.encode())
        self.failed(outcome, "auth", 77, "status 15500: Bad password")
        self.assertEqual(outcome.result["code"], "15500")

    def test_an_error_of_the_bank_is_temporary(self) -> None:
        text = document(
            "<STMTTRNRS><STATUS><CODE>2000<SEVERITY>ERROR</STATUS></STMTTRNRS>"
        )
        self.failed(run(text.encode()), "runtime", 75, "status 2000")

    def test_mock_mode_is_refused(self) -> None:
        """D-RUN-8: mock never stands in for work on given input."""
        statement = JOB_DIR / "samples" / "statement.ofx"
        self.failed(run(statement, mode="mock"), "config", 78, "mock mode")
        outcome = run(statement, environ={"MOORLINE_MODE": "mock"})
        self.failed(outcome, "config", 78, "mock mode")

    def test_a_start_that_can_not_work_is_config(self) -> None:
        statement = JOB_DIR / "samples" / "statement.ofx"
        cases = {
            "no input": (run(None), "--input statement=FILE"),
            "no file": (run(JOB_DIR / "samples" / "absent.ofx"), "can not be read"),
            "a directory": (run(JOB_DIR), "can not be read"),
            "no source": (run(statement, source_id=""), "no source_id"),
            "currency": (run(statement, params={"default_currency": "kr"}), "ISO 4217"),
            "account": (
                run(statement, params={"default_account_id": 415}),
                "give '\"415\"'",
            ),
            "no document": (
                run(statement, {"MOORLINE_INPUT": "/absent"}),
                "can not be read",
            ),
            "no environment": (run(statement, {"MOORLINE_INPUT": ""}), "is not set"),
            "protocol": (run(statement, {"MOORLINE_PROTOCOL": "2"}), "protocol 1 only"),
        }
        for name, (outcome, reason) in cases.items():
            with self.subTest(name):
                self.failed(outcome, "config", 78, reason)

    def test_an_output_directory_that_can_not_be_written_is_temporary(self) -> None:
        statement = JOB_DIR / "samples" / "statement.ofx"
        outcome = run(statement, {"MOORLINE_OUTPUT_DIR": "/proc/absent"})
        self.failed(outcome, "runtime", 75, "can not be written")


if __name__ == "__main__":
    unittest.main()
