"""What a server must have for its operations to succeed, made over its own API.

A `World` makes things when they are asked for and remembers them: runs, requests that wait for a decision,
artifacts in each state, a schedule behind its gates, a source, secrets, tokens, alerts. Nothing here is a test.
"""

from __future__ import annotations

import base64
import io
import json
import tarfile
from functools import cached_property
from typing import Any

import requests
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

Json = Any

#: The longest that anything is waited for, in waits of `WAIT` seconds each.
WAITS = 12
WAIT = 5

#: Who everything is done by.
ADA = "human:ada"
#: The schedule of the job `tide`.
SCHEDULE = "prod/tide"
#: The source that it reads.
SOURCE = "harbour"

HELLO = {
    "job_id": "hello",
    "steps": [{"name": "main", "argv": ["/bin/sh", "-c", "echo hello > $MOORLINE_OUTPUT_DIR/hello.txt"], "egress": "none"}],
}
SLEEPS = {
    "job_id": "sleeps",
    "steps": [
        {"name": "main", "argv": ["sleep", "600"], "egress": "none", "grace_seconds": 0},
    ],
}
ASKS = {
    "job_id": "asks",
    "steps": [{"name": "plan", "argv": ["/bin/true"], "egress": "none"}],
    "workflow": {
        "steps": {"plan": {"then": "approve"}},
        "gates": [
            {
                "name": "approve",
                "title": "Good?",
                "options": [
                    {"name": "approved", "to": "end"},
                    {"name": "rejected", "to": "reject"},
                ],
            }
        ],
    },
}
#: Reviewable, promotable, with a cadence that never comes due while tests run.
TIDE = {
    "job_id": "tide",
    "job_type": "task",
    "version": 1,
    "title": "The tide at the harbour",
    "time_zone": "UTC",
    "cadence": {"type": "cron", "expr": "0 0 29 2 *"},
    "egress": "none",
    "portfolio": {
        "entities": [
            {
                "source_id": SOURCE,
                "tier_hint": 2,
                "preferred_methods": ["csv_export"],
                "lookback_days": 30,
                "session_artifacts": [{"secret": "harbour", "ttl_hours": 720, "warn_hours": 48}],
                "reauth": {"instructions": "Sign on at the harbour.", "argv": ["/bin/true"]},
            }
        ]
    },
    "secrets": [{"name": "harbour", "type": "session", "keys": ["HARBOUR_SESSION"]}],
    "steps": [
        {
            "name": "tell",
            "argv": ["/bin/sh", "tell.sh"],
            "secrets": ["harbour"],
            "timeout_seconds": 60,
        }
    ],
}


class Unmade(Exception):
    """Something that the server did not let us make."""


class World:
    """A server, as a person with every role sees it."""

    def __init__(self, url: str, token: str) -> None:
        self.url = url.rstrip("/")
        self.token = token
        self._http = requests.Session()
        self._http.trust_env = False
        self._http.headers["Authorization"] = f"Bearer {token}"
        self._words = 0

    def call(self, method: str, path: str, body: Json = None, **given: Any) -> Json:
        """One request that must succeed; its document."""
        if body is not None:
            given["json"] = body
        answer = self._http.request(method, self.url + path, timeout=60, **given)
        if not answer.ok:
            raise Unmade(f"{method} {path}: {answer.status_code} {answer.text}")
        return answer.json() if answer.content else None

    def get(self, path: str) -> Json:
        return self.call("GET", path)

    def post(self, path: str, body: Json = None) -> Json:
        return self.call("POST", path, {} if body is None else body)

    def words(self) -> str:
        """Words that nobody said before."""
        self._words += 1
        return f"number {self._words}"

    @property
    def token_id(self) -> str:
        """The id of the token in use: `mlt_<project>_<id>_<secret>`, without the hyphens of a UUID."""
        return self.token.split("_")[2]

    # Jobs and runs.

    def upload(self, spec: Json, **files: str) -> str:
        """A job directory, as requests name it."""
        everything = {"job_spec.json": json.dumps(spec)}
        everything.update({name.replace("__", "."): text for name, text in files.items()})
        return self.call(
            "POST",
            "/v1/uploads",
            data=tar(everything),
            headers={"Content-Type": "application/x-tar"},
        )["upload"]

    def run(self, spec: Json) -> str:
        """A run that was just submitted."""
        return self.post("/v1/runs", {"job": self.upload(spec)})["run_id"]

    def rests(self, run: str) -> Json:
        """The summary of a run that is over or waits for a person."""
        for _ in range(WAITS):
            answer = self._http.get(
                f"{self.url}/v1/runs/{run}/summary",
                headers={"Prefer": f"wait={WAIT}"},
                timeout=60,
            )
            if answer.status_code == 200:
                return answer.json()
        raise Unmade(f"the run {run} does not end: {answer.status_code} {answer.text}")

    @cached_property
    def ended(self) -> str:
        """A run that is over."""
        run = self.run(HELLO)
        self.rests(run)
        return run

    @cached_property
    def asleep(self) -> str:
        """A run that goes on."""
        return self.run(SLEEPS)

    # Decisions.

    def pending(self) -> Json:
        """A request that nobody has decided."""
        run = self.run(ASKS)
        self.rests(run)
        [request] = self.get(f"/v1/approvals?run={run}")
        return request

    def kickoff(self) -> str:
        """A validation at its first checkpoint."""
        run = self.post("/kickoff", KICKOFF)["run_id"]
        self.rests(run)
        return run

    # Artifacts.

    @cached_property
    def key(self) -> Ed25519PrivateKey:
        """The key that Ada signs with, registered."""
        key = Ed25519PrivateKey.generate()
        change = {"add_key": public(key), "reason": "to sign with"}
        self.call("PUT", f"/v1/principals/{ADA}", change)
        return key

    def job(self) -> str:
        """A version of the job `tide` that was never there."""
        files = {
            "tell__sh": f"echo {self.words()}\n",
            "RUNBOOK__md": "# Runbook\n\nNothing to do.\n",
            "RISKS__md": "# Risks\n\nNone.\n",
            "TEST_REPORT__md": "# Test report\n\nIt was looked at.\n",
        }
        checked = self.post("/v1/jobs/check", {"job": self.upload(TIDE, **files)})
        schedule = dict(
            TIDE["cadence"],
            time_zone=TIDE["time_zone"],
            job_id=TIDE["job_id"],
            spec_hash=checked["spec_hash"],
        )
        return self.upload(TIDE, SCHEDULE__json=json.dumps(schedule), **files)

    def submitted(self) -> str:
        """An artifact that waits for a review."""
        return self.post("/v1/artifacts", {"dir": self.job()})["artifact"]["id"]

    def signature(self, artifact: str, decision: str, reason: str) -> Json:
        """What Ada signs, signed."""
        key = self.key
        asked = {"decision": decision, "reason": reason, "public_key": public(key)}
        attestation = self.post(f"/v1/artifacts/{artifact}/attestation", asked)
        # Canonical JSON (RFC 8785): there is no number in it.
        payload = json.dumps(
            attestation, sort_keys=True, separators=(",", ":"), ensure_ascii=False
        )
        signature = base64.b64encode(key.sign(payload.encode())).decode()
        return {"payload": payload, "public_key": public(key), "signature": signature}

    def decision(self, artifact: str, decision: str) -> Json:
        """The body of a decision."""
        reason = "read it"
        return {"reason": reason, "signature": self.signature(artifact, decision, reason)}

    def approved(self) -> str:
        """An artifact that may be promoted."""
        artifact = self.submitted()
        self.post(f"/v1/artifacts/{artifact}/approve", self.decision(artifact, "approve"))
        return artifact

    @cached_property
    def promoted(self) -> str:
        """What `prod` points to, with another one before it."""
        self.call("PUT", "/v1/secrets/harbour-session", dict(lane="prod", **secret("a session")))
        for _ in range(2):
            artifact = self.approved()
            self.post(
                f"/v1/artifacts/{artifact}/promote", {"lane": "prod", "reason": "it is time"}
            )
        return artifact

    # Schedules.

    @cached_property
    def verified(self) -> str:
        """A run that can pass the last gate of the schedule, of which the others are passed."""
        assert self.promoted
        for gate in ["check-secrets", "probe-egress"]:
            self.post(f"/v1/schedules/{SCHEDULE_IN_PATH}/gates/{gate}")
        asked = {"job": "live:tide", "lane": "prod", "mode": "real"}
        run = self.post("/v1/runs", asked)["run_id"]
        summary = self.rests(run)
        if summary["status"] != "success":
            raise Unmade(f"the first run: {summary}")
        return run

    @cached_property
    def gated(self) -> str:
        """The schedule, with every gate passed."""
        verify = {"run": self.verified, "note": "as at the harbour"}
        self.post(f"/v1/schedules/{SCHEDULE_IN_PATH}/gates/verify-run", verify)
        return SCHEDULE

    def enabled(self) -> str:
        """The schedule, enabled."""
        assert self.gated
        self.post(f"/v1/schedules/{SCHEDULE_IN_PATH}/enable", {"reason": "it is time"})
        return SCHEDULE

    def deployed(self) -> str:
        """The schedule, at Modal as well."""
        self.enabled()
        self.post(f"/v1/schedules/{SCHEDULE_IN_PATH}/deploy", {"reason": "it is time"})
        return SCHEDULE

    # What else there is.

    def secret(self) -> str:
        """A secret that nobody needs."""
        name = f"spare{self.words().split()[1]}"
        self.call("PUT", f"/v1/secrets/{name}", dict(lane="dev", **secret("a value")))
        return name

    def victim(self) -> str:
        """A token that nobody uses: its id."""
        asked = {"name": self.words().replace(" ", "-"), "days": 1, "reason": "to be revoked"}
        return self.post("/v1/tokens", asked)["record"]["id"]

    def person(self) -> str:
        """Somebody who may leave."""
        who = f"human:{self.words().replace(' ', '-')}"
        change = {"role": "approver", "reason": "reviews"}
        self.call("PUT", f"/v1/principals/{who}", change)
        return who

    def alert(self) -> str:
        """An alert that was delivered: its id."""
        self._http.post(f"{self.url}/v1/alerts/test", json={"destination": "ops"}, timeout=60)
        return self.get("/v1/alerts")[0]["id"]

    def undelivered(self) -> str:
        """An alert that was given up."""
        self._http.post(f"{self.url}/v1/alerts/test", json={"destination": "gone"}, timeout=60)
        return self.get("/v1/alerts")[0]["id"]

    @cached_property
    def emergency(self) -> str:
        """An emergency of a lane where nothing is."""
        which = {"choice": "call", "lane": "staging", "reason": "to see"}
        lines = self._http.post(
            f"{self.url}/v1/emergencies", json={"which": which}, timeout=60
        ).text.splitlines()
        self.release("lane:staging")
        return json.loads([line for line in lines if line][-1])["id"]

    def release(self, scope: str) -> None:
        """Lets start again what a stop held."""
        self.post("/v1/stops/release", {"scope": scope, "reason": "seen"})


#: `prod/tide` as one segment of a path.
SCHEDULE_IN_PATH = SCHEDULE.replace("/", "%2F")

KICKOFF = {
    "project_id": "5b0c9f1e-6f1f-4b7e-9a63-0d5a1c1f6a01",
    "user_id": "5b0c9f1e-6f1f-4b7e-9a63-0d5a1c1f6a02",
    "entrepreneur_input": "A quiet ferry timetable for small islands",
}


def secret(value: str) -> Json:
    """What sets a secret."""
    return {"values": {"HARBOUR_SESSION": value}, "reason": "to sign on"}


def public(key: Ed25519PrivateKey) -> str:
    """A public key as the API has it."""
    return base64.b64encode(key.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)).decode()


def tar(files: dict[str, str]) -> bytes:
    """A directory of these files, as a tar archive."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as archive:
        for name, text in files.items():
            data = text.encode()
            entry = tarfile.TarInfo(name)
            entry.size = len(data)
            entry.mode = 0o644
            archive.addfile(entry, io.BytesIO(data))
    return out.getvalue()
