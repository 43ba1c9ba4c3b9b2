"""Why shots are bought again: what the numbers cannot tell."""

from luma_mcp.domain.requests import ImageKeyframe
from luma_mcp.film.changes import reasons_to_buy
from luma_mcp.film.film import film_of
from luma_mcp.film.plan import FilmFormat, Frames, Plan, Shot, make_plan
from luma_mcp.ledger.reservations import ReservationGroup

FORMAT = FilmFormat("ray-flash-2", "16:9", "540p")


def plan_of(*links: str) -> Plan:
    """A film of shots whose first picture was uploaded as these files."""
    shots = [Shot("a boat", start="boat.png"), Shot("a storm", end="next"), Shot("a calm", start="calm.png")]
    frames = [Frames(ImageKeyframe(links[0])), Frames(), Frames(ImageKeyframe(links[1]))]
    return make_plan(FORMAT, shots, frames)


def test_a_shot_whose_file_or_neighbour_has_changed_is_bought_for_that_reason() -> None:
    before, after = plan_of("https://a/1", "https://a/2"), plan_of("https://a/3", "https://a/4")
    group = ReservationGroup("film-1", "account", "", before.fingerprint, 1, True, before.to_json(), 0.0, 0.0)

    reasons = reasons_to_buy(film_of(group, {}), after, [shot.key for shot in after.shots])

    assert set(reasons.values()) == {"a file or a shot beside it has changed"}
    assert list(reasons) == [1, 2, 3]


def test_a_shot_that_is_paid_for_has_no_reason() -> None:
    plan = plan_of("https://a/1", "https://a/2")
    group = ReservationGroup("film-1", "account", "", plan.fingerprint, 1, True, plan.to_json(), 0.0, 0.0)

    assert reasons_to_buy(film_of(group, {}), plan, []) == {}
