"""What schemathesis is told about this API: real ids, requests that succeed, and what it must not break.

Loaded by `schemathesis.toml`. Three things are done to its traffic:

* Each operation gets an example, made from what `world.py` makes, that the server can do. Generated requests alone
  would meet little but 404.
* Every other generated request that fits the schema is given real ids where the API takes ids.
* A request that would end the session of the test itself (its own token or person, a stop of everything) is turned to
  something that was made to be ended. Nothing else about a request is changed.

A stream without an end is read for a moment.
"""

from __future__ import annotations

import hashlib
import hmac
import os
import re
import sys
import time
from pathlib import Path
from typing import Any, Callable

import requests
import schemathesis
import urllib3
from requests.adapters import HTTPAdapter

# This file is loaded by its path.
sys.path.insert(0, str(Path(__file__).parent))

import world as w  # noqa: E402

Json = Any
Example = dict[str, Any]

WORLD = w.World(os.environ["MOORLINE_URL"], os.environ["MOORLINE_TOKEN"])
#: What signs a request of `[server.incoming.billing]`.
HOOK_KEY = os.environ["BILLING_HOOK_KEY"].encode()

#: How long a stream without an end is read, in seconds.
MOMENT = 0.3

EXAMPLES: dict[str, Callable[[], Example]] = {}


def example(*names: str) -> Callable[[Callable[[], Example]], Callable[[], Example]]:
    """The example of these operations."""

    def register(make: Callable[[], Example]) -> Callable[[], Example]:
        EXAMPLES.update({name: make for name in names})
        return make

    return register


def path(**parameters: str) -> Example:
    return {"path_parameters": parameters}


def body(document: Json, **parameters: str) -> Example:
    return {"path_parameters": parameters, "body": document, "media_type": "application/json"}


def because(reason: str = "it is time", **more: Json) -> Json:
    return {"reason": reason, **more}


# What needs nothing.
for name in """
    job_list stop_list run_list event_list event_watch health approval_list artifact_list artifact_project
    schedule_list schedule_drift source_list secret_list principal_list principal_whoami token_list alert_list
    audit_list audit_verify audit_export emergency_list secret_audit openapi healthz readyz metrics
""".split():
    EXAMPLES[name] = dict

# Runs.
EXAMPLES |= {
    "job_check": lambda: body({"job": WORLD.upload(w.HELLO)}),
    "run_submit": lambda: body({"job": WORLD.upload(w.HELLO)}),
    "run_get": lambda: path(run=WORLD.ended),
    "run_wait": lambda: path(run=WORLD.ended),
    "run_logs": lambda: path(run=WORLD.ended),
    "run_output": lambda: {**path(run=WORLD.ended), "query": {"path": "hello.txt"}},
    "run_cancel": lambda: body(because(), run=WORLD.asleep),
    "run_retry": lambda: body(because(), run=WORLD.ended),
    "explain": lambda: body({"what": "run", "which": WORLD.ended}),
}

# Stops and emergencies, of what nobody needs.
EXAMPLES |= {
    "stop": lambda: body(because(scope="job:nothing")),
    "release": lambda: body(because(scope="job:nothing")),
    "emergency_run": lambda: body({"which": {"choice": "call", "lane": "staging", "reason": "to see"}}),
    "emergency_show": lambda: path(emergency=WORLD.emergency),
}


# Decisions.
@example("approval_show")
def _() -> Example:
    return path(approval=WORLD.pending()["id"])


@example("approval_decide")
def _() -> Example:
    return body({"option": "approved"}, approval=WORLD.pending()["id"])


@example("approval_link")
def _() -> Example:
    return body({"principal": w.ADA}, approval=WORLD.pending()["id"])


@example("kickoff")
def _() -> Example:
    return body(w.KICKOFF)


@example("status")
def _() -> Example:
    return path(run_id=WORLD.kickoff())


@example("hitl_approve")
def _() -> Example:
    run = WORLD.kickoff()
    checkpoint = WORLD.get(f"/status/{run}")["hitl_pending"]["checkpoint"]
    return body({"run_id": run, "checkpoint": checkpoint, "decision": "approved"})


# Artifacts.
def decided(operation: str, decision: str) -> None:
    def make() -> Example:
        artifact = WORLD.submitted()
        document = because("read it")
        if decision in ("approve", "security_review"):
            document = WORLD.decision(artifact, decision)
        elif decision == "request_changes":
            document["changes"] = ["say more"]
        return body(document, artifact=artifact)

    EXAMPLES[operation] = make


for name in ["approve", "reject", "request_changes", "security_review"]:
    decided(f"artifact_{name}", name)


@example("artifact_archive")
def _() -> Example:
    return body(because(), artifact=WORLD.approved())


@example("artifact_attest")
def _() -> Example:
    asked = because(decision="approve", public_key=w.public(WORLD.key))
    return body(asked, artifact=WORLD.submitted())


@example("artifact_promote")
def _() -> Example:
    return body(because(lane="staging"), artifact=WORLD.approved())


@example("artifact_rollback")
def _() -> Example:
    for _ in range(2):
        artifact = WORLD.approved()
        WORLD.post(f"/v1/artifacts/{artifact}/promote", because(lane="staging"))
    return body(because(lane="staging"), job_id="tide")


EXAMPLES |= {
    "artifact_submit": lambda: body({"dir": WORLD.job()}),
    "artifact_review": lambda: body({"dir": WORLD.job()}),
    "artifact_show": lambda: path(artifact=WORLD.promoted),
    "artifact_export": lambda: body({"out": "upload:new"}, artifact=WORLD.promoted),
    "artifact_verify": lambda: body({"artifact": WORLD.promoted}),
    "artifact_content": lambda: path(artifact=WORLD.promoted),
    "artifact_diff": lambda: path(artifact=WORLD.promoted),
    "artifact_history": lambda: {"path_parameters": {"job_id": "tide"}, "query": {"lane": "prod"}},
}

# Schedules and their gates.
EXAMPLES |= {
    "schedule_show": lambda: path(schedule=schedule()),
    "schedule_next": lambda: {**path(schedule=schedule()), "query": {"count": 3}},
    "schedule_enable": lambda: body(because(), schedule=schedule()),
    "schedule_disable": lambda: body(because(scope="job:nothing")),
    "schedule_run_now": lambda: body(because(), schedule=schedule(WORLD.enabled())),
    "schedule_deploy": lambda: body(because(), schedule=schedule(WORLD.enabled())),
    "schedule_undeploy": lambda: body(because(), schedule=schedule(WORLD.deployed())),
    "gate_show": lambda: path(schedule=schedule()),
    "gate_check_secrets": lambda: path(schedule=schedule()),
    "gate_probe_egress": lambda: path(schedule=schedule()),
    "gate_verify_run": lambda: body(
        {"run": WORLD.verified, "note": "as at the harbour"}, schedule=w.SCHEDULE_IN_PATH
    ),
}


def schedule(made: str = "") -> str:
    """The schedule with its gates passed, as one segment of a path: what we give is not escaped for us."""
    assert made or WORLD.gated
    return w.SCHEDULE_IN_PATH


@example("schedule_resume")
def _() -> Example:
    made = schedule(WORLD.enabled())
    WORLD.post(f"/v1/sources/{w.SOURCE}/pause", because("the harbour is closed"))
    WORLD.post(f"/v1/sources/{w.SOURCE}/resume", because("it is open", looked_into=True))
    return body(because(), schedule=made)


# Sources.
EXAMPLES |= {
    "source_show": lambda: path(source_id=source()),
    "source_pause": lambda: body(because(), source_id=source()),
    "source_resume": lambda: body(because(looked_into=True), source_id=source()),
    "reauth_begin": lambda: body({"lane": "prod"}, source_id=source()),
    "reauth_store": lambda: body(
        {"lane": "prod", "values": {"HARBOUR_SESSION": "another session"}}, source_id=source()
    ),
}


@example("reauth_probe")
def _() -> Example:
    where = f"/v1/sources/{source()}/reauth"
    WORLD.post(where, {"lane": "prod", "fresh": True})
    WORLD.post(f"{where}/session", {"lane": "prod", "values": {"HARBOUR_SESSION": "a fresh one"}})
    return body({"lane": "prod"}, source_id=w.SOURCE)


def source() -> str:
    """The source, after a run has read it."""
    assert WORLD.verified
    return w.SOURCE


# Secrets.
EXAMPLES |= {
    "secret_check": lambda: body({"job": WORLD.job()}),
    "secret_set": lambda: body(dict(lane="dev", **w.secret("a value")), secret="spare"),
    "secret_rotate": lambda: body(
        dict(lane="dev", **w.secret("another value")), secret=WORLD.secret()
    ),
    "secret_revoke": lambda: body(because(lane="dev", secret=WORLD.secret())),
}

# Who may do what.
EXAMPLES |= {
    "principal_get": lambda: path(principal=w.ADA),
    "principal_set": lambda: body(because(role="operator"), principal=WORLD.person()),
    "principal_remove": lambda: body(because("left"), principal=WORLD.person()),
    "token_create": lambda: body({"name": "laptop", "days": 1, "reason": "to work with"}),
    "token_revoke": lambda: body(because("lost"), token=WORLD.victim()),
}

# Alerts.
EXAMPLES |= {
    "alert_test": lambda: body({"destination": "ops"}),
    "alert_show": lambda: path(alert=WORLD.alert()),
    "alert_replay": lambda: body(because(), alert=WORLD.undelivered()),
}


# What is beside the list of operations.
@example("upload")
def _() -> Example:
    media = "application/octet-stream"
    return {"query": {"name": "may.csv"}, "body": b"1,2\n", "media_type": media}


def signed(ago: int) -> Json:
    """The headers of an empty object, as it is written, that was signed some seconds ago."""
    seconds = str(int(time.time()) - ago)
    mac = hmac.new(HOOK_KEY, f"{seconds}.{{}}".encode(), hashlib.sha256).hexdigest()
    return {"Moorline-Signature": f"t={seconds},v1={mac}"}


# What is signed alike is taken once: the two are never signed in the same second.
EXAMPLES |= {
    "hook_start": lambda: {"headers": signed(0), **body({}, name="billing")},
    "hook_start_in": lambda: {"headers": signed(100), **body({}, project="default", name="billing")},
}


@example("live")
def _() -> Example:
    return {
        "headers": {
            "Connection": "Upgrade",
            "Upgrade": "websocket",
            "Sec-WebSocket-Version": "13",
            "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==",
        }
    }


@schemathesis.hook
def before_add_examples(context: schemathesis.HookContext, examples: list[schemathesis.Case]) -> None:
    """The example of the operation."""
    operation = context.operation
    name = operation.definition.raw["operationId"]
    make = EXAMPLES.get(name)
    if make is not None:
        examples.append(operation.Case(**make()))


# Real ids in generated requests.

#: By name of the parameter of a path.
IDS: dict[str, Callable[[], list[str]]] = {
    "run": lambda: [WORLD.ended, "latest"],
    "run_id": lambda: [WORLD.ended],
    "approval": lambda: ids("/v1/approvals"),
    "artifact": lambda: [*ids("/v1/artifacts"), "live:tide", "latest"],
    "job_id": lambda: ["tide", "hello", "asks"],
    "schedule": lambda: [w.SCHEDULE_IN_PATH],
    "source_id": lambda: [w.SOURCE],
    "secret": lambda: ["harbour-session", "spare"],
    "principal": lambda: ["human:bob", "agent:codex", "ci:pipeline"],
    "alert": lambda: ids("/v1/alerts"),
    "emergency": lambda: ids("/v1/emergencies"),
    "token": lambda: [WORLD.victim()],
}
#: By name of the member of a body.
MEMBERS: dict[str, Callable[[], str]] = {
    "job": lambda: WORLD.upload(w.HELLO),
    "dir": lambda: WORLD.job(),
    "run": lambda: WORLD.ended,
}


def ids(collection: str) -> list[str]:
    return [row["id"] for row in WORLD.get(collection)]


_turns: dict[str, int] = {}


def turn(name: str) -> int:
    """How often this was asked before."""
    _turns[name] = _turns.get(name, -1) + 1
    return _turns[name]


@schemathesis.hook
def before_call(context: schemathesis.HookContext, case: schemathesis.Case, kwargs: dict[str, Any]) -> None:
    """Real ids in every other request that fits the schema; never what ends the test itself."""
    name = case.operation.definition.raw["operationId"]
    meta = case.meta
    if meta is not None and meta.generation.mode == schemathesis.GenerationMode.POSITIVE:
        number = turn(name)
        if number % 2 == 0:
            for parameter in list(case.path_parameters or {}):
                found = IDS[parameter]() if parameter in IDS else []
                if found:
                    case.path_parameters[parameter] = found[number // 2 % len(found)]
            if isinstance(case.body, dict):
                for member in MEMBERS.keys() & case.body.keys():
                    if isinstance(case.body[member], str):
                        case.body[member] = MEMBERS[member]()
    harmless(name, case)


def harmless(name: str, case: schemathesis.Case) -> None:
    """Turns what would end the test itself to something else."""
    parameters, document = case.path_parameters or {}, case.body
    given = document if isinstance(document, dict) else {}
    token = str(parameters.get("token") or "-")
    if name == "token_revoke" and WORLD.token_id.startswith(token.replace("-", "") or "-"):
        parameters["token"] = WORLD.victim()
    if name in ("principal_set", "principal_remove") and parameters.get("principal") == w.ADA:
        parameters["principal"] = "human:bob"
    # What does not fit the schema stays so.
    if name in ("stop", "schedule_disable") and re.fullmatch("all|lane:.+", str(given.get("scope"))):
        given["scope"] = "job:nothing"
    which = given.get("which")
    if name == "emergency_run" and isinstance(which, dict) and which.get("choice") == "call":
        if which.get("lane") in (None, "dev", "prod"):
            which["lane"] = "staging"


@schemathesis.hook
def after_call(context: schemathesis.HookContext, case: schemathesis.Case, response: schemathesis.Response) -> None:
    """What an emergency stopped may start again."""
    name = case.operation.definition.raw["operationId"]
    if name == "emergency_run" and response.status_code == 200:
        WORLD.release("lane:staging")


@schemathesis.hook
def filter_failure(
    context: schemathesis.HookContext, failure: Any, case: schemathesis.Case, response: schemathesis.Response
) -> bool:
    """What schemathesis takes for a failure and is none."""
    name = case.operation.definition.raw["operationId"]
    # Any status below 200 is a server error to it; this one is what was asked for (RFC 6455).
    if name == "live" and response.status_code == 101:
        return False
    # A preference that is not understood is ignored (RFC 7240, section 2).
    preference = (case.headers or {}).get("Prefer")
    ignored = preference is not None and not re.fullmatch("wait=[0-9]{1,2}", str(preference))
    return not (name == "run_wait" and ignored and response.status_code in (200, 202))


# Streams.

_send = HTTPAdapter.send


def send(self: HTTPAdapter, request: requests.PreparedRequest, **given: Any) -> requests.Response:
    """As it was, but a stream is read for a moment."""
    where = (request.url or "").split("?")
    if not where[0].endswith(("/v1/events/stream", "/logs")):
        return _send(self, request, **given)
    given["stream"] = True
    response = _send(self, request, **given)
    until = time.monotonic() + MOMENT
    read = b""
    try:
        response.raw._fp.fp.raw._sock.settimeout(MOMENT)
        for part in response.raw.stream(4096, decode_content=True):
            read += part
            if time.monotonic() > until:
                break
    except (AttributeError, TimeoutError, urllib3.exceptions.HTTPError):
        # Nothing more came in that time, or all of it was there already.
        pass
    response.raw.close()
    response._content = read
    response._content_consumed = True
    return response


# There is no hook around a request; this is where every one of them goes through.
HTTPAdapter.send = send


@schemathesis.serializer("application/x-tar")
def as_tar(context: schemathesis.SerializationContext, value: Any) -> Json:
    """What is generated is the archive itself."""
    return {"data": value if isinstance(value, bytes) else str(value).encode()}
