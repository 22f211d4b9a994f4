"""Volumes of both versions through the official SDK."""

import hashlib
import io
import os
import pathlib
import random
import sys
import tempfile

import modal
from modal.exception import AlreadyExistsError, ConflictError, InvalidError, NotFoundError
from modal.types import FileEntryType

MIB = 1024 * 1024


def raises(kind, call, *words):
    try:
        call()
    except kind as error:
        for word in words:
            assert word in str(error), f"{word!r} is not in {error}"
        return
    raise AssertionError(f"no {kind} was raised")


def paths(volume, path="/", recursive=True):
    return [entry.path for entry in volume.listdir(path, recursive=recursive)]


def read(volume, path):
    return b"".join(volume.read_file(path))


def objects():
    raises(NotFoundError, lambda: modal.Volume.from_name("absent").hydrate(), "Volume 'absent' not found")
    modal.Volume.objects.create("first", version=1)
    raises(AlreadyExistsError, lambda: modal.Volume.objects.create("first", version=1))
    modal.Volume.objects.create("first", allow_existing=True)
    raises(InvalidError, lambda: modal.Volume.from_name("first", version=2).hydrate(), "has version v1")
    modal.Volume.objects.create("second", version=2)
    assert [v.name for v in modal.Volume.objects.list()] == ["second", "first"]
    assert [v.name for v in modal.Volume.objects.list(max_objects=1)] == ["second"]
    volume = modal.Volume.from_name("first")
    volume.hydrate()
    info = volume.info()
    assert info.name == "first" and info.created_at is not None
    by_id = modal.Volume.from_id(volume.object_id)
    assert by_id.info().name == "first"
    modal.Volume.rename("first", "third")
    assert modal.Volume.from_name("third").hydrate().object_id == volume.object_id
    raises(NotFoundError, lambda: modal.Volume.from_name("first").hydrate())
    modal.Volume.objects.delete("third")
    modal.Volume.objects.delete("third", allow_missing=True)
    raises(NotFoundError, lambda: volume.listdir("/"))
    modal.Volume.objects.delete("second")
    assert modal.Volume.objects.list() == []


def files(version, work):
    with modal.Volume.ephemeral(version=version) as volume:
        assert paths(volume) == []
        local = work / f"tree{version}"
        (local / "in" / "deep").mkdir(parents=True)
        (local / "a.txt").write_text("a")
        (local / "in" / "b.sh").write_text("#!/bin/sh\n")
        (local / "in" / "b.sh").chmod(0o755)
        (local / "in" / "deep" / "empty").write_bytes(b"")
        with volume.batch_upload() as batch:
            batch.put_directory(local, "/tree")
            batch.put_file(io.BytesIO(b"from memory"), "/memory.bin")
            batch.put_file(local / "a.txt", "/same.txt")
        assert paths(volume) == [
            "memory.bin", "same.txt", "tree", "tree/a.txt", "tree/in", "tree/in/b.sh", "tree/in/deep",
            "tree/in/deep/empty",
        ]
        assert paths(volume, "/", recursive=False) == ["memory.bin", "same.txt", "tree"]
        assert paths(volume, "tree/in") == ["tree/in/b.sh", "tree/in/deep", "tree/in/deep/empty"]
        kinds = {entry.path: (entry.type, entry.size) for entry in volume.iterdir("/")}
        assert kinds["tree"][0] == FileEntryType.DIRECTORY
        assert kinds["memory.bin"] == (FileEntryType.FILE, 11)
        assert read(volume, "memory.bin") == b"from memory" and read(volume, "tree/in/deep/empty") == b""

        # Existing files are kept, unless forced; all or nothing.
        def put(force, *remote):
            with volume.batch_upload(force=force) as batch:
                for path in remote:
                    batch.put_file(io.BytesIO(b"new"), path)

        raises(FileExistsError, lambda: put(False, "/other.txt", "/same.txt"), "same.txt")
        assert "other.txt" not in paths(volume) and read(volume, "same.txt") == b"a"
        put(True, "/same.txt")
        assert read(volume, "same.txt") == b"new"
        raises(Exception, lambda: put(True, "/tree"), "directory")
        raises(Exception, lambda: put(True, "/../outside"), "..")

        raises(FileNotFoundError, lambda: read(volume, "absent"))
        raises(NotFoundError, lambda: volume.listdir("absent"))
        raises(FileNotFoundError, lambda: volume.remove_file("absent"))
        raises(Exception, lambda: volume.remove_file("tree"), "directory")
        volume.copy_files(["tree/a.txt"], "copied.txt")
        volume.copy_files(["tree/a.txt", "same.txt"], "tree/in/deep")
        assert read(volume, "copied.txt") == b"a"
        assert paths(volume, "tree/in/deep") == ["tree/in/deep/a.txt", "tree/in/deep/empty", "tree/in/deep/same.txt"]
        if version == 2:
            volume.copy_files(["tree/in"], "copy", recursive=True)
            assert read(volume, "copy/b.sh") == b"#!/bin/sh\n"
        volume.remove_file("memory.bin")
        volume.remove_file("tree", recursive=True)
        left = ["copied.txt", "same.txt"]
        assert [path for path in paths(volume) if not path.startswith("copy")] == left


def sizes(version):
    """Contents around the sizes at which the ways of sending change, with zero bytes at every place."""
    block = 8 * MIB
    random.seed(7)
    noise = random.randbytes(block + 5)
    contents = {
        "small": noise[:1000],
        "zeros": b"\0" * (2 * block + 3),
        "ends-in-zeros": noise[:100] + b"\0" * block + noise[:50] + b"\0" * 70,
        "exact": noise[:block],
        "one-more": noise[: block + 1],
        "repeats": noise[:block] * 2 + noise[:block],
        "blob": noise[: 4 * MIB],
    }
    with modal.Volume.ephemeral(version=version) as volume:
        with volume.batch_upload() as batch:
            for name, content in contents.items():
                batch.put_file(io.BytesIO(content), f"/{name}")
                batch.put_file(io.BytesIO(content), f"/again/{name}")
        for name, content in contents.items():
            assert read(volume, name) == content, name
            assert read(volume, f"again/{name}") == content, name
            back = io.BytesIO()
            assert volume.read_file_into_fileobj(name, back) == len(content)
            assert back.getvalue() == content, name
        # The same content under another name needs no bytes to be sent, and comes out the same.
        with volume.batch_upload() as batch:
            batch.put_file(io.BytesIO(contents["repeats"]), "/third")
        assert read(volume, "third") == contents["repeats"]


def main():
    with tempfile.TemporaryDirectory() as work:
        objects()
        for version in (1, 2):
            files(version, pathlib.Path(work))
            sizes(version)


main()
