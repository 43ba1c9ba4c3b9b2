"""Makes docs/demo.jpg: frames of the files that the demo makes."""

import subprocess
import sys
import tempfile
from pathlib import Path

import av
from PIL import Image

WIDTH, HEIGHT, GAP, COLUMNS = 320, 180, 6, 4
TARGET = Path(__file__).with_name("demo.jpg")


def frames(path: Path) -> list[Image.Image]:
    """Four moments of a clip; a still once."""
    if path.suffix != ".mp4":
        return [Image.open(path).convert("RGB")]
    with path.open("rb") as file, av.open(file, format="mp4") as container:
        every = [frame.to_image() for frame in container.decode(video=0)]
    return [every[round(part * (len(every) - 1) / (COLUMNS - 1))] for part in range(COLUMNS)]


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        subprocess.run([sys.executable, "-m", "luma_mcp", "demo", "--keep", folder], check=True)
        files = sorted(Path(folder).iterdir(), key=lambda path: path.stat().st_mtime_ns)
        rows = [frames(path) for path in files]
    clips = [row for row in rows if len(row) > 1]
    still = next(row[0] for row in rows if len(row) == 1)
    sheet = Image.new("RGB", (COLUMNS * (WIDTH + GAP) - GAP, len(clips) * (HEIGHT + GAP) - GAP), "white")
    # The still stands in the place of the first frame of the clip that it became.
    clips[1][0] = still
    for number, row in enumerate(clips):
        for column, frame in enumerate(row):
            picture = frame.resize((WIDTH, HEIGHT), Image.Resampling.LANCZOS)
            sheet.paste(picture, (column * (WIDTH + GAP), number * (HEIGHT + GAP)))
    sheet.save(TARGET, quality=82, optimize=True)


if __name__ == "__main__":
    main()
