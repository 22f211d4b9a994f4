"""Secrets: made, looked up, checked for keys, changed, listed in pages, and deleted."""

import modal
from modal.exception import AlreadyExistsError, ConflictError, NotFoundError

secrets = modal.Secret.objects


def refused(kind, call):
    try:
        call()
    except kind as error:
        return str(error)
    raise AssertionError(f"no {kind.__name__}")


secrets.create("api", {"KEY": "tall-tale", "USER": "me"})
text = refused(AlreadyExistsError, lambda: secrets.create("api", {"KEY": "other"}))
assert "'api' already exists" in text, text
secrets.create("api", {"KEY": "other"}, allow_existing=True)

api = modal.Secret.from_name("api", required_keys=["KEY", "USER"]).hydrate()
info = api.info()
assert (info.name, info.created_by, info.environment_name) == ("api", "emulator", "main"), info
assert info.last_used is None

lacking = modal.Secret.from_name("api", required_keys=["KEY", "TOKEN", "URL"])
text = refused(ConflictError, lacking.hydrate)
assert "Secret is missing key(s): TOKEN, URL" in text, text
text = refused(NotFoundError, lambda: modal.Secret.from_name("nope").hydrate())
assert "Secret 'nope' not found" in text, text

api.update({"TOKEN": "t", "URL": "u"})
modal.Secret.from_name("api", required_keys=["KEY", "USER", "TOKEN", "URL"]).hydrate()

# More than one page, newest first.
for n in range(120):
    secrets.create(f"many-{n:03}", {"N": str(n)})
names = [secret.name for secret in secrets.list()]
assert names == [f"many-{n:03}" for n in reversed(range(120))] + ["api"], names
assert [secret.name for secret in secrets.list(max_objects=3)] == names[:3]

# An environment has secrets of its own.
modal.Environment.objects.create("dev")
refused(NotFoundError, lambda: modal.Secret.from_name("api", environment_name="dev").hydrate())
secrets.create("api", {"ONLY": "dev"}, environment_name="dev")
modal.Secret.from_name("api", environment_name="dev", required_keys=["ONLY"]).hydrate()

secrets.delete("api")
refused(NotFoundError, lambda: secrets.delete("api"))
secrets.delete("api", allow_missing=True)
modal.Secret.from_name("api", environment_name="dev").hydrate()

# From a dictionary: without an app, and as an app's own.
anonymous = modal.Secret.from_dict({"A": "1", "NOT": None}).hydrate()
assert anonymous.object_id.startswith("st-")
assert [secret.name for secret in secrets.list(environment_name="dev")] == ["api"]
