"""The player that hosts with MCP Apps show for what wait, get, list and view answer: one page, no outside script.

A host runs the page in a sandbox of its own, hands it the results of those tools and carries its tool calls, so a
button of the page can do what the model could do and nothing more. Hosts without MCP Apps never see it.
"""

from pathlib import Path
from urllib.parse import urlsplit

from mcp.server.apps import APP_MIME_TYPE, Apps, ResourceCsp
from mcp.server.mcpserver.resources import FunctionResource

from luma_mcp.tools._toolset import APP_URI

# Where Luma's files are (luma's own samples of 2024-2026), and their subdomains.
ASSET_HOSTS = ("https://storage.cdn-luma.com", "https://*.cdn-luma.com")
_HERE = Path(__file__).parent


def page() -> str:
    """The page with its style and its script in it."""
    html, style, script = ((_HERE / f"view.{ending}").read_text(encoding="utf-8") for ending in ("html", "css", "js"))
    return html.replace("/* view.css */\n", style).replace("// view.js\n", script)


def player(base_url: str, *, is_emulated: bool) -> Apps:
    """The extension that offers the page. It may load pictures and clips from Luma's hosts and nothing else."""
    api = urlsplit(base_url)
    hosts = [*ASSET_HOSTS, *([f"{api.scheme}://{api.netloc}"] if is_emulated else [])]
    csp = ResourceCsp(resource_domains=hosts).model_dump(by_alias=True, exclude_none=True)
    apps = Apps()
    apps.add_resource(
        FunctionResource(
            uri=APP_URI,
            name="view",
            title="Dream Machine player",
            description="Shows generations with their state, price and what can be done with them.",
            mime_type=APP_MIME_TYPE,
            fn=page,
            meta={"ui": {"csp": csp, "prefersBorder": True}},
        )
    )
    return apps
