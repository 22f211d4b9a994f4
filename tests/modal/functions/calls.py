"""Calling functions in every way that the SDK has, in one app."""

import os
import time

import modal

app = modal.App("calls")
flags = modal.Dict.from_name("calls-flags", create_if_missing=True)


class Refused(Exception):
    """The user's own; the caller gets this very type."""

    def __init__(self, code):
        super().__init__(f"refused with {code}")
        self.code = code

    def __reduce__(self):
        return (Refused, (self.code,))


@app.function()
def square(x):
    return x * x


@app.function()
async def add(a, b=0):
    return a + b


@app.function()
def echo(value):
    return value


@app.function()
def fail(code):
    raise Refused(code)


@app.function()
def count(n):
    for i in range(n):
        yield i * 10


@app.function()
def count_and_fail():
    yield 1
    raise Refused(5)


@app.function(retries=modal.Retries(max_retries=2, initial_delay=1.0, backoff_coefficient=1.0))
def third_time(key):
    seen = flags.get(key, 0) + 1
    flags[key] = seen
    if seen < 3:
        raise ValueError(f"attempt {seen}")
    return seen


@app.function(timeout=1)
def slow():
    time.sleep(30)


@app.function()
def wait_for_cancel(key):
    flags[key] = "running"
    time.sleep(60)


@app.function()
def crash(code):
    os._exit(code)


@app.function()
def nested(x):
    return square.remote(x) + sum(square.map([1, 2]))


def wait(key):
    while key not in flags:
        time.sleep(0.05)


def raised(call, kind):
    try:
        call()
    except kind as error:
        return error
    raise AssertionError(f"no {kind.__name__}")


def main():
    assert square.remote(9) == 81
    assert add.remote(1, b=2) == 3
    assert square.local(3) == 9

    call = square.spawn(12)
    assert call.get() == 144
    again = modal.FunctionCall.from_id(call.object_id)
    assert again.get(timeout=5) == 144
    assert modal.FunctionCall.gather(square.spawn(2), square.spawn(3)) == [4, 9]

    assert list(square.map(range(1000))) == [i * i for i in range(1000)]
    assert sorted(square.map(range(20), order_outputs=False)) == [i * i for i in range(20)]
    assert list(add.starmap([(1, 2), (3, 4)])) == [3, 7]
    mixed = list(fail.map([1, 2], return_exceptions=True))
    assert [(type(error), error.code) for error in mixed] == [(Refused, 1), (Refused, 2)], mixed

    assert list(count.remote_gen(5)) == [0, 10, 20, 30, 40]
    stream = count_and_fail.remote_gen()
    assert next(stream) == 1
    assert raised(lambda: next(stream), Refused).code == 5

    error = raised(lambda: fail.remote(7), Refused)
    assert error.code == 7
    assert raised(lambda: fail.spawn(8).get(), Refused).code == 8

    big = os.urandom(3 << 20)
    assert echo.remote(big) == big
    assert echo.spawn(big[:20_000]).get() == big[:20_000]

    assert third_time.remote("sync") == 3
    assert third_time.spawn("spawned").get() == 3

    raised(slow.remote, modal.exception.FunctionTimeoutError)

    call = wait_for_cancel.spawn("cancelled")
    raised(lambda: call.get(timeout=0), TimeoutError)
    wait("cancelled")
    call.cancel()
    raised(lambda: call.get(timeout=10), modal.exception.RemoteError)

    error = raised(lambda: crash.remote(3), modal.exception.InternalFailure)
    assert "code 3" in str(error), error

    assert nested.remote(4) == 16 + 1 + 4

    stats = square.get_current_stats()
    assert stats.backlog == 0 and stats.num_total_runners >= 1, stats


if __name__ == "__main__":
    # By its name, as a container does, so that there is one class `Refused`.
    import calls

    with modal.enable_output(), calls.app.run():
        calls.main()
    print("calls: ok")
