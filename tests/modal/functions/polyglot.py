"""What the JavaScript scenario calls."""

import time

import modal

app = modal.App("polyglot")


@app.function()
def echo(value):
    return value


@app.function()
def fail():
    raise ValueError("of the user")


@app.function()
def sleep(seconds):
    time.sleep(seconds)


@app.cls()
class Model:
    factor: int = modal.parameter(default=2)

    @modal.method()
    def scale(self, x):
        return x * self.factor


if __name__ == "__main__":
    import polyglot

    polyglot.app.deploy()
    # The same payloads from Python: nothing but the format differs.
    import os

    if os.environ.get("MODAL_PAYLOAD_FORMAT") == "cbor":
        remote = modal.Function.from_name("polyglot", "echo")
        value = {"a": [1, 2.5, None, True, b"bytes"]}
        assert remote.remote(value) == value
        assert list(remote.map([1, 2])) == [1, 2]
        try:
            modal.Function.from_name("polyglot", "fail").remote()
        except modal.exception.RemoteError as error:
            assert "of the user" in str(error), error
        print("cbor: ok")
