"""Deployments of an app: names, versions, tags, lookup, and what a stop leaves behind."""

import modal
from modal.exception import NotFoundError


def refused(kind, call):
    try:
        call()
    except kind as error:
        return str(error)
    raise AssertionError(f"no {kind.__name__}")


# Looked up before it exists, and made on demand.
text = refused(NotFoundError, lambda: modal.App.lookup("shop"))
assert "App 'shop' not found in environment 'main'" in text, text
made = modal.App.lookup("shop", create_if_missing=True)
assert made.app_id.startswith("ap-") and len(made.app_id) == 25
assert modal.App.lookup("shop").app_id == made.app_id

# A deployment takes the app of that name over.
app = modal.App("shop", tags={"team": "sales"})
app.deploy(tag="first")
assert app.app_id == made.app_id
assert app.get_tags() == {"team": "sales"}
app.set_tags({"team": "web", "tier": "2"})
assert app.get_tags() == {"team": "web", "tier": "2"}
app.deploy(tag="second")
assert app.app_id == made.app_id
# Tags are part of what is deployed.
assert app.get_tags() == {"team": "sales"}

# The same name in another environment is another app.
modal.Environment.objects.create("dev")
other = modal.App("shop")
other.deploy(environment_name="dev")
assert other.app_id != made.app_id
listed = modal.Environment.from_name("dev").apps.list()
assert [one.app_id for one in listed] == [other.app_id]

print(made.app_id)
