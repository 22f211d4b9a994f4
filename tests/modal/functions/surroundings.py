"""What a function finds around it: volumes, secrets, files, image settings, its network, its own ids."""

import os
import pathlib
import socket
import tempfile

import modal

app = modal.App("surroundings")
local = pathlib.Path(tempfile.gettempdir()) / "surroundings-local"
if modal.is_local():
    (local / "sub").mkdir(parents=True, exist_ok=True)
    (local / "sub" / "file.txt").write_text("from the client")
    (local / "skip.pyc").write_text("not wanted")

volume = modal.Volume.from_name("surroundings-volume", create_if_missing=True)
image = (
    modal.Image.debian_slim()
    .env({"FROM_IMAGE": "image", "BOTH": "image"})
    .run_commands("echo built > /opt/built")
    .workdir("/srv")
    .add_local_dir(local, "/data", ignore=["*.pyc"])
)


@app.function(
    image=image,
    volumes={"/vol": volume},
    secrets=[modal.Secret.from_dict({"TOKEN": "s3cr3t", "BOTH": "secret"})],
    env={"PLAIN": "yes"},
)
def look():
    pathlib.Path("/vol/dir").mkdir(exist_ok=True)
    pathlib.Path("/vol/dir/made").write_text("in the container")
    volume.commit()
    pathlib.Path("/vol/late").write_text("committed at the exit")
    return {
        "env": {key: os.environ.get(key) for key in ("FROM_IMAGE", "BOTH", "TOKEN", "PLAIN")},
        "files": sorted(str(path) for path in pathlib.Path("/data").rglob("*") if path.is_file()),
        "text": pathlib.Path("/data/sub/file.txt").read_text(),
        "built": pathlib.Path("/opt/built").read_text(),
        "cwd": os.getcwd(),
        "remote": not modal.is_local(),
        "call": modal.current_function_call_id(),
        "input": modal.current_input_id(),
        "seen": pathlib.Path("/vol/given").read_text(),
    }


@app.function(volumes={"/only": volume.with_mount_options(read_only=True)})
def read_only():
    try:
        pathlib.Path("/only/x").write_text("x")
    except OSError as error:
        return type(error).__name__
    return "written"


@app.function(block_network=True)
def cut_off(value):
    try:
        socket.create_connection(("1.1.1.1", 53), timeout=2)
    except OSError:
        return value[::-1], square.remote(3)
    return "reached"


@app.function()
def square(x):
    return x * x


def main():
    with volume.batch_upload() as batch:
        batch.put_file(local / "sub" / "file.txt", "given")
    call = look.spawn()
    found = call.get()
    assert found["env"] == {
        "FROM_IMAGE": "image", "BOTH": "secret", "TOKEN": "s3cr3t", "PLAIN": "yes",
    }, found
    assert found["files"] == ["/data/sub/file.txt"] and found["text"] == "from the client", found
    assert found["built"] == "built\n" and found["cwd"] == "/srv" and found["remote"], found
    assert found["call"] == call.object_id and found["input"].startswith("in-"), found
    assert found["seen"] == "from the client", found
    assert b"".join(volume.read_file("dir/made")) == b"in the container"
    assert read_only.remote() == "OSError"
    big = os.urandom(3 << 20)
    assert cut_off.remote(big) == (big[::-1], 9)


if __name__ == "__main__":
    import surroundings

    with modal.enable_output(), surroundings.app.run():
        surroundings.main()
    assert b"".join(volume.read_file("late")) == b"committed at the exit"
    print("surroundings: ok")
