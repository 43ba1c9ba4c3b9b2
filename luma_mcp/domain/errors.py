"""The errors between this server and Luma.

::

    LumaError
      UnreachableError       *  no response: DNS, TLS, refused, a time-out before anything was sent
        NoResponseError      *     it was sent, and no response came
      InvalidRequestError       Luma would refuse, or has refused, the request (400, 422)
        InsufficientCreditsError   the account cannot pay for it (400 with that detail)
      AuthenticationError       no usable token, or Luma refused it (401, 403)
      NotFoundError             no generation has that id (404)
      GoneError                 Luma has switched this API off (410)
      RateLimitError         *  too many requests (429)
      ServerError            *  Luma failed on a read (5xx), and continued to fail
      UnexpectedResponseError * a response that is not Luma's own, or cannot be read
      AmbiguousPurchaseError    a purchase was sent and its outcome is not known
      BudgetError               a cap forbids it
      LedgerError            *  the purchase ledger cannot be used, so nothing is bought
      FileError                 a file cannot be fetched, read or saved
        TransientFileError   *     the file store or the network failed; the file itself is sound
      InternalError             this server, or a library that it uses, is at fault

`is_transient` is True for those with a star: the same request may succeed later with nothing changed. No
other place decides that; films, waits and reads check it.

`str()` states what happened and `hint` states what the caller can do. Both are safe to display: they hold no token,
and text that comes from Luma or another server is cut and cleaned first (`text.cleaned`).
"""

from typing import ClassVar

IDS_ARE_LISTED = "list_generations shows the ids that exist."
"""The hint of an unknown id; the same for an id that the caller may not see, so that it reveals no ids of others."""


class LumaError(Exception):
    """The base class. `hint` is a sentence, or empty if there is nothing to add."""

    is_transient: ClassVar[bool] = False
    """Whether the same request may succeed later with nothing changed."""

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.hint = hint

    @property
    def full_text(self) -> str:
        """The message and the hint, in one line."""
        return f"{self} {self.hint}".strip()


class UnreachableError(LumaError):
    """Luma was not reached. Unless it is a NoResponseError nothing was sent, and it is safe to try again."""

    is_transient = True


class NoResponseError(UnreachableError):
    """The request was sent and may have had an effect. A read is repeated; a purchase is an AmbiguousPurchaseError."""


class InvalidRequestError(LumaError):
    """The request itself is at fault; sending it again as it is cannot help."""


class InsufficientCreditsError(InvalidRequestError):
    """The account cannot pay."""


class AuthenticationError(LumaError):
    """The token is missing, malformed or refused."""


class NotFoundError(LumaError):
    """No generation has that id, or it was deleted."""


class GoneError(LumaError):
    """Luma has switched off the API or the operation."""


class RateLimitError(LumaError):
    """Luma has received too many requests. Nothing was bought."""

    is_transient = True

    def __init__(
        self,
        message: str,
        hint: str = "",
        retry_after: float | None = None,
        *,
        is_full: bool = False,
        at_once: int | None = None,
        per_minute: int | None = None,
    ) -> None:
        super().__init__(message, hint)
        self.retry_after = retry_after
        """The seconds to wait that Luma states; None if it states none."""
        self.is_full = is_full
        """Whether as many generations run at once as may; else there were too many requests."""
        self.at_once = at_once
        """How many generations may run at once; None if Luma does not state it."""
        self.per_minute = per_minute
        """How many requests may be sent in a minute; None if Luma does not state it."""


class ServerError(LumaError):
    """Luma failed to serve a read."""

    is_transient = True


class UnexpectedResponseError(LumaError):
    """The response of Luma, or of something on the way to it, makes no sense here."""

    is_transient = True


class AmbiguousPurchaseError(LumaError):
    """The purchase may have been made, so it must not be sent again before a search for it."""


class BudgetError(LumaError):
    """A cap that the user set forbids the purchase. Nothing was sent."""


class LedgerError(LumaError):
    """The purchase ledger cannot be read or written. Without it nothing is bought."""

    is_transient = True


class FileError(LumaError):
    """A file cannot be fetched, read or written."""


class TransientFileError(FileError):
    """A file could not be sent or fetched this time. The file itself is sound."""

    is_transient = True


class InternalError(LumaError):
    """This server, or a library that it uses, is at fault. No file and no argument of the caller can cause it."""

    def __init__(self, message: str, hint: str = "", traceback_text: str = "") -> None:
        super().__init__(message, hint)
        self.traceback_text = traceback_text
        """The traceback, for the log of this server; it is never sent to a client."""
