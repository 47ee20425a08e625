//! The HTTP door: JSON in, JSON out, on paths that are published.
//!
//! Who may, how many at once, and how large are settled before a body is parsed. Every refusal is a
//! problem JSON.

use std::convert::Infallible;
use std::hash::{DefaultHasher, Hasher};
use std::sync::{Arc, LazyLock};
use std::time::{Duration, Instant};

use axum::body::Body;
use axum::extract::rejection::PathRejection;
use axum::extract::{Path, Request, State};
use axum::http::header::{
    CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, ETAG, IF_NONE_MATCH, LOCATION, ORIGIN,
    RETRY_AFTER, WWW_AUTHENTICATE, X_CONTENT_TYPE_OPTIONS,
};
use axum::http::{HeaderMap, HeaderValue, Response, StatusCode};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::IntoResponse;
use axum::routing::{get, post};
use axum::{BoxError, Router};
use bytes::Bytes;
use http_body_util::Full;
use hyper::body::Body as HttpBody;

use super::admission::{Admission, Overloaded, Permit};
use super::auth::{Auth, AuthError, Caller};
use super::cors;
use super::deadline::{Deadline, DeadlineConfig, grpc_timeout};
use super::service::{Asked, Service, Tracked};
use super::stamp;
use super::wire::{
    self, Context, ContextRequest, ContextResponse, DecisionRequest, Problem, Refusal,
};
use crate::domain::record::json;
use crate::domain::{Class, Effort, Lack};
use crate::listener::{BodyError, RequestBody, read_body};

/// Bytes of a public request's body: a hundred events with their tokens, or eight placements with
/// everything that may be told, fit several times.
pub const BODY_BYTES_MAX: usize = 64 * 1_024;

/// A body must have arrived after this long; the listener's own timer is for whoever configures it
/// shorter.
const BODY_TIME_MAX: Duration = Duration::from_secs(10);

/// Everything the public port needs.
pub struct Public {
    /// What both doors do.
    pub service: Arc<Service>,
    /// Who may.
    pub auth: Auth,
    /// How many at once.
    pub admission: Admission,
    /// How long callers wait.
    pub deadlines: DeadlineConfig,
    /// Whether this process should be sent requests; false as soon as it drains.
    pub ready: Arc<dyn Fn() -> bool + Send + Sync>,
    /// Files of the SDK and the demo page, by path: content type and bytes.
    pub files: fn(&str) -> Option<File>,
}

/// A file that comes with the program: content type and bytes.
pub type File = (&'static str, &'static [u8]);

/// An answer, whole: nothing here streams.
pub(super) type Answer = Response<Full<Bytes>>;

/// A request's body, as the listener gives it or as a router wraps it.
pub(super) trait Sent: HttpBody<Data = Bytes, Error: Into<BoxError>> + Unpin {
    /// When the header was there, as far as is known.
    fn received(&self) -> Instant {
        Instant::now()
    }
}

impl Sent for RequestBody {
    fn received(&self) -> Instant {
        RequestBody::received(self)
    }
}

impl Sent for Body {}

/// Bytes of an answer with one offer, and some more.
const ANSWER_BYTES: usize = 2_048;

/// Where decisions are asked for.
pub(super) const DECISIONS: &str = "/v1/decisions";

/// Where events are sent.
pub(super) const EVENTS: &str = "/v1/events";

/// The public port's routes, without gRPC.
pub fn router(public: Arc<Public>) -> Router {
    Router::new()
        .route(DECISIONS, post(decide_routed))
        .route(EVENTS, post(record_routed))
        .route("/v1/t/{token}", get(track))
        .route("/v1/context", post(sign_context))
        .route("/livez", get(|| async { text(StatusCode::OK, "alive\n") }))
        .route("/readyz", get(ready))
        .route("/openapi.json", get(openapi))
        .route("/sdk.js", get(file))
        .route("/demo", get(file))
        .route("/demo/{*path}", get(file))
        .fallback(nothing_here)
        .method_not_allowed_fallback(async || refuse(&Refusal::MethodNotAllowed.problem()))
        .layer(from_fn_with_state(Arc::clone(&public), cross_origin))
        .with_state(public)
}

/// Answers preflights, and lets pages of allowed origins read the answers.
async fn cross_origin(
    State(public): State<Arc<Public>>,
    request: Request,
    next: Next,
) -> Response<Body> {
    let origin = request.headers().get(ORIGIN).cloned();
    let preflight = cors::is_preflight(request.method(), request.headers());
    let mut answer = if preflight {
        empty(StatusCode::NO_CONTENT).into_response()
    } else {
        next.run(request).await
    };
    cors::allow(&public.auth, origin, preflight, answer.headers_mut());
    answer
}

/// gRPC's clients read no problem JSON: they are told in their own way.
async fn nothing_here(headers: HeaderMap) -> Response<Body> {
    let kind = headers.get(CONTENT_TYPE);
    if kind.is_some_and(|v| v.as_bytes().starts_with(b"application/grpc")) {
        return tonic::Status::unimplemented("this port has no such method").into_http();
    }
    refuse(&Refusal::NotFound.problem()).into_response()
}

async fn decide_routed(State(public): State<Arc<Public>>, request: Request) -> Answer {
    decide(&public, request).await
}

/// Answers `POST /v1/decisions`.
pub(super) async fn decide(public: &Public, request: http::Request<impl Sent>) -> Answer {
    match decided(public, request).await {
        Ok(body) => in_json(StatusCode::OK, body),
        Err(stop) => {
            hold(public, &stop).await;
            stopped(&stop)
        }
    }
}

async fn decided(public: &Public, request: http::Request<impl Sent>) -> Result<Vec<u8>, Stop> {
    let caller = caller(public, request.headers())?;
    if !caller.may_decide() {
        return Err(Refusal::Unauthenticated.problem().into());
    }
    content_type(request.headers(), &["application/json"])?;
    if let Err(stop) = pass(public, Class::Decision) {
        // A body that is left behind keeps its connection from going to the doorstep, where the next refusal costs a
        // fraction of this one.
        let _ = body(request).await;
        return Err(stop);
    }
    let gpc = request.headers().get("sec-gpc").is_some_and(|v| v == "1");
    let timeout = grpc_timeout(request.headers()).unwrap_or_default();
    let arrived = request.body().received();
    let deadline = |said| Deadline::new(arrived, timeout, said, &public.deadlines);
    in_time(public, Class::Decision, deadline(None))?;
    let body = body(request).await?;
    let since = Instant::now();
    // Only now: senders who dawdle over their bodies must not keep the permits from the others.
    let _permit = admit(public, Class::Decision)?;
    let mut message: DecisionRequest<'_> = wire::parse(&body)?;
    let context = vouched(&message, public)?;
    let vouched = vouch(&mut message, &context)?;
    let wait = message.deadline_ms().and_then(|ms| u32::try_from(ms).ok());
    let asked = Asked {
        since,
        effort: effort(public, deadline(wait), since),
        gpc,
        believed: caller.is_trusted() || vouched,
        reveal: caller.is_trusted(),
    };
    let answer = public.service.decide(&message, asked, |answer| {
        let mut out = String::with_capacity(ANSWER_BYTES);
        json::write(&answer, &mut out);
        out.into_bytes()
    });
    public
        .service
        .metrics()
        .decision_duration
        .record(since.elapsed());
    Ok(answer.map_err(Problem::from)?)
}

/// What a signed context says, as JSON; empty where the request carries none.
pub(super) fn vouched(message: &DecisionRequest<'_>, public: &Public) -> Result<String, Problem> {
    let Some(token) = message.context_token() else {
        return Ok(String::new());
    };
    let vouched = public.service.keys().read_context(token, stamp::now());
    let vouched = vouched.map_err(|error| bad_context(format!("{}: {error}", error.code())))?;
    Ok(serde_json::Value::from(vouched).to_string())
}

/// Puts it in place of what the page says; whether there was anything.
pub(super) fn vouch<'a>(
    message: &mut DecisionRequest<'a>,
    vouched: &'a str,
) -> Result<bool, Problem> {
    if vouched.is_empty() {
        return Ok(false);
    }
    let context: Context<'a> = serde_json::from_str(vouched)
        .map_err(|error| bad_context(format!("signed by another release: {error}")))?;
    message.apply(context);
    Ok(true)
}

fn bad_context(detail: String) -> Problem {
    Problem {
        field: Some("context_token".into()),
        ..Refusal::Malformed.problem().with_detail(detail)
    }
}

async fn record_routed(State(public): State<Arc<Public>>, request: Request) -> Answer {
    record(&public, request).await
}

/// Answers `POST /v1/events`.
pub(super) async fn record(public: &Public, request: http::Request<impl Sent>) -> Answer {
    match recorded(public, request).await {
        Ok(body) => in_json(StatusCode::OK, body),
        Err(stop) => {
            hold(public, &stop).await;
            stopped(&stop)
        }
    }
}

/// No key is asked for: a beacon cannot send one, and the tokens are the proof.
async fn recorded(public: &Public, request: http::Request<impl Sent>) -> Result<Vec<u8>, Stop> {
    content_type(request.headers(), &["application/json", "text/plain", ""])?;
    let body = body(request).await?;
    pass(public, class_at_a_glance(&body))?;
    let batch = wire::read_events(&body)?;
    let _permit = admit(public, batch.class())?;
    let response = public.service.record(&batch).await.map_err(Problem::from)?;
    Ok(serde_json::to_vec(&response).expect("plain data"))
}

/// What a batch is, without parsing it. Where a word stands for something else the batch is taken for more
/// important than it is, and no harm done.
fn class_at_a_glance(body: &[u8]) -> Class {
    let has = |word: &&str| body.windows(word.len()).any(|at| at == word.as_bytes());
    if ["order", "conversion", "reversal"].iter().any(has) {
        Class::Conversion
    } else if has(&"\"token\"") {
        Class::Click
    } else {
        Class::Report
    }
}

/// The smallest transparent GIF.
const PIXEL: &[u8] = b"GIF89a\x01\x00\x01\x00\x80\x00\x00\x00\x00\x00\xff\xff\xff!\xf9\x04\x01\x00\
    \x00\x00\x00,\x00\x00\x00\x00\x01\x00\x01\x00\x00\x02\x02D\x01\x00;";

/// What the path tells is a name: where it is none of ours, there is nothing of that name.
async fn track(
    State(public): State<Arc<Public>>,
    token: Result<Path<String>, PathRejection>,
) -> Answer {
    let nothing = |detail: String| Problem {
        field: Some("token".into()),
        ..Refusal::NotFound.problem().with_detail(detail)
    };
    let token = match token {
        Ok(Path(token)) => token,
        Err(rejection) => return refuse(&nothing(rejection.body_text())),
    };
    let let_in = pass(&public, Class::Click).and_then(|()| admit(&public, Class::Click));
    let _permit = match let_in {
        Ok(permit) => permit,
        Err(stop) => return stopped(&stop),
    };
    let mut answer = match public.service.track(&token).await {
        Ok(Tracked::Impression) => body_of(StatusCode::OK, "image/gif", PIXEL),
        Ok(Tracked::Click(Some(url))) => match HeaderValue::try_from(url) {
            Ok(url) => {
                let mut answer = empty(StatusCode::FOUND);
                answer.headers_mut().insert(LOCATION, url);
                answer
            }
            Err(_) => return refuse(&Refusal::Internal.problem()),
        },
        // The click counts; the page that ordered in place had nowhere to lead to.
        Ok(Tracked::Click(None)) => empty(StatusCode::NO_CONTENT),
        Err(error) => return refuse(&nothing(format!("{}: {error}", error.code()))),
    };
    answer
        .headers_mut()
        .insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    answer
}

async fn sign_context(State(public): State<Arc<Public>>, request: Request) -> Answer {
    match signed_context(&public, request).await {
        Ok(body) => in_json(StatusCode::OK, body),
        Err(stop) => stopped(&stop),
    }
}

async fn signed_context(public: &Public, request: Request) -> Result<Vec<u8>, Stop> {
    match caller(public, request.headers())? {
        Caller::Secret => {}
        Caller::Publishable => return Err(Refusal::Forbidden.problem().into()),
        Caller::Anonymous => return Err(Refusal::Unauthenticated.problem().into()),
    }
    content_type(request.headers(), &["application/json"])?;
    let body = body(request).await?;
    let _permit = admit(public, Class::Conversion)?;
    let asked: ContextRequest<'_> = wire::parse(&body)?;
    let seconds = asked.validate().map_err(Problem::from)?;
    let vouched = serde_json::to_value(asked.context()).expect("plain data");
    let serde_json::Value::Object(vouched) = vouched else {
        return Err(Refusal::Internal.problem().into());
    };
    let now = stamp::now();
    let age_s = u32::try_from(seconds).expect("validated to minutes");
    let token = public
        .service
        .keys()
        .sign_context(vouched, now, age_s)
        .map_err(|error| Problem {
            field: Some("customer".into()),
            ..Refusal::Malformed.problem().with_detail(error)
        })?;
    let expires_at = wire::Instant(now.plus(seconds * 1_000));
    let response = ContextResponse { token, expires_at };
    Ok(serde_json::to_vec(&response).expect("plain data"))
}

async fn ready(State(public): State<Arc<Public>>) -> Answer {
    if (public.ready)() {
        text(StatusCode::OK, "ready\n")
    } else {
        refuse(&Refusal::NotReady.problem())
    }
}

async fn openapi() -> Answer {
    // Made once: it takes milliseconds, and whoever asks shows no key.
    static DESCRIPTION: LazyLock<Bytes> = LazyLock::new(|| {
        let description = wire::openapi().to_json();
        description.expect("a description is plain data").into()
    });
    in_json(StatusCode::OK, DESCRIPTION.clone())
}

/// What a page of ours may do: nothing but load and ask its own origin.
const PAGE_POLICY: &str = "default-src 'self'; img-src 'self' data:; style-src 'self'; \
    connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'self'";

/// A file of the SDK or the demo page. Caches keep it and ask each time whether it is still the
/// same: a new release is there at once, and an old one costs a header.
async fn file(State(public): State<Arc<Public>>, request: Request) -> Answer {
    let Some((kind, bytes)) = (public.files)(request.uri().path()) else {
        return refuse(&Refusal::NotFound.problem());
    };
    let tag = tag_of(bytes);
    let mut known = request.headers().get_all(IF_NONE_MATCH).iter();
    let mut answer = if known.any(|tags| names(tags, &tag)) {
        empty(StatusCode::NOT_MODIFIED)
    } else {
        body_of(StatusCode::OK, kind, bytes)
    };
    let headers = answer.headers_mut();
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    headers.insert(ETAG, HeaderValue::try_from(tag).expect("quoted digits"));
    if kind.starts_with("text/html") {
        let policy = HeaderValue::from_static(PAGE_POLICY);
        headers.insert(CONTENT_SECURITY_POLICY, policy);
    }
    answer
}

/// A file's entity tag: a hash of its bytes. Another compiler may choose another hash, which costs
/// each cache one download.
fn tag_of(bytes: &[u8]) -> String {
    let mut hasher = DefaultHasher::new();
    hasher.write(bytes);
    format!("\"{:016x}\"", hasher.finish())
}

/// Whether an `If-None-Match` names `tag`; proxies that compress make it a weak one.
fn names(tags: &HeaderValue, tag: &str) -> bool {
    let tags = tags.to_str().unwrap_or_default();
    tags.split(',')
        .map(|each| each.trim().trim_start_matches("W/"))
        .any(|each| each == tag || each == "*")
}

/// Why a request is not answered: something is wrong with it, or there is too much.
#[derive(Debug)]
pub(super) enum Stop {
    Problem(Box<Problem>),
    Busy(Overloaded),
}

impl From<Problem> for Stop {
    fn from(problem: Problem) -> Stop {
        Stop::Problem(Box::new(problem))
    }
}

impl From<Stop> for tonic::Status {
    fn from(stop: Stop) -> tonic::Status {
        match stop {
            Stop::Problem(problem) => (*problem).into(),
            Stop::Busy(overloaded) => {
                let (code, _) = Refusal::Overloaded.status();
                let mut status = tonic::Status::new(code, Refusal::Overloaded.title());
                // What clients with a retry policy go by (gRPC proposal A6).
                let ms = u32::from(overloaded.retry_after_s) * 1_000;
                status
                    .metadata_mut()
                    .insert("grpc-retry-pushback-ms", ms.into());
                status
            }
        }
    }
}

fn stopped(stop: &Stop) -> Answer {
    match stop {
        Stop::Problem(problem) => refuse(problem),
        Stop::Busy(overloaded) => busy(*overloaded),
    }
}

fn refuse(problem: &Problem) -> Answer {
    let status = problem.refusal.status().1;
    let mut answer = body_of(status, Problem::CONTENT_TYPE, problem.to_json());
    if problem.refusal == Refusal::Unauthenticated {
        answer
            .headers_mut()
            .insert(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
    }
    answer
}

/// The body of a refusal, made once: of these there are many when there is no time.
pub(super) static BUSY: LazyLock<Bytes> =
    LazyLock::new(|| Refusal::Overloaded.problem().to_json().into());

pub(super) fn busy(overloaded: Overloaded) -> Answer {
    let status = Refusal::Overloaded.status().1;
    let mut answer = body_of(status, Problem::CONTENT_TYPE, BUSY.clone());
    let seconds = HeaderValue::from(u16::from(overloaded.retry_after_s));
    answer.headers_mut().insert(RETRY_AFTER, seconds);
    answer
}

/// Who calls, or why they are turned away.
pub(super) fn caller(public: &Public, headers: &HeaderMap) -> Result<Caller, Problem> {
    public.auth.caller(headers).map_err(|error| {
        let refusal = match error {
            AuthError::Malformed | AuthError::Unauthenticated => Refusal::Unauthenticated,
            AuthError::Forbidden => Refusal::Forbidden,
        };
        refusal.problem().with_detail(error)
    })
}

/// Whether a request of that class may be read at all.
pub(super) fn pass(public: &Public, class: Class) -> Result<(), Stop> {
    let passed = public.admission.pass(class);
    passed.map_err(|overloaded| turned_away(public, class, overloaded))
}

/// Lets those who were turned away unread wait for it, where they are too many.
pub(super) async fn hold(public: &Public, stop: &Stop) {
    if let Stop::Busy(Overloaded {
        lack: Lack::Queue, ..
    }) = stop
        && let Some(hold) = public.admission.hold()
    {
        hold.await;
    }
}

/// The right to be worked on.
pub(super) fn admit(public: &Public, class: Class) -> Result<Permit, Stop> {
    let entered = public.admission.enter(class);
    entered.map_err(|overloaded| turned_away(public, class, overloaded))
}

fn turned_away(public: &Public, class: Class, overloaded: Overloaded) -> Stop {
    public.service.metrics().shed(class, overloaded.lack);
    Stop::Busy(overloaded)
}

/// Refuses what nobody waits for any more, as far as that is known before the body is read.
fn in_time(public: &Public, class: Class, deadline: Deadline) -> Result<(), Problem> {
    if deadline.left(Instant::now()).is_zero() {
        public.service.metrics().shed(class, Lack::Deadline);
        return Err(Refusal::DeadlineExceeded.problem());
    }
    Ok(())
}

/// What there is room for: what the deadline leaves, or less where requests wait.
pub(super) fn effort(public: &Public, deadline: Deadline, now: Instant) -> Effort {
    match deadline.effort(now, &public.deadlines) {
        Effort::Full if public.admission.by_prior() => Effort::Overload,
        effort => effort,
    }
}

/// Lets in bodies of these content types; the first one is what an error asks for.
fn content_type(headers: &HeaderMap, allowed: &[&str]) -> Result<(), Problem> {
    let kind = headers
        .get(CONTENT_TYPE)
        .and_then(|v| v.to_str().ok())
        .unwrap_or_default();
    let kind = kind.split(';').next().unwrap_or_default().trim();
    if allowed.iter().any(|ours| kind.eq_ignore_ascii_case(ours)) {
        return Ok(());
    }
    let detail = format!("content-type must be {}, got {kind:?}", allowed[0]);
    Err(Refusal::UnsupportedMediaType.problem().with_detail(detail))
}

async fn body(request: http::Request<impl Sent>) -> Result<Bytes, Problem> {
    let deadline = tokio::time::Instant::now() + BODY_TIME_MAX;
    read_body(request.into_body(), BODY_BYTES_MAX, deadline)
        .await
        .map_err(|error| match error {
            BodyError::TooLarge => {
                let detail = format!("a body is at most {BODY_BYTES_MAX} bytes");
                Refusal::TooLarge.problem().with_detail(detail)
            }
            BodyError::TooSlow => Refusal::DeadlineExceeded.problem().with_detail(error),
            BodyError::Aborted => Refusal::Malformed.problem().with_detail(error),
        })
}

fn in_json(status: StatusCode, body: impl Into<Bytes>) -> Answer {
    body_of(status, "application/json", body)
}

fn text(status: StatusCode, body: &'static str) -> Answer {
    body_of(status, "text/plain; charset=utf-8", body)
}

fn empty(status: StatusCode) -> Answer {
    let mut answer = Response::new(Full::default());
    *answer.status_mut() = status;
    answer
}

fn body_of(status: StatusCode, kind: &'static str, body: impl Into<Bytes>) -> Answer {
    let mut answer = Response::new(Full::new(body.into()));
    *answer.status_mut() = status;
    let headers = answer.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(kind));
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    answer
}

/// A router answers everything itself: it never fails.
const _: fn() = || {
    fn infallible<S: tower::Service<Request, Error = Infallible>>() {}
    infallible::<Router>();
};
