"""What the world withholds: GPUs that come later, a limit of sandboxes, a container that is taken away."""

import threading
import time

import modal
from modal.exception import ResourceExhaustedError

app = modal.App.lookup("scarce", create_if_missing=True)
image = modal.Image.from_registry("alpine:3.21")

# The only T4 is held; the next sandbox begins when it is free.
first = modal.Sandbox.create("sleep", "600", app=app, image=image, gpu="T4")
begun = []


def second():
    sb = modal.Sandbox.create("true", app=app, image=image, gpu="T4")
    begun.append(time.monotonic())
    sb.wait()


thread = threading.Thread(target=second)
thread.start()
while len(list(modal.Sandbox.list(app_id=app.app_id))) < 2:
    time.sleep(0.05)
assert not begun
freed = time.monotonic()
first.terminate()
thread.join()
assert begun[0] >= freed

# The third of the sandboxes that start is taken away.
third = modal.Sandbox.create("sleep", "600", app=app, image=image)
third.wait(raise_on_termination=False)
assert third.returncode == 137

# No more than two at a time.
held = [modal.Sandbox.create("sleep", "600", app=app, image=image) for _ in range(2)]
try:
    modal.Sandbox.create("true", app=app, image=image)
    raise AssertionError("a third one was made")
except ResourceExhaustedError:
    pass
held[0].terminate(wait=True)
modal.Sandbox.create("true", app=app, image=image).wait()
held[1].terminate()
print("done")
