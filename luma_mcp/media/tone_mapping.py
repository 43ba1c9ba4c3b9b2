"""The way from HDR and wide colours to SDR, as a table for libav's filter `lut3d`.

PQ and HLG become light by Recommendation ITU-R BT.2100. Highlights are rolled off by the curve of Report ITU-R BT.2390,
with white paper at 203 nits (Report BT.2408). Colours go from BT.2020 or P3 to BT.709, encoded by BT.1886.
"""

from collections.abc import Callable, Sequence
from itertools import product
from math import exp, log, sqrt

from luma_mcp.media.colour import HLG, PQ, Colours

_SIZE = 33
_WHITE_NITS = 203.0
_PEAK_NITS = 1000.0
# The constants of BT.2100.
_M1, _M2 = 2610 / 16384, 2523 / 4096 * 128
_C1, _C2, _C3 = 3424 / 4096, 2413 / 4096 * 32, 2392 / 4096 * 32
_HLG_A, _HLG_B, _HLG_C = 0.17883277, 0.28466892, 0.55991073
_HLG_GAMMA = 1.2
_BT2020_LUMINANCE = (0.2627, 0.6780, 0.0593)
_SDR_GAMMA = 2.4

_Rgb = tuple[float, float, float]
_BT2020_TO_BT709 = ((1.6605, -0.5876, -0.0728), (-0.1246, 1.1329, -0.0083), (-0.0182, -0.1006, 1.1187))
_P3_TO_BT709 = ((1.2249, -0.2247, 0.0), (-0.0420, 1.0419, 0.0), (-0.0197, -0.0786, 1.0979))
_IDENTITY = ((1.0, 0.0, 0.0), (0.0, 1.0, 0.0), (0.0, 0.0, 1.0))
_TO_BT709 = {9: _BT2020_TO_BT709, 11: _P3_TO_BT709, 12: _P3_TO_BT709}


def sdr_table(colours: Colours) -> str:
    """Return the table from full-range RGB of these colours to full-range RGB of BT.709, as a .cube file."""
    light = _LIGHT.get(colours.transfer, _sdr_light)
    matrix = _TO_BT709.get(colours.primaries, _IDENTITY)
    levels = [index / (_SIZE - 1) for index in range(_SIZE)]
    # In a .cube file red changes fastest.
    lines = [_line(matrix, light((red, green, blue))) for blue, green, red in product(levels, repeat=3)]
    return "\n".join([f"LUT_3D_SIZE {_SIZE}", *lines, ""])


def sdr_levels(transfer: int) -> tuple[int, ...]:
    """Return the levels of an HDR picture, from 0 to 255, that show those of an SDR picture: white is paper."""
    return tuple(round(255 * _hdr_signal(transfer, (level / 255) ** _SDR_GAMMA)) for level in range(256))


def _hdr_signal(transfer: int, light: float) -> float:
    """Return the signal of some light, where 1 is white paper."""
    if transfer == PQ:
        return _pq_signal(light * _WHITE_NITS)
    # The light of the display is that of the scene by the power of HLG's gamma.
    scene = (light * _WHITE_NITS / _PEAK_NITS) ** (1 / _HLG_GAMMA)
    return sqrt(3 * scene) if scene <= 1 / 12 else _HLG_A * log(12 * scene - _HLG_B) + _HLG_C


def _line(matrix: Sequence[Sequence[float]], light: _Rgb) -> str:
    red, green, blue = (sum(a * b for a, b in zip(row, light, strict=True)) for row in matrix)
    return " ".join(f"{min(max(value, 0.0), 1.0) ** (1 / _SDR_GAMMA):.6f}" for value in (red, green, blue))


def _sdr_light(signal: _Rgb) -> _Rgb:
    red, green, blue = (value**_SDR_GAMMA for value in signal)
    return red, green, blue


def _pq_light(signal: _Rgb) -> _Rgb:
    red, green, blue = (_pq_nits(value) for value in signal)
    return _rolled_off((red, green, blue))


def _hlg_light(signal: _Rgb) -> _Rgb:
    scene = [value**2 / 3 if value <= 0.5 else (exp((value - _HLG_C) / _HLG_A) + _HLG_B) / 12 for value in signal]
    luminance = sum(a * b for a, b in zip(_BT2020_LUMINANCE, scene, strict=True))
    gain = _PEAK_NITS * luminance ** (_HLG_GAMMA - 1) if luminance > 0 else 0.0
    red, green, blue = (value * gain for value in scene)
    return _rolled_off((red, green, blue))


def _rolled_off(nits: _Rgb) -> _Rgb:
    """Return light where 1 is white paper. The brightest channel sets the gain of all, which keeps the hue."""
    brightest = max(nits)
    if brightest <= 0:
        return 0.0, 0.0, 0.0
    gain = _pq_nits(_curve(_pq_signal(min(brightest, _PEAK_NITS)))) / brightest / _WHITE_NITS
    red, green, blue = (value * gain for value in nits)
    return red, green, blue


def _curve(signal: float) -> float:
    """Return a PQ signal of at most 1000 nits as one of at most 203 nits: BT.2390, section 5.4.1."""
    peak = _pq_signal(_PEAK_NITS)
    highest = _pq_signal(_WHITE_NITS) / peak
    knee = 1.5 * highest - 0.5
    value = signal / peak
    if value > knee:
        t = (value - knee) / (1 - knee)
        value = (2 * t**3 - 3 * t**2 + 1) * knee + (t**3 - 2 * t**2 + t) * (1 - knee) + (-2 * t**3 + 3 * t**2) * highest
    return value * peak


def _pq_nits(signal: float) -> float:
    power = signal ** (1 / _M2)
    return float(10_000 * (max(power - _C1, 0.0) / (_C2 - _C3 * power)) ** (1 / _M1))


def _pq_signal(nits: float) -> float:
    power = (nits / 10_000) ** _M1
    return float(((_C1 + _C2 * power) / (1 + _C3 * power)) ** _M2)


_LIGHT: dict[int, Callable[[_Rgb], _Rgb]] = {PQ: _pq_light, HLG: _hlg_light}
