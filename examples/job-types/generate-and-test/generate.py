"""Step 2 with a program in the place of an agent: writes the artifact that a person reviews.

The artifact's spec says how the source is read, and repeats what was decided word for word: Moorline
refuses the run (D-JOB-2) when it does not.
"""

from __future__ import annotations

import json
import os
import runpy
import shutil
import sys
from pathlib import Path
from typing import Any

JOB = Path(os.environ["MOORLINE_JOB_DIR"])
HOW = {
    "name": "extract",
    "argv": ["python3", "-B", "-m", "extractor"],
    "timeout_seconds": 60,
    "idempotent": True,
    "outputs": [{"path": "transactions.jsonl", "schema": "tx_v1", "format": "jsonl"}],
}


def reply(message: dict[str, Any]) -> None:
    print("::moorline " + json.dumps({"type": "result", **message}), flush=True)


def main() -> int:
    document = json.loads(Path(os.environ["MOORLINE_INPUT"]).read_text(encoding="utf-8"))
    artifact = Path(os.environ["MOORLINE_OUTPUT_DIR"]) / "artifact"
    shutil.copytree(JOB / "template", artifact / "extractor", copy_function=shutil.copyfile)
    decided = json.loads((JOB / "job_spec.json").read_text(encoding="utf-8"))
    decided["steps"] = [HOW]
    (artifact / "job_spec.json").write_text(json.dumps(decided, indent=2) + "\n", encoding="utf-8")
    (artifact / "RUNBOOK.md").write_text(
        "# Runbook\n\nDownload the statement as CSV and give it as the input `sample`.\n",
        encoding="utf-8",
    )
    (artifact / "RISKS.md").write_text(
        "# Risks\n\nThe bank may rename a column: the run then fails and publishes nothing.\n",
        encoding="utf-8",
    )
    extractor = runpy.run_path(str(artifact / "extractor" / "__main__.py"))
    sample = Path(document["inputs"]["sample"]["path"])
    found = list(extractor["records"](sample, document["source_id"], "2026-03-06T00:00:00Z"))
    (artifact / "sample_output.jsonl").write_text(
        "".join(extractor["line"](record) + "\n" for record in found), encoding="utf-8"
    )
    reply({"status": "success", "data": {"records": len(found)}})
    return 0


if __name__ == "__main__":
    sys.exit(main())
