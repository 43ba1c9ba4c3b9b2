"""The states of a purchase, and what may follow what. Pure: this table is the whole machine.

::

    reserved -> sending -> accepted -> completed
                                    -> failed -> completed
                        -> refused
                        -> lost     -> accepted | refused
                                    -> absent   -> accepted
                                    -> disputed -> accepted | absent | refused
                        -> reserved
             -> refused

===========  ==========================================================================================  ========  =====
state        meaning                                                                                     money     take
===========  ==========================================================================================  ========  =====
`reserved`   It is allowed and on disk. Nothing was sent.                                                reserved  held
`sending`    The one POST is under way, or may be.                                                       reserved  held
`accepted`   Luma accepted it; its generation id is known.                                               spent     held
`completed`  Its generation is completed, or failed and Luma does not say that it was refunded.          spent     held
`failed`     Its generation failed, and Luma refunded it.                                                none      free
`refused`    Luma refused it, or it was never sent.                                                      none      free
`lost`       It was sent and the answer is lost. It is looked for.                                       reserved  held
`absent`     It was looked for and is not at Luma. It is still looked for.                               none      free
`disputed`   Nobody can say whether it was bought. A person settles it.                                  spent     held
===========  ==========================================================================================  ========  =====

Invariants:

- A purchase begins as `reserved`, or as `sending` if nothing has to be done before its POST.
- A purchase enters `sending` once for each POST, at its begin or from `reserved`.
- A generation id belongs to one purchase at most, and a purchase with an id is `accepted`, `completed` or `failed`.
- A purchase that may have been charged holds its money: no edge frees money without evidence.
- At most one purchase of an account, a person, a request and a take holds that take.
- A final word of Luma wins: `failed` may become `completed`, and then it is spent again.
"""

from typing import Literal, get_args

State = Literal["reserved", "sending", "accepted", "completed", "failed", "refused", "lost", "absent", "disputed"]
STATES: tuple[State, ...] = get_args(State)

_NEXT: dict[State, frozenset[State]] = {
    "reserved": frozenset({"sending", "refused"}),
    # Back to `reserved` after a rate limit: Luma said that it took nothing.
    "sending": frozenset({"accepted", "refused", "lost", "reserved"}),
    # To `refused` only by the server that knows that it sent nothing.
    "lost": frozenset({"accepted", "absent", "disputed", "refused"}),
    "absent": frozenset({"accepted"}),
    "disputed": frozenset({"accepted", "absent", "refused"}),
    "accepted": frozenset({"completed", "failed"}),
    "failed": frozenset({"completed"}),
    "completed": frozenset(),
    "refused": frozenset(),
}

RESERVED: frozenset[State] = frozenset({"reserved", "sending", "lost"})
"""The states whose money is reserved."""
SPENT: frozenset[State] = frozenset({"accepted", "completed", "disputed"})
"""The states whose money is spent."""
HOLDS_TAKE: frozenset[State] = RESERVED | SPENT
"""The states in which the same request with the same take is this purchase."""
UNDER_WAY: frozenset[State] = frozenset({"reserved", "sending"})
"""The states in which a server works at the purchase, for as long as its lease lasts."""
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
