"""Describes a source from one statement of it, with a program in the place of an agent."""

from __future__ import annotations

import csv
import json
import os
import sys
from pathlib import Path
from typing import Any


def reply(message: dict[str, Any]) -> None:
    print("::moorline " + json.dumps({"type": "result", **message}), flush=True)


def main() -> int:
    document = json.loads(Path(os.environ["MOORLINE_INPUT"]).read_text(encoding="utf-8"))
    output = Path(os.environ["MOORLINE_OUTPUT_DIR"])
    statement = Path(document["inputs"]["sample"]["path"])
    with statement.open(encoding="utf-8", newline="") as text:
        rows = list(csv.DictReader(text))
    if not rows:
        reply({"status": "error", "class": "validation", "reason": "the statement has no rows"})
        return 65
    profile = {"source_id": document["source_id"], "columns": list(rows[0]), "rows": len(rows)}
    (output / "SourceProfile.json").write_text(json.dumps(profile, indent=2) + "\n", encoding="utf-8")
    names = ", ".join(f"`{name}`" for name in rows[0])
    (output / "SourceProfile.md").write_text(
        f"# {document['source_id']}\n\n{len(rows)} rows with the columns {names}.\n", encoding="utf-8"
    )
    reply({"status": "success", "data": profile})
    return 0


if __name__ == "__main__":
    sys.exit(main())
