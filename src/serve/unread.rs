//! Refusals to requests that nobody reads: what the door would say, as bytes that are there already.
//!
//! Who is refused here is not asked for a key: in an overload a stranger is told that there is too much, as everybody is.

use std::sync::LazyLock;

use bytes::Bytes;
use http::header::ACCESS_CONTROL_ALLOW_ORIGIN;

use super::admission::Overloaded;
use super::http::{BUSY, DECISIONS, Public};
use super::wire::{Problem, Refusal};
use crate::domain::Class;
use crate::listener::{Head, TurnedAway};

/// Turns a request for a decision away by its head, where [`super::admission::Admission::pass`] would refuse it.
/// Batches of events are not: what is in them says how important they are.
pub(super) fn turn_away(public: &Public, head: &Head<'_>) -> Option<TurnedAway> {
    if head.method != "POST" || head.target != DECISIONS {
        return None;
    }
    let overloaded = public.admission.refuse_unread(Class::Decision)?;
    let metrics = public.service.metrics();
    metrics.shed(Class::Decision, overloaded.lack);
    let origin = head.origin.and_then(|o| std::str::from_utf8(o).ok());
    let origin = origin.filter(|origin| public.auth.allows_origin(origin));
    Some(TurnedAway {
        answer: answer(overloaded, origin),
        hold: public.admission.hold().map(|hold| Box::pin(hold) as _),
    })
}

/// The longest `Retry-After`, in seconds.
const RETRY_S_MAX: usize = 5;

fn answer(overloaded: Overloaded, origin: Option<&str>) -> Bytes {
    static BY_SECONDS: LazyLock<[Bytes; RETRY_S_MAX + 1]> =
        LazyLock::new(|| std::array::from_fn(|seconds| written(seconds, None)));
    let seconds = usize::from(overloaded.retry_after_s).min(RETRY_S_MAX);
    match origin {
        None => BY_SECONDS[seconds].clone(),
        origin => written(seconds, origin),
    }
}

/// Without a date, which an answer of this kind need not have (RFC 9110, 6.6.1).
fn written(seconds: usize, origin: Option<&str>) -> Bytes {
    let (_, status) = Refusal::Overloaded.status();
    let (kind, length) = (Problem::CONTENT_TYPE, BUSY.len());
    let origin = origin.map(|origin| format!("{ACCESS_CONTROL_ALLOW_ORIGIN}: {origin}\r\n"));
    let origin = origin.unwrap_or_default();
    let head = format!(
        "HTTP/1.1 {status}\r\ncontent-type: {kind}\r\nx-content-type-options: nosniff\r\n\
         retry-after: {seconds}\r\nvary: origin\r\n{origin}content-length: {length}\r\n\r\n"
    );
    [head.as_bytes(), &BUSY[..]].concat().into()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use http::HeaderValue;
    use http_body_util::BodyExt;

    use super::*;
    use crate::domain::Lack;
    use crate::serve::auth::{Auth, AuthConfig};
    use crate::serve::{cors, http as door};

    /// Status, headers and body.
    type Told = (u16, BTreeMap<String, Vec<u8>>, Vec<u8>);

    fn by_the_door(overloaded: Overloaded, origin: Option<&'static str>) -> Told {
        let mut answer = door::busy(overloaded);
        // Without keys every origin may read: that is the demo.
        let auth = Auth::new(AuthConfig::default()).unwrap();
        let origin = origin.map(HeaderValue::from_static);
        cors::allow(&auth, origin, false, answer.headers_mut());
        let (head, body) = answer.into_parts();
        let runtime = tokio::runtime::Builder::new_current_thread()
            .build()
            .unwrap();
        let body = runtime
            .block_on(body.collect())
            .unwrap()
            .to_bytes()
            .to_vec();
        let headers = head.headers.iter();
        let mut headers: BTreeMap<_, _> = headers
            .map(|(name, value)| (name.to_string(), value.as_bytes().to_vec()))
            .collect();
        // hyper adds it.
        headers.insert("content-length".into(), body.len().to_string().into());
        (head.status.as_u16(), headers, body)
    }

    fn unread(overloaded: Overloaded, origin: Option<&str>) -> Told {
        let bytes = answer(overloaded, origin);
        let mut headers = [httparse::EMPTY_HEADER; 16];
        let mut head = httparse::Response::new(&mut headers);
        let length = head.parse(&bytes).unwrap().unwrap();
        let headers = head.headers.iter();
        let headers = headers.map(|h| (h.name.to_owned(), h.value.to_vec()));
        (
            head.code.unwrap(),
            headers.collect(),
            bytes[length..].to_vec(),
        )
    }

    #[test]
    fn it_is_what_the_door_says() {
        for retry_after_s in 1..=5 {
            for origin in [None, Some("https://shop.example")] {
                let overloaded = Overloaded {
                    lack: Lack::Queue,
                    retry_after_s,
                };
                assert_eq!(unread(overloaded, origin), by_the_door(overloaded, origin));
            }
        }
    }
}
