"""One question, one answer, whichever door it comes through."""

import copy
import datetime
import queue

import grpc
import pytest

import clients
import questions

# What differs between any two answers: ids and signatures are new each time.
UNIQUE = {"decision_id", "token", "impression", "click"}
CLOCK_S_MAX = 60


def comparable(answer):
    """The answer without what is unique; an absent field is `None`."""
    if isinstance(answer, dict):
        return {name: comparable(value) for name, value in answer.items()
                if name not in UNIQUE and name != "expires_at" and value is not None}
    return [comparable(item) for item in answer] if isinstance(answer, list) else answer


def offers(answer):
    return [offer for placement in answer["placements"] for offer in placement["offers"]]


def same(by_json, by_grpc):
    assert comparable(by_json) == comparable(by_grpc)
    for a, b in zip(offers(by_json), offers(by_grpc), strict=True):
        until = [datetime.datetime.fromisoformat(offer["expires_at"]) for offer in (a, b)]
        assert abs((until[0] - until[1]).total_seconds()) < CLOCK_S_MAX
        assert len(a["token"]) == len(b["token"])
        for offer in (a, b):
            assert offer["tracking"]["impression"].startswith("/v1/t/")
            assert offer["tracking"]["click"].startswith("/v1/t/")


def test_hundreds_of_questions_have_the_same_answers(doors):
    by_json, by_grpc = doors
    shown, reasons, phases = set(), set(), set()
    for i, request in enumerate(questions.varied(seed=20_261_121, count=400)):
        headers = {"sec_gpc": "1"} if i % 5 == 0 else {}
        answer = by_json.decide(request, **headers)
        same(answer, by_grpc.decide(request, **headers))
        assert [p["id"] for p in answer["placements"]] == [p["id"] for p in request["placements"]]
        shown |= {offer["creative_id"] for offer in offers(answer)}
        reasons |= {placement["no_offer_reason"] for placement in answer["placements"]}
        phases |= {request["appointment"]["phase"]} if offers(answer) else set()
    # Answers that are all alike would prove nothing.
    assert len(shown) >= 15, shown
    assert any(creative.endswith(".es") for creative in shown), shown
    assert {None, "unknown_placement", "phase_mismatch"} <= reasons, reasons
    assert len(phases) == 7, phases


def test_scores_are_the_same_and_nothing_is_left_to_chance(doors):
    answers = [door.decide(questions.plain()) for door in doors]
    for a, b in zip(*map(offers, answers), strict=True):
        for told in ("score", "conversion_probability", "propensity", "explored"):
            assert a[told] is not None and a[told] == b[told]
        assert (a["propensity"], a["explored"]) == (1.0, False)


def test_caps_count_alike_for_a_customer_of_either_door(doors):
    """Without `test`: each door has a customer of its own, who is asked for again and again."""
    seen = []
    for door in doors:
        request = questions.plain() | {"test": False, "customer": {"id": f"c-{door.name}"}}
        request["placements"] = [{"id": "tracker_hero", "count": 2}]
        seen.append([comparable(door.decide(request)) for _ in range(12)])
    assert seen[0] == seen[1]
    assert seen[0][0] != seen[0][-1], "no cap was reached"


@pytest.mark.parametrize("request_, field", [pytest.param(r, f, id=n) for n, r, f in questions.broken()])
def test_errors_name_the_same_field(doors, request_, field):
    found = []
    for door in doors:
        with pytest.raises(clients.Refused) as refused:
            door.decide(request_)
        found.append(refused.value)
    by_json, by_grpc = found
    assert by_json.code == 400
    assert by_grpc.code == clients.STATUS_OF[by_json.code]
    assert by_json.field == by_grpc.field == field
    if "9999" not in by_grpc.detail:  # a word that the enum has not has no name in a proto
        assert by_json.detail == by_grpc.detail


def test_null_is_absent_and_unknown_fields_are_ignored(doors):
    by_json, by_grpc = doors
    request = questions.plain()
    expected = by_grpc.decide(request)
    nulls = {name: None for name in ("request_id", "channel", "locale", "device", "deadline_ms",
                                     "explain", "triggers", "context_token")}
    verbose = copy.deepcopy(request) | nulls | {"surprise": {"deep": [1, {"er": None}]}}
    verbose["appointment"] |= {"technician": None, "window_start": None, "color": "blue"}
    verbose["customer"] |= {"features": None, "consent": None, "care": None, "segments": None}
    same(by_json.decide(verbose), expected)


def test_privacy_signal_withholds_personalization(doors):
    request = questions.greeted("Ana")
    for door in doors:
        greeted = str(comparable(door.decide(request)))
        silent = str(comparable(door.decide(request, sec_gpc="1")))
        assert "Ana" in greeted and "Ana" not in silent, door.name


def test_a_stream_answers_in_order_and_ends_with_the_first_mistake(doors):
    by_json, by_grpc = doors
    requests = questions.varied(seed=7, count=40)
    answers = list(by_grpc.decide_stream(requests))
    assert len(answers) == len(requests)
    for request, answer in zip(requests, answers):
        same(by_json.decide(request), answer)
    bad = questions.plain() | {"placements": []}
    answers = by_grpc.decide_stream([requests[0], bad, requests[1]])
    next(answers)
    with pytest.raises(grpc.RpcError) as refused:
        next(answers)
    assert refused.value.code() == grpc.StatusCode.INVALID_ARGUMENT
    assert clients.refused(refused.value).field == "placements"


def test_a_stream_is_a_conversation(doors):
    """Each answer comes before the next question is asked."""
    _, by_grpc = doors
    ids = iter(f"r-{i}" for i in range(5))
    asked = queue.SimpleQueue()

    def ask():
        told = next(ids, None)
        asked.put(told and questions.plain() | {"request_id": told})

    ask()
    answered = []
    for answer in by_grpc.decide_stream(iter(asked.get, None)):
        answered.append(answer["request_id"])
        ask()
    assert answered == [f"r-{i}" for i in range(5)]
