"""Which generations a person may see: those that the ledger says this person bought."""

from collections.abc import Iterable

from luma_mcp.domain.errors import IDS_ARE_LISTED, NotFoundError
from luma_mcp.domain.person import Person
from luma_mcp.ledger.purchases import Ledger


class Access:
    """Keeps what one person made from the others.

    The owner sees everything, also what other programs made with the same key. A person with a name sees what that
    person bought here.

    Args:
        ledger: the purchases.
        is_shared: whether all persons see what any of them made.
    """

    def __init__(self, ledger: Ledger, *, is_shared: bool) -> None:
        self._ledger = ledger
        self._is_shared = is_shared

    def visible_person(self, person: Person) -> str | None:
        """The name of the person whose purchases alone this person sees; None for everybody's."""
        return None if self._is_shared or person.is_owner else person.name

    async def check(self, person: Person, generation_ids: Iterable[str]) -> None:
        """Return if a person may see these generations.

        Raises:
            NotFoundError: as for one that does not exist, so that nobody learns which ids others have.
            LedgerError: the ledger cannot be read, so nobody knows whose they are.
        """
        ids = list(dict.fromkeys(generation_ids))
        visible_person = self.visible_person(person)
        if not ids or visible_person is None:
            return
        rows = await self._ledger.by_generation(ids)
        for generation_id in ids:
            if generation_id not in rows or rows[generation_id].person != visible_person:
                raise NotFoundError(f"No generation has the id {generation_id}.", IDS_ARE_LISTED)
