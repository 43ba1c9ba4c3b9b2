"""A model of OpenAI's Responses API that follows a script, for Codex: buy, wait, look, err, and end.

`python model.py PORT_FILE ANSWERS_FILE` listens on loopback, and writes its port and what the tools answered, each in a
line.
"""

import json
import re
import sys
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

PORT_FILE, ANSWERS_FILE = (Path(word) for word in sys.argv[1:3])
ID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f-]{22}")


def next_call(answers: list[str]) -> tuple[str, dict[str, Any]] | None:
    """The tool to call after these answers; None at the end."""
    found = ID.search(answers[0]) if answers else None
    generation_id = found[0] if found else ""
    steps: list[tuple[str, dict[str, Any]]] = [
        ("create_image", {"prompt": "a boat for Codex", "format": None}),
        ("wait_for_generation", {"generation_ids": [generation_id]}),
        ("view_generation", {"generation_id": generation_id}),
        ("create_video", {"prompt": "a boat", "last_frame": "https://a.example/a.png"}),
    ]
    return steps[len(answers)] if len(answers) < len(steps) else None


def name_of(tool: str, offered: list[dict[str, Any]]) -> dict[str, str]:
    """How a tool is called: by its name, and where tools are in namespaces, by that of ours."""
    for entry in offered:
        if entry.get("type") == "namespace":
            for inner in entry.get("tools", ()):
                if inner.get("name", "").endswith(tool):
                    return {"name": inner["name"], "namespace": entry["name"]}
        elif str(entry.get("name", "")).endswith(tool):
            return {"name": entry["name"]}
    raise SystemExit(f"Codex offers no {tool}: {json.dumps(offered)[:2000]}")


class Model(BaseHTTPRequestHandler):
    def do_POST(self) -> None:
        request = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        outputs = [item["output"] for item in request["input"] if item.get("type") == "function_call_output"]
        answers = [json.dumps(output) for output in outputs]
        ANSWERS_FILE.write_text("\n".join(answers))
        call = next_call(answers)
        if call is None:
            text = {"type": "output_text", "text": "All is done.", "annotations": []}
            item = {"type": "message", "id": "m", "role": "assistant", "status": "completed", "content": [text]}
        else:
            tool, arguments = call
            item = {
                "type": "function_call", "id": f"f{len(answers)}", "call_id": f"c{len(answers)}", "status": "completed",
                "arguments": json.dumps(arguments), **name_of(tool, request.get("tools", [])),
            }  # fmt: skip
        usage = {"input_tokens": 1, "output_tokens": 1, "total_tokens": 2}
        response = {
            "id": f"r{len(answers)}",
            "object": "response",
            "status": "completed",
            "output": [item],
            "usage": usage,
        }
        events = (
            {"type": "response.created", "response": {**response, "status": "in_progress", "output": []}},
            {"type": "response.output_item.done", "output_index": 0, "item": item},
            {"type": "response.completed", "response": response},
        )
        body = "".join(f"event: {event['type']}\ndata: {json.dumps(event)}\n\n" for event in events).encode()
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def do_GET(self) -> None:
        """The list of models: there is none."""
        self.send_error(404)

    def log_message(self, *_words: object) -> None:
        """Nothing is logged."""


server = HTTPServer(("127.0.0.1", 0), Model)
PORT_FILE.write_text(str(server.server_port))
server.serve_forever()
