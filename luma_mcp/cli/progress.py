"""The progress notifications of the server, as data: a sentence, and the states of generations or of a film's shots."""

from collections.abc import Callable, Mapping
from typing import cast

from mcp.types import ProgressNotification, RequestParamsMeta

from luma_mcp.mcp.client.caller import STATES_META

OnProgress = Callable[[str, Mapping[str, str]], None]
# The meta of a call whose progress is reported. A client makes one call at a time, so one token serves for all.
WITH_PROGRESS: RequestParamsMeta = {"progress_token": "progress"}


class ProgressListener:
    """The `message_handler` of a client: it passes the progress of calls on, and ignores everything else.

    The SDK's callback of a call receives the sentence only, so the notification itself is read.
    """

    def __init__(self, on_progress: OnProgress | None = None) -> None:
        self.on_progress = on_progress
        """It receives each sentence, and the states by generation id or by "shot N"."""

    async def __call__(self, message: object) -> None:
        """Read a message of the server."""
        if self.on_progress is None or not isinstance(message, ProgressNotification):
            return
        states = (message.params.meta or {}).get(STATES_META, {})
        self.on_progress(message.params.message or "", cast("Mapping[str, str]", states))
