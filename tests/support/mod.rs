//! What several test programs need: snapshots and requests made without a server.

use std::path::Path;
use std::sync::Arc;

use offerd::control::{bind, catalog};
use offerd::decide::budget::Spent;
use offerd::decide::snapshot::{LiveModel, Snapshot};
use offerd::domain::{
    Appointment, Care, Channel, Consent, Customer, DecisionId, Effort, FeatureValue, Millis, Phase,
    PlacementAsk, Request, SubjectKey, Technician, Trigger,
};

/// The demo operator.
pub const DEMO: &str = include_str!("../../catalog/demo.toml");

/// A Saturday in November, early afternoon in the demo operator's time zone.
pub const NOON: Millis = Millis(1_763_830_800_000);

/// A snapshot of a catalog, scored by every offer's prior.
pub fn by_prior(text: &str) -> Snapshot {
    let catalog = catalog::read(text).unwrap_or_else(|m| panic!("catalog: {m}"));
    let model = Arc::new(LiveModel::prior(&catalog));
    Snapshot {
        epoch: 1,
        salt: 7,
        catalog,
        model,
        canary: None,
        shadow: None,
        posterior: None,
        spent: Spent::NOTHING,
    }
}

/// A snapshot of the demo operator, scored by the model shipped under `models/`.
pub fn by_model(name: &str) -> Snapshot {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("models")
        .join(name);
    let file = |what: &str| {
        let path = folder.join(what);
        std::fs::read(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()))
    };
    let artifact = ["artifact.json", "artifact.txt"]
        .into_iter()
        .find(|name| folder.join(name).exists())
        .expect("every shipped model has an artifact");
    let catalog = catalog::read(DEMO).unwrap_or_else(|m| panic!("catalog: {m}"));
    let manifest = String::from_utf8(file("manifest.json")).expect("JSON is UTF-8");
    let model = offerd::model::load(&manifest, &file(artifact)).expect("shipped models load");
    let model = Arc::new(bind::bind(&model, &catalog).expect("shipped models fit"));
    Snapshot {
        epoch: 1,
        salt: 7,
        catalog,
        model,
        canary: None,
        shadow: None,
        posterior: None,
        spent: Spent::NOTHING,
    }
}

/// A customer with everything told, on their phone while the technician is on the way.
pub fn request(decision: u128) -> Request<'static> {
    Request {
        decision: DecisionId(decision),
        at: NOON,
        request_id: Some("r-1"),
        channel: Channel::Web,
        locale: Some("en-US"),
        device: Some("mobile"),
        test: false,
        effort: Effort::Full,
        appointment: Appointment {
            id: Some("apt-1"),
            phase: Phase::EnRoute,
            job_type: Some("install"),
            window_start: Some(NOON),
            window_end: Some(NOON.plus(7_200_000)),
            eta_seconds: Some(1_260),
            delay_seconds: Some(0),
            reschedules: 0,
            technician: Some(Technician {
                skills: vec!["wifi"],
                stock: vec!["wifi6_extender"],
                slack_minutes: Some(45),
            }),
        },
        customer: Customer {
            subject: Some(SubjectKey(1)),
            features: vec![
                ("tenure", FeatureValue::Number(14.0)),
                ("Contract", FeatureValue::Text("Month-to-month")),
                ("InternetService", FeatureValue::Text("Fiber optic")),
                ("MonthlyCharges", FeatureValue::Number(74.5)),
                ("StreamingTV", FeatureValue::Text("No")),
                ("TechSupport", FeatureValue::Text("No")),
                ("first_name", FeatureValue::Text("Maria")),
            ],
            segments: vec!["new_mover"],
            products: vec!["internet_500"],
            consent: Consent {
                personalization: true,
                marketing: true,
                measurement: true,
            },
            care: Care::default(),
        },
        triggers: vec![
            Trigger {
                name: "page_viewed",
                count: 1,
                age_ms: 60_000,
            },
            Trigger {
                name: "map_viewed",
                count: 3,
                age_ms: 4_200,
            },
        ],
        placements: vec![
            PlacementAsk {
                id: "tracker_hero",
                count: 2,
                exclude_offers: vec![],
            },
            PlacementAsk {
                id: "map_card",
                count: 1,
                exclude_offers: vec![],
            },
        ],
    }
}
