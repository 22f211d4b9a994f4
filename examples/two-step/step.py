"""What both steps need of Moorline's process contract: the input document and reply lines."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Any, NoReturn


def read_input() -> dict[str, Any]:
    """The step's input document: `inputs`, `params`, and `steps`, what earlier steps left."""
    document: dict[str, Any] = json.loads(
        Path(os.environ["MOORLINE_INPUT"]).read_text(encoding="utf-8")
    )
    return document


def output(name: str) -> Path:
    """Where an output of this name is written."""
    return Path(os.environ["MOORLINE_OUTPUT_DIR"]) / name


def progress(task: str, pct: int) -> None:
    """Shows in the run's display while the step works."""
    _reply(
        {
            "type": "progress",
            "phase": os.environ["MOORLINE_STEP"],
            "task": task,
            "pct": pct,
        }
    )


def success(data: dict[str, Any]) -> None:
    """The step's one result. A later step finds `data` in its input document."""
    _reply({"type": "result", "status": "success", "data": data})


def invalid(reason: str) -> NoReturn:
    """Ends the step: its input can not be used. 65 is the exit code for that (sysexits)."""
    _reply(
        {"type": "result", "status": "error", "class": "validation", "reason": reason}
    )
    sys.exit(65)


def _reply(message: dict[str, Any]) -> None:
    print("::moorline " + json.dumps(message), flush=True)
