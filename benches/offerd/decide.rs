//! A whole decision, by how many offers compete and by what scores them.
//!
//! `demo` is the shipped catalog, where most offers are excluded; `all` is a made one, where nobody is,
//! so that its size is the number of candidates that are scored.

use std::fmt::Write;
use std::hint::black_box;

use criterion::Criterion;
use offerd::decide::snapshot::Snapshot;
use offerd::decide::{Scratch, decide};
use offerd::domain::{Facts, Request};

use crate::support;

/// A catalog of `offers` that anybody may be shown anywhere.
pub fn catalog(offers: usize) -> String {
    let mut text = String::from(
        "[operator]\ncurrency = \"USD\"\ntime_zone = \"UTC\"\n\
         [[placement]]\nid = \"tracker_hero\"\ncount_max = 5\n",
    );
    for i in 0..offers {
        let (class, value) = (["service", "content"][i % 2], 100 + i * 7 % 900);
        write!(
            text,
            "[[offer]]\nid = \"o{i}\"\nclass = \"{class}\"\nvalue_minor = {value}\n\
             [[offer.creatives]]\ntitle = \"Offer {i}\"\n"
        )
        .expect("text grows");
    }
    text
}

/// A request for `count` offers at the hero placement.
pub fn request(count: u8) -> Request<'static> {
    let mut request = support::request(1);
    request.placements.truncate(1);
    request.placements[0].count = count;
    request
}

fn run(c: &mut Criterion, name: &str, snapshot: &Snapshot, request: &Request<'_>) {
    let facts = Facts::default();
    let mut scratch = Scratch::default();
    let shown = decide(snapshot, request, &facts, &mut scratch)
        .choices
        .len();
    assert!(
        shown > 0,
        "{name} shows nothing, so it would measure little"
    );
    c.bench_function(name, |b| {
        b.iter(|| {
            decide(snapshot, black_box(request), &facts, &mut scratch)
                .choices
                .len()
        });
    });
}

pub fn bench(c: &mut Criterion) {
    for offers in [10, 100, 1_000] {
        let snapshot = support::by_prior(&catalog(offers));
        run(c, &format!("decide/all/{offers}"), &snapshot, &request(1));
    }
    let snapshot = support::by_prior(&catalog(100));
    for count in [2, 5] {
        let name = format!("decide/slate/{count}");
        run(c, &name, &snapshot, &request(count));
    }
    let demo = support::by_prior(support::DEMO);
    let offers = demo.catalog.offers.len();
    run(
        c,
        &format!("decide/demo-prior/{offers}"),
        &demo,
        &request(1),
    );
    for model in ["linear", "forest"] {
        let snapshot = support::by_model(&format!("propensity-{model}"));
        let name = format!("decide/demo-{model}/{offers}");
        run(c, &name, &snapshot, &request(1));
    }
}
