"""One sandbox and one command, whatever happens to the calls on their way."""

import modal

app = modal.App.lookup("again", create_if_missing=True)
image = modal.Image.from_registry("alpine:3.21")
sb = modal.Sandbox.create("cat", app=app, image=image)
p = sb.exec("sh", "-c", "for i in 1 2 3 4 5 6 7 8; do echo $i; sleep 0.1; done")
assert p.stdout.read() == "1\n2\n3\n4\n5\n6\n7\n8\n"
assert p.wait() == 0
sb.stdin.write(b"end\n")
sb.stdin.write_eof()
sb.stdin.drain()
sb.wait()
assert sb.returncode == 0
