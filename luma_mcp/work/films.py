"""The job that continues a film with no client connected, and saves it at its end.

The ledger decides what is bought, so several servers may continue one film. A shot whose local file cannot be read
here is left to a server that has the file, or to a client.
"""

import hashlib
import logging
from functools import partial

from luma_mcp.backends.base import Backend
from luma_mcp.domain.apis import BackendName
from luma_mcp.domain.errors import AuthenticationError, FileError, InsufficientCreditsError, NotFoundError
from luma_mcp.domain.person import Person
from luma_mcp.files.fetcher import OnBytes
from luma_mcp.film.film import Film
from luma_mcp.film.saving import FilmSaves, SavedFilm, save_film
from luma_mcp.film.service import FilmService
from luma_mcp.ledger.outbox import Outbox
from luma_mcp.ledger.reservation_groups import OPEN_GROUP
from luma_mcp.sources.resolver import Resolution, SourceResolver
from luma_mcp.work.jobs import JobKind
from luma_mcp.work.output import Output

_log = logging.getLogger(__name__)

FILM = "film"
"""The name of the job; the key is the film's id."""
_PAUSE_SECONDS = 5.0
# The account, or the person, must do something first.
_BLOCKED_SECONDS = 600.0
_SAVE_SECONDS = 3600.0


class FilmJob:
    """Continues films.

    Args:
        films: buys the shots.
        saves: the films that are being saved.
        outbox: the films that are not over.
        backend: reads the clips of a film that is saved.
        sources: resolves the sources of shots.
        output: the folders of persons.
        is_saving: whether a film is saved at its end.
    """

    def __init__(
        self,
        films: FilmService,
        saves: FilmSaves,
        outbox: Outbox,
        backend: Backend,
        sources: SourceResolver,
        output: Output,
        *,
        is_saving: bool,
    ) -> None:
        self._films = films
        self._saves = saves
        self._outbox = outbox
        self._backend = backend
        self._sources = sources
        self._output = output
        self._is_saving = is_saving

    @property
    def kind(self) -> JobKind:
        """The job."""
        return JobKind(FILM, self.run, partial(self._outbox.open, OPEN_GROUP))

    async def run(self, film_id: str) -> float | None:
        """Buy the shots that are ready; the seconds until more may be, None if the film is over."""
        try:
            person = Person((await self._films.get(film_id, None)).group.person)
            film = await self._films.wait(
                film_id,
                None,
                timeout_seconds=0,
                sources_of=partial(self._sources_of, person),
                on_film=_ignore,
                is_background=True,
            )
        except NotFoundError:
            await self._outbox.done(OPEN_GROUP, film_id)
            return None
        except (AuthenticationError, InsufficientCreditsError) as error:
            _log.warning("film %s cannot continue: %s", film_id, error)
            return _BLOCKED_SECONDS
        if not film.is_over:
            return _BLOCKED_SECONDS if film.state == "in doubt" and not film.lost else _PAUSE_SECONDS
        facts = {"film_id": film.id, "person": film.group.person, "version": _version(film)}
        is_completed = film.state == "completed"
        await self._outbox.add_event("film.completed" if is_completed else "film.failed", **facts)
        if is_completed and self._is_saving:
            saved = await self._save(film, person)
            if saved is None:
                return _PAUSE_SECONDS
            if saved:
                await self._outbox.add_event("film.saved", **facts)
        await self._outbox.done(OPEN_GROUP, film_id)
        return None

    async def _save(self, film: Film, person: Person) -> bool | None:
        """Save a film; None if that is not done yet. One that cannot be saved (False) stays at Luma, for a client.

        Raises: TransientFileError.
        """
        downloads = self._output.downloads_of(person)

        async def save(on_bytes: OnBytes) -> SavedFilm:
            generations = [await self._backend.get_generation(shot.generation_id or "") for shot in film.shots]
            return await save_film(downloads, film, generations, on_bytes)

        running = self._saves.start(self._output.folder_of(person), film.id, save)
        try:
            saved = await running.wait(_SAVE_SECONDS, _ignore_bytes)
            if saved is None:
                return None
            await self._output.share(saved.file)
        except FileError as error:
            if error.is_transient:
                raise
            _log.warning("film %s cannot be saved: %s", film.id, error)
            return False
        return True

    def _sources_of(self, person: Person, backend: BackendName) -> Resolution:
        return self._sources.start(
            backend, may_use=self._output.check_of(person), folder=self._output.folder_of(person)
        )


def _version(film: Film) -> str:
    """Names the film's plan, so that a film that is changed and completed again is another event."""
    return hashlib.sha256(film.group.document.encode()).hexdigest()[:12]


async def _ignore(_film: Film, _seconds: float, _problem: str | None) -> None:
    """Nobody is told."""


async def _ignore_bytes(_size: int, _length: int | None) -> None:
    """Nobody is told."""
