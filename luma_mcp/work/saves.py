"""The job that saves a generation as it ends, before its links do."""

import logging
from functools import partial

from luma_mcp.domain.errors import FileError, NotFoundError
from luma_mcp.domain.generation import Generation
from luma_mcp.domain.person import Person
from luma_mcp.ledger.outbox import Outbox
from luma_mcp.ledger.purchases import SAVE as OPEN_SAVE
from luma_mcp.purchasing.service import PurchaseService
from luma_mcp.work.jobs import JobKind
from luma_mcp.work.output import Output

_log = logging.getLogger(__name__)

SAVE = "save"
"""The name of the job; the key is the number of the purchase."""
FIRST_SECONDS = 5.0
_PICTURE_SECONDS, _CLIP_SECONDS = 3.0, 8.0


class SaveJob:
    """Saves generations.

    Args:
        purchases: knows the purchases, and records how their generations end.
        outbox: what is to be saved.
        output: the folders of persons.
        is_saving: whether generations are saved; else they are watched until they end.
    """

    def __init__(self, purchases: PurchaseService, outbox: Outbox, output: Output, *, is_saving: bool = True) -> None:
        self._purchases = purchases
        self._outbox = outbox
        self._output = output
        self._is_saving = is_saving

    @property
    def kind(self) -> JobKind:
        """The job."""
        return JobKind(SAVE, self.run, partial(self._outbox.open, OPEN_SAVE))

    async def run(self, key: str) -> float | None:
        """Save the generation of a purchase, if it has ended; the seconds until it is worth while to check again."""
        row = await self._purchases.row(int(key))
        if row is not None and row.is_live and row.generation_id:
            try:
                generation = await self._purchases.get_generation(row.generation_id)
            except NotFoundError:
                generation = Generation(id=row.generation_id, state="failed")
            if not generation.is_final:
                return _PICTURE_SECONDS if generation.makes_image else _CLIP_SECONDS
            is_saving = generation.state == "completed" and self._is_saving
            if is_saving and await self._save(generation, Person(row.person)):
                await self._outbox.add_event("generation.saved", purchase=row.id)
        await self._outbox.done(OPEN_SAVE, key)
        return None

    async def _save(self, generation: Generation, person: Person) -> bool:
        """Save every requested output; whether all are saved. One that cannot be saved stays at Luma.

        Raises: TransientFileError.
        """
        is_saved = True
        downloads = self._output.downloads_of(person)
        made_from = await self._purchases.made_from(generation)
        names = [output.name or output.kind for output in generation.main_outputs]
        for name in names if len(names) > 1 else [None]:
            try:
                file = await downloads.save(generation, asset=name, on_bytes=_ignore, made_from=made_from)
                await self._output.share(file)
            except FileError as error:
                if error.is_transient:
                    raise
                _log.warning("generation %s cannot be saved: %s", generation.id, error)
                is_saved = False
        return is_saved


async def _ignore(_size: int, _length: int | None) -> None:
    """Nobody is told."""
