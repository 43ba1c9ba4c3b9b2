"""The errors of purchases whose response was lost."""

from luma_mcp.domain.errors import AmbiguousPurchaseError
from luma_mcp.ledger.rows import PurchaseRow
from luma_mcp.purchasing.reconcile import LookupResult


def ambiguous_error(result: LookupResult, row: PurchaseRow) -> AmbiguousPurchaseError:
    """The error of a purchase that a search did not settle."""
    return disputed_error(row) if row.state == "disputed" else _unsettled_error(result, row)


def _unsettled_error(result: LookupResult, row: PurchaseRow) -> AmbiguousPurchaseError:
    again = f"The same call looks for it again and does not send it; for another one say take={row.take + 1}."
    if result.generations:
        ids = ", ".join(generation.id for generation in result.generations[:10])
        return AmbiguousPurchaseError(
            f"The answer to this purchase was lost, and it may be one of these generations: {ids}.",
            f"Look whether one of them is it. {again}",
        )
    return AmbiguousPurchaseError(
        f"The answer to this purchase was lost. {result.reason} It may have been charged.",
        f"Call again in a minute. {again}",
    )


def disputed_error(row: PurchaseRow) -> AmbiguousPurchaseError:
    """The error of a purchase that only the user can settle."""
    return AmbiguousPurchaseError(
        f"The answer to this purchase was lost, and nobody can say whether it was bought. {row.note} "
        f"It counts as spent (${row.usd:.2f}, purchase {row.id}, X-Request-Id {row.request_id or 'unknown'}).",
        "The person can look at Luma's dashboard and settle it with: dream-machine-mcp purchases settle "
        f"{row.id} --bought ID, or --not-bought. For another one say take={row.take + 1}.",
    )
