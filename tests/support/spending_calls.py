"""Every tool that spends, with arguments that are taken."""

from typing import Any

MEDIA = "https://a.example/a.mp4"
IMAGE = "https://a.example/a.png"
# Every tool that spends; VIDEO stands for the id of a completed video.
SPENDING: dict[str, dict[str, Any]] = {
    "create_video": {
        "prompt": "a boat", "start_frame": IMAGE, "concepts": ["orbit_left", "push_in"], "resolution": "540p",
    },
    "extend_video": {"generation_id": "VIDEO", "prompt": "on it goes"},
    "create_image": {
        "prompt": "a boat", "image_refs": [{"source": IMAGE, "weight": 0.5}], "character_images": [IMAGE],
        "modify_image": {"source": IMAGE},
    },
    "modify_video": {"source": MEDIA, "mode": "flex_1", "first_frame": IMAGE},
    "reframe_video": {"source": MEDIA, "aspect_ratio": "9:16", "placement": [0, 0.25, 1, 0.5], "prompt": "more sky"},
    "reframe_image": {"source": IMAGE, "aspect_ratio": "1:1", "format": "png"},
    "upscale_video": {"generation_id": "VIDEO", "resolution": "1080p"},
    "add_audio": {"generation_id": "VIDEO", "prompt": "waves"},
}  # fmt: skip


def arguments(tool: str, video: str) -> dict[str, Any]:
    return named(SPENDING[tool], video)


def named(call: dict[str, Any], video: str) -> dict[str, Any]:
    """The arguments of a call with the id of a completed video."""
    return {name: video if value == "VIDEO" else value for name, value in call.items()}


# The same for the Agents API.
AGENTS_SPENDING: dict[str, dict[str, Any]] = {
    "create_video": {"prompt": "a boat", "start_frame": IMAGE, "resolution": "540p"},
    "extend_video": {"generation_id": "VIDEO", "prompt": "on it goes"},
    "create_image": {"prompt": "a boat", "image_refs": [{"source": IMAGE}]},
    "modify_video": {"source": MEDIA, "prompt": "at night", "mode": "flex_1"},
    "reframe_video": {"source": MEDIA, "prompt": "more sky", "aspect_ratio": "9:16"},
}
