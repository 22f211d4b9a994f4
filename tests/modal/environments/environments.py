"""Environments and the settings of the workspace."""

import modal
from modal.exception import AlreadyExistsError, InvalidError, NotFoundError

environments = modal.Environment.objects


def refused(kind, call):
    try:
        call()
    except kind as error:
        return str(error)
    raise AssertionError(f"no {kind.__name__}")


assert modal.Environment.from_context().hydrate().name == "main"
environments.create("dev")
assert "already exists" in refused(AlreadyExistsError, lambda: environments.create("dev"))
refused(InvalidError, lambda: environments.create("en-dev"))
assert [one.name for one in environments.list()] == ["main", "dev"]

made = modal.Environment.from_name("made", create_if_missing=True).hydrate()
assert modal.Environment.from_name("made").hydrate().object_id == made.object_id
text = refused(NotFoundError, lambda: modal.Environment.from_name("nope").hydrate())
assert "Environment 'nope' not found" in text, text
text = refused(NotFoundError, lambda: modal.App.lookup("a", environment_name="nope"))
assert "Environment 'nope' not found" in text, text

# What is in an environment goes with it.
modal.Secret.objects.create("api", {"A": "1"}, environment_name="dev")
modal.App("job").deploy(environment_name="dev")
modal.Volume.objects.create("data", environment_name="dev")
modal.Queue.objects.create("jobs", environment_name="dev")
environments.delete("dev")
assert "not found" in refused(NotFoundError, lambda: environments.delete("dev"))
environments.create("dev")
refused(NotFoundError, lambda: modal.Secret.from_name("api", environment_name="dev").hydrate())
refused(NotFoundError, lambda: modal.App.lookup("job", environment_name="dev"))
refused(NotFoundError, modal.Volume.from_name("data", environment_name="dev").hydrate)
refused(NotFoundError, modal.Queue.from_name("jobs", environment_name="dev").hydrate)

# The workspace: its settings, its proxy tokens, its prices.
workspace = modal.Workspace.from_context().hydrate()
assert workspace.name == "emulator"
workspace.settings.set("default-environment", "made")
workspace.settings.set("image-builder-version", "2024.10")
settings = workspace.settings.list()
assert (settings.default_environment, settings.image_builder_version) == ("made", "2024.10")
assert modal.Environment.from_context().hydrate().name == "made"
workspace.settings.set("default-environment", "main")

token = workspace.proxy_tokens.create(name="edge")
assert token.token_id.startswith("wk-") and token.token_secret.startswith("ws-")
assert [one.name for one in workspace.proxy_tokens.list()] == ["edge"]
workspace.proxy_tokens.delete(token.token_id)
assert workspace.proxy_tokens.list() == []

assert set(workspace.billing.rates()) == {"container", "gpu"}
assert workspace.billing.summary().billed_cost == 0
