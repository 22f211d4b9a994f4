"""Functions that answer HTTP: endpoints, ASGI and WSGI applications, methods, WebSockets, proxy tokens."""

import asyncio
import http.client
import json
import os
import time
import urllib.error
import urllib.parse
import urllib.request

import aiohttp
import modal

app = modal.App("web")


@app.function()
@modal.fastapi_endpoint(docs=True)
def hello(name: str = "world"):
    return {"hello": name, "task": os.environ["MODAL_TASK_ID"]}


@app.function()
@modal.fastapi_endpoint(method="POST")
def total(numbers: list[int]):
    return sum(numbers)


@app.function()
@modal.concurrent(max_inputs=10)
@modal.asgi_app()
def site():
    from fastapi import FastAPI, Request, WebSocket
    from fastapi.responses import StreamingResponse

    web = FastAPI()

    @web.get("/")
    def root():
        return "root"

    @web.get("/items/{item}")
    def item(item: str, q: int = 0):
        return {"item": item, "q": q}

    @web.get("/fail")
    def fail():
        raise ValueError("of the user")

    @web.get("/teapot")
    def teapot():
        from fastapi import Response

        return Response("short and stout", 418, headers={"x-spout": "yes"})

    @web.post("/echo")
    async def echo(request: Request):
        async def parts():
            async for part in request.stream():
                yield part

        return StreamingResponse(parts(), media_type="application/octet-stream")

    @web.get("/ticks")
    def ticks():
        def parts():
            for i in range(3):
                yield f"tick {i}\n"
                time.sleep(0.3)

        return StreamingResponse(parts(), media_type="text/plain")

    @web.websocket("/socket")
    async def socket(socket: WebSocket):
        await socket.accept(subprotocol=(socket.scope["subprotocols"] or [None])[0])
        await socket.send_text("welcome")
        text = await socket.receive_text()
        await socket.send_bytes(text.upper().encode())
        await socket.close(4001, "enough")

    return web


@app.function()
@modal.wsgi_app()
def old_site():
    def application(environ, start_response):
        size = int(environ.get("CONTENT_LENGTH") or 0)
        body = environ["wsgi.input"].read(size)
        start_response("201 Created", [("Content-Type", "text/plain"), ("X-Path", environ["PATH_INFO"])])
        return [environ["REQUEST_METHOD"].encode(), b" ", body]

    return application


@app.cls()
class Api:
    @modal.enter()
    def begin(self):
        self.asked = 0

    @modal.fastapi_endpoint()
    def ask(self):
        self.asked += 1
        return self.asked

    @modal.method()
    def plain(self):
        return "plain"


@app.function()
@modal.fastapi_endpoint(requires_proxy_auth=True)
def guarded():
    return "secret"


def get(url, **headers):
    request = urllib.request.Request(url, headers=headers)
    try:
        with urllib.request.urlopen(request, timeout=30) as answer:
            return answer.status, answer.read(), dict(answer.headers)
    except urllib.error.HTTPError as error:
        return error.code, error.read(), dict(error.headers)


def fetch(url):
    status, body, _ = get(url)
    assert status == 200, (url, status, body)
    return json.loads(body)


async def over_a_socket(url):
    async with aiohttp.ClientSession() as session:
        async with session.ws_connect(url + "/socket", protocols=["chat"]) as socket:
            assert socket.protocol == "chat"
            assert await socket.receive_str() == "welcome"
            await socket.send_str("over and out")
            assert await socket.receive_bytes() == b"OVER AND OUT"
            message = await socket.receive()
            assert message.type == aiohttp.WSMsgType.CLOSE, message
            assert (message.data, message.extra) == (4001, "enough")


def main():
    url = hello.get_web_url()
    answer = fetch(url)
    assert answer["hello"] == "world"
    assert fetch(url + "?name=modal") == {"hello": "modal", "task": answer["task"]}
    assert get(url + "/docs")[0] == 200

    request = urllib.request.Request(
        total.get_web_url(), data=b"[1, 2, 3]", headers={"content-type": "application/json"}
    )
    assert json.load(urllib.request.urlopen(request)) == 6
    assert get(total.get_web_url())[0] == 405

    url = site.get_web_url()
    assert fetch(url) == "root"
    assert fetch(url + "/items/a%20b?q=3") == {"item": "a b", "q": 3}
    assert get(url + "/none")[0] == 404
    assert get(url + "/fail")[0] == 500
    status, body, headers = get(url + "/teapot")
    assert (status, body, headers["x-spout"]) == (418, b"short and stout", "yes")

    big = os.urandom(5 << 20)
    request = urllib.request.Request(url + "/echo", data=big, method="POST")
    assert urllib.request.urlopen(request).read() == big

    address = urllib.parse.urlparse(url)
    connection = http.client.HTTPConnection(address.hostname, address.port)
    connection.request("GET", "/ticks")
    answer = connection.getresponse()
    begun = time.monotonic()
    assert answer.readline() == b"tick 0\n"
    assert time.monotonic() - begun < 0.5, "the first part comes before the last one is made"
    assert answer.read() == b"tick 1\ntick 2\n"
    asyncio.run(over_a_socket(url))

    request = urllib.request.Request(old_site.get_web_url() + "/a/b", data=b"body", method="PUT")
    with urllib.request.urlopen(request) as answer:
        assert (answer.status, answer.read(), answer.headers["x-path"]) == (201, b"PUT body", "/a/b")

    url = Api().ask.get_web_url()
    assert fetch(url) == 1
    assert fetch(url) == 2
    assert Api().plain.remote() == "plain"

    url = guarded.get_web_url()
    assert get(url)[0] == 401
    assert get(url, **{"Modal-Key": "wk-no", "Modal-Secret": "ws-no"})[0] == 401
    tokens = modal.Workspace.from_context().proxy_tokens
    token = tokens.create()
    pair = {"Modal-Key": token.token_id, "Modal-Secret": token.token_secret}
    assert get(url, **pair)[:2] == (200, b'"secret"')


if __name__ == "__main__":
    with modal.enable_output(), app.run():
        main()
    print("web: ok")
