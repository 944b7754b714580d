"""The nats-py client against a server: one check after the other, `ok NAME` for each on stdout.

The driver (tests/tests/foreign_clients.rs) restarts the server on `want restart` and sends it into lame duck
mode on `want lame_duck`.
"""

import asyncio
import sys

import nats
from nats.errors import MaxPayloadError, NoRespondersError

PATIENCE = 20


def say(line):
    print(line, flush=True)


async def soon(work):
    return await asyncio.wait_for(work, PATIENCE)


async def connect(url, **options):
    options.setdefault("reconnect_time_wait", 0.02)
    options.setdefault("max_reconnect_attempts", -1)
    return await soon(nats.connect(url, **options))


async def pubsub(url):
    publisher, receiver = await connect(url), await connect(url)
    sub = await receiver.subscribe("orders.*")
    await receiver.flush()
    for index in range(1000):
        await publisher.publish("orders.eu", str(index).encode())
    await publisher.flush()
    for index in range(1000):
        message = await sub.next_msg(PATIENCE)
        assert message.data == str(index).encode(), message
    await publisher.close()
    await receiver.close()


async def request(url):
    requester, service = await connect(url), await connect(url)

    async def answer(message):
        await message.respond(b"re:" + message.data)

    await service.subscribe("echo", cb=answer)
    await service.flush()
    for index in range(100):
        reply = await requester.request("echo", str(index).encode(), timeout=PATIENCE)
        assert reply.data == f"re:{index}".encode(), reply
    await requester.close()
    await service.close()


async def queue(url):
    total, members, counts = 300, [], [0, 0, 0]
    done = asyncio.Event()
    for member in range(3):

        async def work(_message, member=member):
            counts[member] += 1
            if sum(counts) == total:
                done.set()

        client = await connect(url)
        await client.subscribe("jobs", queue="workers", cb=work)
        await client.flush()
        members.append(client)
    publisher = await connect(url)
    for _ in range(total):
        await publisher.publish("jobs", b"")
    await publisher.flush()
    await soon(done.wait())
    assert all(counts), counts
    for client in [*members, publisher]:
        await client.close()


async def headers(url):
    client = await connect(url)
    sub = await client.subscribe("with.headers")
    sent = {"Trace": "1", "Kind": "test"}
    await client.publish("with.headers", b"body", headers=sent)
    message = await sub.next_msg(PATIENCE)
    assert message.headers == sent, message.headers
    assert message.data == b"body"
    await client.close()


async def no_responders(url):
    client = await connect(url)
    try:
        await client.request("nobody.home", b"", timeout=PATIENCE)
    except NoRespondersError:
        pass
    else:
        raise AssertionError("somebody answered")
    await client.close()


async def drain(url):
    publisher, receiver = await connect(url), await connect(url)
    count = 0
    end = asyncio.Event()

    async def take(_message):
        nonlocal count
        count += 1

    async def last(_message):
        end.set()

    await receiver.subscribe("flow", cb=take)
    await receiver.subscribe("end", cb=last)
    await receiver.flush()
    for _ in range(500):
        await publisher.publish("flow", b"")
    await publisher.publish("end", b"")
    await soon(end.wait())
    await soon(receiver.drain())
    assert receiver.is_closed
    assert count == 500, count
    await publisher.close()


async def large(url):
    publisher, receiver = await connect(url), await connect(url)
    sub = await receiver.subscribe("large")
    await receiver.flush()
    assert publisher.max_payload == 1 << 20
    for size in (1 << 20, 0, 1, 65535, 65536, 65537):
        data = (b"0123456789abcdef" * (size // 16 + 1))[:size]
        await publisher.publish("large", data)
        message = await sub.next_msg(PATIENCE)
        assert message.data == data, size
    try:
        await publisher.publish("large", bytes((1 << 20) + 1))
    except MaxPayloadError:
        pass
    else:
        raise AssertionError("a payload above the limit was taken")
    await publisher.close()
    await receiver.close()


async def reconnect(url):
    back = asyncio.Event()

    async def reconnected():
        back.set()

    async def ignore(_error):
        pass

    client = await connect(url, reconnected_cb=reconnected, error_cb=ignore)
    sub = await client.subscribe("news")
    await client.flush()
    say("want restart")
    await soon(back.wait())
    await client.flush()
    await client.publish("news", b"after")
    message = await sub.next_msg(PATIENCE)
    assert message.data == b"after", message
    await client.close()


async def lame_duck(url):
    told, gone = asyncio.Event(), asyncio.Event()

    async def lame_duck_mode():
        told.set()

    async def closed():
        gone.set()

    async def ignore(_error):
        pass

    client = await connect(
        url, lame_duck_mode_cb=lame_duck_mode, closed_cb=closed, error_cb=ignore, allow_reconnect=False
    )
    await client.flush()
    say("want lame_duck")
    await soon(told.wait())
    await soon(gone.wait())


async def main():
    url = sys.argv[1]
    for check in (pubsub, request, queue, headers, no_responders, drain, large, reconnect, lame_duck):
        await check(url)
        say(f"ok {check.__name__}")


asyncio.run(main())
