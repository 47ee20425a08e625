//! The tracker page, phase by phase: what it asks for, and what visitors do with it.
//!
//! Tables only, each in the order of the phases; `walk` reads them.

/// What the page asks for in each phase: the demo catalog's placements, from the top of the page down.
pub const PLACEMENTS: [&[(&str, u32)]; 7] = [
    &[("tracker_hero", 2)],
    &[("tracker_hero", 1), ("eta_strip", 1)],
    &[("map_card", 3), ("eta_strip", 1), ("technician_panel", 1)],
    &[("map_card", 2), ("eta_strip", 1), ("technician_panel", 1)],
    &[
        ("tracker_hero", 1),
        ("technician_panel", 1),
        ("summary_panel", 1),
    ],
    &[
        ("tracker_hero", 1),
        ("summary_panel", 2),
        ("feedback_panel", 1),
    ],
    &[("feedback_panel", 1)],
];

/// What visitors do in each phase: how many of them, the trigger, and the element they use for it.
pub const HABITS: [&[(f64, &str, Option<&str>)]; 7] = [
    &[
        (0.3, "calendar_added", Some("calendar")),
        (0.2, "technician_viewed", None),
        (0.08, "chat_opened", Some("chat")),
    ],
    &[
        (0.08, "chat_opened", Some("chat")),
        (0.03, "reschedule_tapped", Some("reschedule")),
        (0.3, "eta_viewed", None),
    ],
    &[
        (0.8, "map_viewed", Some("live_map")),
        (0.9, "eta_viewed", None),
        (0.1, "speed_test_run", Some("speed_test")),
        (0.06, "chat_opened", Some("chat")),
    ],
    &[
        (0.7, "map_viewed", Some("live_map")),
        (0.5, "technician_viewed", Some("technician_card")),
        (0.05, "call_tapped", Some("call")),
    ],
    &[
        (0.15, "speed_test_run", Some("speed_test")),
        (0.3, "technician_viewed", Some("technician_card")),
    ],
    &[
        (0.4, "summary_downloaded", Some("summary")),
        (0.1, "speed_test_run", Some("speed_test")),
    ],
    &[(0.05, "social_shared", Some("share"))],
];

/// Simulated time from one phase to the next, for the age of triggers.
pub const PHASE_MS: [u64; 7] = [
    86_400_000, 14_400_000, 1_500_000, 300_000, 3_600_000, 600_000, 600_000,
];
/// How long a question for the same phase takes to come up.
pub const AGAIN_MS: u64 = 20_000;
/// How many are asked to wait longer than promised while the technician drives: the page asks again.
pub const ETA_SLIPS: f64 = 0.2;
