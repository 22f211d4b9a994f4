"""What containers cost: a report, a summary, and limits that refuse to spend more.

Prices and the workspace's limit are the emulator's; a second costs a thousand dollars.
"""

import datetime

import modal
from modal.exception import ResourceExhaustedError

UTC = datetime.timezone.utc
today = datetime.datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
tomorrow = today + datetime.timedelta(days=1)
workspace = modal.Workspace.from_context().hydrate()
assert workspace.billing.summary().metered_cost == 0

app = modal.App.lookup("spender", create_if_missing=True)
app.set_tags({"team": "a", "tier": "1"})
box = modal.Sandbox.create("sleep", "0.3", app=app)
box.wait()

(row,) = workspace.billing.report(start=today, end=tomorrow, tag_names=["team"])
assert (row.object_id, row.description, row.environment_name) == (app.app_id, "spender", "main")
assert row.tags == {"team": "a"} and row.interval_start == today, row
assert 200 < row.cost < 60_000 and row.cost == row.cost_by_resource["Container"], row
hours = workspace.billing.report(start=today, end=tomorrow, resolution="h")
assert abs(sum(hour.cost for hour in hours) - row.cost) < 1, hours
environment = modal.Environment.from_name("main").hydrate()
assert environment.billing.summary().metered_cost == workspace.billing.summary().billed_cost > 200

try:
    modal.Sandbox.create("true", app=app)
    raise AssertionError("more was spent than the limit allows")
except ResourceExhaustedError as error:
    assert "spend limit" in str(error), error
