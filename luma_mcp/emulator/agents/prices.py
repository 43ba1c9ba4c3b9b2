"""The prices of the Agents API, in US cents."""

import math

from luma_mcp.emulator.agents import catalogue
from luma_mcp.emulator.agents.bodies import GenerationBody


def cents_of(body: GenerationBody, seconds: float, layers: int) -> float:
    """The price of a request.

    Args:
        body: the request.
        seconds: the length of the clip that is made.
        layers: how many layers are made.
    """
    resolution, long = body.settings.resolution, seconds > 5
    match body.type:
        case "image":
            return catalogue.STILL_CENTS[body.model] + catalogue.REFERENCE_CENTS * len(body.image_ref)
        case "image_edit":
            return catalogue.EDIT_STILL_CENTS[body.model] + catalogue.REFERENCE_CENTS * len(body.image_ref)
        case "layering":
            return catalogue.LAYER_CENTS[body.layering.resolution if body.layering else "1k"] * layers
        case "video":
            return catalogue.SDR_CENTS[resolution][long] * _dynamic_range(body)
        case "video_edit":
            # Luma publishes 5 and 10 s. What is longer is taken to cost as many blocks of ten.
            blocks = max(1, math.ceil(seconds / 10)) if long else 1
            return catalogue.EDIT_CENTS[resolution][long] * blocks * _dynamic_range(body)
        case _:
            return catalogue.REFRAME_CENTS_PER_SECOND[resolution] * seconds


def _dynamic_range(body: GenerationBody) -> int:
    if body.settings.exr_export:
        return catalogue.EXR_FACTOR
    return catalogue.HDR_FACTOR if body.settings.hdr else 1
