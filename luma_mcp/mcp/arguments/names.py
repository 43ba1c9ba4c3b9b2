"""The names of arguments as clients and models send them, brought to ours.

What a client adds to every call is left out. A name that differs from ours by its letters' case or its separators only
is ours. For the names of Luma's and of other video APIs the error states our name, or that Luma
has no such argument. Nothing is guessed: a misspelt argument of a call that costs money must neither vanish nor lead to
another purchase.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, cast

from luma_mcp.domain.errors import InvalidRequestError
from luma_mcp.domain.text import alphanumeric, cleaned
from luma_mcp.mcp.arguments.frames import with_frames

# Names that clients add to the arguments of every call: n8n, CrewAI, LangChain, Cursor, Windsurf, Letta, Gemini CLI.
CLIENT_EXTRAS = frozenset(
    {
        "sessionId", "action", "chatInput", "toolCallId", "tool_call_id", "security_context", "run_manager",
        "callbacks", "random_string", "dummy", "toolSummary", "toolAction", "waitForPreviousTools", "wait_for_previous",
        "request_heartbeat", "inner_thoughts", "_meta",
    }
)  # fmt: skip

# The names of Luma's API and of other video APIs, by our arguments with the same meaning; the first that a tool
# has counts.
_COUNTS = (
    "n num_images num_outputs samples batch_size number_of_images num_videos num_samples number_of_videos sample_count"
    " variations batch"
)
_SYNONYMS: dict[tuple[str, ...], str] = {
    ("start_frame",): "first_frame first_image start_image image_url image image_path init_image input_image frame0 "
    "keyframe0 image_start start_image_url first_frame_image first_frame_url image_prompt prompt_image input_image_url "
    "start_frame_url starting_image start_keyframe first_keyframe image_file reference_image start_from",
    ("end_frame",): "last_frame last_image end_image tail_image image_tail frame1 keyframe1 image_end end_image_url "
    "last_frame_image last_frame_url end_frame_url ending_image end_keyframe last_keyframe final_frame",
    ("modify_image", "source", "start_frame"): "source_image edit_image image_to_edit base_image original_image "
    "modify_image_ref source_image_url input_reference",
    ("image_refs", "first_frame", "start_frame"): "images image_ref reference_images references reference_image_urls "
    "ref_images image_references image_urls input_images subject_references",
    ("style_refs",): "style_ref style_reference style_references style_image style_images",
    ("character_images",): "character_ref character_reference character_references character_image face_image "
    "face_images identity_images",
    ("source", "generation_id"): "video video_url video_path input_video source_video source_url media media_url clip "
    "video_file input file url",
    ("generation_id", "generation_ids"): "id generation video_id task_id job_id request_id uuid image_id prediction_id "
    "generationid operation_id",
    ("generation_ids", "generation_id"): "ids generations task_ids job_ids video_ids",
    ("aspect_ratio",): "ratio aspect size dimensions orientation format_ratio video_size image_size width height",
    ("duration",): "seconds length duration_seconds duration_s video_length clip_length num_seconds video_duration "
    "duration_in_seconds",
    ("resolution",): "quality video_resolution output_resolution video_quality resolution_name",
    ("mode",): "strength edit_strength adherence modify_mode edit_mode",
    ("concepts",): "camera camera_motion camera_control camera_movement camera_concept concept motion camera_motions",
    ("model",): "model_name model_id engine model_version modelname version",
    ("prompt",): "text description prompt_text text_prompt positive_prompt caption instruction instructions query",
    ("format",): "output_format file_format image_format mime_type",
    ("directory",): "output_dir output_directory folder output_path save_dir save_to destination out path filename",
    ("timeout_seconds",): "timeout max_wait wait_seconds timeout_s max_seconds patience_seconds timeout_ms wait",
    ("dry_run",): "dry preview_only estimate price_only simulate test",
    ("placement",): "grid_position_x grid_position_y x_start x_end y_start y_end resized_width resized_height position "
    "source_position",
    ("loop",): "looping seamless is_loop",
    ("web_search",): "search enable_web_search grounding",
    ("sound",): "music soundtrack background_music voice_over voiceover audio_path sounds",
    ("captions",): "subtitles srt subtitle_file srt_path caption_file",
    ("overlays",): "overlay logo watermark logo_path image_overlay",
    ("max_mb",): "max_size max_size_mb target_size target_size_mb size_limit max_file_size",
    ("burn_captions",): "burn_subtitles hardsub burn_in",
    ("bar_color",): "bar_colour background_color pad_color background",
    ("fade_out_seconds",): "fade_out fadeout fade_to_black",
    ("fade_in_seconds",): "fade_in fadein fade_from_black",
    ("hdr",): "high_dynamic_range enable_hdr",
    ("exr",): "exr_export",
    ("keep",): "controls preserve edit_controls signals",
    ("layers",): "layering layer_resolution",
    ("limit",): "page_size per_page count max_results max",
    ("count",): _COUNTS,
    ("offset",): "page skip cursor start",
    ("state",): "status",
    ("kind",): "type",
    ("shots",): "scenes clips segments sequences prompts storyboard script parts",
    ("asset",): "asset_type output_type",
    ("frames",): "frame_count num_frames",
}
# The arguments that each shot of a film has itself.
_OF_A_SHOT = frozenset({"prompt", "duration", "start_frame", "end_frame", "concepts"})
_PLACEMENT = "It is [left, top, width, height] as fractions of the new canvas."
_ADVICE = {"placement": _PLACEMENT}
_TAKES = "Call once for each, with take=1, 2, 3 and so on."
# Of what Luma has, and the tool has not.
_ELSEWHERE: dict[str, str] = {
    "keyframes": "create_video has start_frame, end_frame and keyframes; a shot has start and end.",
    "generation_type": "Each operation is a tool of its own.",
    "auto_controls": "Without mode and keep, Luma chooses.",
    **dict.fromkeys(
        ("callback_url", "webhook", "webhook_url", "callback", "notify_url"),
        "Only the person can set LUMA_CALLBACK_URL in this server's environment.",
    ),
    **dict.fromkeys(
        ("audio", "generate_audio", "with_audio", "sound", "enable_audio", "sound_effects"),
        "add_audio makes a copy of a clip with sound, where that tool is offered.",
    ),
    **dict.fromkeys(
        ("sound_volume", "sound_fade_seconds", "duck", "ducking"),
        "Each sound has its own: sound=[{source, start, volume, fade_seconds, loop, duck}].",
    ),
    **dict.fromkeys(
        ("mute", "speed", "reverse", "volume", "trim", "start", "end"),
        "edit_video has it for each clip: clips=[{source, start, end, speed, reverse, volume}]; volume 0 mutes.",
    ),
    **dict.fromkeys(("join", "concat", "merge", "concatenate"), "edit_video puts clips together."),
}
_NOT_AT_LUMA: dict[str, str] = {
    **dict.fromkeys(("seed", "random_seed", "noise_seed"), "Each take is another one anyway."),
    **dict.fromkeys(("negative_prompt", "negative"), "Say in the prompt what shall be there instead."),
    **dict.fromkeys(("count", *_COUNTS.split()), _TAKES),
    **dict.fromkeys(
        (
            "guidance", "guidance_scale", "cfg", "cfg_scale", "steps", "num_inference_steps", "scheduler", "sampler",
            "motion_strength", "motion_bucket_id", "motion_amount", "camera_fixed", "creativity", "temperature",
        ),
        "Say it in the prompt.",
    ),
    **dict.fromkeys(("fps", "frame_rate", "frames_per_second"), "Clips have 24 frames a second."),
    **dict.fromkeys(("mask", "mask_image", "mask_url"), "Say in the prompt what shall change."),
    **dict.fromkeys(("watermark", "safety_checker", "enable_safety_checker", "safety_tolerance"), "Leave it out."),
    **dict.fromkeys(("enhance_prompt", "prompt_optimizer", "expand_prompt"), "Write the prompt as it shall be."),
    **dict.fromkeys(("idempotency_key", "client_token"), "The same call with the same take is bought once."),
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Names:
    """The names of a tool's arguments: all that are known, and those that are advertised."""

    known: Collection[str]
    advertised: Sequence[str]


def tidied(tool: str, sent: Mapping[str, Any], names: Names, *, guess: bool) -> dict[str, Any]:
    """The arguments under our names. Null and an empty text mean that an argument is absent.

    Args:
        tool: the name of the tool.
        sent: the arguments as the client sent them.
        names: the names of the tool's arguments.
        guess: whether a near name may be proposed for one that does not exist; never where it costs money.

    Raises:
        InvalidRequestError: there is no such argument; the hint names the intended one.
    """
    arguments: dict[str, Any] = {}
    for name, value in sent.items():
        if value is None or value == "":
            continue
        meant = name if name in names.known else _known_as(name, names)
        if meant is not None and (meant == name or meant not in sent):
            arguments[meant] = value
        elif name not in CLIENT_EXTRAS:
            meaning = _unpacked(value, names) or _meaning(name, names, guess=guess)
            raise InvalidRequestError(f"{tool} has no argument {cleaned(name, 60)!r}.", f"{meaning} Nothing was done.")
    return with_frames(arguments) if {"start_frame", "end_frame"} <= set(names.known) else arguments


def _known_as(name: str, names: Names) -> str | None:
    """The argument whose name differs by case or separators only; None if there is none."""
    plain = alphanumeric(name)
    return next((known for known in names.known if alphanumeric(known) == plain), None)


def _unpacked(value: Any, names: Names) -> str | None:
    """The hint for arguments inside another argument, as `{"input": {"prompt": ...}}`; None if there are none."""
    if not isinstance(value, dict) or not value:
        return None
    inside = [str(name) for name in cast("dict[Any, Any]", value)]
    return f"Give {', '.join(inside)} themselves, not inside it." if set(inside) <= set(names.known) else None


def _meaning(name: str, names: Names, *, guess: bool) -> str:
    """The hint for an unknown name."""
    plain = alphanumeric(name)
    for targets, synonyms in _SYNONYMS.items():
        if plain in {alphanumeric(synonym) for synonym in (*synonyms.split(), *targets)}:
            if "shots" in names.advertised and _OF_A_SHOT & set(targets):
                return "Each of the shots has its own prompt, duration, start, end and concepts."
            target = next((target for target in targets if target in names.advertised), None)
            if target is not None:
                return f"It is called {target} here. {_ADVICE.get(target, '')}".strip()
    for synonym, advice in _ELSEWHERE.items():
        if plain == alphanumeric(synonym):
            return advice
    for synonym, advice in _NOT_AT_LUMA.items():
        if plain == alphanumeric(synonym):
            return f"Luma has no {cleaned(name, 60)}. {advice}"
    listed = f"It takes {', '.join(names.advertised) or 'no arguments'}."
    if not guess:
        return listed
    import difflib  # noqa: PLC0415 - rarely needed, and the start of the process shall not pay for it

    near = difflib.get_close_matches(name, names.advertised, n=1)
    return f"Did you mean {near[0]}?" if near else listed
