"""The prices of Dream Machine."""

from luma_mcp.emulator.dream_machine.catalogue import FRAMES_PER_SECOND

# US dollars per million pixels. Those of Ray 2 reproduce the published price list to the cent.
VIDEO_RATES = {"ray-2": 0.0064, "ray-flash-2": 0.0022}
MODIFY_RATES = {"ray-2": 0.01582, "ray-flash-2": 0.00544}
IMAGE_RATES = {"photon-1": 0.0073, "photon-flash-1": 0.0019}
# Luma publishes no price for sound. This one is invented.
AUDIO_USD_PER_SECOND = 0.02


def clip_cents(rate: float, size: tuple[int, int], seconds: float) -> float:
    """The price of a clip in US cents."""
    megapixels = size[0] * size[1] * FRAMES_PER_SECOND * seconds / 1e6
    return round(megapixels * rate * 100, 2)


def image_cents(rate: float, size: tuple[int, int]) -> float:
    """The price of an image in US cents."""
    return round(size[0] * size[1] / 1e6 * rate * 100, 4)
