//! The whole server, called as its clients call it: real sockets, real files, the real binary where
//! a process is the point.

#![expect(
    clippy::unwrap_used,
    reason = "a test that unwraps what is not there fails, as it should"
)]

mod budget;
mod caps;
mod catalogs;
mod client;
mod consent;
mod crash;
mod events;
mod fleet;
mod fuzz;
mod gate;
mod grpc;
mod journal_file;
mod learning;
mod lifecycle;
mod models;
mod outage;
mod overload;
mod process;
mod signatures;
mod stages;
mod stored;

use std::path::Path;
use std::time::{Duration, Instant};

use offerd::app::App;
use offerd::config::Config;
use serde_json::{Value, json};

use client::Client;

/// Longest wait for anything that must happen, however busy the machine.
const PATIENCE: Duration = Duration::from_secs(30);

/// A server in this process, and a client of it.
struct Server {
    app: App,
    client: Client,
}

impl Server {
    async fn start(config: Config) -> Server {
        let app = App::start(config).await.unwrap();
        let client = Client::new(app.public(), app.admin());
        Server { app, client }
    }

    async fn stop(self) {
        assert_eq!(self.app.public_stats().panics(), 0, "a handler panicked");
        drop(self.client);
        tokio::time::timeout(PATIENCE, self.app.stop())
            .await
            .unwrap();
    }

    /// Stops it and starts another on the same data.
    async fn restart(self, config: Config) -> Server {
        self.stop().await;
        Server::start(config).await
    }
}

/// Defaults, on free ports, with everything in `dir`.
fn config(dir: &Path) -> Config {
    let mut config = Config::default();
    config.public.address = "127.0.0.1:0".parse().unwrap();
    config.admin.address = "127.0.0.1:0".parse().unwrap();
    config.node.data = dir.join("data");
    config.catalog.poll_ms = 10;
    // It has tests of its own; elsewhere versions go live on logs that could not tell.
    config.models.gate.enabled = false;
    // However busy the machine that tests run on: only `overload` is about that.
    config.admission.queue_us_target = 1_000_000;
    config
}

/// The same with a catalog file of that text.
fn config_with(dir: &Path, catalog: &str) -> Config {
    let mut config = config(dir);
    config.catalog.file = dir.join("catalog.toml");
    std::fs::write(&config.catalog.file, catalog).unwrap();
    config
}

/// Three offers at one placement: `order` sells in place, `link` leads away, `tips` does neither.
/// `more` goes into `order`.
fn catalog(more: &str) -> String {
    let mut text = String::from(
        "[operator]\nname = \"Test\"\ncurrency = \"USD\"\ntime_zone = \"UTC\"\ndefault_locale = \"en\"\n\
         [consent]\npersonalization = true\nmarketing = true\nmeasurement = true\n\
         [explorer]\nkind = \"deterministic\"\n\
         [features]\ntenure = { kind = \"number\", min = 0, max = 1200 }\n\
         [[placement]]\nid = \"card\"\nname = \"Card\"\ncount_max = 3\n",
    );
    for (id, class, value, action, more) in [
        (
            "order",
            "upsell",
            900,
            "kind = \"order\"",
            &*format!("price_minor = 999\n{more}"),
        ),
        (
            "link",
            "upsell",
            600,
            "kind = \"link\", url = \"https://shop.example/more?a=1\"",
            "",
        ),
        ("tips", "content", 10, "kind = \"info\"", ""),
    ] {
        text.push_str(&format!(
            "[[offer]]\nid = \"{id}\"\nname = \"{id}\"\nclass = \"{class}\"\ntier = \"auction\"\n\
             value_minor = {value}\nprior = 0.1\nplacements = [\"card\"]\n{more}\n\
             [[offer.creatives]]\nlocale = \"en\"\ntitle = \"t\"\nbody = \"b\"\ncta = \"c\"\n\
             action = {{ {action} }}\n"
        ));
    }
    text
}

/// A page of that customer asking for up to `count` offers.
fn ask(customer: &str, count: u8) -> Value {
    json!({
        "channel": "web",
        "appointment": { "id": format!("apt-of-{customer}"), "phase": "en_route" },
        "customer": { "id": customer, "features": { "tenure": 14 } },
        "placements": [{ "id": "card", "count": count }],
    })
}

/// The same for the demo operator.
fn ask_demo(customer: &str) -> Value {
    json!({
        "channel": "web", "locale": "en-US", "device": "mobile",
        "appointment": {
            "id": format!("apt-of-{customer}"), "phase": "en_route", "job_type": "install",
            "eta_seconds": 1260, "technician": { "slack_minutes": 45 },
        },
        "customer": {
            "id": customer,
            "features": { "tenure": 14, "Contract": "Month-to-month", "MonthlyCharges": 74.5 },
        },
        "triggers": [{ "name": "map_viewed", "count": 3, "age_ms": 4200 }],
        "placements": [{ "id": "tracker_hero", "count": 2 }, { "id": "map_card" }],
    })
}

/// The offers of an answer's first placement.
fn offers(answer: &Value) -> &[Value] {
    answer["placements"][0]["offers"].as_array().unwrap()
}

fn event(kind: &str, id: &str, offer: &Value) -> Value {
    json!({ "type": kind, "id": id, "token": offer["token"] })
}

/// Polls until `holds`, because nothing tells.
async fn until(what: &str, mut holds: impl AsyncFnMut() -> bool) {
    let start = Instant::now();
    while !holds().await {
        assert!(start.elapsed() < PATIENCE, "never: {what}");
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
}
