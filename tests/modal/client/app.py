"""What the Rust client calls: functions of every kind, deployed once."""

import time

import modal

app = modal.App("for-rust")
attempts = modal.Dict.from_name("for-rust-attempts", create_if_missing=True)


@app.function()
def square(x):
    return x * x


@app.function()
def greet(name, *, greeting="hello"):
    return {"text": f"{greeting} {name}", "length": len(name)}


@app.function()
def nothing():
    return None


@app.function()
def double(data):
    return data + data


@app.function()
def fail(text):
    raise ValueError(text)


@app.function()
def slow(seconds):
    time.sleep(seconds)
    return "done"


@app.function(timeout=1)
def too_slow():
    time.sleep(60)


@app.function()
def count(n):
    for i in range(n):
        yield {"i": i}


@app.function()
def count_then_fail(n):
    yield from range(n)
    raise ValueError("after the items")


@app.function(retries=modal.Retries(max_retries=2, initial_delay=1.0, backoff_coefficient=1.0))
def third_time(key):
    seen = attempts.get(key, 0) + 1
    attempts[key] = seen
    if seen < 3:
        raise ValueError(f"attempt {seen}")
    return seen


@app.cls()
class Scaler:
    factor: int = modal.parameter()
    label: str = modal.parameter(default="x")

    @modal.method()
    def scale(self, value):
        return [self.label, self.factor * value]

    @modal.method()
    def steps(self, n):
        for i in range(n):
            yield self.factor * i


@app.function()
@modal.fastapi_endpoint(requires_proxy_auth=True)
def hello(name: str = "nobody"):
    return {"hello": name}


@app.function()
def talk(n):
    for i in range(n):
        print(f"line {i}", flush=True)
    return n
