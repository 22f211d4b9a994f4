"""An app that lives as long as its client's program."""

import modal

app = modal.App("short-lived", tags={"kind": "test"})
with app.run():
    inside = app.app_id
    assert app.get_tags() == {"kind": "test"}
    apps = modal.Environment.from_context().apps.list()
    assert inside in [one.app_id for one in apps]
after = [one.app_id for one in modal.Environment.from_context().apps.list()]
assert inside not in after, after

# An exception ends it, too.
try:
    with app.run():
        inside = app.app_id
        raise KeyError("on purpose")
except KeyError:
    pass
after = [one.app_id for one in modal.Environment.from_context().apps.list()]
assert inside not in after, after
