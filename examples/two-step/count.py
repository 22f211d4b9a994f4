"""First step: counts the words of the input `text` into `words.json`."""

from __future__ import annotations

import json
import re
from collections import Counter
from pathlib import Path

import step

try:
    text = Path(step.read_input()["inputs"]["text"]["path"]).read_text("utf-8")
except UnicodeDecodeError as error:
    step.invalid(f"the text is not UTF-8 ({error.reason} at byte {error.start})")

step.progress("count words", 50)
words = Counter(re.findall(r"[^\W\d_]+", text.lower()))
step.output("words.json").write_text(json.dumps(words), encoding="utf-8")

step.success({"total": sum(words.values()), "distinct": len(words)})
