"""A time limit for the body of a request."""

import anyio
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

# A body has a megabyte at the most, so a client that needs longer is hostile or has disconnected.
BODY_SECONDS = 30.0


class BodyTimeout:
    """Limits the time for the body of a request, so that a body without an end holds no resources."""

    def __init__(self, inner: ASGIApp, seconds: float = BODY_SECONDS) -> None:
        self._inner = inner
        self._seconds = seconds

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._inner(scope, receive, send)
            return
        deadline, is_whole, is_late, has_started = anyio.current_time() + self._seconds, False, False, False

        async def receive_in_time() -> Message:
            nonlocal is_whole, is_late
            if is_whole:
                return await receive()
            try:
                with anyio.fail_after(deadline - anyio.current_time()):
                    message = await receive()
            except TimeoutError:
                is_late = True
                raise
            is_whole = not message.get("more_body", False)
            return message

        async def send_unless_late(message: Message) -> None:
            nonlocal has_started
            # The SDK turns whatever is raised into a response of its own.
            if not is_late or has_started:
                has_started = True
                await send(message)

        try:
            await self._inner(scope, receive_in_time, send_unless_late)
        except TimeoutError:
            if not is_late or has_started:
                raise
        if is_late and not has_started:
            response = JSONResponse({"error": "The request took too long."}, 408, {"Connection": "close"})
            await response(scope, receive, send)
