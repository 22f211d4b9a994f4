"""Builds an image of two layers; the second time both are found."""

import modal

app = modal.App.lookup("images", create_if_missing=True)
base = modal.Image.debian_slim().run_commands("cat /proc/sys/kernel/random/uuid | tee /id").build(app)
upper = modal.Image.from_id(base.object_id).run_commands("test -s /id && cat /id").build(app)
assert upper.object_id.startswith("im-")
