"""The only way to spend: a request is priced, checked, and sent once."""

from dataclasses import dataclass, replace

from luma_mcp.luma import rules
from luma_mcp.luma.client import LumaClient
from luma_mcp.luma.models import (
    AddAudioRequest,
    Generation,
    ImageRequest,
    ModifyVideoRequest,
    ReframeImageRequest,
    ReframeVideoRequest,
    Request,
    UpscaleRequest,
    VideoRequest,
)
from luma_mcp.luma.prices import Footage, Price, price_of


@dataclass(frozen=True, slots=True)
class Quote:
    """A request that Luma would take, and what it would cost."""

    request: Request
    price: Price


@dataclass(frozen=True, slots=True)
class Purchase:
    """What was bought."""

    generation: Generation
    price: Price


class Purchases:
    """Buys at Luma for one account."""

    def __init__(self, luma: LumaClient, *, callback_url: str | None = None) -> None:
        self._luma = luma
        self._callback_url = callback_url

    def quote(self, request: Request, source: Footage | None = None) -> Quote:
        """Say what a request would cost; nothing is sent.

        Raises:
            InvalidRequestError: Luma would refuse it.
        """
        rules.check(request)
        return Quote(replace(request, callback_url=self._callback_url), price_of(request, source))

    async def buy(self, quote: Quote) -> Purchase:
        """Send what was quoted, once.

        Raises:
            AmbiguousPurchaseError: what became of it is not known; it must not be sent again unseen.
            LumaError: it was not bought.
        """
        return Purchase(await self._send(quote.request), quote.price)

    async def _send(self, request: Request) -> Generation:
        match request:
            case VideoRequest():
                return await self._luma.create_video(request)
            case ImageRequest():
                return await self._luma.create_image(request)
            case ReframeVideoRequest():
                return await self._luma.reframe_video(request)
            case ReframeImageRequest():
                return await self._luma.reframe_image(request)
            case ModifyVideoRequest():
                return await self._luma.modify_video(request)
            case UpscaleRequest():
                return await self._luma.upscale_video(request)
            case AddAudioRequest():
                return await self._luma.add_audio(request)
