"""The prompts of the server: the user picks one and fills it in, and the model follows it."""

from typing import Annotated, Any

from mcp.server.mcpserver import MCPServer
from pydantic import Field

_CARE = (
    "Show me the price of everything with dry_run first, and buy only what I agree to; another take of a shot is the "
    "same call with take=2, or several with count. Wait with wait_for_generation, "
    "look at each result with view_generation before you call it good, and save what I keep with download_generation."
)


def attach(server: MCPServer[Any]) -> None:
    """Offer them on a server."""

    @server.prompt(title="Shot list", description="Break a story into shots, draft them cheaply, finish the good ones.")
    def shot_list(
        story: Annotated[str, Field(description="What happens, in a few sentences.")],
        shots: Annotated[str, Field(description="How many shots.")] = "4",
    ) -> str:
        return (
            f"Break this story into {shots} shots for Luma:\n\n{story}\n\n"
            "For each shot write a prompt of one or two sentences with subject, action, setting, light and lens, and "
            "choose one camera move (a concept from list_concepts, where that tool is offered). Keep names, clothes "
            "and places the same in all of them. Make them one film with create_film: a shot with "
            'start="continue" begins on the last frame of the one before it, one with end="next" ends on the first '
            "picture of the next, any other is a cut. Draft it at the lowest resolution, wait for it with "
            "wait_for_film, look at each shot, change what does not work: create_film with its film_id. Plan it again "
            "at 720p at the end. " + _CARE
        )

    @server.prompt(title="Product shot", description="A clip of a product from one picture of it.")
    def product_shot(
        picture: Annotated[str, Field(description="The picture: https URL, local path or generation id.")],
        mood: Annotated[str, Field(description="The mood of the clip.")] = "clean studio, soft light",
    ) -> str:
        return (
            f"Make a five-second product clip from this picture: {picture}\n\nMood: {mood}.\n\n"
            "Use it as start_frame of create_video. One slow camera move and no more: orbit left, "
            "push in or pedestal up. The product must keep its shape and its words, so say in the prompt that it stays "
            "still. If the picture has another ratio than wanted, change it first (reframe_image, where it is "
            "offered). " + _CARE
        )

    @server.prompt(title="Seamless loop", description="A clip that ends as it begins, for backgrounds.")
    def seamless_loop(
        scene: Annotated[str, Field(description="What is to be seen.")],
        aspect_ratio: Annotated[str, Field(description="16:9, 9:16, 1:1, 4:3, 3:4, 21:9 or 9:21.")] = "16:9",
    ) -> str:
        return (
            f"Make a seamless loop in {aspect_ratio}: {scene}\n\n"
            "Use create_video with loop=true, without end_frame. Choose a motion that has no beginning: drifting, "
            "flowing, turning. Keep the camera still unless the scene asks for more. In the contact sheet compare the "
            "first and the last frame: they must meet. " + _CARE
        )

    @server.prompt(title="Storyboard with keyframes", description="Stills first, then the clips between them.")
    def storyboard(
        story: Annotated[str, Field(description="What happens, in a few sentences.")],
        style: Annotated[str, Field(description="The look of it, or the id of an image to go by.")] = "cinematic",
    ) -> str:
        return (
            f"Make a storyboard and then a film of it.\n\nStory: {story}\nStyle: {style}\n\n"
            "First make the key moments with create_image, the first as a reference of the others so that they look "
            "alike, and let me choose. Then make one film of the clips between neighbours with create_film: start and "
            "end of each shot are the ids of its two images. Wait for it with wait_for_film. " + _CARE
        )
