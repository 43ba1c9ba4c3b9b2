"""The log as lines of JSON on stderr."""

import json
import logging
import sys

from starlette.requests import ClientDisconnect


class JsonLines(logging.Formatter):
    """A line of JSON for each record, for collectors of logs."""

    def format(self, record: logging.LogRecord) -> str:
        line = {
            "time": self.formatTime(record, "%Y-%m-%dT%H:%M:%S%z"),
            "level": record.levelname,
            "logger": record.name,
            "message": record.getMessage(),
            **getattr(record, "facts", {}),
        }
        if record.exc_info:
            line["trace"] = self.formatException(record.exc_info)
        # Everything that is not ASCII is escaped: control characters of C1, U+2028, half characters, other directions.
        return json.dumps(line)


def _is_worth_a_line(record: logging.LogRecord) -> bool:
    """Leave out a client that disconnects during its request; the SDK and uvicorn log it with a trace."""
    return not (record.exc_info and isinstance(record.exc_info[1], ClientDisconnect))


def log_as_json(level: str) -> None:
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonLines())
    handler.addFilter(_is_worth_a_line)
    logging.basicConfig(level=level, handlers=[handler], force=True)
