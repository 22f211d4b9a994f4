"""Mock steps of the validation workflow: each stands for a crew of agents, and finds what it is told to.

What a real crew would find out is read from the parameter `hints`, so that every way through the workflow
can be walked: `resonance`, `zombie_ratio`, `spend_requested`, `blockers`, `confidence`, `ltv_cac`, `fit`.
After a change of direction the figure behind it is the one of `hints.after_pivot`. A hint that is `null`
leaves the figure out, as a crew does that could not measure it; `seconds` makes every crew take that long.
"""

from __future__ import annotations

import json
import os
import sys
import time
from pathlib import Path
from typing import Any

FIRST_SEGMENT = "island residents"
FIGURES = {
    "resonance": 0.45,
    "zombie_ratio": 0.2,
    "spend_requested": 0,
    "blockers": 0,
    "confidence": 0.8,
    "ltv_cac": 3.4,
    "fit": 0.8,
}

document: dict[str, Any] = json.loads(
    Path(os.environ["MOORLINE_INPUT"]).read_text(encoding="utf-8")
)
state: dict[str, Any] = document["state"]
hints: dict[str, Any] = state.get("hints") or {}


def say(message: dict[str, Any]) -> None:
    print("::moorline " + json.dumps(message), flush=True)


def figure(name: str, pivoted: bool = False) -> Any:
    """What the crew finds out; the default where nobody says otherwise."""
    if pivoted and name in hints.get("after_pivot", {}):
        return hints["after_pivot"][name]
    if pivoted:
        return FIGURES[name]
    return hints.get(name, FIGURES[name])


def measured(**figures: Any) -> dict[str, Any]:
    return {name: value for name, value in figures.items() if value is not None}


def founders_brief() -> dict[str, Any]:
    idea = state["entrepreneur_input"].strip()
    return {
        "founders_brief": {"idea": idea, "words": len(idea.split())},
        "segment": hints.get("segment", FIRST_SEGMENT),
    }


def experiment_plan() -> dict[str, Any]:
    plan = [f"ask ten {state['segment']} how they do it now", "show a landing page"]
    return {"experiment_plan": plan}


def customer_discovery() -> dict[str, Any]:
    others = ["day visitors", "ferry operators", "island shops"]
    return {
        "customer_profile": {"segment": state["segment"], "jobs": ["get home today"]},
        "segments": [other for other in others if other != state["segment"]],
    }


def pricing_test_plan() -> dict[str, Any]:
    return {"pricing_plan": {"prices": [state["price"], "49"], "people": 200}}


def pricing_test() -> dict[str, Any]:
    return {"pricing": {"chosen": state["pricing_plan"]["prices"][0], "conversion": "0.062"}}


def value_fit() -> dict[str, Any]:
    return {
        "value_map": {"offer": state["offer"], "relieves": ["missed connections"]},
        "fit": measured(score=figure("fit")),
    }


def campaign_plan() -> dict[str, Any]:
    return {"campaign_plan": {"segment": state["segment"], "budget": "120.00"}}


def campaign() -> dict[str, Any]:
    resonance = figure("resonance", state["segment"] != hints.get("segment", FIRST_SEGMENT))
    zombies = figure("zombie_ratio", state["offer"] != "full")
    evidence = measured(
        resonance=resonance,
        zombie_ratio=zombies,
        spend_requested=figure("spend_requested"),
    )
    return {"evidence": {**evidence, "offer_to_try": "timetable only"}}


def campaign_extension() -> dict[str, Any]:
    return {"evidence": {**state["evidence"], "spend_requested": 0, "people": 900}}


def feasibility() -> dict[str, Any]:
    found = measured(blockers=figure("blockers"), confidence=figure("confidence"))
    return {"feasibility": {**found, "smaller_offer": "timetable only"}}


def viability() -> dict[str, Any]:
    return {
        "unit_economics": {
            "price": state["price"],
            **measured(ltv_cac=figure("ltv_cac", state["price"] != "29")),
        }
    }


CREWS = {
    crew.__name__: crew
    for crew in (
        founders_brief,
        experiment_plan,
        customer_discovery,
        pricing_test_plan,
        pricing_test,
        value_fit,
        campaign_plan,
        campaign,
        campaign_extension,
        feasibility,
        viability,
    )
}

name = sys.argv[1]
begun = time.monotonic()


def progress(status: str, pct: int, **more: Any) -> None:
    row = {"type": "progress", "phase": os.environ.get("MOORLINE_PHASE", name), "crew": name}
    say({**row, "task": name.replace("_", " "), "status": status, "progress_pct": pct, **more})


progress("started", 0)
time.sleep(float(hints.get("seconds", 0)))
result = CREWS[name]()
for key, value in result.items():
    figures = value.items() if isinstance(value, dict) else ()
    for metric, number in figures:
        if isinstance(number, (int, float)) and not isinstance(number, bool):
            say({"type": "metric", "metric": metric, "value": number})
elapsed = int((time.monotonic() - begun) * 1000)
progress("completed", 100, duration_ms=elapsed, output={"produced": sorted(result)})
say({"type": "result", "status": "success", "data": result})
