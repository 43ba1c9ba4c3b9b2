"""Makes the pictures of the README and of docs: frames of the demo's files, and what a model sees of a clip."""

import base64
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import anyio
import av
from mcp import Client
from PIL import Image

from luma_mcp.composition import build_server
from luma_mcp.config.settings import Settings
from luma_mcp.emulator.app import Emulator
from luma_mcp.emulator.serving import serving

WIDTH, HEIGHT, GAP, COLUMNS = 320, 180, 6, 4
HERE = Path(__file__).parent


def frames(path: Path) -> list[Image.Image]:
    """Four moments of a clip; a still once."""
    if path.suffix != ".mp4":
        return [Image.open(path).convert("RGB")]
    with path.open("rb") as file, av.open(file, format="mp4") as container:
        every = [frame.to_image() for frame in container.decode(video=0)]
    return [every[round(part * (len(every) - 1) / (COLUMNS - 1))] for part in range(COLUMNS)]


def demo() -> None:
    """docs/demo.jpg, of the files of the demo's second act, and docs/film.jpg, the contact sheet of its film."""
    with tempfile.TemporaryDirectory() as folder:
        subprocess.run([sys.executable, "-m", "luma_mcp", "demo", "--keep", folder], check=True)
        (film_sheet,) = Path(folder).glob("*-sheet.jpg")
        (HERE / "film.jpg").write_bytes(film_sheet.read_bytes())
        others = ("-edited-", "-film-")
        files = [
            path
            for path in Path(folder).iterdir()
            if path.suffix != ".json" and not any(word in path.name for word in others)
        ]
        rows = [frames(path) for path in sorted(files, key=lambda path: path.stat().st_mtime_ns)]
    clips = [row for row in rows if len(row) > 1]
    still = next(row[0] for row in rows if len(row) == 1)
    sheet = Image.new("RGB", (COLUMNS * (WIDTH + GAP) - GAP, len(clips) * (HEIGHT + GAP) - GAP), "white")
    # The still stands in the place of the first frame of the clip that it became.
    clips[1][0] = still
    for number, row in enumerate(clips):
        for column, frame in enumerate(row):
            picture = frame.resize((WIDTH, HEIGHT), Image.Resampling.LANCZOS)
            sheet.paste(picture, (column * (WIDTH + GAP), number * (HEIGHT + GAP)))
    sheet.save(HERE / "demo.jpg", quality=82, optimize=True)


async def sheet() -> None:
    """docs/sheet.jpg, as view_generation gives it."""
    with tempfile.TemporaryDirectory() as folder:
        async with serving(Emulator(speed=60)) as base_url:
            variables = {"LUMA_TOKEN": "x", "LUMA_BASE_URL": base_url, "LUMA_LEDGER": f"{folder}/ledger.sqlite3"}
            async with Client(
                build_server(Settings.from_environment({**variables, "LUMA_OUTPUT_DIR": folder}))
            ) as client:
                wanted = {"prompt": "a lighthouse on a cliff at dusk", "resolution": "720p", "concepts": ["orbit_left"]}
                bought = (await client.call_tool("create_video", wanted)).structured_content or {}
                ids = [bought["generation_id"]]
                await client.call_tool("wait_for_generation", {"generation_ids": ids, "timeout_seconds": 120})
                seen = await client.call_tool("view_generation", {"generation_id": ids[0]})
    (picture,) = [part for part in seen.content if part.type == "image"]
    (HERE / "sheet.jpg").write_bytes(base64.b64decode(picture.data))


def conversation(player: Path) -> None:
    """docs/conversation.jpg: a conversation, and beside it the player.

    Args:
        player: a picture of the player with a film, as `just browser --screenshots DIR` keeps it in film.png.
    """
    from playwright.sync_api import sync_playwright  # noqa: PLC0415 - of the tests

    lines = "".join(f'<p class="{who}">{words}</p>' for who, words in _CONVERSATION)
    shown = base64.b64encode(player.read_bytes()).decode()
    page = f"<style>{_STYLE}</style><main>{lines}</main><img src='data:image/png;base64,{shown}'>"
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox"])
        window = chromium.new_page(viewport={"width": 1280, "height": 700})
        window.set_content(page)
        window.screenshot(path=HERE / "conversation.jpg", type="jpeg", quality=82)
        chromium.close()


_CONVERSATION = (
    ("you", "Make fifteen seconds of a paper boat: dawn on a lake, it drifts past reeds, rain begins. A cheap draft."),
    ("model", "<code>create_film(shots=[3 shots], dry_run=true)</code>Three shots cost $0.42. Shall I make the film?"),
    ("you", "Yes."),
    ("model", "<code>create_film(shots=[3 shots])</code><code>wait_for_film(film_id=...)</code>Done: fifteen seconds."),
    ("you", "Another take of the rain, please."),
)  # fmt: skip
_STYLE = """
body { margin: 0; display: flex; font: 17px/1.45 system-ui, sans-serif; background: #f3f4f6; color: #16181d; }
main { flex: 1; padding: 28px; display: flex; flex-direction: column; gap: 14px; }
p { margin: 0; padding: 12px 16px; border-radius: 14px; background: white; align-self: flex-start; max-width: 88%; }
p.you { background: #5b3fd6; color: white; align-self: flex-end; }
code { display: block; font-size: 13px; color: #5a606c; margin-bottom: 6px; }
img { width: 620px; height: 700px; object-fit: cover; object-position: top; border-left: 1px solid #d5d9e0; }
"""


if __name__ == "__main__":
    if len(sys.argv) > 1:
        conversation(Path(sys.argv[1]))
    else:
        demo()
        anyio.run(sheet)
