"""The job: `python3 -m extractor` under `moorline run`.

Nothing is written before the whole statement is known to be good, and the output appears
under its name only when it is complete.
"""

from __future__ import annotations

import os
import sys
from datetime import datetime, timezone
from pathlib import Path
from typing import Iterable, Mapping

from . import protocol
from .encoding import decode
from .failure import ConfigFailure, JobFailure, TemporaryFailure, ValidationFailure
from .normalise import Extract, Stamp, normalise
from .ofx import parse
from .statement import check_status, statements

OUTPUT_NAME = "transactions.jsonl"
# Some 100,000 transactions; reading them takes 360 MiB of the 512 that the job may use.
MAX_STATEMENT_BYTES = 16 * 1024 * 1024


def main(environ: Mapping[str, str]) -> int:
    """Runs the job and returns its exit code."""
    try:
        job = protocol.read_job(environ)
        extract = _extract(job)
        protocol.progress("write transactions", 80)
        _write(job.output_dir, (t.json_line() for t in extract.transactions))
    except JobFailure as failure:
        return protocol.failed(failure)
    for note in extract.notes:
        print(f"note: {note}", file=sys.stderr)
    protocol.succeeded(
        len(extract.transactions),
        {
            "accounts": [total.report() for total in extract.totals],
            "notes": extract.notes,
        },
    )
    return 0


def _extract(job: protocol.Job) -> Extract:
    protocol.progress(f"read {job.statement_name}", 0)
    root = parse(decode(_read(job.statement)))
    protocol.progress("normalise transactions", 50)
    warnings = check_status(root)
    extract = normalise(
        statements(root, job.defaults),
        Stamp(
            source_id=job.source_id,
            run_id=job.run_id,
            ingested_at=datetime.now(timezone.utc),
        ),
    )
    extract.notes[:0] = warnings
    return extract


def _read(path: Path) -> bytes:
    try:
        with open(path, "rb") as file:
            data = file.read(MAX_STATEMENT_BYTES + 1)
    except OSError as error:
        raise ConfigFailure(f"the statement can not be read: {error}") from None
    if len(data) > MAX_STATEMENT_BYTES:
        raise ValidationFailure(
            f"the statement is larger than {MAX_STATEMENT_BYTES >> 20} MiB: "
            "download a shorter period"
        )
    return data


def _write(directory: Path, lines: Iterable[str]) -> None:
    """Writes the output under another name first: a reader sees all of it or nothing."""
    target = directory / OUTPUT_NAME
    partial = target.with_suffix(".partial")
    try:
        with open(partial, "w", encoding="utf-8", newline="\n") as file:
            file.writelines(lines)
            file.flush()
            os.fsync(file.fileno())
        os.replace(partial, target)
    except OSError as error:
        partial.unlink(missing_ok=True)
        raise TemporaryFailure(f"the output can not be written: {error}") from None


if __name__ == "__main__":
    sys.exit(main(os.environ))
