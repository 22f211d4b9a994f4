"""Reads the columns of a CSV statement by any of the names that `columns.json` knows for each."""

from __future__ import annotations

import csv
import json
from pathlib import Path


def columns(directory: Path) -> dict[str, list[str]]:
    known: dict[str, list[str]] = json.loads((directory / "columns.json").read_text(encoding="utf-8"))
    return known


def read(statement: Path, known: dict[str, list[str]]) -> list[dict[str, str]]:
    """The rows of a statement; `KeyError` names the column that it lacks."""
    with statement.open(encoding="utf-8", newline="") as text:
        rows = csv.DictReader(text)
        header = rows.fieldnames or []
        names = {}
        for field, choices in known.items():
            found = [choice for choice in choices if choice in header]
            if not found:
                raise KeyError(field)
            names[field] = found[0]
        return [{field: row[name] for field, name in names.items()} for row in rows]
