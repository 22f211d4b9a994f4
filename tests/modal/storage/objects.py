"""Dicts and queues through the official SDK."""

import queue
import threading
import time

import modal
from modal.exception import AlreadyExistsError, InvalidError, NotFoundError


def raises(kind, call, *words):
    try:
        call()
    except kind as error:
        for word in words:
            assert word in str(error), f"{word!r} is not in {error}"
        return
    raise AssertionError(f"no {kind} was raised")


def dicts():
    raises(NotFoundError, lambda: modal.Dict.from_name("absent").hydrate(), "Dict 'absent' not found")
    modal.Dict.objects.create("named")
    raises(AlreadyExistsError, lambda: modal.Dict.objects.create("named"))
    assert [d.name for d in modal.Dict.objects.list()] == ["named"]
    named = modal.Dict.from_name("named")
    named["key"] = {"a": [1, 2.5, None]}
    assert modal.Dict.from_name("named")["key"] == {"a": [1, 2.5, None]}
    assert modal.Dict.from_id(named.object_id).get("key") == {"a": [1, 2.5, None]}
    modal.Dict.objects.delete("named")
    raises(NotFoundError, lambda: modal.Dict.from_name("named").hydrate())

    with modal.Dict.ephemeral() as d:
        assert d.len() == 0 and d.get("x") is None and d.get("x", 5) == 5
        raises(KeyError, lambda: d["x"])
        assert d.put("x", 1) is True
        assert d.put("x", 2, skip_if_exists=True) is False
        assert d["x"] == 1
        assert d.put("y", 2, skip_if_exists=True) is True
        d.update({("a", 1): "tuple"}, z=3)
        assert d.len() == 4 and "x" in d and d.contains("none") is False
        assert sorted(map(str, d.keys())) == ["('a', 1)", "x", "y", "z"]
        assert sorted(map(str, d.values())) == ["1", "2", "3", "tuple"]
        assert dict(d.items())[("a", 1)] == "tuple"
        assert d.pop("x") == 1 and d.pop("x", "gone") == "gone"
        raises(KeyError, lambda: d.pop("x"))
        d["large"] = b"\7" * 3_000_000
        assert d["large"] == b"\7" * 3_000_000
        d.clear()
        assert d.len() == 0


def queues():
    raises(NotFoundError, lambda: modal.Queue.from_name("absent").hydrate(), "Queue 'absent' not found")
    modal.Queue.objects.create("named")
    raises(AlreadyExistsError, lambda: modal.Queue.objects.create("named"))
    named = modal.Queue.from_name("named")
    named.put("kept")
    assert [q.name for q in modal.Queue.objects.list()] == ["named"]
    assert modal.Queue.from_id(named.object_id).get() == "kept"
    modal.Queue.objects.delete("named")
    raises(NotFoundError, lambda: named.len())

    with modal.Queue.ephemeral() as q:
        assert q.len() == 0 and q.get(block=False) is None and q.get_many(3, block=False) == []
        q.put_many([1, 2, 3])
        q.put("other", partition="p")
        assert (q.len(), q.len(partition="p"), q.len(total=True)) == (3, 1, 4)
        assert list(q.iterate()) == [1, 2, 3] and q.len() == 3
        assert q.get() == 1 and q.get_many(10) == [2, 3]
        assert q.get(partition="p") == "other"
        raises(InvalidError, lambda: q.put(1, partition="x" * 65))

        begun = time.monotonic()
        raises(queue.Empty, lambda: q.get(timeout=0.3))
        assert 0.2 < time.monotonic() - begun < 5

        # A waiting caller gets what is put later, at once, and each item goes to one caller.
        got = []
        waiting = [threading.Thread(target=lambda: got.append(q.get(timeout=20))) for _ in range(4)]
        for thread in waiting:
            thread.start()
        q.put_many(["a", "b", "c", "d"])
        for thread in waiting:
            thread.join()
        assert sorted(got) == ["a", "b", "c", "d"] and q.len() == 0

        # An iteration waits for the next item too.
        seen = []
        reading = threading.Thread(target=lambda: seen.extend(q.iterate(item_poll_timeout=2.0)))
        reading.start()
        q.put("one")
        q.put("two")
        reading.join()
        assert seen == ["one", "two"] and q.len() == 2

        q.clear()
        q.put_many(list(range(4999)))
        raises(queue.Full, lambda: q.put_many([1, 2], block=False))
        raises(queue.Full, lambda: q.put_many([1, 2], timeout=0.5))
        q.put(4999, block=False)
        assert q.len() == 5000
        assert list(q.iterate()) == list(range(5000))
        q.put("free", partition="p", partition_ttl=1)
        q.clear()
        assert q.len(total=True) == 1
        q.clear(all=True)
        assert q.len(total=True) == 0
        raises(Exception, lambda: q.put(b"x" * (1024 * 1024 + 1)), "1 MiB")


dicts()
queues()
