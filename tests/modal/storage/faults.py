"""One call of each kind whose first answer is lost."""

import io

import modal

with modal.Queue.ephemeral() as queue:
    queue.put("once")
    assert queue.get() == "once"
    assert queue.len() == 0
with modal.Volume.ephemeral(version=2) as volume:
    with volume.batch_upload() as batch:
        batch.put_file(io.BytesIO(b"content"), "/file")
    assert b"".join(volume.read_file("file")) == b"content"
with modal.Dict.ephemeral() as entries:
    entries["key"] = "value"
    assert entries.pop("key") == "value"
    assert entries.len() == 0
