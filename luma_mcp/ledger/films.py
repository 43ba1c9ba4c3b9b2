"""The films of a ledger: a plan is allowed once, and all its money is reserved in the transaction that allows it."""

from collections.abc import Mapping, Sequence

from luma_mcp.ledger import film_rows, spending
from luma_mcp.ledger.caps import Balance, Budget
from luma_mcp.ledger.film_rows import FilmRow, FilmShotRow, NewFilm, NewShot, ShotName, unpaid_shots
from luma_mcp.ledger.purchases import Ledger
from luma_mcp.ledger.store import Transaction

# For so long the same plan with the same take is the same film.
_SAME_FILM_SECONDS = 24 * 3600.0
_LEFT_OUT = "The plan has no such shot any more."


class FilmChangedError(Exception):
    """A change of a film costs more than was approved, for the film has changed meanwhile. Nothing was written."""


class FilmLedger:
    """The films of a ledger. Every method raises `LedgerError`s when the ledger cannot be used."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger

    async def create(
        self, new: NewFilm, budget: Budget, balance: Balance | None, consent: str | None
    ) -> tuple[FilmRow, bool]:
        """Write a film down and reserve its money, or find the one that it is already; and whether it is new.

        Raises:
            BudgetError: a cap forbids it. Nothing is written.
            ConsentNeededError: the person wants to be asked first. Nothing is written.
            ConsentUsedError: the person's yes has served already. Nothing is written.
        """
        account = new.account or self._ledger.accounts[0]

        def work(transaction: Transaction) -> tuple[FilmRow, bool]:
            now = transaction.now()
            self._ledger.expire(transaction, now)
            for film_id, created_at in transaction.execute(
                "SELECT id, created_at FROM films WHERE account = ? AND fingerprint = ? AND take = ?"
                " AND holds_take = 1 AND (? = 1 OR person = ?)",
                (account, new.fingerprint, new.take, int(self._ledger.is_shared), new.person),
            ).fetchall():
                if now - created_at < _SAME_FILM_SECONDS:
                    return self._read(transaction, film_id), False
                transaction.execute("UPDATE films SET holds_take = 0 WHERE id = ?", (film_id,))
            self._allow(transaction, new.shots, new.person, budget, balance, consent)
            film_id = film_rows.new_film_id()
            transaction.execute(
                "INSERT INTO films (id, account, person, fingerprint, take, holds_take, plan, created_at, updated_at)"
                " VALUES (?, ?, ?, ?, ?, 1, ?, ?, ?)",
                (film_id, account, new.person, new.fingerprint, new.take, new.plan, now, now),
            )
            for shot in new.shots:
                film_rows.want(transaction, film_id, shot)
            film_rows.use(transaction, film_id, consent)
            return self._read(transaction, film_id), True

        return await self._ledger.transact(work)

    async def change(
        self,
        film: FilmRow,
        plan: str,
        shots: Sequence[NewShot],
        *,
        most_micros: int,
        budget: Budget,
        balance: Balance | None,
        consent: str | None,
    ) -> FilmRow:
        """Give a film another plan. Shots that it has already stay; the money of the others is reserved.

        Args:
            film: the film.
            plan: the plan, as its maker reads it again.
            shots: the shots of the new plan.
            most_micros: the price that the person approved.
            budget: what the person allows.
            balance: the credit at Luma, if the budget asks for it.
            consent: names the person's yes.

        Raises:
            FilmChangedError: it would cost more than was approved.
            BudgetError, ConsentNeededError, ConsentUsedError: as `create`.
        """

        def work(transaction: Transaction) -> FilmRow:
            now = transaction.now()
            self._ledger.expire(transaction, now)
            current = self._read(transaction, film.id)
            unpaid = unpaid_shots(current, shots)
            if sum(shot.micros for shot in unpaid) > most_micros:
                raise FilmChangedError
            if unpaid:
                self._allow(transaction, unpaid, film.person, budget, balance, consent)
                film_rows.use(transaction, film.id, consent)
            for shot in unpaid:
                film_rows.want(transaction, film.id, shot)
            left_out = current.shots.keys() - {shot.key for shot in shots}
            for key in left_out:
                film_rows.stop(transaction, ShotName(film.id, key), _LEFT_OUT)
            transaction.execute("UPDATE films SET plan = ?, updated_at = ? WHERE id = ?", (plan, now, film.id))
            return self._read(transaction, film.id)

        return await self._ledger.transact(work)

    async def get(self, film_id: str) -> FilmRow | None:
        """A film with its shots and their purchases; None if there is none of that id."""

        def work(transaction: Transaction) -> FilmRow | None:
            self._ledger.expire(transaction, transaction.now())
            found = transaction.execute(
                f"SELECT id FROM films WHERE id = ? AND account IN ({spending.marks(self._ledger.accounts)})",
                (film_id, *self._ledger.accounts),
            ).fetchone()
            return self._read(transaction, film_id) if found else None

        return await self._ledger.transact(work)

    async def newest(self, most: int, person: str | None = None) -> list[FilmRow]:
        """The last films, newest first; all, or one person's."""
        whose, values = spending.of_person(person)

        def work(transaction: Transaction) -> list[FilmRow]:
            found = transaction.execute(
                f"SELECT id FROM films WHERE account IN ({spending.marks(self._ledger.accounts)}){whose}"
                f" ORDER BY created_at DESC LIMIT {most:d}",
                (*self._ledger.accounts, *values),
            ).fetchall()
            return [self._read(transaction, film_id) for (film_id,) in found]

        return await self._ledger.transact(work)

    async def stop(self, film_id: str, notes: Mapping[str, str]) -> None:
        """Give back the money of shots that cannot be made, each with the reason. What was bought stays."""

        def work(transaction: Transaction) -> None:
            for key, note in notes.items():
                film_rows.stop(transaction, ShotName(film_id, key), note)

        await self._ledger.transact(work)

    def _allow(
        self,
        transaction: Transaction,
        shots: Sequence[NewShot],
        person: str,
        budget: Budget,
        balance: Balance | None,
        consent: str | None,
    ) -> None:
        spending.check(
            transaction,
            budget,
            sum(shot.micros for shot in shots),
            accounts=self._ledger.accounts,
            person=person,
            balance=balance,
            consent=consent,
            is_used=film_rows.is_used_in(transaction),
        )

    def _read(self, transaction: Transaction, film_id: str) -> FilmRow:
        columns = transaction.execute(
            "SELECT id, account, person, take, plan, created_at, updated_at FROM films WHERE id = ?", (film_id,)
        ).fetchone()
        found = transaction.execute(
            "SELECT key, micros, wanted, note, purchase_id FROM film_shots WHERE film_id = ?", (film_id,)
        ).fetchall()
        purchases = self._ledger.select(transaction, [purchase_id for *_, purchase_id in found if purchase_id])
        shots = {
            key: FilmShotRow(key, micros, bool(wanted), note, purchases.get(purchase_id))
            for key, micros, wanted, note, purchase_id in found
        }
        film_id, account, person, take, plan, created_at, updated_at = columns
        return FilmRow(film_id, account, person, take, plan, created_at, updated_at, shots)
