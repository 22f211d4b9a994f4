"""A deployed app: looked up by name, called, redeployed, with schedules; and what a bad schedule gets."""

import sys
import time

import modal

app = modal.App("deployed")
fired = modal.Queue.from_name("deployed-fired", create_if_missing=True)


@app.function()
def greet(name="nobody"):
    return f"hello {name}"


@app.function(schedule=modal.Period(seconds=1))
def tick():
    fired.put(("tick", modal.current_function_call_id()))


@app.function(schedule=modal.Cron("0 6 * * *", timezone="America/New_York"))
def morning():
    fired.put("morning")


@app.cls()
class Model:
    factor: int = modal.parameter(default=1)

    @modal.method()
    def scale(self, x):
        return x * self.factor


def main():
    import deployed

    deployed.app.deploy()
    remote = modal.Function.from_name("deployed", "greet")
    assert remote.remote() == "hello nobody"
    assert remote.remote(name="modal") == "hello modal"
    assert modal.Cls.from_name("deployed", "Model")(factor=3).scale.remote(4) == 12
    for name in ("nothing", "Model"):
        try:
            modal.Function.from_name("deployed", name).remote()
        except modal.exception.NotFoundError as error:
            assert ("Cls" in str(error)) == (name == "Model"), error
        else:
            raise AssertionError(f"{name} was found")

    first = [fired.get(timeout=20), fired.get(timeout=20)]
    assert [what for what, _ in first] == ["tick", "tick"], first
    assert len({call for _, call in first}) == 2, "each firing is a call of its own"

    before = remote.info().timeout
    deployed.app.deploy()
    again = modal.Function.from_name("deployed", "greet").hydrate()
    assert again.object_id == remote.object_id
    assert remote.info().timeout == before
    assert fired.get(timeout=20)[0] == "tick", "schedules survive a redeploy"

    bad = modal.App("bad")
    bad.function(schedule=modal.Cron("every day"), serialized=True)(lambda: None)
    try:
        bad.deploy()
    except modal.exception.InvalidError as error:
        assert "five fields" in str(error), error
    else:
        raise AssertionError("a cron of two words was taken")


if __name__ == "__main__":
    main()
    print("deployed: ok")
