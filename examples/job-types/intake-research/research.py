"""Step 1 with a program in the place of an agent: answers become three documents for a reviewer."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Any

ITEMS = ("scope", "cadence", "incremental", "method", "session", "failure_policy")


def reply(message: dict[str, Any]) -> None:
    print("::moorline " + json.dumps({"type": "result", **message}), flush=True)


def decided(item: str, answers: dict[str, dict[str, str]]) -> str:
    """How an item was decided; empty when nobody has decided it."""
    for how, words in (("answer", ""), ("default", "by default: "), ("deferred", "deferred: ")):
        if how in answers.get(item, {}):
            return words + answers[item][how]
    return ""


def main() -> int:
    document = json.loads(Path(os.environ["MOORLINE_INPUT"]).read_text(encoding="utf-8"))
    output = Path(os.environ["MOORLINE_OUTPUT_DIR"])
    answers = json.loads(Path(document["inputs"]["answers"]["path"]).read_text(encoding="utf-8"))
    open_items = [item for item in ITEMS if not decided(item, answers)]
    if open_items:
        reason = "undecided: " + ", ".join(open_items)
        reply({"status": "error", "class": "validation", "reason": reason})
        return 65
    rows = "\n".join(f"| {item} | {decided(item, answers)} |" for item in ITEMS)
    (output / "DecisionBrief.md").write_text(
        f"# Decisions\n\n| item | decision |\n|---|---|\n{rows}\n", encoding="utf-8"
    )
    (output / "SourcePlan.md").write_text(
        f"# {document['source_id']}\n\nRead by {decided('method', answers)}, "
        f"{decided('cadence', answers)}.\n",
        encoding="utf-8",
    )
    (output / "RiskAssessment.md").write_text(
        "# Risks\n\n* The bank changes the columns of its download: the run fails its validation and\n"
        "  publishes nothing.\n* A statement is downloaded twice: known transactions are dropped.\n",
        encoding="utf-8",
    )
    reply({"status": "success", "data": {"decided": len(ITEMS)}})
    return 0


if __name__ == "__main__":
    sys.exit(main())
