//! The SDK and the demo page, carried inside the program: one file to deploy, nothing to find.

const HTML: &str = "text/html; charset=utf-8";
const CSS: &str = "text/css; charset=utf-8";
const JS: &str = "text/javascript; charset=utf-8";
const SVG: &str = "image/svg+xml";

/// A file served under a path of the public port: content type and bytes.
type File = (&'static str, &'static str, &'static [u8]);

/// Files of `web/` under the paths they are served at.
macro_rules! files {
    ($($path:literal $kind:ident $file:literal)*) => {
        const FILES: &[File] =
            &[$(($path, $kind, include_bytes!(concat!("../web/", $file)))),*];
    };
}

files! {
    "/demo/demo-inspector.js" JS "demo-inspector.js"
    "/demo/demo-map.js" JS "demo-map.js"
    "/demo/demo-offers.js" JS "demo-offers.js"
    "/demo/demo-people.js" JS "demo-people.js"
    "/demo/demo-sheets.js" JS "demo-sheets.js"
    "/demo/demo-text.js" JS "demo-text.js"
    "/demo/demo.css" CSS "demo.css"
    "/demo" HTML "demo.html"
    "/demo/demo.js" JS "demo.js"
    "/sdk.js" JS "sdk.js"
    "/demo/assets/autopay.svg" SVG "assets/autopay.svg"
    "/demo/assets/care.svg" SVG "assets/care.svg"
    "/demo/assets/chat_concierge.svg" SVG "assets/chat_concierge.svg"
    "/demo/assets/cloud_backup.svg" SVG "assets/cloud_backup.svg"
    "/demo/assets/content.svg" SVG "assets/content.svg"
    "/demo/assets/device_protection.svg" SVG "assets/device_protection.svg"
    "/demo/assets/dinner_delivery.svg" SVG "assets/dinner_delivery.svg"
    "/demo/assets/door_camera.svg" SVG "assets/door_camera.svg"
    "/demo/assets/extra_outlet.svg" SVG "assets/extra_outlet.svg"
    "/demo/assets/fiber_upgrade.svg" SVG "assets/fiber_upgrade.svg"
    "/demo/assets/gigabit.svg" SVG "assets/gigabit.svg"
    "/demo/assets/holiday_movies.svg" SVG "assets/holiday_movies.svg"
    "/demo/assets/icons.svg" SVG "assets/icons.svg"
    "/demo/assets/internet_starter.svg" SVG "assets/internet_starter.svg"
    "/demo/assets/late_visit_credit.svg" SVG "assets/late_visit_credit.svg"
    "/demo/assets/make_it_right.svg" SVG "assets/make_it_right.svg"
    "/demo/assets/mark.svg" SVG "assets/mark.svg"
    "/demo/assets/meet_your_technician.svg" SVG "assets/meet_your_technician.svg"
    "/demo/assets/mobile_line.svg" SVG "assets/mobile_line.svg"
    "/demo/assets/moved_visit_line.svg" SVG "assets/moved_visit_line.svg"
    "/demo/assets/movie_pack.svg" SVG "assets/movie_pack.svg"
    "/demo/assets/old_gear_pickup.svg" SVG "assets/old_gear_pickup.svg"
    "/demo/assets/online_security.svg" SVG "assets/online_security.svg"
    "/demo/assets/open_issue_help.svg" SVG "assets/open_issue_help.svg"
    "/demo/assets/paperless.svg" SVG "assets/paperless.svg"
    "/demo/assets/partner.svg" SVG "assets/partner.svg"
    "/demo/assets/payment_plan.svg" SVG "assets/payment_plan.svg"
    "/demo/assets/playoff_pass.svg" SVG "assets/playoff_pass.svg"
    "/demo/assets/price_lock.svg" SVG "assets/price_lock.svg"
    "/demo/assets/refer_a_neighbor.svg" SVG "assets/refer_a_neighbor.svg"
    "/demo/assets/second_line.svg" SVG "assets/second_line.svg"
    "/demo/assets/service.svg" SVG "assets/service.svg"
    "/demo/assets/smart_thermostat.svg" SVG "assets/smart_thermostat.svg"
    "/demo/assets/sports_pack.svg" SVG "assets/sports_pack.svg"
    "/demo/assets/star.svg" SVG "assets/star.svg"
    "/demo/assets/streaming_tv.svg" SVG "assets/streaming_tv.svg"
    "/demo/assets/tech_support_plus.svg" SVG "assets/tech_support_plus.svg"
    "/demo/assets/technician.svg" SVG "assets/technician.svg"
    "/demo/assets/text_updates.svg" SVG "assets/text_updates.svg"
    "/demo/assets/upsell.svg" SVG "assets/upsell.svg"
    "/demo/assets/visit_checklist.svg" SVG "assets/visit_checklist.svg"
    "/demo/assets/wifi6_extender.svg" SVG "assets/wifi6_extender.svg"
    "/demo/assets/wifi_checkup.svg" SVG "assets/wifi_checkup.svg"
    "/demo/assets/wifi_tips.svg" SVG "assets/wifi_tips.svg"
    "/demo/assets/your_choices.svg" SVG "assets/your_choices.svg"
}

/// The file at `path`.
#[must_use]
pub fn file(path: &str) -> Option<(&'static str, &'static [u8])> {
    let (_, kind, bytes) = FILES.iter().find(|(p, _, _)| *p == path)?;
    Some((kind, bytes))
}
