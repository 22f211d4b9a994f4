"""Runs the tests of the extractor that was generated, in a sandbox of their own, and reports on them."""

from __future__ import annotations

import io
import json
import os
import shutil
import sys
import tempfile
import unittest
from pathlib import Path
from typing import Any


def reply(message: dict[str, Any]) -> None:
    print("::moorline " + json.dumps({"type": "result", **message}), flush=True)


def main() -> int:
    document = json.loads(Path(os.environ["MOORLINE_INPUT"]).read_text(encoding="utf-8"))
    generated = document["steps"]["generate"]["outputs"]
    with tempfile.TemporaryDirectory() as directory:
        # What the step before left, as the files of one package.
        for file in generated:
            _, _, path = file["path"].partition("/generate/artifact/")
            target = Path(directory) / path
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(file["path"], target)
        sys.path.insert(0, directory)
        tests = Path(directory) / "extractor" / "tests"
        suite = unittest.TestLoader().discover(str(tests), top_level_dir=str(tests))
        log = io.StringIO()
        result = unittest.TextTestRunner(stream=log).run(suite)
    if result.testsRun == 0 or not result.wasSuccessful():
        sys.stderr.write(log.getvalue())
        reason = f"{len(result.failures) + len(result.errors)} of {result.testsRun} tests failed"
        reply({"status": "error", "class": "validation", "reason": reason})
        return 65
    report = Path(os.environ["MOORLINE_OUTPUT_DIR"]) / "artifact" / "TEST_REPORT.md"
    report.parent.mkdir(parents=True)
    report.write_text(f"# Test report\n\n{result.testsRun} tests passed.\n", encoding="utf-8")
    reply({"status": "success", "data": {"tests": result.testsRun}})
    return 0


if __name__ == "__main__":
    sys.exit(main())
