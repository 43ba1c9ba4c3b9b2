"""The states of purchases, leases and reservations, and the transitions between them. Pure: these tables are the whole
machine, and the code reads them.

A purchase::

    reserved -> sending -> accepted -> completed
                                    -> failed -> completed
                        -> refused
                        -> lost     -> accepted | refused
                                    -> absent   -> accepted
                                    -> disputed -> accepted | absent | refused
                        -> waiting
             -> waiting -> sending | refused
             -> refused

===========  ==========================================================================================  ========  =====
state        meaning                                                                                     money     take
===========  ==========================================================================================  ========  =====
`reserved`   It is allowed and on disk. Nothing was sent.                                                reserved  held
`waiting`    It is allowed, and Luma has no slot for it yet. Nothing was accepted.                       reserved  held
`sending`    The one POST is under way, or may be.                                                       reserved  held
`accepted`   Luma accepted it; its generation id is known.                                               spent     held
`completed`  Its generation is completed, or failed and Luma does not report a refund.                   spent     held
`failed`     Its generation failed, and Luma refunded it.                                                none      free
`refused`    Luma refused it, or it was never sent.                                                      none      free
`lost`       It was sent and the response is lost. A search for it runs.                                 reserved  held
`absent`     It was searched for and is not at Luma. The search continues.                               none      free
`disputed`   It cannot be known whether it was bought. The user settles it.                              spent     held
===========  ==========================================================================================  ========  =====

Invariants:

- A purchase starts as `reserved`, or if nothing has to be done before its POST as `sending` or `waiting`.
- A purchase enters `sending` once for each POST, at its start, from `reserved` or from `waiting`.
- A purchase is `waiting` as long as the queue has an entry for it (`queue`), and no server has its lease.
- A generation id belongs to one purchase at most, and a purchase with an id is `accepted`, `completed` or `failed`.
- A purchase that may have been charged holds its money: no edge frees money without evidence.
- At most one purchase of an account, a person, a request and a take occupies that take (`is_live`).
- Luma's final state wins: `failed` may become `completed`, and then it is spent again.

A lease: the server that processes a purchase holds it until `lease_until`, and renews it.

=========  =========================================================  ====================================
lease      condition                                                  effect
=========  =========================================================  ====================================
free       `lease_until` is 0                                         any server may claim the purchase
held       now <= `lease_until` <= now + 2 x `LEASE_SECONDS`          only its owner works at the purchase
expired    `lease_until` < now                                        `EXPIRES_TO` is applied
invalid    `lease_until` > now + 2 x `LEASE_SECONDS`                  as expired: the clock was set back
=========  =========================================================  ====================================

A reservation: money set aside in a group for a purchase that comes later.

===========  =================================================  ========================  =========================
reservation  columns                                            its money                 a purchase may draw on it
===========  =================================================  ========================  =========================
`open`       `wanted` is 1                                      reserved here             yes
`drawn`      `wanted` is 0, `purchase_id` is set, no `note`     by the purchase's state   no
`released`   `wanted` is 0, a `note`                            released                  no
===========  =================================================  ========================  =========================

- `open -> drawn` in the transaction that writes the purchase; `drawn -> open` in the one that makes it `refused` or
  `absent`; `drawn` again if an absent purchase turns out to be accepted.
- `open -> released` when its creator releases it, or when its group is abandoned: unchanged for `RESERVATION_SECONDS`.
- A released reservation, or one whose purchase failed or was deleted, becomes `open` only by a change of its group,
  which is allowed like a purchase.
"""

from collections.abc import Mapping
from typing import Literal, get_args

State = Literal[
    "reserved", "waiting", "sending", "accepted", "completed", "failed", "refused", "lost", "absent", "disputed"
]
STATES: tuple[State, ...] = get_args(State)

LEASE_SECONDS = 20.0
RENEW_EVERY_SECONDS = 5.0
TAKE_SECONDS = 24 * 3600.0
"""The time for which the same request with the same take is the same purchase."""
WAITING_SECONDS = 24 * 3600.0
"""The time after which a purchase that still waits is given up."""
RESERVATION_SECONDS = 24 * 3600.0
"""The time for which the money of a reservation group is reserved after its last change or purchase."""

_NEXT: dict[State, frozenset[State]] = {
    "reserved": frozenset({"sending", "waiting", "refused"}),
    "waiting": frozenset({"sending", "refused"}),
    # To `waiting` after a rate limit: Luma reported that it accepted nothing.
    "sending": frozenset({"accepted", "refused", "lost", "waiting"}),
    # To `refused` only by the server that knows that it sent nothing.
    "lost": frozenset({"accepted", "absent", "disputed", "refused"}),
    "absent": frozenset({"accepted"}),
    "disputed": frozenset({"accepted", "absent", "refused"}),
    "accepted": frozenset({"completed", "failed"}),
    "failed": frozenset({"completed"}),
    "completed": frozenset(),
    "refused": frozenset(),
}

EXPIRES_TO: Mapping[State, tuple[State, str]] = {
    "reserved": ("refused", "the server stopped before it was sent"),
    "sending": ("lost", "the server stopped while it was sent"),
}
"""The state, and the reason, of a purchase whose lease expires, by the state that it was in."""

RESERVED: frozenset[State] = frozenset({"reserved", "waiting", "sending", "lost"})
"""The states whose money is reserved."""
SPENT: frozenset[State] = frozenset({"accepted", "completed", "disputed"})
"""The states whose money is spent."""
IS_LIVE: frozenset[State] = RESERVED | SPENT
"""The states in which the same request with the same take is this purchase."""
UNDER_WAY: frozenset[State] = frozenset({"reserved", "sending"})
"""The states in which a server works at the purchase, for as long as its lease lasts."""
SENT: frozenset[State] = frozenset({"sending", "accepted", "completed", "failed", "lost", "disputed"})
"""The states of a purchase whose POST counts for Luma's limit of a minute."""
RUNNING: frozenset[State] = frozenset({"sending", "accepted"})
"""The states of a purchase that occupies a slot at Luma."""
IN_DOUBT: frozenset[State] = frozenset({"lost", "disputed"})
"""The states in which it is not known whether it was bought."""

UNBOUGHT: frozenset[State] = frozenset({"refused", "absent"})
"""The states of what was not bought and may be sent again; a failed purchase was bought and refunded."""

SETTLED: frozenset[State] = frozenset({"accepted", "completed"})
"""The states in which it was bought for certain."""


def may_become(before: State, after: State) -> bool:
    """Whether a purchase may go from one state to another."""
    return after in _NEXT[before]


def sources_of(after: State) -> tuple[State, ...]:
    """The states from which a purchase may enter a state."""
    return tuple(before for before in STATES if may_become(before, after))


def lease_ends(now: float) -> tuple[float, float]:
    """The times between which a held lease ends. One that ends later is from before the clock was set back."""
    return now, now + 2 * LEASE_SECONDS
