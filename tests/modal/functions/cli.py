"""An app for the command line tool."""

import modal

app = modal.App("from-the-command-line")


@app.function()
def square(x: int):
    print(f"computing {x}")
    return x * x


@app.function()
@modal.fastapi_endpoint()
def page():
    return "served"


@app.local_entrypoint()
def main(x: int = 3):
    print("result:", square.remote(x))
