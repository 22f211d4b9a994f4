"""Describes every source of a portfolio from a statement of each, with a program in the place of an agent."""

from __future__ import annotations

import csv
import json
import os
import sys
from pathlib import Path
from typing import Any


def reply(message: dict[str, Any]) -> None:
    print("::moorline " + json.dumps({"type": "result", **message}), flush=True)


def profile(path: Path) -> dict[str, Any]:
    text = path.read_text(encoding="utf-8")
    dialect = csv.Sniffer().sniff(text.splitlines()[0], delimiters=",;\t")
    rows = list(csv.DictReader(text.splitlines(), dialect=dialect))
    return {"delimiter": dialect.delimiter, "columns": list(rows[0]), "rows": len(rows)}


def main() -> int:
    document = json.loads(Path(os.environ["MOORLINE_INPUT"]).read_text(encoding="utf-8"))
    output = Path(os.environ["MOORLINE_OUTPUT_DIR"])
    spec = json.loads(
        (Path(os.environ["MOORLINE_JOB_DIR"]) / "job_spec.json").read_text(encoding="utf-8")
    )
    sources = [entity["source_id"] for entity in spec["portfolio"]["entities"]]
    found = {
        source: profile(Path(document["inputs"][source]["path"])) for source in sources
    }
    (output / "Portfolio.json").write_text(json.dumps(found, indent=2) + "\n", encoding="utf-8")
    rows = "".join(
        f"| {source} | {one['rows']} | {', '.join(one['columns'])} |\n" for source, one in found.items()
    )
    (output / "Portfolio.md").write_text(
        f"# Portfolio\n\n| source | rows | columns |\n|---|---|---|\n{rows}", encoding="utf-8"
    )
    reply({"status": "success", "data": {"sources": len(found)}})
    return 0


if __name__ == "__main__":
    sys.exit(main())
