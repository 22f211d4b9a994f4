"""Lists apps through the official Python client: one call after the other, and 64 at once.

`unary.py COUNT` prints `python` (ms of each call) and `python_rate` (calls in a second).
"""

import asyncio
import sys
import time

from modal.client import _Client
from modal_proto import api_pb2

AT_ONCE = 64


async def main(count):
    client = await _Client.from_env()
    request = api_pb2.AppListRequest()
    await client.stub.AppList(request)
    samples = []
    for _ in range(count):
        start = time.perf_counter()
        await client.stub.AppList(request)
        samples.append(f"{(time.perf_counter() - start) * 1000:.6f}")
    print("python", *samples)

    async def caller():
        for _ in range(count // AT_ONCE):
            await client.stub.AppList(request)

    start = time.perf_counter()
    await asyncio.gather(*(caller() for _ in range(AT_ONCE)))
    calls = count // AT_ONCE * AT_ONCE
    print("python_rate", f"{calls / (time.perf_counter() - start):.6f}")


asyncio.run(main(int(sys.argv[1])))
