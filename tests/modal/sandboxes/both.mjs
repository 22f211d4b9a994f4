// Sandboxes by the JavaScript SDK: output, input, commands, files, tags, names, snapshots, the end.
import assert from "node:assert/strict";
import { ModalClient } from "modal";

const modal = new ModalClient();
const app = await modal.apps.fromName("sandboxes-js", { createIfMissing: true });
const image = modal.images.fromRegistry("alpine:3.21");
const raises = (work, text) => assert.rejects(work, (error) => String(error).includes(text));

// Output, input, and the exit code.
let sb = await modal.sandboxes.create(app, image, { command: ["sh", "-c", "cat; echo err >&2; exit 5"] });
assert.equal(await sb.poll(), null);
await sb.stdin.writeText("mirrored");
await sb.stdin.close();
assert.equal(await sb.stdout.readText(), "mirrored");
assert.equal(await sb.stderr.readText(), "err\n");
assert.equal(await sb.wait(), 5);
assert.equal(await sb.poll(), 5);

// Commands.
sb = await modal.sandboxes.create(app, image, {
  command: ["sleep", "600"], name: "js", tags: { a: "1" }, env: { COLOUR: "red" }, workdir: "/tmp",
});
let p = await sb.exec(["sh", "-c", "echo $COLOUR; pwd; echo oops >&2; exit 42"]);
assert.equal(await p.stdout.readText(), "red\n/tmp\n");
assert.equal(await p.stderr.readText(), "oops\n");
assert.equal(await p.wait(), 42);
p = await sb.exec(["sh", "-c", "while read line; do echo $line; done"]);
await p.stdin.writeText("foo\n");
await p.stdin.writeText("bar\n");
await p.stdin.close();
assert.equal(await p.stdout.readText(), "foo\nbar\n");
p = await sb.exec(["sh", "-c", "kill -9 $$"]);
assert.equal(await p.wait(), 137);
p = await sb.exec(["printf", "\\x01\\x02\\x03"], { mode: "binary" });
assert.deepEqual(await p.stdout.readBytes(), new Uint8Array([1, 2, 3]));
p = await sb.exec(["sleep", "999"], { timeoutMs: 1000 });
assert.equal(await p.wait(), 137);
p = await sb.exec(["sh", "-c", "yes | head -c 1000000"], { stdout: "ignore" });
assert.equal(await p.stdout.readText(), "");
assert.equal(await p.wait(), 0);
p = await sb.exec(["echo", "hello"], { pty: true });
assert.equal(await p.wait(), 0);
const secret = await modal.secrets.fromObject({ d: "3" });
p = await sb.exec(["printenv", "d"], { secrets: [secret] });
assert.equal(await p.stdout.readText(), "3\n");

// Files.
const fs = sb.filesystem;
await fs.writeText("Hello, world!\n", "/srv/deep/hello.txt");
assert.equal(await fs.readText("/srv/deep/hello.txt"), "Hello, world!\n");
await fs.writeBytes(new Uint8Array([0, 255, 1]), "/srv/bytes");
assert.deepEqual(new Uint8Array(await fs.readBytes("/srv/bytes")), new Uint8Array([0, 255, 1]));
const names = (await fs.listFiles("/srv")).map((entry) => entry.name).sort();
assert.deepEqual(names, ["bytes", "deep"]);
await fs.makeDirectory("/srv/a/b");
await fs.remove("/srv/a", { recursive: true });
await assert.rejects(fs.readText("/srv/none"));

// Tags, names, lists.
assert.deepEqual(await sb.getTags(), { a: "1" });
await sb.setTags({ b: "2" });
assert.deepEqual(await sb.getTags(), { b: "2" });
const listed = [];
for await (const one of modal.sandboxes.list({ appId: app.appId, tags: { b: "2" } })) listed.push(one.sandboxId);
assert.deepEqual(listed, [sb.sandboxId]);
assert.equal((await modal.sandboxes.fromName("sandboxes-js", "js")).sandboxId, sb.sandboxId);
assert.equal((await modal.sandboxes.fromId(sb.sandboxId)).sandboxId, sb.sandboxId);
await raises(modal.sandboxes.create(app, image, { name: "js" }), "already exists");
await raises(modal.sandboxes.fromName("sandboxes-js", "none"), "not found");
await raises(modal.sandboxes.create(app, image, { cloud: "invalid-cloud" }), "INVALID_ARGUMENT");
await raises(modal.sandboxes.create(app, image, { regions: ["invalid-region"] }), "INVALID_ARGUMENT");

// Snapshots.
await sb.mountImage("/mnt/empty");
p = await sb.exec(["sh", "-c", "echo -n kept > /mnt/empty/kept"]);
assert.equal(await p.wait(), 0);
const directory = await sb.snapshotDirectory("/mnt/empty");
const snapshot = await sb.snapshotFilesystem();
assert.match(snapshot.imageId, /^im-/);
const copy = await modal.sandboxes.create(app, snapshot, { command: ["sleep", "600"] });
await copy.mountImage("/mnt/data", directory);
p = await copy.exec(["cat", "/srv/deep/hello.txt", "/mnt/data/kept"]);
assert.equal(await p.stdout.readText(), "Hello, world!\nkept");
await copy.terminate();

// Tunnels and tokens.
const open = await modal.sandboxes.create(app, image, { command: ["cat"], encryptedPorts: [8443], unencryptedPorts: [8080] });
const tunnels = await open.tunnels();
assert.deepEqual(Object.keys(tunnels).sort(), ["8080", "8443"]);
assert.equal(typeof tunnels[8080].tcpSocket[1], "number");
const token = await open.createConnectToken({ userMetadata: "abc" });
assert.ok(token.token && token.url);
await open.terminate();

// The end.
assert.equal(await sb.terminate({ wait: true }), 137);
await assert.rejects(sb.exec(["true"]));
modal.close();
console.log("done");
