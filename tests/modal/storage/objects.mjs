// Queues and volumes through the official JavaScript SDK.
import assert from "node:assert/strict";
import { ModalClient, NotFoundError, QueueEmptyError, QueueFullError } from "modal";

const modal = new ModalClient();

async function queues() {
  await assert.rejects(modal.queues.fromName("absent"), (error) => {
    assert.ok(error instanceof NotFoundError);
    assert.match(error.message, /Queue 'absent' not found/);
    return true;
  });
  const named = await modal.queues.fromName("named", { createIfMissing: true });
  assert.equal((await modal.queues.fromName("named")).queueId, named.queueId);
  await modal.queues.delete("named");
  await assert.rejects(modal.queues.fromName("named"), NotFoundError);

  const queue = await modal.queues.ephemeral();
  await queue.put({ text: "hällo", list: [1, 2.5, null, true] });
  assert.deepEqual(await queue.get(), { text: "hällo", list: [1, 2.5, null, true] });
  await queue.putMany([1, 2, 3]);
  await queue.put("x", { partition: "p" });
  assert.equal(await queue.len(), 3);
  assert.equal(await queue.len({ total: true }), 4);
  assert.deepEqual(await queue.getMany(2), [1, 2]);
  assert.deepEqual(await queue.getMany(9), [3]);
  assert.equal(await queue.get({ partition: "p" }), "x");
  await assert.rejects(queue.get({ timeoutMs: 200 }), QueueEmptyError);

  const waiting = queue.get({ timeoutMs: 20_000 });
  await queue.put("late");
  assert.equal(await waiting, "late");

  const seen = [];
  const reading = (async () => {
    for await (const item of queue.iterate({ itemPollTimeoutMs: 1000 })) seen.push(item);
  })();
  await queue.putMany(["a", "b"]);
  await reading;
  assert.deepEqual(seen, ["a", "b"]);
  assert.equal(await queue.len(), 2);

  await queue.clear();
  await queue.putMany(Array.from({ length: 5000 }, (_, index) => index));
  await assert.rejects(queue.put(1, { timeoutMs: 300 }), QueueFullError);
  await queue.clear({ all: true });
  assert.equal(await queue.len({ total: true }), 0);
  queue.closeEphemeral();
}

async function volumes() {
  await assert.rejects(modal.volumes.fromName("absent"), (error) => {
    assert.ok(error instanceof NotFoundError);
    assert.match(error.message, /Volume 'absent' not found/);
    return true;
  });
  const made = await modal.volumes.fromName("data", { createIfMissing: true, version: 2 });
  assert.equal((await modal.volumes.fromName("data")).volumeId, made.volumeId);
  await assert.rejects(modal.volumes.fromName("data", { version: 1 }), /has version v2/);
  await modal.volumes.delete("data");
  await assert.rejects(modal.volumes.fromName("data"), NotFoundError);
  const ephemeral = await modal.volumes.ephemeral();
  assert.match(ephemeral.volumeId, /^vo-/);
  ephemeral.closeEphemeral();
}

await queues();
await volumes();
modal.close();
