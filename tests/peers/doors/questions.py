"""Requests made up from a fixed seed, and requests that each break one rule."""

import copy
import random

PHASES = ["scheduled", "day_of", "en_route", "arriving", "on_site", "completed", "feedback"]
PLACEMENTS = ["tracker_hero", "eta_strip", "map_card", "technician_panel", "summary_panel",
              "feedback_panel", "not_in_the_catalog"]
TRIGGERS = ["page_viewed", "calendar_added", "technician_viewed", "chat_opened", "call_tapped",
            "reschedule_tapped", "map_viewed", "eta_viewed", "summary_downloaded", "feedback_given",
            "social_shared", "speed_test_run", "not_declared"]
OFFERS = ["open_issue_help", "wifi_checkup", "autopay", "old_gear_pickup", "mobile_line", "no_such_offer"]
SKILLS = ["wifi", "fiber", "security"]
STOCK = ["wifi6_extender", "tv_box", "camera"]
FEATURES = {
    "first_name": ["Ana", "Łukasz", "<b>&\"'", "名"],
    "tenure": [0, 3, 14, 71.5, 1200],
    "contract": ["Month-to-month", "One year", "Two year", "of no known kind"],
    "has_tv": [True, False],
    "gender": ["Female", "Male"],
    "SeniorCitizen": [0, 1],
    "Partner": ["Yes", "No"],
    "InternetService": ["DSL", "Fiber optic", "No"],
    "Contract": ["Month-to-month", "One year", "Two year"],
    "PaymentMethod": ["Electronic check", "Mailed check", "Bank transfer (automatic)"],
    "MonthlyCharges": [18.25, 70.35, 118.75],
    "TotalCharges": [0, 29.85, 8684.8],
    "not_declared": ["x", 1, True],
}


def varied(seed, count):
    """So many requests that keep every rule."""
    dice = random.Random(seed)
    return [request(dice, i) for i in range(count)]


def request(dice, number):
    maybe = lambda make, odds=0.5: make() if dice.random() < odds else None
    flag = lambda: maybe(lambda: dice.random() < 0.5, 0.7)
    some = lambda words: dice.sample(words, dice.randint(0, len(words)))
    asks = dice.sample(PLACEMENTS, dice.randint(1, 4))
    return {
        "request_id": maybe(lambda: f"r-{number}"),
        "channel": maybe(lambda: dice.choice(["web", "web", "app", "sms", "rcs", "email", "chat"])),
        "locale": maybe(lambda: dice.choice(["en", "es", "en-US", "es-MX", "fr", "zz-Qaaa"]), 0.8),
        "device": maybe(lambda: "mobile"),
        # Long enough for any machine: a short one is a race, not a rule.
        "deadline_ms": maybe(lambda: dice.choice([5_000, 60_000])),
        "explain": maybe(lambda: "none", 0.3),
        "test": True,
        "appointment": {
            "id": maybe(lambda: f"apt-{number}"),
            "phase": dice.choice(PHASES),
            "job_type": maybe(lambda: dice.choice(["install", "upgrade", "repair"]), 0.8),
            "window_start": maybe(lambda: "2026-11-21T13:00:00Z"),
            "window_end": maybe(lambda: "2026-11-21T17:00:00.250+02:00"),
            "eta_seconds": maybe(lambda: dice.choice([0, 300, 1260, 31_536_000])),
            "delay_seconds": maybe(lambda: dice.choice([-600, 0, 1799, 1800]), 0.4),
            "reschedules": maybe(lambda: dice.choice([0, 1, 2]), 0.3),
            "technician": maybe(lambda: {
                "skills": some(SKILLS), "stock": some(STOCK),
                "slack_minutes": maybe(lambda: dice.choice([0, 10, 25, 120]), 0.8)}, 0.8),
        },
        "customer": maybe(lambda: {
            "id": maybe(lambda: f"c-{number}", 0.8),
            "features": {name: maybe(lambda: dice.choice(FEATURES[name]), 0.95)
                         for name in some(list(FEATURES))},
            "segments": some(["new_mover", "gamer", "not_declared"]),
            "products": some(["internet_500", "tv", "mobile"]),
            "consent": maybe(lambda: {
                "personalization": flag(), "marketing": flag(), "measurement": flag()}),
            "care": maybe(lambda: {
                "open_issue": maybe(flag, 0.3), "payment_hardship": maybe(flag, 0.3),
                "last_rating": maybe(lambda: dice.randint(1, 5))}, 0.4),
        }, 0.9),
        "triggers": [{"name": dice.choice(TRIGGERS), "count": maybe(lambda: dice.randint(1, 4)),
                      "age_ms": maybe(lambda: dice.choice([0, 4_200, 700_000]))}
                     for _ in range(dice.randint(0, 4))],
        "placements": [{"id": place, "count": maybe(lambda: dice.randint(1, 5)),
                        "exclude_offers": some(OFFERS)} for place in asks],
    }


def plain():
    return {"test": True, "appointment": {"phase": "en_route"}, "customer": {"id": "c-1"},
            "placements": [{"id": "tracker_hero"}]}


def greeted(name):
    """One whose answer calls the customer by name, if the name is believed and may be used."""
    request = plain()
    request["customer"] |= {"features": {"first_name": name}, "care": {"open_issue": True}}
    return request


def broken():
    """`(name, request, field)`: each breaks one rule that both forms can break."""
    long_id, long_word = "x" * 129, "x" * 65
    rules = [
        ("placements", [], "placements"),
        ("placements", [{"id": "tracker_hero"}] * 9, "placements"),
        ("placements/0/id", None, "placements[0].id"),
        ("placements/0/id", long_id, "placements[0].id"),
        ("placements/0/id", "tab\there", "placements[0].id"),
        ("placements/0/count", 0, "placements[0].count"),
        ("placements/0/count", 21, "placements[0].count"),
        ("placements/0/exclude_offers", ["x"] * 257, "placements[0].exclude_offers"),
        ("placements/0/exclude_offers", ["a", long_id], "placements[0].exclude_offers[1]"),
        ("appointment", None, "appointment"),
        ("appointment/phase", None, "appointment.phase"),
        ("appointment/phase", "teleporting", "appointment.phase"),
        ("appointment/id", long_id, "appointment.id"),
        ("appointment/job_type", long_word, "appointment.job_type"),
        ("appointment/eta_seconds", 31_536_001, "appointment.eta_seconds"),
        ("appointment/delay_seconds", -31_536_001, "appointment.delay_seconds"),
        ("appointment/reschedules", 1_001, "appointment.reschedules"),
        ("appointment/technician", {"slack_minutes": 10_081}, "appointment.technician.slack_minutes"),
        ("appointment/technician", {"skills": ["wifi", long_word]}, "appointment.technician.skills[1]"),
        ("request_id", long_id, "request_id"),
        ("request_id", "bell\u0007", "request_id"),
        ("channel", "pigeon", "channel"),
        ("locale", long_word, "locale"),
        ("device", long_word, "device"),
        ("deadline_ms", 0, "deadline_ms"),
        ("deadline_ms", 60_001, "deadline_ms"),
        ("explain", "full", "explain"),
        ("explain", "everything", "explain"),
        ("context_token", "not-one-of-ours", "context_token"),
        ("context_token", "x" * 4_097, "context_token"),
        ("customer/id", long_id, "customer.id"),
        ("customer/features", {"tenure": 1e16}, "customer.features.tenure"),
        ("customer/features", {"first_name": "x" * 257}, "customer.features.first_name"),
        ("customer/features", {"first_name": "x\u0085y" * 100}, "customer.features.first_name"),
        ("customer/features", {f"f{i}": i for i in range(65)}, "customer.features"),
        ("customer/features", {long_word: 1}, f"customer.features.{'x' * 64}"),
        ("customer/segments", ["s"] * 257, "customer.segments"),
        ("customer/products", [long_word], "customer.products[0]"),
        ("customer/care", {"last_rating": 0}, "customer.care.last_rating"),
        ("customer/care", {"last_rating": 6}, "customer.care.last_rating"),
        ("triggers", [{"name": "map_viewed"}] * 33, "triggers"),
        ("triggers", [{"name": "map_viewed", "count": 0}], "triggers[0].count"),
        ("triggers", [{"name": "a"}, {"name": "b", "age_ms": 31_536_000_001}], "triggers[1].age_ms"),
        ("triggers", [{"name": None}], "triggers[0].name"),
    ]
    late = plain()
    late["appointment"] |= {"window_start": "2026-11-21T13:00:01Z", "window_end": "2026-11-21T13:00:00Z"}
    yield "window_end before window_start", late, "appointment.window_end"
    for path, value, field in rules:
        *parents, last = path.split("/")
        request = copy.deepcopy(plain())
        place = request
        for step in parents:
            place = place[int(step) if step.isdigit() else step]
        place[last] = value
        yield f"{path}={str(value)[:40]}", request, field
