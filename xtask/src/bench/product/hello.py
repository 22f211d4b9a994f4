"""The smallest app: what `modal run` costs beside the client's own start."""

import modal

app = modal.App("hello")


@app.function()
def square(x):
    return x * x


@app.local_entrypoint()
def main():
    assert square.remote(9) == 81
