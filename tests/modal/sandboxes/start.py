"""Starts a sandbox that waits, and tells its ids."""

import sys

import modal

app = modal.App.lookup(sys.argv[1], create_if_missing=True)
image = modal.Image.from_registry("alpine:3.21")
sb = modal.Sandbox.create("sleep", "600", app=app, image=image)
print(sb._get_task_id(), sb.object_id)
