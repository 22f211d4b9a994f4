"""Writes, or reads again what an emulator that has ended had stored."""

import io
import sys

import modal

create = sys.argv[1] == "write"
volume = modal.Volume.from_name("v", create_if_missing=create, version=2)
settings = modal.Dict.from_name("d", create_if_missing=create)
queue = modal.Queue.from_name("q", create_if_missing=create)

if create:
    with volume.batch_upload() as batch:
        batch.put_file(io.BytesIO(b"content"), "/dir/file")
    settings["key"] = [1, "two"]
    queue.put_many(["a", "b"])
    queue.put("c", partition="p")
else:
    assert b"".join(volume.read_file("dir/file")) == b"content"
    assert dict(settings.items()) == {"key": [1, "two"]}
    assert queue.get_many(5) == ["a", "b"] and queue.get(partition="p") == "c"
