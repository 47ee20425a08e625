//! One row per rule: what is changed in the base catalog, and what is then told, and where.

use super::BASE;
use offerd::control::catalog::limits::{FILE_BYTES_MAX, MISTAKES_MAX, OFFERS_MAX};
use offerd::control::catalog::{read, read_json, read_toml};

/// What to replace in the base catalog, by what, and the path and message of the one mistake that
/// this makes. A `«` marks the place that must be told.
type Case = (&'static str, &'static str, &'static str, &'static str);

#[track_caller]
fn check(cases: &[Case]) {
    let wrong: Vec<String> = cases.iter().filter_map(|case| told(case).err()).collect();
    assert!(wrong.is_empty(), "{}", wrong.join("\n\n"));
}

fn told(&(from, to, path, message): &Case) -> Result<(), String> {
    assert_eq!(BASE.matches(from).count(), 1, "{from} must be there once");
    let marked = BASE.replace(from, to);
    let text = marked.replace('«', "");
    let Err(mistakes) = read_toml(&text) else {
        return Err(format!("{to}: no mistake was found"));
    };
    let [mistake] = mistakes.all() else {
        return Err(format!("{to}: more than one mistake\n{mistakes}"));
    };
    let place = mistake.line.zip(mistake.column);
    let right = mistake.path == path
        && mistake.message.contains(message)
        && expected_place(&marked).is_none_or(|expected| place == Some(expected));
    let expected = expected_place(&marked);
    let told = format!("{to}: expected {expected:?} {path}: … {message} …\n{mistake}");
    if right { Ok(()) } else { Err(told) }
}

/// Line and column of the mark, both from 1.
fn expected_place(marked: &str) -> Option<(u32, u32)> {
    let (before, _) = marked.split_once('«')?;
    let line = before.matches('\n').count() + 1;
    let column = before.rsplit('\n').next().unwrap_or("").chars().count() + 1;
    Some((line as u32, column as u32))
}

#[test]
fn the_operator_is_somebody_somewhere() {
    check(&[
        (
            "currency = \"USD\"",
            "«currency = \"usd\"",
            "operator.currency",
            "three capitals",
        ),
        (
            "currency = \"USD\"",
            "«currency = 3",
            "operator.currency",
            "three capitals such as \"USD\", found 3",
        ),
        (
            "time_zone = \"America/Chicago\"",
            "«time_zone = \"America/Chicag\"",
            "operator.time_zone",
            "IANA time zone",
        ),
        (
            "currency = \"USD\"\ntime_zone",
            "time_zone",
            "operator",
            "the key `currency`",
        ),
        (
            "default_locale = \"en\"",
            "«default_locale = \"e_n\"",
            "operator.default_locale",
            "\"en-US\"",
        ),
    ]);
}

#[test]
fn what_is_learnt_cannot_be_configured_to_mislead() {
    let hold = "hold_minutes = 5";
    let rewards = "order = 0.5";
    let features = "features = [\"income\",";
    check(&[
        (
            hold,
            "«hold_minutes = 31",
            "learning.hold_minutes",
            "at most 30 minutes, found 31: a failure is learnt minutes after",
        ),
        // A hold of the conversion's window is what learns failures when the window closes.
        (
            hold,
            "«hold_minutes = 4320",
            "learning.hold_minutes",
            "make every offer look better than it is",
        ),
        (
            hold,
            "«hold_minutes = -1",
            "learning.hold_minutes",
            "from 0 to 30, found -1",
        ),
        (
            hold,
            "«negatives = \"window_close\"",
            "learning.negatives",
            "unknown key",
        ),
        (
            "conversion = 72",
            "«conversion = 0",
            "learning.windows.conversion",
            "from 1 to 2160",
        ),
        (
            rewards,
            "«order = 1.5",
            "learning.rewards.order",
            "a number from 0 to 1, found 1.5",
        ),
        (
            "dismiss = -0.25",
            "«dismiss = 0.25",
            "learning.rewards.dismiss",
            "a number from -1 to 0",
        ),
        (
            rewards,
            "«impression = 0.1",
            "learning.rewards.impression",
            "being seen is no success",
        ),
        (
            rewards,
            "«reversal = -1",
            "learning.rewards.reversal",
            "takes back the conversion",
        ),
        (
            "content = { click = 1.0, conversion = 0.0 }",
            "partner = { order = 0.0, conversion = 0.0 }",
            "learning.rewards",
            "a success for the class partner",
        ),
        (
            features,
            "features = [«\"incom\",",
            "learning.features[0]",
            "did you mean `income`",
        ),
        (
            features,
            "features = [«\"first_name\",",
            "learning.features[0]",
            "expected `values` of first_name",
        ),
        (
            features,
            "features = [«\"phase\",",
            "learning.features[0]",
            "always learnt on",
        ),
        (
            features,
            "features = [«\"products\",",
            "learning.features[0]",
            "neither",
        ),
        (
            features,
            "features = [«\"speed_test_ran.count\",",
            "learning.features[0]",
            "did you mean `speed_test_run`",
        ),
        (
            "seen = \"viewable\"",
            "«seen = \"visible\"",
            "learning.seen",
            "auto, impression, viewable",
        ),
    ]);
}

#[test]
fn settings_are_of_the_right_kind_and_size() {
    check(&[
        (
            "marketing = true",
            "«marketing = \"yes\"",
            "consent.marketing",
            "expected true or false, found \"yes\"",
        ),
        (
            "rating_max = 2",
            "«rating_max = 5",
            "care.rating_max",
            "from 1 to 4, found 5",
        ),
        (
            "delay_seconds_min = false",
            "«delay_seconds_min = true",
            "care.delay_seconds_min",
            "or false; found true",
        ),
        (
            "count = 6, per = \"day\"",
            "count = 6, «per = \"dya\"",
            "caps.selling[0].per",
            "hour, day, week, month, year",
        ),
        (
            "{ count = 6, per = \"day\" }",
            "«{ count = 6 }",
            "caps.selling[0]",
            "either `per`",
        ),
        (
            "count = 6, per",
            "«count = 0, per",
            "caps.selling[0].count",
            "from 1 to 10000",
        ),
        (
            "epsilon = 0.1",
            "«epsilon = 1.1",
            "explorer.epsilon",
            "a number from 0 to 1, found 1.1",
        ),
        (
            "epsilon = 0.1",
            "«temperature = 0.1",
            "explorer.temperature",
            "unknown key; expected one of kind, epsilon, uniform_share",
        ),
        (
            "kind = \"epsilon_greedy\"\nepsilon = 0.1",
            "«kind = \"tompson\"",
            "explorer.kind",
            "thompson",
        ),
        (
            "kind = \"epsilon_greedy\"\nepsilon = 0.1",
            "kind = \"pairwise_odds\"\n«alpha = 11",
            "explorer.alpha",
            "a number from 0 to 10, found 11",
        ),
        (
            "kind = \"epsilon_greedy\"\nepsilon = 0.1",
            "kind = \"inverse_gap_budget\"\n«budget = -0.1",
            "explorer.budget",
            "a number from 0 to 1, found -0.1",
        ),
        (
            "epsilon = 0.1",
            "epsilon = 0.1\n«uniform_share = 2",
            "explorer.uniform_share",
            "a number from 0 to 1, found 2",
        ),
        (
            "temperature = 0.5",
            "«temperature = 0",
            "placement[1].explorer.temperature",
            "from 0.001 to 100",
        ),
    ]);
}

#[test]
fn a_budget_for_exploring_is_money_of_a_class() {
    check(&[
        (
            "epsilon = 0.1",
            "epsilon = 0.1\nuniform_share = 0.01\ndaily_budget_minor = { «upsell = -1 }",
            "explorer.daily_budget_minor.upsell",
            "a whole number from 0 to 1000000000, found -1",
        ),
        (
            "epsilon = 0.1",
            "epsilon = 0.1\nuniform_share = 0.01\ndaily_budget_minor = { «upsel = 5000 }",
            "explorer.daily_budget_minor.upsel",
            "unknown key; did you mean `upsell`?",
        ),
        (
            "epsilon = 0.1",
            "epsilon = 0.1\nuniform_share = 0.01\n«daily_budget_minor = 5000",
            "explorer.daily_budget_minor",
            "expected a table, found 5000",
        ),
        (
            "[explorer]\nkind = \"epsilon_greedy\"",
            "[«explorer]\nkind = \"epsilon_greedy\"\ndaily_budget_minor = { upsell = 5000 }",
            "explorer",
            "expected a `floor` or a `uniform_share` above 0 beside a daily budget",
        ),
        (
            "temperature = 0.5",
            "«daily_budget_minor = { upsell = 5000 }, temperature = 0.5",
            "placement[1].explorer.daily_budget_minor",
            "in the catalog's [explorer] only",
        ),
    ]);
    // A placement without a floor is told where it is.
    let text = BASE.replace(
        "epsilon = 0.1",
        "epsilon = 0.1\nuniform_share = 0.01\ndaily_budget_minor = { upsell = 5000 }",
    );
    let text = text.replace(
        "temperature = 0.5, floor = 0.1",
        "temperature = 0.5, floor = 0",
    );
    let told = read_toml(&text).err().expect("one mistake").to_string();
    assert!(
        told.contains("placement[1].id: expected a `floor`"),
        "{told}"
    );
}

#[test]
fn names_are_declared_once_and_mean_one_thing() {
    check(&[
        (
            "has_tv = { kind",
            "«phase = { kind",
            "features.phase",
            "the meaning",
        ),
        (
            "has_tv = { kind",
            "«\"x.count\" = { kind",
            "features.\"x.count\"",
            "the meaning",
        ),
        (
            "has_tv = { kind",
            "«x = 1\nhas_tv = { kind",
            "features.x",
            "expected a table, found 1",
        ),
        (
            "kind = \"boolean\"",
            "«kind = \"bool\"",
            "features.has_tv.kind",
            "number, category, boolean",
        ),
        (
            "min = 0, max = 100",
            "min = 9, max = 1",
            "features.tenure",
            "expected min to be at most max",
        ),
        (
            "speed_test_run = \"",
            "«map_viewed = \"again\"\nspeed_test_run = \"",
            "triggers.map_viewed",
            "every page sends",
        ),
        (
            "long = [\"One year\"]",
            "«long = \"One year\"",
            "groups.long",
            "expected a list",
        ),
    ]);
}

#[test]
fn unknown_keys_are_told_with_the_nearest_known_one() {
    check(&[
        (
            "lever = 1.5",
            "«levr = 1.5",
            "offer[0].levr",
            "did you mean `lever`?",
        ),
        (
            "cta = \"Add it\"",
            "«button = \"Add it\"",
            "offer[0].creatives[0].button",
            "expected one of id, channels",
        ),
        ("[groups]", "[«group]", "group", "did you mean `groups`?"),
        (
            "slack_minutes = 15",
            "«slack = 15",
            "offer[0].requires.slack",
            "expected one of skills, stock",
        ),
    ]);
}

#[test]
fn what_is_planned_is_refused_and_not_ignored() {
    check(&[
        (
            "lever = 1.5",
            "«budget = { total_minor = 1 }",
            "offer[0].budget",
            "does not support `budget` yet",
        ),
        (
            "lever = 1.5",
            "«goal = { count = 1 }",
            "offer[0].goal",
            "does not support `goal` yet",
        ),
        (
            "[groups]",
            "[[«guardrail]]\nid = \"x\"\n[groups]",
            "guardrail",
            "does not support `guardrail` yet",
        ),
        (
            "[groups]",
            "[[«experiment]]\nid = \"x\"\n[groups]",
            "experiment",
            "does not support",
        ),
        (
            "[groups]",
            "[«holdout]\npercent = 5\n[groups]",
            "holdout",
            "does not support",
        ),
    ]);
}

#[test]
fn placements_are_real_places() {
    check(&[
        (
            "[[placement]]\nid = \"map\"\n",
            "[[placement]]\n«id = \"hero\"\n[[placement]]\nid = \"map\"\n",
            "placement[1].id",
            "each placement id once",
        ),
        (
            "count_max = 2",
            "«count_max = 21",
            "placement[0].count_max",
            "from 1 to 20",
        ),
        (
            "phases = [\"en_route\", \"arriving\"]\nchannels",
            "phases = [\"en_route\", «\"arrving\"]\nchannels",
            "placement[1].phases[1]",
            "did you mean `arriving`?",
        ),
        (
            "channels = [\"web\", \"app\"]",
            "«channels = []",
            "placement[1].channels",
            "at least one entry",
        ),
        (
            "placements = [\"hero\", \"map\"]",
            "placements = [\"hero\", «\"mop\"]",
            "offer[0].placements[1]",
            "did you mean `map`?",
        ),
        (
            "placements = [\"hero\", \"map\"]",
            "«placements = []",
            "offer[0].placements",
            "at least one entry",
        ),
        (
            "class = \"partner\"\n",
            "class = \"partner\"\nplacements = [«\"map\", \"hero\"]\n",
            "offer[1].placements[0]",
            "that takes class partner",
        ),
    ]);
}

#[test]
fn offers_say_what_they_are() {
    check(&[
        (
            "id = \"sport\"\n",
            "id = \"help\"\n",
            "offer[2].id",
            "each offer id once",
        ),
        (
            "id = \"sport\"\n",
            "«id = \"spört\"\n",
            "offer[1].id",
            "letters, digits",
        ),
        ("id = \"sport\"\n", "", "offer[1]", "the key `id`"),
        ("class = \"partner\"\n", "", "offer[1]", "the key `class`"),
        (
            "class = \"care\"",
            "«class = \"caring\"",
            "offer[2].class",
            "care, service, upsell, partner, content",
        ),
        (
            "tier = \"must_run\"",
            "«tier = \"always\"",
            "offer[2].tier",
            "must_run, auction, house",
        ),
        (
            "value_minor = 700",
            "«value_minor = -1",
            "offer[0].value_minor",
            "from 0 to 1000000000, found -1",
        ),
        (
            "value_minor = 700",
            "«value_minor = 7.5",
            "offer[0].value_minor",
            "a whole number",
        ),
        (
            "lever = 1.5",
            "«lever = 0",
            "offer[0].lever",
            "from 0.01 to 100, found 0",
        ),
        ("lever = 1.5", "«lever = nan", "offer[0].lever", "found NaN"),
        (
            "prior = 0.05",
            "«prior = 1.5",
            "offer[0].prior",
            "from 0.0001 to 1",
        ),
        (
            "labels = [\"wifi\"]",
            "labels = [\"wifi\", «\"wifi\"]",
            "offer[0].labels[1]",
            "each entry once",
        ),
        (
            "weight = 1.5",
            "«weight = inf",
            "offer[0].features.weight",
            "found inf",
        ),
        (
            "slack_minutes = 15",
            "«slack_minutes = 601",
            "offer[0].requires.slack_minutes",
            "from 0 to 600",
        ),
        (
            "name = \"Extender\"",
            "«name = \"\"",
            "offer[0].name",
            "text of 1 to 120 characters",
        ),
    ]);
}

#[test]
fn offers_run_at_times_that_there_are() {
    check(&[
        (
            "end = 2026-12-01T18:00:00-06:00",
            "«end = 2026-11-01",
            "offer[0].flight.end",
            "the flight is empty",
        ),
        (
            "start = 2026-11-01,",
            "«start = \"soon\",",
            "offer[0].flight.start",
            "a date such as 2026-12-01",
        ),
        (
            "start = 2026-11-01,",
            "«start = 2026,",
            "offer[0].flight.start",
            "found 2026",
        ),
        (
            "from = \"22:00\"",
            "«from = \"22:00:30\"",
            "offer[0].daypart.from",
            "a time of day",
        ),
        (
            "until = \"02:30\"",
            "«until = \"24:01\"",
            "offer[0].daypart.until",
            "up to \"24:00\"",
        ),
        (
            "[\"mon\", \"sun\"]",
            "[«\"monday\", \"sun\"]",
            "offer[0].daypart.weekdays[0]",
            "mon, tue, wed, thu, fri, sat, sun",
        ),
        (
            "[\"mon\", \"sun\"]",
            "[]",
            "offer[0].daypart.weekdays",
            "at least one entry",
        ),
    ]);
}

#[test]
fn conditions_look_at_what_there_is() {
    check(&[
        (
            "tenure = { \"$gte\" = 6 }",
            "«tenur = { \"$gte\" = 6 }",
            "offer[0].when.tenur",
            "did you mean `tenure`?",
        ),
        (
            "\"$gte\" = 6",
            "«\"$gt3\" = 6",
            "offer[0].when.tenure.$gt3",
            "",
        ),
        (
            "\"$gte\" = 6",
            "«\"$gte\" = \"6\"",
            "offer[0].when.tenure.$gte",
            "expected a number, found \"6\"",
        ),
        (
            "\"$gte\" = 6",
            "«\"$gte\" = 600",
            "offer[0].when.tenure.$gte",
            "from 0 to 100",
        ),
        (
            "[\"Month-to-month\"] }",
            "[«\"Month to month\"] }",
            "offer[0].when.contract.$in[0]",
            "did you mean `Month-to-month`?",
        ),
        (
            "contract = { \"$in\" = [\"Month-to-month\"] }",
            "«has_tv = \"no\"",
            "offer[0].when.has_tv",
            "true or false",
        ),
        (
            "contract = { \"$in\" = [\"Month-to-month\"] }",
            "«phase = \"enroute\"",
            "offer[0].when.phase",
            "did you mean `en_route`?",
        ),
        (
            "contract = { \"$in\" = [\"Month-to-month\"] }",
            "«\"map_veiwed.count\" = 1",
            "offer[0].when.\"map_veiwed.count\"",
            "did you mean `map_viewed`?",
        ),
        (
            "contract = { \"$in\" = [\"Month-to-month\"] }",
            "contract = { «\"$inGroup\" = \"lung\" }",
            "offer[0].when.contract.$inGroup",
            "",
        ),
        (
            "when = { tenure",
            "when = { «\"$or\" = 1, tenure",
            "offer[0].when.$or",
            "list of conditions",
        ),
        (
            "when = { open_issue = true }",
            "«when = { open_issue = true, tenure = 3 }",
            "offer[2].when",
            "withhold personalization",
        ),
        (
            "when = { open_issue = true }",
            "«when = true",
            "offer[2].when",
            "expected an object",
        ),
    ]);
}

#[test]
fn triggers_are_sent_by_somebody() {
    check(&[
        (
            "triggers = [\"map_viewed\"",
            "triggers = [«\"map_veiwed\"",
            "offer[0].triggers[0]",
            "did you mean `map_viewed`?",
        ),
        (
            "name = \"speed_test_run\"",
            "«name = \"speedtest_run\"",
            "offer[0].triggers[1].name",
            "did you mean `speed_test_run`?",
        ),
        (
            "count_min = 2",
            "«count_min = 0",
            "offer[0].triggers[1].count_min",
            "from 1 to 1000",
        ),
    ]);
}

#[test]
fn an_offer_can_be_shown() {
    check(&[
        (
            "placements = [\"hero\", \"map\"]\nphases = [\"en_route\", \"arriving\", \"on_site\"]",
            "placements = [\"map\"]\nphases = [\"on_site\"]",
            "offer[0]",
            "can never be shown",
        ),
        (
            "class = \"care\"",
            "class = \"service\"\nplacements = [\"map\"]\nvalid_while = \"day_of\"",
            "offer[2]",
            "can never be shown",
        ),
        (
            "class = \"partner\"",
            "class = \"partner\"\nplacements = [\"hero\", «\"hero\"]",
            "offer[1].placements[1]",
            "each entry once",
        ),
        (
            "channels = [\"web\"]\n",
            "channels = [\"sms\"]\n",
            "offer[1]",
            "a channel of one of its placements",
        ),
        (
            "phases = [\"en_route\", \"arriving\", \"on_site\"]",
            "phases = [\"en_route\", «\"completed\"]",
            "offer[0].phases[1]",
            "its price last holds",
        ),
    ]);
}

#[test]
fn customers_read_words_that_are_there() {
    check(&[
        (
            "title = \"Hello {{first_name|there}}\"",
            "«title = \"Hello {{first_name}}\"",
            "offer[0].creatives[0].title",
            "expected a fallback",
        ),
        (
            "title = \"Hello {{first_name|there}}\"",
            "«title = \"Hello {{firstname|there}}\"",
            "offer[0].creatives[0].title",
            "did you mean `first_name`?",
        ),
        (
            "title = \"Hello {{first_name|there}}\"",
            "«title = \"Hello {{first_name|there\"",
            "offer[0].creatives[0].title",
            "expected `}}`",
        ),
        (
            "title = \"Hello {{first_name|there}}\"",
            "«title = \"Hello {{stock|there}}\"",
            "offer[0].creatives[0].title",
            "the list `stock`",
        ),
        (
            "title = \"Hello {{first_name|there}}\"",
            "«title = \"  \"",
            "offer[0].creatives[0].title",
            "text of 1 to 120",
        ),
        (
            "title = \"Help\"",
            "",
            "offer[2].creatives[0]",
            "the key `title`",
        ),
        (
            "locale = \"en\"\ntitle",
            "locale = \"es\"\ntitle",
            "offer[0]",
            "the default locale \"en\" on web",
        ),
        (
            "id = \"sport.link\"",
            "«id = \"extender.en\"",
            "offer[1].creatives[0].id",
            "each creative id once",
        ),
        (
            "price_minor = 4900\n",
            "",
            "offer[0].creatives[0].action",
            "`price_minor` (0 if free)",
        ),
        (
            "kind = \"order\"",
            "«kind = \"buy\"",
            "offer[0].creatives[0].action.kind",
            "order, link, info",
        ),
        (
            "kind = \"link\", url = \"https://example.com/sport\"",
            "kind = \"link\"",
            "offer[1].creatives[0].action",
            "the key `url`",
        ),
        (
            "url = \"https://example.com/sport\"",
            "«url = \"javascript:alert(1)\"",
            "offer[1].creatives[0].action.url",
            "https://",
        ),
        (
            "url = \"https://example.com/sport\"",
            "«url = \"//example.com\"",
            "offer[1].creatives[0].action.url",
            "https://",
        ),
        (
            "url = \"https://example.com/sport\"",
            "«url = '/\\example.com'",
            "offer[1].creatives[0].action.url",
            "https://",
        ),
        (
            "url = \"https://example.com/sport\"",
            "«url = \"https://\"",
            "offer[1].creatives[0].action.url",
            "https://",
        ),
        (
            "image_url = \"/demo/extender.svg\"",
            "«image_url = \"data:image/png;base64,AA\"",
            "offer[0].creatives[0].image_url",
            "https://",
        ),
    ]);
}

#[test]
fn every_mistake_is_told_in_the_order_of_the_lines() {
    let text = BASE
        .replace("\"USD\"", "\"dollars\"")
        .replace("lever = 1.5", "levr = 1.5")
        .replace("class = \"partner\"", "class = \"partnr\"");
    let mistakes = read_toml(&text).err().expect("three mistakes");
    let paths: Vec<&str> = mistakes.all().iter().map(|m| m.path.as_str()).collect();
    assert_eq!(
        paths,
        ["operator.currency", "offer[0].levr", "offer[1].class"]
    );
    assert_eq!(mistakes.to_string().lines().count(), 3, "{mistakes}");
}

#[test]
fn text_that_is_no_toml_is_told_with_all_its_lines() {
    let mistakes = read_toml("a = \n[b\nc = 1\nc = 2").err().expect("not TOML");
    assert!(mistakes.all().len() >= 2, "{mistakes}");
    assert_eq!(mistakes.all()[0].line, Some(1), "{mistakes}");
    assert!(
        mistakes.all()[0].message.starts_with("not TOML: "),
        "{mistakes}"
    );
}

#[test]
fn json_is_told_by_path() {
    let check = |text: &str, path: &str, message: &str| {
        let mistakes = read_json(text).err().expect("a mistake");
        let found = mistakes.all().iter().find(|m| m.path == path);
        let found = found.unwrap_or_else(|| panic!("{text}: {mistakes}"));
        assert!(found.message.contains(message), "{text}: {mistakes}");
    };
    check(r#"{"offer": [{"id": 3}]}"#, "offer[0].id", "expected text");
    check(r#"{"offer": [], "offer": []}"#, "offer", "each key once");
    check(r#"{"offer": {}}"#, "offer", "expected a list");
    check(r#"{"operator": null}"#, "", "the key `operator`");
    check("[]", "", "expected a table");
    check("{", "", "not JSON");
    let mistakes = read("  {\"operator\": 1}").err().expect("read as JSON");
    assert_eq!(mistakes.all()[0].path, "operator", "{mistakes}");
}

#[test]
fn limits_hold_at_their_edge() {
    let labels = |n: usize| {
        let offers = (0..n).map(|i| {
            format!(
                "[[offer]]\nid = \"o{i}\"\nclass = \"content\"\nvalue_minor = 0\nlabels = [\"l{i}\"]\n\
                 [[offer.creatives]]\ntitle = \"x\"\n"
            )
        });
        format!("{BASE}\n{}", offers.collect::<String>())
    };
    // The base has one label of its own.
    assert!(read_toml(&labels(63)).is_ok());
    let mistakes = read_toml(&labels(64)).err().expect("65 labels");
    assert!(
        mistakes.to_string().contains("at most 64 different labels"),
        "{mistakes}"
    );

    let padded = |bytes: usize| format!("{BASE}#{}", " ".repeat(bytes - BASE.len() - 1));
    assert!(read_toml(&padded(FILE_BYTES_MAX)).is_ok());
    let mistakes = read_toml(&padded(FILE_BYTES_MAX + 1))
        .err()
        .expect("too long");
    assert!(
        mistakes.to_string().contains("at most 8388608 bytes"),
        "{mistakes}"
    );

    let offers = |n: usize| {
        let offers = (0..n).map(|i| {
            format!(
                "[[offer]]\nid = \"o{i}\"\nclass = \"content\"\nvalue_minor = 0\n\
                 [[offer.creatives]]\ntitle = \"x\"\n"
            )
        });
        format!("{BASE}\n{}", offers.collect::<String>())
    };
    // The base has three offers.
    assert!(read_toml(&offers(OFFERS_MAX - 3)).is_ok());
    let mistakes = read_toml(&offers(OFFERS_MAX - 2))
        .err()
        .expect("one offer too many");
    assert!(
        mistakes
            .to_string()
            .contains("at most 10000 entries, found 10001"),
        "{mistakes}"
    );

    let wrong: String = (0..=MISTAKES_MAX).map(|i| format!("x{i} = 1\n")).collect();
    let mistakes = read_toml(&wrong).err().expect("a great many mistakes");
    assert_eq!(mistakes.all().len(), MISTAKES_MAX);
}
