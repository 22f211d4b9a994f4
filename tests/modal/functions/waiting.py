"""A deployed function that runs on when the script has ended; prints the id of the call."""

import sys
import time

import modal

app = modal.App("waiting")
started = modal.Queue.from_name("waiting-started", create_if_missing=True)


@app.function()
def wait(attempts: str):
    started.put(attempts)
    time.sleep(600)


@app.function()
def twice(key: str):
    """Waits in its first container, and ends at once in the second."""
    marks = modal.Dict.from_name("waiting-marks", create_if_missing=True)
    if marks.put(key, 1, skip_if_exists=True):
        started.put(key)
        time.sleep(600)
    return "second"


if __name__ == "__main__":
    import waiting

    what = sys.argv[1]
    if what == "begin":
        waiting.app.deploy()
        waiting.wait.spawn("one")
        assert started.get(timeout=30) == "one"
    elif what == "preempt":
        waiting.app.deploy()
        call = waiting.twice.spawn("two")
        assert started.get(timeout=30) == "two"
        print(call.object_id)
    elif what == "result":
        assert modal.FunctionCall.from_id(sys.argv[2]).get(timeout=30) == "second"
    print("ok")
