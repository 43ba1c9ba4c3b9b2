"""The plan of a film: what waits for what, what each shot costs, and what names a shot. Pure."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from luma_mcp.domain.errors import InvalidRequestError
from luma_mcp.domain.requests import GenerationKeyframe, ImageKeyframe
from luma_mcp.film.plan import CONTINUE, MAX_SHOTS, NEXT, FilmFormat, Frames, Plan, Shot, is_unchanged, make_plan
from luma_mcp.film.plan import stand_in_request as request_of

FORM = FilmFormat("ray-flash-2", "16:9", "540p")
NEWER = FilmFormat("ray-3.2", "16:9", "540p")
PICTURE = ImageKeyframe("https://a.example/a.png")
CLIP = GenerationKeyframe("15b7abb1-3741-4b7e-9615-1f9a16c7442d")


def planned(*shots: Shot, form: FilmFormat = FORM, frames: dict[int, Frames] | None = None) -> Plan:
    return make_plan(form, shots, [(frames or {}).get(place, Frames()) for place in range(len(shots))])


def needs(plan: Plan) -> list[tuple[int, ...]]:
    return [shot.needs for shot in plan.shots]


def test_a_cut_waits_for_nothing() -> None:
    assert needs(planned(Shot("a boat"), Shot("a storm"))) == [(), ()]


def test_a_shot_that_continues_waits_for_the_one_before() -> None:
    assert needs(planned(Shot("a boat"), Shot("on it goes", start=CONTINUE), Shot("on it goes", start=CONTINUE))) == [
        (),
        (0,),
        (1,),
    ]


def test_a_shot_that_ends_on_the_next_waits_for_it() -> None:
    assert needs(planned(Shot("a boat", end=NEXT), Shot("a storm"))) == [(1,), ()]


def test_it_waits_for_no_picture_that_exists_already() -> None:
    shots = (Shot("a boat", end=NEXT), Shot("a storm", start="a.png"))

    assert needs(planned(*shots, frames={1: Frames(start=PICTURE)})) == [(), ()]
    assert needs(planned(*shots, frames={1: Frames(start=CLIP)})) == [(1,), ()], "a clip's end is not its first picture"


def test_a_shot_may_wait_for_both_sides() -> None:
    assert needs(planned(Shot("aaa"), Shot("bbb", start=CONTINUE, end=NEXT), Shot("ccc"))) == [(), (0, 2), ()]


@pytest.mark.parametrize(
    ("shots", "message"),
    [
        ([], f"A film has 1 to {MAX_SHOTS} shots, not 0."),
        ([Shot("aaa")] * 101, f"A film has 1 to {MAX_SHOTS} shots, not 101."),
        ([Shot("aaa", start=CONTINUE)], "Shot 1 has no shot before it to continue."),
        ([Shot("aaa"), Shot("bbb", end=NEXT)], "Shot 2 is the last, so there is no next one to end on."),
        (
            [Shot("aaa"), Shot("bbb", end=NEXT), Shot("ccc", start=CONTINUE)],
            "Shot 2 ends on the first picture of shot 3, which continues shot 2.",
        ),
        ([Shot("aaa"), Shot("bbb", "10s")], "Shot 2: ray-flash-2 has no duration 10s."),
        ([Shot("aaa"), Shot()], "Shot 2: "),
    ],
)
def test_what_cannot_be_made_is_refused_and_names_the_shot(shots: list[Shot], message: str) -> None:
    with pytest.raises(InvalidRequestError) as caught:
        planned(*shots)

    assert str(caught.value).startswith(message)


def test_a_hundred_shots_that_each_continue_are_a_plan() -> None:
    plan = planned(Shot("aaa"), *[Shot("on it goes", start=CONTINUE)] * (MAX_SHOTS - 1))

    assert len({shot.key for shot in plan.shots}) == MAX_SHOTS


def test_the_price_is_that_of_all_shots() -> None:
    plan = planned(Shot("aaa"), Shot("bbb", "9s"))

    assert [shot.usd for shot in plan.shots] == pytest.approx([0.14, 0.25], abs=0.001)
    assert plan.usd == pytest.approx(sum(shot.usd for shot in plan.shots))
    assert plan.price.basis == "published"
    assert [shot.seconds for shot in plan.shots] == [5.0, 9.0]


def test_a_price_that_is_assumed_for_one_shot_is_assumed_for_all() -> None:
    plan = planned(Shot("aaa"), Shot("bbb"), form=NEWER)
    assumed = replace(plan, shots=(plan.shots[0], replace(plan.shots[1], basis="assumed")))

    assert assumed.price.basis == "assumed"


def test_equal_shots_are_two_shots() -> None:
    first, second = planned(Shot("aaa"), Shot("aaa")).shots

    assert first.key != second.key


def test_a_shot_keeps_its_key_wherever_it_moves() -> None:
    a, b, c = planned(Shot("aaa"), Shot("bbb"), Shot("ccc")).shots
    moved = planned(Shot("ccc"), Shot("aaa"), Shot("ddd"), Shot("bbb")).shots

    assert [moved[1].key, moved[3].key, moved[0].key] == [a.key, b.key, c.key]


@pytest.mark.parametrize(
    "change",
    [{"prompt": "xxx"}, {"duration": "9s"}, {"take": 2}, {"concepts": ("orbit_left",)}, {"end": NEXT}],
)
def test_what_depends_on_a_changed_shot_gets_another_key_and_nothing_else(change: dict[str, object]) -> None:
    shots = [Shot("aaa"), Shot("bbb"), Shot("ccc", start=CONTINUE), Shot("ddd", start=CONTINUE), Shot("eee")]
    if change == {"end": NEXT}:
        shots[2:4] = [Shot("ccc"), Shot("ddd", start=CONTINUE)]
    before = planned(*shots)
    after = planned(shots[0], replace(shots[1], **change), *shots[2:])
    changed = [a.key != b.key for a, b in zip(before.shots, after.shots, strict=True)]

    assert changed == (
        [False, True, False, False, False] if change == {"end": NEXT} else [False, True, True, True, False]
    )


def test_another_picture_is_another_shot_and_another_signature_of_it_is_not() -> None:
    def key(url: str) -> str:
        return planned(Shot("aaa", start="x"), frames={0: Frames(start=ImageKeyframe(url))}).shots[0].key

    signed = "https://b.example/a.png?X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Signature="
    assert key(PICTURE.url) != key("https://a.example/b.png")
    assert key(signed + "1" * 64) == key(signed + "2" * 64)


def test_a_request_is_checked_against_the_plan() -> None:
    plan = planned(Shot("aaa", start="x"), frames={0: Frames(start=PICTURE)})
    shot = plan.shots[0]

    assert is_unchanged(request_of(FORM, shot.shot, Frames(start=PICTURE), None), shot)
    assert not is_unchanged(
        request_of(FORM, shot.shot, Frames(start=ImageKeyframe("https://a.example/b.png")), None), shot
    )


def test_stand_ins_are_no_real_address() -> None:
    request = request_of(FORM, Shot("aaa", start=CONTINUE, end=NEXT), Frames(), None)

    assert request.start == GenerationKeyframe("00000000-0000-4000-8000-000000000000")
    assert isinstance(request.end, ImageKeyframe)
    assert request.end.url.startswith("https://film.invalid/")


_WORDS = st.text(st.characters(categories=["L", "N", "Zs"]), min_size=3, max_size=20).map("shot {}".format)


@st.composite
def shot_lists(draw: st.DrawFn) -> list[Shot]:
    """Shots in an order that can be made."""
    shots: list[Shot] = []
    count = draw(st.integers(1, 8))
    for place in range(count):
        may_continue = place > 0 and shots[-1].end != NEXT
        start = draw(st.sampled_from([None, CONTINUE])) if may_continue else None
        end = draw(st.sampled_from([None, NEXT])) if place < count - 1 else None
        shots.append(
            Shot(draw(_WORDS), draw(st.sampled_from([None, "5s", "9s"])), start, end, (), draw(st.integers(1, 3)))
        )
    return shots


@given(shot_lists())
def test_every_plan_can_be_read_again_and_has_an_order(shots: list[Shot]) -> None:
    plan = planned(*shots)
    keys = [shot.key for shot in plan.shots]
    done: set[int] = set()
    while len(done) < len(shots):
        ready = {place for place, shot in enumerate(plan.shots) if place not in done and set(shot.needs) <= done}
        assert ready, "two shots wait for each other"
        done |= ready

    assert len(set(keys)) == len(keys)
    assert Plan.from_json(plan.to_json()) == plan
    assert planned(*shots).fingerprint == plan.fingerprint
    assert plan.usd == pytest.approx(sum(shot.usd for shot in plan.shots))
