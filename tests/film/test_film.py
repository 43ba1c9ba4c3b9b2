"""What a film is, by its rows and by what was last seen of its generations. Pure."""

from dataclasses import replace

import pytest

from luma_mcp.domain.generation import NOT_FOUND, Generation
from luma_mcp.film.film import FILM_ID, Film, film_of, new_film_id
from luma_mcp.film.plan import CONTINUE, FilmFormat, Frames, Plan, Shot, make_plan
from luma_mcp.ledger.reservations import EXPIRED, REMOVED, Reservation, ReservationGroup
from luma_mcp.ledger.rows import PurchaseRow
from luma_mcp.ledger.states import UNBOUGHT

SHOTS = (Shot("a boat"), Shot("on it goes", start=CONTINUE), Shot("a storm"))
PLAN: Plan = make_plan(FilmFormat("ray-flash-2", "16:9", "540p"), SHOTS, [Frames()] * 3)
KEYS = [shot.key for shot in PLAN.shots]


def purchase(state: str, *, is_live: int | None = None, generation_id: str | None = "g", note: str = "") -> PurchaseRow:
    holds = state not in ("refused", "absent", "failed") if is_live is None else is_live
    if state not in ("accepted", "completed", "failed"):
        generation_id = None
    return PurchaseRow(
        "f", "s", "{}", "video", 140_000, "published", state=state, is_live=bool(holds), generation_id=generation_id,
        note=note,
    )  # type: ignore[arg-type]  # fmt: skip


def film(*purchases: PurchaseRow | None, seen: dict[str, Generation] | None = None, **changes: object) -> Film:
    reservations = {
        key: Reservation(key, 140_000, is_wanted=row is None or row.state in UNBOUGHT, purchase=row)
        for key, row in zip(KEYS, (*purchases, None, None, None), strict=False)
    }
    group = ReservationGroup("film-1", "me", "", "plan", 1, True, PLAN.to_json(), 0, 0, reservations)
    return film_of(replace(group, **changes), seen or {})  # type: ignore[arg-type]


def test_what_is_ready_waits_for_nothing() -> None:
    new = film()

    assert [shot.state for shot in new.shots] == ["planned"] * 3
    assert [shot.number for shot in new.ready] == [1, 3]
    assert [shot.waits_for for shot in new.shots] == [(), (1,), ()]
    assert (new.state, new.spent_usd, new.reserved_usd) == ("running", 0, 0.42)


@pytest.mark.parametrize(
    ("row", "seen", "state", "reason"),
    [
        (purchase("reserved"), None, "buying", ""),
        (purchase("sending"), None, "buying", ""),
        (purchase("lost", note="the line broke"), None, "in doubt", "the line broke"),
        (purchase("disputed", note="two are alike"), None, "in doubt", "two are alike"),
        (purchase("refused"), None, "planned", ""),
        (purchase("absent"), None, "planned", ""),
        (purchase("accepted"), None, "queued", ""),
        (purchase("accepted"), "dreaming", "dreaming", ""),
        (purchase("accepted"), "thinking", "thinking", ""),
        (purchase("accepted"), NOT_FOUND, "failed", "Its clip was deleted at Luma."),
        (purchase("completed"), None, "completed", ""),
        (purchase("completed"), NOT_FOUND, "failed", "Its clip was deleted at Luma."),
        (purchase("completed", is_live=False), None, "failed", "Its clip was deleted at Luma."),
        (purchase("accepted", is_live=False), None, "failed", "Its clip was deleted at Luma."),
        (purchase("failed"), None, "failed", "no reason was given"),
        (purchase("failed", note="Moderated."), None, "failed", "Moderated."),
    ],
)
def test_the_state_of_a_shot_is_that_of_its_purchase_and_generation(
    row: PurchaseRow, seen: str | None, state: str, reason: str
) -> None:
    shot = film(row, seen={"g": Generation(id="g", state=seen)} if seen else {}).shots[0]

    assert shot.state == state
    assert shot.reason.startswith(reason)
    assert bool(shot.reason) is bool(reason)


def test_luma_s_own_reason_is_reported_with_the_step_that_helps() -> None:
    seen = {"g": Generation(id="g", state="failed", failure_reason="Frame moderation failed")}

    assert film(purchase("failed"), seen=seen).shots[0].reason == (
        "Frame moderation failed. Luma's moderation refused a picture: use another picture. It is refunded."
    )


@pytest.mark.parametrize(
    ("row", "state"), [(None, "stopped"), (purchase("refused"), "refused"), (purchase("absent"), "refused")]
)
def test_what_is_not_wanted_is_over(row: PurchaseRow | None, state: str) -> None:
    reservations = {KEYS[0]: Reservation(KEYS[0], 140_000, is_wanted=False, note="No.", purchase=row)}
    shot = film(reservations=reservations).shots[0]

    assert (shot.state, shot.reason, shot.is_final) == (state, "No.", True)


@pytest.mark.parametrize(
    ("note", "reason"),
    [
        (EXPIRED, "The film was left alone for 24 hours, so its reservation ended."),
        (REMOVED, "The plan has no such shot any more."),
    ],
)
def test_the_ledger_s_notes_are_reported_as_a_film_s(note: str, reason: str) -> None:
    reservations = {KEYS[0]: Reservation(KEYS[0], 140_000, is_wanted=False, note=note)}

    assert film(reservations=reservations).shots[0].reason == reason


def test_a_film_s_id_has_its_form_and_is_another_one_each_time() -> None:
    ids = {new_film_id() for _ in range(100)}

    assert len(ids) == 100
    assert all(FILM_ID.fullmatch(film_id) for film_id in ids)


def test_a_shot_that_the_ledger_does_not_have_is_stopped() -> None:
    assert film(reservations={}).state == "stopped"


def test_money_and_ids_are_those_of_purchases_that_count() -> None:
    half = film(purchase("completed"), purchase("failed", generation_id="h"), purchase("sending"))

    assert [shot.generation_id for shot in half.shots] == ["g", None, None]
    assert [shot.spent_usd for shot in half.shots] == [0.14, 0, 0.14]
    assert (half.spent_usd, half.reserved_usd) == (0.28, 0)
    assert [shot.is_running for shot in film(purchase("accepted")).shots] == [True, False, False]
    assert [shot.number for shot in film(purchase("accepted")).running] == [1]


def test_a_shot_whose_source_was_not_made_is_blocked() -> None:
    assert film(purchase("failed")).blocked == {KEYS[1]: "It waits for shot 1, which was not made."}
    assert film(purchase("completed")).blocked == {}
    assert film(purchase("failed"), purchase("accepted", generation_id="h")).blocked == {}, "it is bought already"


def test_what_is_lost_can_be_looked_for_and_what_is_disputed_cannot() -> None:
    assert [shot.number for shot in film(purchase("lost"), purchase("disputed")).lost] == [1]


def test_a_finished_shot_waits_for_nothing_any_more() -> None:
    assert film(purchase("failed"), purchase("completed", generation_id="h")).shots[1].waits_for == ()
    assert [shot.number for shot in film(purchase("completed")).ready] == [2, 3]


DONE, FAILED, LOST, RUNS = purchase("completed"), purchase("failed"), purchase("lost"), purchase("accepted")


@pytest.mark.parametrize(
    ("rows", "state"),
    [
        ((DONE, DONE, DONE), "completed"),
        ((DONE, DONE, RUNS), "running"),
        ((DONE, FAILED, FAILED), "stopped"),
        ((LOST, DONE, RUNS), "running"),
        ((LOST, DONE, purchase("sending")), "running"),
        ((LOST, DONE, None), "running"),
        ((LOST, None, DONE), "in doubt"),
        ((LOST, DONE, DONE), "in doubt"),
        ((DONE, DONE, None), "running"),
    ],
)
def test_the_state_of_a_film(rows: tuple[PurchaseRow | None, ...], state: str) -> None:
    rows = tuple(row and replace(row, generation_id=row.generation_id and f"g{n}") for n, row in enumerate(rows))

    assert film(*rows).state == state
