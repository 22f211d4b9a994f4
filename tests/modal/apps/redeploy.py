"""Code under one name: deployed, deployed again, rolled back, rolled over."""

import modal
import modal.runner
from modal.cli.entry_point import entrypoint_cli
from modal.exception import ConflictError


def deploy(answer, tag, staged=False):
    app = modal.App("answers", include_source=False)

    @app.function(serialized=True, name="answer")
    def give():
        print("giving", answer)
        return answer

    if answer > 1:

        @app.function(serialized=True, name="extra")
        def extra():
            return -answer

    return modal.runner.deploy_app(app, tag=tag, staged=staged).app_id


def tool(*args):
    """Runs the command line tool in this process: a process each costs a second."""
    entrypoint_cli(["app", *args], standalone_mode=False)


def ask(name="answer"):
    return modal.Function.from_name("answers", name).remote()


app_id = deploy(1, "one")
assert ask() == 1
function_id = modal.Function.from_name("answers", "answer").hydrate().object_id
assert deploy(2, "two") == app_id
assert (ask(), ask("extra")) == (2, -2)
# A function of the same name is the same object.
assert modal.Function.from_name("answers", "answer").hydrate().object_id == function_id
assert set(modal.App.lookup("answers").info().functions) == {"answer", "extra"}

# What is called by number is called as it was.
assert modal.Function.from_name("answers", "answer", version=1).remote() == 1

tool("rollback", "answers")
assert ask() == 1
try:
    ask("extra")
    raise AssertionError("the function of a version that is not in force")
except modal.exception.NotFoundError as error:
    assert "extra" in str(error), error
tool("rollback", "answers", "v2")
assert (ask(), ask("extra")) == (2, -2)
tool("rollover", "answers")
assert (ask(), ask("extra")) == (2, -2)
tool("rollover", "answers", "--strategy", "recreate")
assert ask() == 2
info = modal.App.lookup("answers").info()
assert info.lifecycle.version == 6, info

# A staged version waits until it is promoted.
deploy(3, "three", staged=True)
assert ask() == 2
tool("promote", "answers", "v7")
assert (ask(), ask("extra")) == (3, -3)

tool("stop", "answers", "--yes")
for call in (ask, lambda: modal.App.lookup("answers")):
    try:
        call()
        raise AssertionError("a stopped app")
    except (modal.exception.NotFoundError, ConflictError):
        pass
