"""Limits of the operating system for this process: its memory and its CPU time.

Linux has both, macOS the CPU's, Windows neither.
"""

from contextlib import suppress


def limit(memory_bytes: int, seconds: float) -> None:
    """Limit this process from now on: its memory, and its CPU time from what it has used until now."""
    try:
        import resource  # noqa: PLC0415 - Windows has none
    except ImportError:  # pragma: no cover - not on this system
        return
    used = resource.getrusage(resource.RUSAGE_SELF)
    cpu_seconds = int(used.ru_utime + used.ru_stime + seconds) + 1
    # Memory that is mapped from files, such as libraries, does not count.
    for kind, value in ((resource.RLIMIT_CPU, cpu_seconds), (resource.RLIMIT_DATA, memory_bytes)):
        _, hardest = resource.getrlimit(kind)
        allowed = value if hardest == resource.RLIM_INFINITY else min(value, hardest)
        with suppress(ValueError, OSError):  # a system may have the limit and refuse to set it
            resource.setrlimit(kind, (allowed, hardest))
