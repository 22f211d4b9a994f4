"""Second step: `report.md` from the words that `count` left and the data that it replied."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path

import step

document = step.read_input()
counted = document["steps"]["count"]
files = {file["name"]: Path(file["path"]) for file in counted["outputs"]}

step.progress("read words", 10)
words = Counter(json.loads(files["words.json"].read_text(encoding="utf-8")))
# By count, then by alphabet: the same words give the same report, byte for byte.
ranked = sorted(words.items(), key=lambda item: (-item[1], item[0]))
top = ranked[: document["params"]["top"]]

step.progress("write report", 60)
lines = [
    f"# {counted['data']['total']} words, {counted['data']['distinct']} different",
    "",
]
lines += [f"- {word}: {count}" for word, count in top]
step.output("report.md").write_text("\n".join(lines) + "\n", encoding="utf-8")

step.success({"listed": len(top)})
