"""The deployed half of a Moorline schedule.

It starts nothing: whether a start may be made stands in the store of the installation, and this function can not
see it. It says that the time has come, in the app's log and in a queue of the environment. Entries of the queue
go away by themselves after a day.
"""

import json
import pathlib
import time

import modal


def due():
    here = pathlib.Path(__file__).with_suffix(".json")
    wish = json.loads(here.read_text())
    wish["at"] = time.time()
    print(json.dumps(wish, sort_keys=True), flush=True)
    queue = modal.Queue.from_name("moorline-due", create_if_missing=True)
    queue.put(wish, block=False, partition=wish["partition"])
