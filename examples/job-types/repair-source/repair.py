"""Teaches the extractor the new names, and shows that it reads the old statement and the new one alike."""

from __future__ import annotations

import json
import os
import runpy
import shutil
import sys
from pathlib import Path
from typing import Any

JOB = Path(os.environ["MOORLINE_JOB_DIR"])


def reply(message: dict[str, Any]) -> None:
    print("::moorline " + json.dumps({"type": "result", **message}), flush=True)


def main() -> int:
    document = json.loads(Path(os.environ["MOORLINE_INPUT"]).read_text(encoding="utf-8"))
    renamed = document["steps"]["diagnose"]["data"]["renamed"]
    artifact = Path(os.environ["MOORLINE_OUTPUT_DIR"]) / "artifact"
    target = artifact / "extractor"
    target.mkdir(parents=True)
    extractor = runpy.run_path(str(JOB / "extractor" / "__main__.py"))
    known = extractor["columns"](JOB / "extractor")
    for choices in known.values():
        choices.extend(renamed[name] for name in list(choices) if name in renamed)
    (target / "columns.json").write_text(json.dumps(known, indent=2) + "\n", encoding="utf-8")
    shutil.copyfile(JOB / "extractor" / "__main__.py", target / "__main__.py")
    statements = [Path(document["inputs"][name]["path"]) for name in ("known", "broken")]
    try:
        old, new = (extractor["read"](statement, known) for statement in statements)
    except KeyError as missing:
        reply({"status": "error", "class": "validation", "reason": f"no column for {missing}"})
        return 65
    if old != new:
        reply({"status": "error", "class": "validation", "reason": "the statements differ"})
        return 65
    (artifact / "TEST_REPORT.md").write_text(
        f"# Test report\n\nBoth statements give the same {len(new)} rows.\n", encoding="utf-8"
    )
    reply({"status": "success", "data": {"rows": len(new)}})
    return 0


if __name__ == "__main__":
    sys.exit(main())
