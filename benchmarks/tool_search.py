"""Check that a host that loads tools on demand finds the right tool: sixty requests in people's words.

Such a host (Claude, Copilot CLI) searches names and descriptions for the words of a request, by BM25 or by a regular
expression, and loads what comes first. `python -m benchmarks.tool_search` shows what is missed.
"""

import logging
import re
from collections.abc import Callable, Sequence
from typing import Any, cast

import anyio
import bm25s

from benchmarks.rows import Row
from luma_mcp.composition import build_server
from luma_mcp.config.settings import Settings

_FIRST = 3
_GOAL = 0.95
_WORDS = re.compile(r"[a-z0-9]+")
_STOP_WORDS = frozenset(
    _WORDS.findall(
        "a an and any are as at be can could do does for from give have how i in into is it its me my need of on one "
        "or our please so that the their them there these this to up us want was we what which will with would you your"
    )
)
# A request, and the tools of which one would do.
REQUESTS: Sequence[tuple[str, str]] = (
    ("make a video of a lighthouse in a storm", "create_video"),
    ("generate a five second clip of a cat on a skateboard", "create_video"),
    ("text to video: neon street in the rain", "create_video"),
    ("animate this photo", "create_video"),
    ("turn my picture into a short film", "create_video"),
    ("image to video from hero.png", "create_video"),
    ("create a looping video background", "create_video"),
    ("make a transition between these two pictures", "create_video"),
    ("I need a cinematic shot of a desert", "create_video"),
    ("video starting at this frame and ending at that frame", "create_video"),
    ("draw a picture of a fox", "create_image"),
    ("generate an image for my blog post", "create_image"),
    ("make a logo with a mountain", "create_image"),
    ("text to image, watercolor style", "create_image"),
    ("create a photo of the same character in another place", "create_image"),
    ("edit this picture: make the sky pink", "create_image"),
    ("use these reference images to make a new picture", "create_image"),
    ("make four variations of an image", "create_image"),
    ("make the clip longer", "extend_video"),
    ("continue the video where it stopped", "extend_video"),
    ("extend my video by five seconds", "extend_video"),
    ("what happened before this clip? add a beginning", "extend_video"),
    ("change the style of this video to anime", "modify_video"),
    ("restyle my clip, keep the motion", "modify_video"),
    ("video to video: turn the actor into a robot", "modify_video"),
    ("modify the video so that it snows", "modify_video"),
    ("make this video vertical for TikTok", "reframe_video"),
    ("change the aspect ratio of the clip to 9:16", "reframe_video"),
    ("outpaint the video to widescreen", "reframe_video"),
    ("resize the picture to square", "reframe_image"),
    ("change the aspect ratio of an image", "reframe_image"),
    ("expand the borders of this photo", "reframe_image"),
    ("upscale the video to 4k", "upscale_video"),
    ("make the clip sharper, higher resolution", "upscale_video"),
    ("I want the video in 1080p", "upscale_video create_video"),
    ("add sound to the clip", "add_audio"),
    ("put sound effects on my video", "add_audio"),
    ("give the video some audio", "add_audio"),
    ("is my video ready?", "wait_for_generation get_generation"),
    ("wait until the clip is done", "wait_for_generation"),
    ("check the status of my generation", "get_generation wait_for_generation"),
    ("how long until it finishes", "wait_for_generation"),
    ("show me the link to the finished video", "get_generation download_generation"),
    ("list everything I made this week", "list_generations"),
    ("show my recent videos and pictures", "list_generations view_generation"),
    ("find the generation I made earlier", "list_generations"),
    ("delete that clip", "delete_generation"),
    ("remove the generation from Luma", "delete_generation"),
    ("save the video to my computer", "download_generation"),
    ("download the picture", "download_generation"),
    ("join these clips into one file", "edit_video"),
    ("merge the videos", "edit_video"),
    ("look at the result and tell me if it is good", "view_generation"),
    ("show me frames of the clip", "view_generation"),
    ("how much money is left", "get_credits"),
    ("what have I spent today", "get_credits"),
    ("check my Luma credits", "get_credits"),
    ("does the connection to Luma work", "ping"),
    ("make a short film with four scenes", "create_film"),
    ("turn this story into a movie of several shots", "create_film"),
    ("go on with my film until it is done", "wait_for_film"),
    ("which camera motions can I use", "list_concepts"),
    ("what camera concepts are there, like dolly zoom", "list_concepts"),
)


def documents() -> dict[str, str]:
    """The name, the title and the description of each tool of a server with keys for both APIs."""
    settings = Settings.from_environment({"LUMA_TOKEN": "x-1", "LUMA_AGENTS_API_KEY": "luma-api-x"})
    tools = anyio.run(build_server(settings).list_tools)
    return {tool.name: f"{tool.name.replace('_', ' ')} {tool.title} {tool.description}" for tool in tools}


def by_bm25(texts: dict[str, str]) -> Callable[[str], list[str]]:
    """A search that ranks by BM25."""
    logging.getLogger("bm25s").setLevel(logging.WARNING)
    names = list(texts)
    index: Any = bm25s.BM25()
    index.index([_words(text) for text in texts.values()], show_progress=False)

    def search(request: str) -> list[str]:
        scores = cast("Sequence[float]", index.get_scores(_words(request)))
        ranked = sorted(range(len(names)), key=lambda index: -scores[index])
        return [names[index] for index in ranked if scores[index] > 0][:_FIRST]

    return search


def by_regex(texts: dict[str, str]) -> Callable[[str], list[str]]:
    """A search by a regular expression of the words; more different words come first, then more in the name."""

    def search(request: str) -> list[str]:
        patterns = [re.compile(rf"(?i)(\b|_){word.removesuffix('s')}") for word in dict.fromkeys(_words(request))]
        hits = {name: (_matches(patterns, f"{name} {text}"), _matches(patterns, name)) for name, text in texts.items()}
        ranked = sorted((name for name in hits if any(hits[name])), key=lambda name: hits[name], reverse=True)
        return ranked[:_FIRST]

    return search


def _matches(patterns: Sequence[re.Pattern[str]], text: str) -> int:
    return sum(pattern.search(text) is not None for pattern in patterns)


def _words(text: str) -> list[str]:
    return [word for word in _WORDS.findall(text.lower()) if word not in _STOP_WORDS]


def missed(search: Callable[[str], list[str]]) -> list[tuple[str, str, list[str]]]:
    """The requests for which no right tool is among the first: the request, the right tools, what came first."""
    ranking = [(request, right, search(request)) for request, right in REQUESTS]
    return [entry for entry in ranking if not set(entry[1].split()) & set(entry[2])]


def rows() -> list[Row]:
    texts, lines = documents(), list[Row]()
    for name, search in (("BM25", by_bm25(texts)), ("a regular expression", by_regex(texts))):
        share = 1 - len(missed(search)) / len(REQUESTS)
        what = f"{len(REQUESTS)} requests in people's words: the right tool among the first three, by {name}"
        lines.append(Row(what, f"{share:.0%}", goal=f">= {_GOAL:.0%}"))
    return lines


def main() -> None:
    texts = documents()
    for name, search in (("BM25", by_bm25(texts)), ("regex", by_regex(texts))):
        wrong = missed(search)
        print(f"{name}: {len(REQUESTS) - len(wrong)} of {len(REQUESTS)}")
        for request, right, ranking in wrong:
            print(f"  {request!r} wants {right}, gets {', '.join(ranking)}")


if __name__ == "__main__":
    main()
