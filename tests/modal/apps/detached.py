"""Work that outlives the program that began it."""

import modal

app = modal.App("left-alone", include_source=False)


@app.function(serialized=True, name="work", scaledown_window=2)
def work():
    import time

    time.sleep(1)
    return "done"


with app.run(detach=True):
    call = work.spawn()
    print(app.app_id)

# The client has left; the app has not.
assert call.get() == "done"
