"""Responses of the public paths: nothing in them may run in this server's name."""

from starlette.responses import HTMLResponse, JSONResponse, Response

SAFE_HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'; form-action 'self'; sandbox allow-forms",
    "Referrer-Policy": "no-referrer",
}
INVALID_LINK = "This link is not valid, or it has ended. Ask for another one."
_PAGE = """\
<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<title>Send a picture or a clip</title>
<style>
body { font: 16px/1.5 system-ui, sans-serif; max-width: 32rem; margin: 4rem auto; padding: 0 1rem; }
button { font: inherit; padding: .5rem 1.5rem; margin-top: 1rem; }
</style>
<h1>Send a picture or a clip</h1>
BODY
</html>
"""


def page(status: int, body: str, headers: dict[str, str] | None = None) -> Response:
    """A page for a browser."""
    return HTMLResponse(
        _PAGE.replace("BODY", body), status, {**SAFE_HEADERS, "Cache-Control": "no-store", **(headers or {})}
    )


def refusal(status: int, sentence: str) -> Response:
    """A refusal as JSON."""
    return JSONResponse({"error": sentence}, status, SAFE_HEADERS)
