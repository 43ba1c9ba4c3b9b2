"""The URLs by which a request names a picture or a clip.

An https URL is a link that Luma reads. Two schemes of ours stand for what one API knows by an id: `luma-generation:ID`
is what a generation made, and `luma-file:SHA256.png` is a local file by its content, which is uploaded right before the
request is sent. So a request has the same name for the same content, in every process.
"""

_GENERATION, _FILE = "luma-generation:", "luma-file:"


def name_of_generation(generation_id: str) -> str:
    """The name of what a generation made."""
    return _GENERATION + generation_id


def name_of_file(sha256: str, ending: str) -> str:
    """The name of a local file."""
    return f"{_FILE}{sha256}.{ending}"


def generation_in(name: str) -> str | None:
    """The id of the generation that is named; None if it is something else."""
    return name.removeprefix(_GENERATION) if name.startswith(_GENERATION) else None


def is_file(name: str) -> bool:
    """Whether it is the name of a local file."""
    return name.startswith(_FILE)
