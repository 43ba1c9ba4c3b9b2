"""A Luma of the tests' own: a raw HTTP server that shares no code with the emulator, nor with the server under test.

It takes purchases, lists them, and does what a test says: answers late, accepts late, answers nonsense, cuts
connections. It counts what it accepted. Run in an event loop by `RawLuma.serving`.
"""

import asyncio
import json
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any


@dataclass
class Script:
    """What happens to the next purchases, each for `times` of them.

    Args:
        accept_after: seconds until it is accepted, whether or not the client still waits.
        answer_after: seconds from then until the answer.
        held: the answer waits for this event too.
        answer: the raw bytes of the answer; None for the good one; empty to close the connection.
        refuses: whether nothing is accepted.
        times: for how many purchases.
    """

    accept_after: float = 0.0
    answer_after: float = 0.0
    held: asyncio.Event | None = None
    answer: bytes | None = None
    refuses: bool = False
    times: int = 1


@dataclass
class RawLuma:
    """The server. `accepted` are the bodies of what was bought, by id, oldest first. The `completed` have a video."""

    scripts: list[Script] = field(default_factory=list)
    accepted: dict[str, dict[str, Any]] = field(default_factory=dict)
    posts: int = 0
    request_ids: list[str] = field(default_factory=list)
    list_delay: float = 0.0
    completed: set[str] = field(default_factory=set)
    _tasks: set[asyncio.Task[None]] = field(default_factory=set)
    _writers: set[asyncio.StreamWriter] = field(default_factory=set)

    @asynccontextmanager
    async def serving(self) -> AsyncIterator[str]:
        """Its base URL."""
        server = await asyncio.start_server(self._connected, "127.0.0.1", 0)
        try:
            yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/dream-machine/v1"
        finally:
            server.close()
            for task in list(self._tasks):
                task.cancel()
            for writer in list(self._writers):
                writer.close()
                with suppress(ConnectionError):
                    await writer.wait_closed()

    def generation(self, generation_id: str) -> dict[str, Any]:
        body, done = self.accepted[generation_id], generation_id in self.completed
        return {
            "id": generation_id, "state": "completed" if done else "dreaming", "created_at": body["_at"],
            "assets": {"video": f"https://a.example/{generation_id}.mp4"} if done else None,
            "model": body.get("model"), "request": {name: body[name] for name in body if name != "_at"},
        }  # fmt: skip

    def agents_generation(self, generation_id: str) -> dict[str, Any]:
        """A generation as the Agents API answers it: nothing of the request is echoed."""
        body, done = self.accepted[generation_id], generation_id in self.completed
        output = [{"type": "video", "url": f"https://a.example/{generation_id}.mp4"}] if done else []
        return {
            "id": generation_id, "type": body.get("type", "video"), "state": "completed" if done else "processing",
            "model": body.get("model"), "created_at": body["_at"], "output": output, "failure_reason": None,
            "failure_code": None,
        }  # fmt: skip

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._writers.add(writer)
        # When the server closes, whoever still waits for an answer gets none.
        with suppress(ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError):
            while head := await reader.readuntil(b"\r\n\r\n"):
                lines = head.decode().split("\r\n")
                method, path, _ = lines[0].split()
                headers = {
                    name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines[1:])
                }
                body = await reader.readexactly(int(headers.get("content-length", 0)))
                answer = await self._answer(method, path.removeprefix("/dream-machine/v1"), headers, body)
                if not answer:
                    break
                writer.write(answer)
                await writer.drain()
                if method == "POST":
                    break  # as a scripted answer may be cut, each of them ends its connection
        self._writers.discard(writer)
        with suppress(ConnectionError):
            writer.close()

    async def _answer(self, method: str, path: str, headers: dict[str, str], body: bytes) -> bytes:
        if method == "POST":
            return await self._purchase(headers, json.loads(body), is_agents=path == "/v1/generations")
        if path.startswith("/v1/"):
            generation_id = path.rpartition("/")[2]
            if generation_id not in self.accepted:
                return _json(404, {"detail": "Generation not found"})
            return _json(200, self.agents_generation(generation_id))
        if path.startswith("/generations?"):
            await asyncio.sleep(self.list_delay)
            query = dict(part.split("=") for part in path.partition("?")[2].split("&"))
            ids = list(reversed(self.accepted))[int(query["offset"]) :][: int(query["limit"])]
            return _json(200, {"generations": [self.generation(generation_id) for generation_id in ids]})
        if path == "/credits":
            return _json(200, {"credit_balance": 100_000.0})
        generation_id = path.rpartition("/")[2]
        if generation_id not in self.accepted:
            return _json(404, {"detail": "Generation not found"})
        return _json(200, self.generation(generation_id))

    async def _purchase(self, headers: dict[str, str], body: dict[str, Any], *, is_agents: bool) -> bytes:
        self.posts += 1
        self.request_ids.append(headers.get("x-request-id", ""))
        script = self.scripts[0] if self.scripts else Script()
        if self.scripts:
            script.times -= 1
            self.scripts[:] = [waiting for waiting in self.scripts if waiting.times > 0]
        generation_id = str(uuid.uuid4())

        async def accept() -> None:
            await asyncio.sleep(script.accept_after)
            if not script.refuses:
                self.accepted[generation_id] = {**body, "_at": datetime.now(UTC).isoformat()}

        # It is accepted in its own time, whether or not the client still waits.
        task = asyncio.get_running_loop().create_task(accept())
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        if script.answer is not None:
            await asyncio.sleep(script.answer_after)
            if not script.accept_after:
                await task
            return script.answer
        await task
        await asyncio.sleep(script.answer_after)
        if script.held is not None:
            await script.held.wait()
        answer = self.agents_generation(generation_id) if is_agents else self.generation(generation_id)
        return _json(201, answer)


def raw(status: int, body: str, content_type: str = "text/html") -> bytes:
    """An answer as a proxy might write it."""
    data = body.encode()
    head = f"HTTP/1.1 {status} X\r\nContent-Type: {content_type}\r\nContent-Length: {len(data)}\r\n\r\n"
    return head.encode() + data


def _json(status: int, body: Any) -> bytes:
    return raw(status, json.dumps(body), "application/json")
