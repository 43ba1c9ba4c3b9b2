"""Access to generations: a person sees those that, by the ledger, this person bought."""

from collections.abc import Iterable

from luma_mcp.domain.errors import IDS_ARE_LISTED, NotFoundError
from luma_mcp.domain.generation import PURCHASE_ID
from luma_mcp.domain.person import Person
from luma_mcp.ledger.purchases import Ledger


class Access:
    """Restricts each person to the generations of that person.

    The owner sees all generations, also those of other programs with the same key. A person with a name sees the
    generations that this person bought here.

    Args:
        ledger: the purchases.
        is_shared: whether all persons see the generations of all.
    """

    def __init__(self, ledger: Ledger, *, is_shared: bool) -> None:
        self._ledger = ledger
        self._is_shared = is_shared

    def visible_person(self, person: Person) -> str | None:
        """The name to which the purchases that a person sees are restricted; None for no restriction."""
        return None if self._is_shared or person.is_owner else person.name

    async def check(self, person: Person, generation_ids: Iterable[str]) -> None:
        """Return if a person may see these generations.

        Raises:
            NotFoundError: as for one that does not exist, so that it does not reveal the ids of others.
            LedgerError: the ledger cannot be read, so their buyers are not known.
        """
        ids = list(dict.fromkeys(generation_ids))
        visible_person = self.visible_person(person)
        if not ids or visible_person is None:
            return
        queued = [generation_id for generation_id in ids if PURCHASE_ID.fullmatch(generation_id)]
        rows = await self._ledger.by_generation(ids)
        rows |= await self._ledger.by_queue_id(queued) if queued else {}
        for generation_id in ids:
            if generation_id not in rows or rows[generation_id].person != visible_person:
                raise NotFoundError(f"No generation has the id {generation_id}.", IDS_ARE_LISTED)
