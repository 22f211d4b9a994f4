"""An emulator that keeps its world: before it stops, and after it started again."""

import sys

import modal

if sys.argv[1] == "before":
    modal.App("kept", tags={"a": "b"}).deploy(tag="one")
    modal.App("kept").deploy(tag="two")
    # Its client is gone without a word, and so is the emulator.
    modal.App.lookup("other", create_if_missing=True)
else:
    app = modal.App.lookup("kept")
    assert app.get_tags() == {}, app.get_tags()
    names = [one.name for one in modal.Environment.from_context().apps.list()]
    assert sorted(names) == ["kept", "other"], names
    modal.Secret.from_name("api", required_keys=["KEY"]).hydrate()
