//! The public port, described for machines (OpenAPI 3.1).
//!
//! Schemas come from the wire types, limits from the constants that `validate` checks, statuses from
//! the table of refusals: there is nothing here that could say otherwise than the code does.

use utoipa::OpenApi as _;
use utoipa::openapi::path::{
    HttpMethod, Operation, OperationBuilder, ParameterBuilder, ParameterIn, PathItem,
};
use utoipa::openapi::request_body::{RequestBody, RequestBodyBuilder};
use utoipa::openapi::schema::{ObjectBuilder, Schema, Type};
use utoipa::openapi::security::{Http, HttpAuthScheme, SecurityRequirement, SecurityScheme};
use utoipa::openapi::{
    ContentBuilder, Header, OpenApi, PathsBuilder, Ref, RefOr, Required, Response, ResponseBuilder,
};

use super::limits;
use super::{
    Appointment, Care, Consent, ContextRequest, ContextResponse, Customer, DecisionRequest,
    DecisionResponse, Event, EventRejection, EventRequest, EventResponse, ExperimentArm, Money,
    Offer, OfferAction, OfferContent, PlacementAnswer, PlacementAsk, Problem, Refusal, Technician,
    Tracking, Trigger,
};

#[derive(utoipa::OpenApi)]
#[openapi(
    info(
        title = "offerd",
        description = "Real-time offer decisions for the moment a customer waits for a technician.",
        license(name = "Apache-2.0", identifier = "Apache-2.0")
    ),
    components(schemas(
        Appointment,
        Care,
        Consent,
        ContextRequest,
        ContextResponse,
        Customer,
        DecisionRequest,
        DecisionResponse,
        Event,
        EventRejection,
        EventRequest,
        EventResponse,
        ExperimentArm,
        Money,
        Offer,
        OfferAction,
        OfferContent,
        PlacementAnswer,
        PlacementAsk,
        Problem,
        Technician,
        Tracking,
        Trigger,
    ))
)]
struct Schemas;

/// What any operation may answer with instead, whatever it does.
const ALWAYS: &[Refusal] = &[Refusal::MethodNotAllowed, Refusal::Overloaded];

/// What an operation that reads a body may answer with instead.
const READS: &[Refusal] = &[
    Refusal::Malformed,
    Refusal::TooLarge,
    Refusal::UnsupportedMediaType,
    Refusal::DeadlineExceeded,
];

/// What an operation that asks for a key may answer with instead.
const KEYED: &[Refusal] = &[Refusal::Unauthenticated, Refusal::Forbidden];

/// The name of the one way to bring a key.
const KEY: &str = "key";

/// The description of everything the public listener answers over HTTP.
#[must_use]
pub fn openapi() -> OpenApi {
    let mut api = Schemas::openapi();
    api.paths = PathsBuilder::new()
        .path("/v1/decisions", post(decisions()))
        .path("/v1/events", post(events()))
        .path("/v1/context", post(context()))
        .path("/v1/t/{token}", get(track()))
        .path(
            "/livez",
            get(probe("alive", "Whether the process runs.", &[])),
        )
        .path(
            "/readyz",
            get(probe(
                "ready",
                "Whether it answers requests.",
                &[Refusal::NotReady],
            )),
        )
        .path(
            "/openapi.json",
            get(file("description", "This description.", "application/json")),
        )
        .path(
            "/sdk.js",
            get(file(
                "sdk",
                "The browser SDK, an ES module.",
                "text/javascript",
            )),
        )
        .path(
            "/demo",
            get(file("demo", "The demo tracker page.", "text/html")),
        )
        .build();
    if let Some(components) = &mut api.components {
        components.add_security_scheme(KEY, key());
    }
    describe(&mut api);
    api
}

/// A server on a loopback address without keys asks for none; that is the only exception.
fn key() -> SecurityScheme {
    let mut http = Http::new(HttpAuthScheme::Bearer);
    http.description = Some(
        "A key of `offerd keys new`: a secret one for a back end, or a publishable one for pages of its \
         origins. Until keys are configured, the server listens on loopback only and asks for none."
            .to_owned(),
    );
    SecurityScheme::Http(http)
}

/// Gives every field without a description the comment of its proto twin.
fn describe(api: &mut OpenApi) {
    let schemas = api.components.iter_mut().flat_map(|c| &mut c.schemas);
    for (name, schema) in schemas {
        let RefOr::T(Schema::Object(object)) = schema else {
            continue;
        };
        let comments = offerd_proto::field_comments(twin(name));
        for (field, property) in &mut object.properties {
            let description = match property {
                RefOr::T(Schema::Object(object)) => &mut object.description,
                RefOr::T(Schema::Array(array)) => &mut array.description,
                RefOr::T(Schema::AnyOf(any)) => &mut any.description,
                _ => continue,
            };
            if description.is_none() {
                *description = comments.get(field).cloned();
            }
        }
    }
}

/// The proto message that has the fields of a schema.
fn twin(schema: &str) -> &str {
    match schema {
        "DecisionRequest" => "DecideRequest",
        "DecisionResponse" => "DecideResponse",
        "PlacementAnswer" => "Placement",
        "OfferContent" => "Content",
        "OfferAction" => "Action",
        "EventRequest" => "RecordRequest",
        "EventResponse" => "RecordResponse",
        "EventRejection" => "Rejection",
        same => same,
    }
}

fn decisions() -> Operation {
    operation(
        "decide",
        "Decides which offers a customer should see here and now.",
        &[READS, KEYED],
    )
    .security(SecurityRequirement::new(KEY, [""; 0]))
    .request_body(Some(body(&["application/json"], "DecisionRequest")))
    .response(
        "200",
        json("The answer; no offer is one, too.", "DecisionResponse"),
    )
    .build()
}

fn events() -> Operation {
    operation(
        "record",
        "Records up to 100 events, each counted once however often it is sent.",
        &[READS],
    )
    .description(Some(
        "No key is asked for: the tokens in the events are the proof. The same JSON is accepted as \
         `text/plain`, which is what a browser's `sendBeacon` can send without asking first.",
    ))
    .request_body(Some(body(
        &["application/json", "text/plain"],
        "EventRequest",
    )))
    .response(
        "200",
        json("The journal holds what was accepted.", "EventResponse"),
    )
    .build()
}

fn context() -> Operation {
    operation(
        "sign_context",
        "Signs what a back end knows of a customer, for a browser to pass along.",
        &[READS, KEYED],
    )
    .description(Some("For secret keys only."))
    .security(SecurityRequirement::new(KEY, [""; 0]))
    .request_body(Some(body(&["application/json"], "ContextRequest")))
    .response("200", json("The token.", "ContextResponse"))
    .build()
}

fn track() -> Operation {
    let token = ObjectBuilder::new()
        .schema_type(Type::String)
        .min_length(Some(*limits::TOKEN_CHARS.start()))
        .max_length(Some(*limits::TOKEN_CHARS.end()))
        .pattern(Some("^[A-Za-z0-9_-]+$"));
    let token = ParameterBuilder::new()
        .name("token")
        .parameter_in(ParameterIn::Path)
        .required(Required::True)
        .description(Some("A token of an answer's `tracking`."))
        .schema(Some(token));
    let pixel = ContentBuilder::new().schema(Some(
        ObjectBuilder::new()
            .schema_type(Type::String)
            .content_media_type("image/gif"),
    ));
    operation(
        "track",
        "Counts an impression or a click without a script.",
        &[&[Refusal::NotFound]],
    )
    .parameter(token)
    .response(
        "200",
        ResponseBuilder::new()
            .description("One transparent pixel.")
            .content("image/gif", pixel.build()),
    )
    .response(
        "302",
        ResponseBuilder::new()
            .description("A click, led on to the offer's own address.")
            .header(
                "Location",
                Header::new(ObjectBuilder::new().schema_type(Type::String)),
            ),
    )
    .response(
        "204",
        Response::new("A click on an offer that has no address to lead to."),
    )
    .build()
}

fn probe(id: &str, summary: &str, refusals: &[Refusal]) -> Operation {
    operation(id, summary, &[refusals])
        .response("200", text("Yes.", "text/plain"))
        .build()
}

fn file(id: &str, summary: &str, content_type: &str) -> Operation {
    operation(id, summary, &[])
        .response("200", text(summary, content_type))
        .build()
}

fn operation(id: &str, summary: &str, refusals: &[&[Refusal]]) -> OperationBuilder {
    let start = OperationBuilder::new()
        .operation_id(Some(id))
        .summary(Some(summary));
    // Of two with one status the operation's own tells more.
    let all = ALWAYS.iter().chain(refusals.iter().copied().flatten());
    all.fold(start, |operation, &refusal| {
        operation.response(refusal.status().1.as_str(), refused(refusal))
    })
}

/// A refusal, with the header that its status comes with.
fn refused(refusal: Refusal) -> ResponseBuilder {
    let response = ResponseBuilder::new()
        .description(refusal.title())
        .content(Problem::CONTENT_TYPE, content("Problem"));
    let header = |of: Type| Header::new(ObjectBuilder::new().schema_type(of));
    match refusal {
        Refusal::Unauthenticated => response.header("WWW-Authenticate", header(Type::String)),
        Refusal::MethodNotAllowed => response.header("Allow", header(Type::String)),
        Refusal::Overloaded => response.header("Retry-After", header(Type::Integer)),
        _ => response,
    }
}

fn body(kinds: &[&str], schema: &str) -> RequestBody {
    let start = RequestBodyBuilder::new().required(Some(Required::True));
    let all = kinds.iter();
    all.fold(start, |body, &kind| body.content(kind, content(schema)))
        .build()
}

fn json(description: &str, schema: &str) -> ResponseBuilder {
    ResponseBuilder::new()
        .description(description)
        .content("application/json", content(schema))
}

fn text(description: &str, content_type: &str) -> ResponseBuilder {
    let any = match content_type {
        "application/json" => ObjectBuilder::new().schema_type(Type::Object),
        _ => ObjectBuilder::new().schema_type(Type::String),
    };
    ResponseBuilder::new().description(description).content(
        content_type,
        ContentBuilder::new().schema(Some(any)).build(),
    )
}

fn content(schema: &str) -> utoipa::openapi::Content {
    ContentBuilder::new()
        .schema(Some(Ref::from_schema_name(schema)))
        .build()
}

fn get(operation: Operation) -> PathItem {
    PathItem::new(HttpMethod::Get, operation)
}

fn post(operation: Operation) -> PathItem {
    PathItem::new(HttpMethod::Post, operation)
}
