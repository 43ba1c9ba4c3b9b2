"""There is one way to spend. Read off the code itself."""

import ast
from collections.abc import Iterator
from pathlib import Path

import luma_mcp
from luma_mcp.luma.client import LumaClient

PACKAGE = Path(luma_mcp.__file__).parent
SPENDING = {
    "create_video", "create_image", "reframe_video", "reframe_image", "modify_video", "upscale_video", "add_audio",
}  # fmt: skip


def modules() -> Iterator[tuple[str, ast.Module]]:
    for file in PACKAGE.rglob("*.py"):
        name = file.relative_to(PACKAGE).as_posix()
        if not name.startswith("emulator/"):
            yield name, ast.parse(file.read_text())


def calls(tree: ast.Module) -> Iterator[str]:
    """The names of methods that a module calls or hands on."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute):
            yield node.attr


def test_only_purchases_calls_what_spends() -> None:
    """The tools have functions of the same names, which are called by nobody."""
    assert {name for name, tree in modules() if SPENDING & set(calls(tree))} == {"studio/purchases.py"}


def test_only_the_client_sends_post() -> None:
    """Uploads put files into the person's own bucket, by a library of its own that knows nothing of Luma."""
    posting = {
        name
        for name, tree in modules()
        for node in ast.walk(tree)
        if (isinstance(node, ast.Constant) and node.value == "POST")
        or (isinstance(node, ast.Attribute) and node.attr in {"post", "put", "patch"})
    }

    assert posting == {"luma/client.py", "studio/uploads.py"}
    uploads = (PACKAGE / "studio" / "uploads.py").read_text()
    assert "httpx" not in uploads
    assert "LumaClient" not in uploads


def test_the_client_posts_in_one_place_and_every_spending_method_leads_there() -> None:
    tree = ast.parse((PACKAGE / "luma" / "client.py").read_text())
    methods = {node.name: node for node in ast.walk(tree) if isinstance(node, ast.AsyncFunctionDef)}
    posts = [node for node in ast.walk(tree) if isinstance(node, ast.Constant) and node.value == "POST"]

    assert len(posts) == 1
    assert posts[0] in list(ast.walk(methods["_purchase"]))
    assert {name for name in SPENDING if "_purchase" in set(calls(ast.Module([methods[name]], [])))} == SPENDING
    assert all(hasattr(LumaClient, name) for name in SPENDING)
