"""A dict and a queue for the command line tool to look at."""

import modal

settings = modal.Dict.from_name("settings", create_if_missing=True)
settings["colour"] = "blue"
settings["sizes"] = [1, 2]
queue = modal.Queue.from_name("work", create_if_missing=True)
queue.put_many(["one", "two"])
queue.put("three", partition="p")
