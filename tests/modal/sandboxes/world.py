"""What surrounds a sandbox: volumes, secrets, mounts, network, tunnels, tokens, readiness, sidecars, version 1."""

import http.client
import io
import pathlib
import socket
import tempfile
import threading
import time
import urllib.error
import urllib.request

import modal
from modal.exception import InvalidError, TimeoutError

app = modal.App.lookup("world", create_if_missing=True)
image = modal.Image.from_registry("alpine:3.21")


def raises(kind, work):
    try:
        work()
    except kind as error:
        return str(error)
    raise AssertionError(f"no {kind.__name__}")


def run(sb, *command):
    p = sb.exec(*command)
    out, err, code = p.stdout.read(), p.stderr.read(), p.wait()
    assert code == 0, (command, code, out, err)
    return out


# Secrets, by name and with the call; a later one wins.
modal.Secret.objects.create("stored", {"A": "stored", "B": "stored"})
stored = modal.Secret.from_name("stored")
given = modal.Secret.from_dict({"B": "given", "C": "given"})
sb = modal.Sandbox.create("sh", "-c", "echo $A $B $C $D", app=app, image=image, secrets=[stored, given], env={"D": "d"})
assert sb.stdout.read() == "stored given given d\n"

# Volumes: seen by both, read-only, a part of one.
for version in (1, 2):
    volume = modal.Volume.from_name(f"shared-{version}", create_if_missing=True, version=version)
    with volume.batch_upload() as batch:
        batch.put_file(io.BytesIO(b"from outside\n"), "/in/put")
    sb = modal.Sandbox.create("sleep", "600", app=app, image=image, volumes={"/data": volume})
    assert run(sb, "cat", "/data/in/put") == "from outside\n"
    run(sb, "sh", "-c", "mkdir -p /data/out; echo from inside > /data/out/result; sync /data || true")
    sb.reload_volumes()
    sb.terminate(wait=True)
    assert b"".join(volume.read_file("/out/result")) == b"from inside\n"
    sb = modal.Sandbox.create(
        "sh", "-c", "cat /data/put; echo no > /data/put", app=app, image=image,
        volumes={"/data": volume.with_mount_options(read_only=True, sub_path="in")},
    )
    sb.wait()
    assert sb.returncode != 0 and sb.stdout.read() == "from outside\n"
    assert "Read-only file system" in sb.stderr.read()

# Local files, laid over the image.
with tempfile.TemporaryDirectory() as dir:
    pathlib.Path(dir, "code.txt").write_text("local\n")
    with_files = image.add_local_dir(dir, "/srv/local")
    sb = modal.Sandbox.create("cat", "/srv/local/code.txt", app=app, image=with_files)
    assert sb.stdout.read() == "local\n"

# Network: a server of this machine, reached, forbidden, and allowed by address.
with socket.create_server(("", 0)) as outside:
    port = outside.getsockname()[1]
    # An address of this machine that is not its loopback: nothing is sent, the kernel is asked for a route.
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as asked:
        asked.connect(("192.0.2.1", 9))
        machine = asked.getsockname()[0]
    connect = ["python3", "-c", f"import socket; socket.create_connection(('{machine}', {port}), 3)"]
    sb = modal.Sandbox.create("sleep", "600", app=app, image=image, block_network=True)
    assert sb.exec(*connect).wait() != 0
    sb.terminate()
    sb = modal.Sandbox.create("sleep", "600", app=app, image=image)
    assert sb.exec(*connect).wait() == 0
    sb.terminate()

    def fetch(sb):
        script = f"import urllib.request as r; r.urlopen('http://{machine}:{port}', timeout=3)"
        return sb.exec("python3", "-c", script).wait()

    def answer():
        while True:
            try:
                connection, _ = outside.accept()
            except OSError:
                return
            with connection:
                connection.recv(4096)
                connection.sendall(b"HTTP/1.0 200 OK\r\nContent-Length: 0\r\n\r\n")

    threading.Thread(target=answer, daemon=True).start()
    sb = modal.Sandbox.create("sleep", "600", app=app, image=image, outbound_cidr_allowlist=[f"{machine}/32"])
    assert fetch(sb) == 0
    sb._experimental_set_outbound_network_policy(outbound_cidr_allowlist=["198.51.100.0/24"])
    assert fetch(sb) != 0
    sb._experimental_set_outbound_network_policy()
    assert fetch(sb) == 0
    sb.terminate()
raises(InvalidError, lambda: modal.Sandbox.create("true", app=app, image=image, outbound_cidr_allowlist=["not-an-ip/8"]))
raises(InvalidError, lambda: modal.Sandbox.create("true", app=app, image=image, outbound_domain_allowlist=["*.*.com"]))

# Tunnels and tokens.
server = "import http.server as h\nclass H(h.BaseHTTPRequestHandler):\n def do_GET(s):\n  b=(s.path+' '+str(s.headers.get('X-Verified-User-Data'))).encode()\n  s.send_response(200); s.send_header('content-length', str(len(b))); s.end_headers(); s.wfile.write(b)\n def log_message(*a): pass\nh.HTTPServer(('', 8080), H).serve_forever()"
sb = modal.Sandbox.create(
    "python3", "-c", server, app=app, image=image, unencrypted_ports=[8080],
    readiness_probe=modal.Probe.with_tcp(8080),
)
sb.wait_until_ready(timeout=20)
tunnel = sb.tunnels()[8080]
host, port = tunnel.tcp_socket
connection = http.client.HTTPConnection(host, port, timeout=10)
connection.request("GET", "/through")
assert connection.getresponse().read() == b"/through None"
token = sb.create_connect_token(user_metadata="me", port=8080)
request = urllib.request.Request(token.url + "/inside", headers={"Authorization": f"Bearer {token.token}"})
assert urllib.request.urlopen(request, timeout=10).read() == b"/inside me"
try:
    urllib.request.urlopen(token.url, timeout=10)
    raise AssertionError("no token was needed")
except urllib.error.HTTPError as error:
    assert error.code == 401
# Another one has the same port for itself.
twin = modal.Sandbox.create("python3", "-c", server, app=app, image=image, unencrypted_ports=[8080])
twin_host, twin_port = twin.tunnels()[8080].tcp_socket


def served():
    connection = http.client.HTTPConnection(twin_host, twin_port, timeout=10)
    try:
        connection.request("GET", "/twin")
        return connection.getresponse().read() == b"/twin None"
    except (OSError, http.client.HTTPException):
        return False


while not served():
    time.sleep(0.05)
twin.terminate()
sb.terminate(wait=True)
raises(OSError, lambda: socket.create_connection((host, port), 3))

# Readiness by a command, and never.
sb = modal.Sandbox.create(
    "sh", "-c", "sleep 0.5; touch /tmp/ready; sleep 600", app=app, image=image,
    readiness_probe=modal.Probe.with_exec("test", "-e", "/tmp/ready", interval_ms=50),
)
sb.wait_until_ready(timeout=20)
assert sb.exec("test", "-e", "/tmp/ready").wait() == 0
sb.terminate()
sb = modal.Sandbox.create(
    "sleep", "600", app=app, image=image, readiness_probe=modal.Probe.with_exec("false", interval_ms=50)
)
raises(TimeoutError, lambda: sb.wait_until_ready(timeout=1))
sb.terminate()

# A further container.
sb = modal.Sandbox.create("sleep", "600", app=app, image=image)
sidecar = sb._experimental_sidecars.create("sh", "-c", "sleep 600", name="helper", image=image)
p = sidecar.exec("sh", "-c", "echo beside")
assert p.stdout.read() == "beside\n" and p.wait() == 0
assert [one.name for one in sb._experimental_sidecars.list()] == ["helper"]
assert sidecar.poll() is None
assert sidecar.terminate(wait=True) == 137
sb.terminate()

# Version 1, by asking for a GPU.
sb = modal.Sandbox.create("sh", "-c", "read a; echo got $a; echo bad >&2; exit 4", app=app, image=image, gpu="T4")
assert len(sb.object_id) == 25
sb.stdin.write(b"it\n")
sb.stdin.drain()
assert sb.stdout.read() == "got it\n" and sb.stderr.read() == "bad\n"
sb.wait()
assert sb.returncode == 4
sb = modal.Sandbox.create("sleep", "600", app=app, image=image, gpu="T4", name="old", tags={"v": "1"})
assert run(sb, "echo", "hi") == "hi\n"
assert modal.Sandbox.from_name("world", "old").object_id == sb.object_id
assert modal.Sandbox.from_id(sb.object_id).get_tags() == {"v": "1"}
assert sb.object_id in [one.object_id for one in modal.Sandbox.list(app_id=app.app_id)]
assert sb.terminate(wait=True) == 137
print("done")
