//! Does deciding allocate? Not once the buffers have grown.

#[path = "support/mod.rs"]
mod support;

use offerd::decide::{Scratch, decide};
use offerd::domain::{Exposure, Facts, NameHash, Phase, PlacementAsk, Request};

/// Every phase, with all the demo's placements asked for, several decisions each.
fn requests(snapshot: &offerd::decide::snapshot::Snapshot) -> Vec<Request<'_>> {
    let mut requests = Vec::new();
    for (i, &phase) in Phase::ALL.iter().enumerate() {
        for j in 0..20 {
            let mut request = support::request((i * 100 + j) as u128);
            request.appointment.phase = phase;
            request.placements = snapshot
                .catalog
                .placements
                .iter()
                .map(|p| PlacementAsk {
                    id: &p.id,
                    count: 3,
                    exclude_offers: vec!["none"],
                })
                .collect();
            requests.push(request);
        }
    }
    requests
}

fn check(what: &str, snapshot: &offerd::decide::snapshot::Snapshot) {
    let requests = requests(snapshot);
    let exposure = Exposure {
        offer: NameHash(1),
        sells: true,
        at: support::NOON,
        confirmed: true,
    };
    let facts = Facts {
        exposures: vec![exposure; 3],
    };
    let mut scratch = Scratch::default();
    for request in &requests {
        decide(snapshot, request, &facts, &mut scratch);
    }
    let mut shown = 0;
    let allocations = allocation_counter::measure(|| {
        for request in &requests {
            shown += decide(snapshot, request, &facts, &mut scratch)
                .choices
                .len();
        }
    });
    assert!(
        shown > 100,
        "{what}: only {shown} offers were shown, so this proves nothing"
    );
    assert_eq!(allocations.count_total, 0, "{what}: {allocations:?}");
}

#[test]
fn deciding_does_not_allocate() {
    check("prior", &support::by_prior(support::DEMO));
    for name in ["propensity-linear", "propensity-forest"] {
        check(name, &support::by_model(name));
    }
}
