"""Everything that can go wrong between us and Luma.

::

    LumaError
      UnreachableError          no answer: DNS, TLS, refused, a time-out before anything was sent
        NoAnswerError              it was sent, and no answer came
      InvalidRequestError       Luma would refuse, or has refused, what was asked (400, 422)
        InsufficientCreditsError   the account cannot pay for it (400 with that detail)
      AuthenticationError       no usable token, or Luma refused it (401, 403)
      NotFoundError             no generation has that id (404)
      RateLimitError            too many requests (429)
      ServerError               Luma failed on a read (5xx), and went on failing
      UnexpectedResponseError   a success that cannot be read
      AmbiguousPurchaseError    a purchase was sent and what became of it is not known
      BudgetError               a cap of the person's forbids it
      LedgerError               the book of purchases cannot be used, so nothing is bought
      FileError                 a file cannot be fetched or kept

`str()` says what happened and `hint` says what the caller can do. Both are safe to show: they hold no token, and what
Luma or a server said in its own words is capped and cleaned before it gets in here.
"""


class LumaError(Exception):
    """The root. `hint` is a sentence, or empty where there is nothing to add."""

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.hint = hint

    @property
    def in_full(self) -> str:
        """What happened and what to do, in one line."""
        return f"{self} {self.hint}".strip()


class UnreachableError(LumaError):
    """Luma was not reached. Unless it is a NoAnswerError nothing was sent, and it is safe to try again."""


class NoAnswerError(UnreachableError):
    """It was sent and may have been carried out. A read is repeated; a purchase becomes an AmbiguousPurchaseError."""


class InvalidRequestError(LumaError):
    """The request itself is at fault; sending it again as it is cannot help."""


class InsufficientCreditsError(InvalidRequestError):
    """The account cannot pay."""


class AuthenticationError(LumaError):
    """The token is missing, malformed or refused."""


class NotFoundError(LumaError):
    """No generation has that id, or it was deleted."""


class RateLimitError(LumaError):
    """Luma wants to be asked less often. Nothing was bought."""

    def __init__(self, message: str, hint: str = "", retry_after: float | None = None) -> None:
        super().__init__(message, hint)
        self.retry_after = retry_after
        """Seconds that Luma asks to wait; None where it does not say."""


class ServerError(LumaError):
    """Luma failed at answering a read."""


class UnexpectedResponseError(LumaError):
    """Luma, or something on the way to it, answered what makes no sense here."""


class AmbiguousPurchaseError(LumaError):
    """It may have been bought. It must not be sent again before somebody has looked."""


class BudgetError(LumaError):
    """The person's caps forbid it. Nothing was sent."""


class LedgerError(LumaError):
    """The book of purchases cannot be read or written. Without it nothing is bought."""


class FileError(LumaError):
    """An asset cannot be fetched, or a file cannot be written."""
