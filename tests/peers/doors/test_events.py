"""Events through both doors: counted once, and refused with the same codes."""

import time
import uuid

import pytest

import clients
import questions

EXPIRES_S_MAX = 10


def token(door, tracking=None):
    """A fresh offer's token, or one of its tracking tokens."""
    answer = door.decide(questions.plain())
    offer = answer["placements"][0]["offers"][0]
    return offer["tracking"][tracking].rsplit("/", 1)[1] if tracking else offer["token"]


def codes(answer):
    return [rejection["code"] for rejection in answer["rejected"]]


def until_expired(door, text):
    """Asks until the server says so; a token's age is on nobody's clock but its own."""
    latest = time.monotonic() + EXPIRES_S_MAX
    while codes(door.record([{"type": "impression", "token": text}])) != ["token_expired"]:
        assert time.monotonic() < latest, "never expires"
        time.sleep(0.05)


def both(doors, events):
    """The same batch at both doors, which must say the same."""
    answers = [door.record(events) for door in doors]
    assert answers[0] == answers[1]
    return answers[0]


@pytest.mark.parametrize("kind", ["impression", "viewable", "click", "dismiss", "order", "conversion"])
@pytest.mark.parametrize("first", [0, 1], ids=["json first", "grpc first"])
def test_what_one_door_counted_the_other_knows(doors, kind, first):
    """The token comes from one door and goes to the other, then back."""
    maker, other = doors[first], doors[1 - first]
    event = {"type": kind, "token": token(maker), "id": str(uuid.uuid4())}
    assert other.record([event]) == {"accepted": 1, "duplicates": 0, "rejected": []}
    assert maker.record([event]) == {"accepted": 0, "duplicates": 1, "rejected": []}


def test_events_of_the_visit_are_counted_once_by_id(doors):
    by_json, by_grpc = doors
    events = [
        {"type": "phase_view", "phase": "en_route", "dwell_ms": 8_100},
        {"type": "element", "phase": "en_route", "element": "live_map"},
        {"type": "feedback", "rating": 5},
    ]
    events = [event | {"id": str(uuid.uuid4()), "appointment_id": "apt-1"} for event in events]
    assert by_grpc.record(events) == {"accepted": 3, "duplicates": 0, "rejected": []}
    assert by_json.record(events) == {"accepted": 0, "duplicates": 3, "rejected": []}


def test_altered_tokens_are_refused_alike(doors):
    """Every character of a token, changed: none is ever let through."""
    good = token(doors[0])
    altered = [good[:i] + ("A" if c != "A" else "B") + good[i + 1:] for i, c in enumerate(good)]
    found = set()
    for start in range(0, len(altered), 100):
        batch = [{"type": "click", "token": text} for text in altered[start:start + 100]]
        answer = both(doors, batch)
        assert answer["accepted"] == answer["duplicates"] == 0
        assert [r["index"] for r in answer["rejected"]] == list(range(len(batch)))
        found |= set(codes(answer))
    assert "token_forged" in found and found <= {"token_forged", "token_malformed"}, found
    # Told to be other than it is, it is still what it was.
    assert doors[1].record([{"type": "click", "token": good}])["accepted"] == 1


def test_bad_events_are_rejected_one_by_one_with_the_same_words(doors):
    click, pixel = token(doors[0], "click"), token(doors[1], "impression")
    cases = [
        ({"type": "click", "token": "tooshort"}, "token_malformed"),
        ({"type": "click", "token": "A" * 110}, "token_malformed"),
        ({"type": "impression", "token": click}, "token_wrong_kind"),
        ({"type": "order", "token": click}, "token_wrong_kind"),
        ({"type": "click", "token": pixel}, "token_wrong_kind"),
        ({"type": "click"}, "malformed"),
        ({"type": None, "id": "e"}, "malformed"),
        ({"type": "phase_view", "id": "e"}, "malformed"),
        ({"type": "phase_view", "phase": "en_route"}, "malformed"),
        ({"type": "element", "id": "e"}, "malformed"),
        ({"type": "feedback", "id": "e"}, "malformed"),
        ({"type": "feedback", "id": "e", "rating": 6}, "malformed"),
        ({"type": "feedback", "id": "x" * 129, "rating": 5}, "malformed"),
        ({"type": "feedback", "id": "e", "rating": 5, "at": "2020-01-01T00:00:00Z"}, "malformed"),
        ({"type": "feedback", "id": "e", "rating": 5, "at": "2099-01-01T00:00:00Z"}, "malformed"),
        ({"type": "order", "token": click, "value": {"amount_minor": 1, "currency": "usd"}}, "malformed"),
        ({"type": "order", "token": click, "value": {"amount_minor": 10**12 + 1, "currency": "USD"}},
         "malformed"),
    ]
    answer = both(doors, [event for event, _ in cases])
    assert codes(answer) == [code for _, code in cases]
    assert answer["accepted"] == answer["duplicates"] == 0
    unknown = [door.record([{"type": "look", "id": "e"}]) for door in doors]
    assert [codes(answer) for answer in unknown] == [["unknown_type"]] * 2


def test_a_batch_is_1_to_100_events(doors):
    for events in ([], [{"type": "click"}] * 101):
        found = []
        for door in doors:
            with pytest.raises(clients.Refused) as refused:
                door.record(events)
            found.append(refused.value)
        by_json, by_grpc = found
        assert (by_json.code, by_grpc.code) == (400, clients.STATUS_OF[400])
        assert by_json.field == by_grpc.field == "events"
        assert by_json.detail == by_grpc.detail


def test_old_tokens_expire_at_both_doors(keyed_doors):
    doors = keyed_doors("secret")
    for door in doors:
        old = token(door)
        until_expired(door, old)
        answer = both(doors, [{"type": "impression", "token": old}, {"type": "viewable", "token": old}])
        assert codes(answer) == ["token_expired"] * 2
        # Each type has its own age.
        assert door.record([{"type": "click", "token": old}])["accepted"] == 1


def test_who_withholds_measurement_is_not_recorded(doors):
    request = questions.plain()
    request["customer"]["consent"] = {"measurement": False}
    for door in doors:
        offer = door.decide(request)["placements"][0]["offers"][0]
        assert codes(both(doors, [{"type": "click", "token": offer["token"]}])) == ["no_consent"]


def test_tracking_counts_without_a_script(open_server, doors):
    by_json, by_grpc = doors
    pixel = f"/v1/t/{token(by_grpc, 'impression')}"
    for _ in range(2):
        status, headers, body = clients.call(open_server.public, "GET", pixel)
        assert (status, headers["content-type"], body[:6]) == (200, "image/gif", b"GIF89a")
        assert headers["cache-control"] == "no-store"
    request = questions.plain()
    request["customer"]["care"] = {"open_issue": True}
    offer = by_json.decide(request)["placements"][0]["offers"][0]
    action = offer["content"]["action"]
    status, headers, _ = clients.call(open_server.public, "GET", offer["tracking"]["click"])
    assert action["kind"] == "link" and (status, headers["location"]) == (302, action["url"])
    # Counted by the link, so no more by the script.
    repeated = by_grpc.record([{"type": "click", "token": offer["token"]}])
    assert repeated == {"accepted": 0, "duplicates": 1, "rejected": []}
    status, headers, _ = clients.call(open_server.public, "GET", f"/v1/t/{offer['token']}")
    assert (status, headers["content-type"]) == (404, "application/problem+json")
