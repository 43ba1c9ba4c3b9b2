"""Frame rates: the exact one that a clip has."""

from collections import Counter
from collections.abc import Sequence
from fractions import Fraction
from itertools import pairwise

_NTSC = Fraction(1000, 1001)
_STANDARD = (
    *(Fraction(rate) for rate in (10, 12, 15, 16, 24, 25, 30, 48, 50, 60, 90, 100, 120)),
    *(rate * _NTSC for rate in (15, 24, 30, 48, 60, 120)),
)
# Time stamps of some formats are whole milliseconds, so that two of them differ by up to two from the exact interval.
_ROUNDING = Fraction(21, 10_000)
_TOLERANCE = Fraction(1, 2000)
_DEFAULT = 24
_MIN_RATE, _MAX_RATE = Fraction(1, 10), Fraction(240)


def nominal_rate(times: Sequence[Fraction], stated: Fraction | None) -> Fraction:
    """Return the frame rate of a clip, in frames a second.

    It is a standard rate where one fits. A clip of a varying rate has that of its most frequent interval, so that every
    frame finds its place.

    Args:
        times: the times of its frames, sorted.
        stated: the rate that its headers state.
    """
    steps = Counter(later - earlier for earlier, later in pairwise(times) if later > earlier)
    if not steps:
        return _bounded(stated or Fraction(_DEFAULT))
    frequent = max(steps.items(), key=lambda item: (item[1], -item[0]))[0]
    mean = (times[-1] - times[0]) / (len(times) - 1)
    # Rounded time stamps of a constant rate differ by the rounding; their mean is nearly exact.
    is_constant = all(abs(step - mean) <= _ROUNDING for step in steps)
    step, error = (mean, _ROUNDING / (len(times) - 1)) if is_constant else (frequent, _ROUNDING / 2)
    is_exact = any((step * 1000).denominator > 1 for step in steps)
    tolerance = _TOLERANCE if is_exact else max(_TOLERANCE, error / step)
    return _standard(_bounded(1 / step), stated, tolerance)


def _bounded(rate: Fraction) -> Fraction:
    return min(max(rate, _MIN_RATE), _MAX_RATE)


def _standard(rate: Fraction, stated: Fraction | None, tolerance: Fraction) -> Fraction:
    """Return the stated rate if it is near; else the nearest standard rate, if that is near; else the rate itself."""
    nearest = min(_STANDARD, key=lambda standard: abs(standard - rate))
    for known in (stated if stated is not None and stated in _STANDARD else nearest, nearest):
        if abs(known - rate) <= known * tolerance:
            return known
    return rate.limit_denominator(1001)
