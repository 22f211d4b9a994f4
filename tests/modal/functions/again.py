"""The app of `cli.py`, deployed by an emulator that ran earlier on the same state."""

import urllib.request

import modal

square = modal.Function.from_name("from-the-command-line", "square")
assert square.remote(5) == 25
page = modal.Function.from_name("from-the-command-line", "page").hydrate()
url = page.get_web_url()
assert urllib.request.urlopen(url).read() == b'"served"'
print(url)
