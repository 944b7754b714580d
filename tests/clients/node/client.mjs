// The @nats-io/transport-node client against a server: one check after the other, `ok NAME` for each on stdout.
// The driver (tests/tests/foreign_clients.rs) restarts the server on `want restart` and sends it into lame duck
// mode on `want lame_duck`.

import assert from "node:assert/strict";
import { connect as connectTo, headers as newHeaders } from "@nats-io/transport-node";

const PATIENCE_MS = 20_000;

function soon(what, promise) {
  let timer;
  const late = new Promise((_, reject) => {
    timer = setTimeout(() => reject(new Error(`nothing came: ${what}`)), PATIENCE_MS);
  });
  return Promise.race([promise, late]).finally(() => clearTimeout(timer));
}

function connect(url, options = {}) {
  return connectTo({ servers: url, reconnectTimeWait: 20, maxReconnectAttempts: -1, ...options });
}

async function next(subscription) {
  const { value, done } = await soon("a message", subscription[Symbol.asyncIterator]().next());
  assert.equal(done, false);
  return value;
}

async function pubsub(url) {
  const [publisher, receiver] = [await connect(url), await connect(url)];
  const sub = receiver.subscribe("orders.*");
  await receiver.flush();
  for (let index = 0; index < 1000; index++) publisher.publish("orders.eu", `${index}`);
  let expected = 0;
  await soon("all messages", (async () => {
    for await (const message of sub) {
      assert.equal(message.string(), `${expected++}`);
      if (expected === 1000) break;
    }
  })());
  await publisher.close();
  await receiver.close();
}

async function request(url) {
  const [requester, service] = [await connect(url), await connect(url)];
  service.subscribe("echo", { callback: (error, message) => message.respond(`re:${message.string()}`) });
  await service.flush();
  for (let index = 0; index < 100; index++) {
    const reply = await requester.request("echo", `${index}`, { timeout: PATIENCE_MS });
    assert.equal(reply.string(), `re:${index}`);
  }
  await requester.close();
  await service.close();
}

async function queue(url) {
  const counts = [0, 0, 0];
  const total = 300;
  const members = [];
  let finish;
  const finished = new Promise((resolve) => (finish = resolve));
  for (const member of counts.keys()) {
    const client = await connect(url);
    const callback = () => {
      counts[member]++;
      if (counts.reduce((sum, count) => sum + count) === total) finish();
    };
    client.subscribe("jobs", { queue: "workers", callback });
    await client.flush();
    members.push(client);
  }
  const publisher = await connect(url);
  for (let index = 0; index < total; index++) publisher.publish("jobs");
  await soon("all jobs", finished);
  assert.ok(counts.every((count) => count > 0), `${counts}`);
  for (const client of [...members, publisher]) await client.close();
}

async function headers(url) {
  const client = await connect(url);
  const sub = client.subscribe("with.headers", { max: 1 });
  const sent = newHeaders();
  sent.append("Trace", "1");
  sent.append("Trace", "2");
  client.publish("with.headers", "body", { headers: sent });
  const message = await next(sub);
  assert.deepEqual(message.headers.values("Trace"), ["1", "2"]);
  assert.equal(message.string(), "body");
  await client.close();
}

async function no_responders(url) {
  const client = await connect(url);
  await assert.rejects(client.request("nobody.home", "", { timeout: PATIENCE_MS }), /no responders/);
  await client.close();
}

async function drain(url) {
  const [publisher, receiver] = [await connect(url), await connect(url)];
  let count = 0;
  receiver.subscribe("flow", { callback: () => count++ });
  const end = receiver.subscribe("end", { max: 1 });
  await receiver.flush();
  for (let index = 0; index < 500; index++) publisher.publish("flow");
  publisher.publish("end");
  await next(end);
  await soon("the end of draining", receiver.drain());
  assert.ok(receiver.isClosed());
  assert.equal(count, 500);
  await publisher.close();
}

async function large(url) {
  const [publisher, receiver] = [await connect(url), await connect(url)];
  assert.equal(publisher.info.max_payload, 1 << 20);
  const sizes = [1 << 20, 0, 1, 65535, 65536, 65537];
  const sub = receiver.subscribe("large", { max: sizes.length });
  await receiver.flush();
  for (const size of sizes) {
    publisher.publish("large", new Uint8Array(size).map((_, index) => index % 251));
  }
  let index = 0;
  await soon("all payloads", (async () => {
    for await (const message of sub) {
      assert.equal(message.data.length, sizes[index++]);
      assert.ok(message.data.every((byte, at) => byte === at % 251), "a payload was harmed");
    }
  })());
  assert.equal(index, sizes.length);
  assert.throws(() => {
    publisher.publish("large", new Uint8Array((1 << 20) + 1));
  });
  await publisher.close();
  await receiver.close();
}

async function reconnect(url) {
  const client = await connect(url);
  const sub = client.subscribe("news", { max: 1 });
  await client.flush();
  const back = (async () => {
    for await (const status of client.status()) if (status.type === "reconnect") return;
  })();
  console.log("want restart");
  await soon("reconnect", back);
  await client.flush();
  client.publish("news", "after");
  assert.equal((await next(sub)).string(), "after");
  await client.close();
}

async function lame_duck(url) {
  const client = await connect(url, { reconnect: false });
  const told = (async () => {
    for await (const status of client.status()) if (status.type === "ldm") return;
  })();
  await client.flush();
  console.log("want lame_duck");
  await soon("lame duck INFO", told);
  await soon("the end of the connection", client.closed());
}

const url = process.argv[2];
const checks = [pubsub, request, queue, headers, no_responders, drain, large, reconnect, lame_duck];
for (const check of checks) {
  await check(url);
  console.log(`ok ${check.name}`);
}
