"""Moorline's process contract: the input document, and reply lines on standard output."""

from __future__ import annotations

import json
import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Mapping

from .failure import ConfigFailure, JobFailure
from .statement import Defaults

VERSION = "1"
_PREFIX = "::moorline "


@dataclass(frozen=True)
class Job:
    """What this run was given."""

    run_id: str
    source_id: str
    statement: Path
    statement_name: str
    output_dir: Path
    defaults: Defaults


def read_job(environ: Mapping[str, str]) -> Job:
    """Reads the input document that `MOORLINE_INPUT` names, or raises `ConfigFailure`."""
    if environ.get("MOORLINE_PROTOCOL", VERSION) != VERSION:
        raise ConfigFailure(f"this job speaks protocol {VERSION} only")
    document = _document(_required(environ, "MOORLINE_INPUT"))
    if "mock" in (document.get("mode"), environ.get("MOORLINE_MODE")):
        raise ConfigFailure(
            "mock mode never stands in for work on a given statement: run it real"
        )
    try:
        statement = document["inputs"]["statement"]
        path = Path(statement["path"])
        run_id, source_id = document["run_id"], document["source_id"]
    except (KeyError, TypeError) as error:
        raise ConfigFailure(
            f"the input document lacks {error}: give --input statement=FILE"
        ) from None
    if not source_id:
        raise ConfigFailure("the run has no source_id, which every transaction needs")
    return Job(
        run_id=run_id,
        source_id=source_id,
        statement=path,
        statement_name=str(statement.get("name") or path.name),
        output_dir=Path(_required(environ, "MOORLINE_OUTPUT_DIR")),
        defaults=_defaults(document.get("params") or {}),
    )


def _defaults(params: Mapping[str, Any]) -> Defaults:
    account_id = params.get("default_account_id") or ""
    if not isinstance(account_id, str):  # digits that JSON took for a number
        raise ConfigFailure(
            f"the parameter default_account_id is not text: give '\"{account_id}\"'"
        )
    currency = str(params.get("default_currency") or "")
    if currency and not re.fullmatch("[A-Z]{3}", currency):
        raise ConfigFailure(
            "the parameter default_currency is not an ISO 4217 code such as EUR"
        )
    return Defaults(account_id, currency)


def progress(task: str, pct: int) -> None:
    """Tells whoever watches the run what happens now."""
    _say({"type": "progress", "phase": "extract", "task": task, "pct": pct})


def succeeded(transaction_count: int, data: Mapping[str, Any]) -> None:
    """The run's one result, after the outputs are in place."""
    _say(
        {
            "type": "result",
            "status": "success",
            "transaction_count": transaction_count,
            "data": data,
        }
    )


def failed(failure: JobFailure) -> int:
    """The run's one result when it failed; returns the exit code that says the same."""
    code = {} if failure.code is None else {"code": str(failure.code)}
    _say(
        {
            "type": "result",
            "status": "error",
            "class": failure.failure_class,
            **code,
            "reason": str(failure),
        }
    )
    return failure.exit_code


def _say(message: Mapping[str, Any]) -> None:
    # ASCII only: the line must not depend on the locale of the sandbox.
    print(_PREFIX + json.dumps(message), flush=True)


def _required(environ: Mapping[str, str], name: str) -> str:
    value = environ.get(name)
    if not value:
        raise ConfigFailure(f"{name} is not set: start this job with `moorline run`")
    return value


def _document(path: str) -> dict[str, Any]:
    try:
        with open(path, encoding="utf-8") as file:
            document = json.load(file)
    except (OSError, ValueError) as error:
        raise ConfigFailure(
            f"the input document {os.fspath(path)} can not be read: {error}"
        ) from None
    if not isinstance(document, dict):
        raise ConfigFailure("the input document is not a JSON object")
    return document
