// Functions and classes of a deployed app, called with the JavaScript SDK (CBOR).
import assert from "node:assert/strict";
import { ModalClient, NotFoundError, RemoteError, FunctionTimeoutError } from "modal";

const modal = new ModalClient();

const echo = await modal.functions.fromName("polyglot", "echo");
const value = { text: "hi", list: [1, 2.5, null, true], bytes: new Uint8Array([1, 2, 255]) };
const back = await echo.remote([value]);
assert.equal(back.text, "hi");
assert.deepEqual(back.list, [1, 2.5, null, true]);
assert.deepEqual([...back.bytes], [1, 2, 255]);
assert.equal(await echo.remote([], { value: "by name" }), "by name");

const big = "x".repeat(3 * 1024 * 1024);
assert.equal(await echo.remote([big]), big);

const call = await echo.spawn([7]);
assert.equal(await call.get(), 7);
const again = await modal.functionCalls.fromId(call.functionCallId);
assert.equal(await again.get({ timeoutMs: 5000 }), 7);

const fail = await modal.functions.fromName("polyglot", "fail");
await assert.rejects(fail.remote([]), (error) => /of the user/.test(error.message) || assert.fail(error));

const sleep = await modal.functions.fromName("polyglot", "sleep");
const sleeping = await sleep.spawn([30]);
await assert.rejects(sleeping.get({ timeoutMs: 100 }));
await sleeping.cancel();
await assert.rejects(sleeping.get({ timeoutMs: 10000 }), RemoteError);

await assert.rejects(modal.functions.fromName("polyglot", "missing"), NotFoundError);
await assert.rejects(modal.functions.fromName("missing", "echo"), NotFoundError);

const stats = await echo.getCurrentStats();
assert.equal(stats.backlog, 0);
assert.ok(stats.numTotalRunners >= 1);

const cls = await modal.cls.fromName("polyglot", "Model");
const plain = await cls.instance();
assert.equal(await plain.method("scale").remote([21]), 42);
const three = await cls.instance({ factor: 3 });
assert.equal(await three.method("scale").remote([5]), 15);
const other = await cls.withOptions({ timeoutMs: 60_000 }).instance({ factor: 4 });
assert.equal(await other.method("scale").remote([5]), 20);

modal.close();
console.log("javascript: ok");
process.exit(0);
