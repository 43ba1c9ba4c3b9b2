"""Coverage-guided bytes for everything that reads Luma's answers; only our own errors may come out.

pip install atheris     (Linux; it has wheels for some versions of Python only)
python tests/backends/dream_machine/fuzz_answers.py -max_total_time=600
"""

import contextlib
import sys

import atheris

with atheris.instrument_imports(include=["luma_mcp"]):
    from luma_mcp.backends import errors
    from luma_mcp.backends.dream_machine import decoding, encoding
    from luma_mcp.domain.errors import LumaError
    from luma_mcp.domain.text import cleaned

READERS = (decoding.read_generation, decoding.read_page, decoding.read_credit_usd, decoding.read_words)
HEADERS = ("retry-after", "content-type")
NOW = 1_700_000_000.0


def item(data: bytes) -> None:
    values = atheris.FuzzedDataProvider(data)
    status = values.ConsumeIntInRange(300, 599)
    headers = {name: values.ConsumeUnicode(30) for name in HEADERS}
    words = values.ConsumeUnicode(60)
    body = values.ConsumeBytes(values.remaining_bytes())
    for read in READERS:
        with contextlib.suppress(LumaError):
            read(body)
    error = errors.error_of(status, body, headers, NOW)
    assert isinstance(error, LumaError)
    cleaned(f"{error} {words}").encode()
    with contextlib.suppress(LumaError):
        assert encoding.generation_path(words).count("/") == 2


atheris.Setup([*sys.argv, "-rss_limit_mb=2048"], item)
atheris.Fuzz()
