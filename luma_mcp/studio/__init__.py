"""What we add to the bare API: buying safely, waiting, naming sources, keeping files. Knows nothing of MCP."""

from dataclasses import dataclass

from luma_mcp.luma.client import LumaClient
from luma_mcp.studio.downloads import Downloads
from luma_mcp.studio.media import Sources
from luma_mcp.studio.preview import Previews
from luma_mcp.studio.purchases import Purchases
from luma_mcp.studio.vocabulary import Vocabulary
from luma_mcp.studio.watch import Watch


@dataclass(frozen=True, slots=True)
class Studio:
    """Everything a tool works with."""

    luma: LumaClient
    purchases: Purchases
    watch: Watch
    sources: Sources
    downloads: Downloads
    previews: Previews
    vocabulary: Vocabulary

    async def close(self) -> None:
        """Give back every connection. A later call opens new ones."""
        await self.luma.close()
        await self.downloads.close()
        await self.purchases.close()
