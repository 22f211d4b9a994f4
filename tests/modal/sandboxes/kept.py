"""A sandbox that ended and one that runs, looked at before and after the emulator was started anew."""

import sys

import modal
from modal.exception import NotFoundError, SandboxTerminatedError

app = modal.App.lookup("kept", create_if_missing=True)
image = modal.Image.from_registry("alpine:3.21")

if sys.argv[1] == "before":
    over = modal.Sandbox.create(
        "sh", "-c", "echo said; exit 3", app=app, image=image, tags={"n": "1"}, env={"WORD": "tall-tale"}
    )
    over.wait()
    runs = modal.Sandbox.create("sleep", "600", app=app, image=image, name="runs", env={"WORD": "tall-tale"})
    assert runs.exec("true").wait() == 0
    print(over.object_id, runs.object_id)
else:
    over, runs = (modal.Sandbox.from_id(id) for id in sys.argv[2:])
    assert over.poll() == 3 and over.stdout.read() == "said\n" and over.get_tags() == {"n": "1"}
    assert runs.poll() == 137
    try:
        runs.wait()
        raise AssertionError("not terminated")
    except SandboxTerminatedError:
        pass
    assert list(modal.Sandbox.list(app_id=app.app_id)) == []
    try:
        modal.Sandbox.from_name("kept", "runs")
        raise AssertionError("still named")
    except NotFoundError:
        pass
    modal.Sandbox.create("true", app=app, image=image, name="runs").wait()
