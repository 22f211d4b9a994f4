"""Finds out which columns of a statement the extractor does not know, with a program in the place of an agent."""

from __future__ import annotations

import csv
import json
import os
import sys
from pathlib import Path
from typing import Any


def reply(message: dict[str, Any]) -> None:
    print("::moorline " + json.dumps({"type": "result", **message}), flush=True)


def header(path: str) -> list[str]:
    with Path(path).open(encoding="utf-8", newline="") as text:
        return next(csv.reader(text))


def main() -> int:
    document = json.loads(Path(os.environ["MOORLINE_INPUT"]).read_text(encoding="utf-8"))
    before = header(document["inputs"]["known"]["path"])
    after = header(document["inputs"]["broken"]["path"])
    if len(before) != len(after):
        reason = f"the statement has {len(after)} columns, it had {len(before)}"
        reply({"status": "error", "class": "validation", "reason": reason})
        return 65
    renamed = {old: new for old, new in zip(before, after, strict=True) if old != new}
    rows = "".join(f"* `{old}` is now `{new}`\n" for old, new in renamed.items())
    report = Path(os.environ["MOORLINE_OUTPUT_DIR"]) / "DIAGNOSIS.md"
    report.write_text(f"# What changed\n\n{rows or 'Nothing.'}", encoding="utf-8")
    reply({"status": "success", "data": {"renamed": renamed}})
    return 0


if __name__ == "__main__":
    sys.exit(main())
