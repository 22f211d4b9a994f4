"""Classes with a life cycle and parameters; batches, concurrency, options, containers that can not begin."""

import asyncio
import os
import time

import modal

app = modal.App("classes")
seen = modal.Dict.from_name("classes-seen", create_if_missing=True)


@app.cls()
class Counter:
    start: int = modal.parameter(default=100)
    name: str = modal.parameter(default="nobody")

    @modal.enter()
    def begin(self):
        self.value = self.start

    @modal.method()
    def add(self, n):
        self.value += n
        return self.name, self.value

    @modal.method()
    def numbers(self):
        yield from range(3)

    @modal.exit()
    def end(self):
        seen[f"exit-{self.name}"] = self.value


@app.cls()
class Plain:
    @modal.method()
    def same(self, value):
        return value


@app.function()
@modal.batched(max_batch_size=4, wait_ms=500)
def batch(xs, ys):
    return [(x + y, len(xs)) for x, y in zip(xs, ys)]


@app.function(max_containers=1)
@modal.concurrent(max_inputs=5)
async def together(n):
    await asyncio.sleep(0.5)
    return n, os.environ["MODAL_TASK_ID"]


@app.function(max_containers=1)
@modal.concurrent(max_inputs=4)
def together_in_threads(n):
    time.sleep(0.3)
    return n * 2


@app.function(single_use_containers=True)
def once():
    return os.environ["MODAL_TASK_ID"]


@app.function()
def where():
    return os.environ["MODAL_TASK_ID"], os.environ.get("GREETING"), os.getcwd()


@app.cls()
class Broken:
    @modal.enter()
    def begin(self):
        raise RuntimeError("can not begin")

    @modal.method()
    def go(self):
        return 1


def raised(call, kind):
    try:
        call()
    except kind as error:
        return error
    raise AssertionError(f"no {kind.__name__}")


def main():
    counter = Counter()
    assert counter.add.remote(1) == ("nobody", 101)
    assert counter.add.remote(1) == ("nobody", 102), "the container keeps its state"
    other = Counter(start=5, name="five")
    assert other.add.remote(2) == ("five", 7)
    assert list(other.numbers.remote_gen()) == [0, 1, 2]
    assert list(other.add.map([1, 1])) in ([("five", 8), ("five", 9)], [("five", 9), ("five", 8)])
    assert Plain().same.remote({"a": 1}) == {"a": 1}

    sums = list(batch.starmap([(i, 10 * i) for i in range(8)]))
    assert [value for value, _ in sums] == [11 * i for i in range(8)], sums
    assert max(size for _, size in sums) == 4, sums
    assert batch.remote(1, 2) == (3, 1)

    together.remote(0)
    begun = time.monotonic()
    results = list(together.map(range(5)))
    assert time.monotonic() - begun < 2.0, "one after the other takes 2.5 s"
    assert [n for n, _ in results] == list(range(5)) and len({task for _, task in results}) == 1
    assert list(together_in_threads.map(range(8))) == [2 * n for n in range(8)]

    assert len({once.remote() for _ in range(2)}) == 2

    task, greeting, directory = where.remote()
    assert greeting is None and directory == "/root", (greeting, directory)
    variant = where.with_options(env={"GREETING": "hi"}, timeout=100)
    other_task, greeting, _ = variant.remote()
    assert greeting == "hi" and other_task != task
    more = Counter.with_options(scaledown_window=2)(start=1)
    assert more.add.remote(1) == ("nobody", 2)

    error = raised(lambda: Broken().go.remote(), RuntimeError)
    assert "can not begin" in str(error), error

    settings = where.autoscaler.update(min_containers=2, max_containers=3)
    assert (settings.min_containers, settings.max_containers) == (2, 3), settings
    while where.get_current_stats().num_total_runners < 2:
        time.sleep(0.05)
    settings = where.autoscaler.update(min_containers=None)
    assert where.autoscaler.settings().max_containers == 3


if __name__ == "__main__":
    import classes

    with modal.enable_output(), classes.app.run():
        classes.main()
    assert seen["exit-five"] == 9, "exit handlers run when the app stops"
    print("classes: ok")
