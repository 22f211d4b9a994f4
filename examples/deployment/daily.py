"""Makes a daily job with a session out of a copy of `examples/bank-statement`, for docs/deployment.md.

`daily.py DIR` gives the spec a cadence, a session that expires, and the way in which a person refreshes it.
The extractor stays as it is: what is shown is what stands around it.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path


def main(job: Path) -> None:
    file = job / "job_spec.json"
    spec = json.loads(file.read_text(encoding="utf-8"))
    spec["cadence"] = {"type": "cron", "expr": "15 6 * * *"}
    spec["time_zone"] = "America/New_York"
    source = spec["portfolio"]["entities"][0]
    source["tier_hint"] = 2
    source["session_artifacts"] = [{"secret": "example-bank", "ttl_hours": 720, "warn_hours": 48}]
    source["reauth"] = {
        "instructions": "Sign on at the bank and save the session to session.txt in your home directory.",
        "argv": ["cat", str(Path.home() / "session.txt")],
    }
    spec["secrets"] = [
        {"name": "example-bank", "type": "session", "keys": ["EXAMPLE_BANK_SESSION"]}
    ]
    spec["steps"][0]["secrets"] = ["example-bank"]
    file.write_text(json.dumps(spec, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
