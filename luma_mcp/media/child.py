"""The media child: it reads calls from its standard input and writes what they return, until its input ends.

Luma's token and the keys of a cloud are not in its environment.
"""

import os
import sys
from typing import BinaryIO, cast

from luma_mcp.domain.errors import InternalError, LumaError
from luma_mcp.media import wire
from luma_mcp.media.functions import FUNCTIONS
from luma_mcp.media.limits import limit
from luma_mcp.media.translation import translated


def main() -> None:
    """Answer calls. What a library prints goes to the standard error, and never between the messages."""
    output = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    while call(cast("BinaryIO", sys.stdin.buffer), cast("BinaryIO", output)):
        pass


def call(requests: BinaryIO, responses: BinaryIO) -> bool:
    """Answer one call; False if there is none any more. Raises: WireError."""
    try:
        name, arguments, memory_bytes, seconds = wire.read(requests)
    except EOFError:
        return False
    limit(memory_bytes, seconds)
    try:
        response = ("returned", translated(FUNCTIONS[name][0], *arguments))
    except MemoryError:
        # The memory that is left is not known, so the child ends.
        os._exit(1)
    except InternalError as error:
        response = ("InternalError", str(error), error.hint, error.traceback_text)
    except LumaError as error:
        response = ("FileError", str(error), error.hint)
    except OSError as error:
        response = ("OSError", error.errno or 0, error.strerror or type(error).__name__)
    wire.write(responses, response)
    return True
