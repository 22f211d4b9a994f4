// Images through the official JavaScript SDK.
import assert from "node:assert/strict";
import { ModalClient, NotFoundError } from "modal";

const modal = new ModalClient();
const app = await modal.apps.fromName("images", { createIfMissing: true });

const base = modal.images.fromRegistry(`alpine:3.21@sha256:${"0f".repeat(32)}`);
const image = base.dockerfileCommands(["ENV COLOUR=blue", "RUN echo $COLOUR > /colour"]);
await image.build(app);
assert.match(image.imageId, /^im-[A-Za-z0-9]{22}$/);
const again = base.dockerfileCommands(["ENV COLOUR=blue", "RUN echo $COLOUR > /colour"]);
await again.build(app);
assert.equal(again.imageId, image.imageId);
assert.equal((await modal.images.fromId(image.imageId)).imageId, image.imageId);

await assert.rejects(base.dockerfileCommands(["RUN exit 3"]).build(app), /exit status 3/);
await assert.rejects(modal.images.fromId("im-nonexistent"), /Could not find image with ID/);
await assert.rejects(modal.images.fromName("absent"), NotFoundError);

await image.publish("mine:v2");
assert.equal((await modal.images.fromName("mine:v2")).imageId, image.imageId);
await modal.images.delete(image.imageId);
await assert.rejects(modal.images.delete(image.imageId), NotFoundError);
modal.close();
