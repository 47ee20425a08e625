//! gRPC on the same ports: the same service, the same rules.

use std::convert::Infallible;

use bytes::Bytes;
use http_body_util::{BodyExt, StreamBody};
use hyper::body::Frame;
use hyper::client::conn::http2;
use hyper_util::rt::{TokioExecutor, TokioIo};
use offerd_proto::v1;
use offerd_proto::v1::catalog_service_client::CatalogServiceClient;
use offerd_proto::v1::decision_service_client::DecisionServiceClient;
use offerd_proto::v1::event_service_client::EventServiceClient;
use offerd_proto::v1::model_service_client::ModelServiceClient;
use offerd_proto::v1::report_service_client::ReportServiceClient;
use prost::Message;
use tokio::net::TcpStream;
use tokio_stream::StreamExt;
use tonic::transport::{Channel, Endpoint};
use tonic::{Code, Request};

use super::models::Model;
use super::{Server, ask_demo, catalog, config, config_with, until};

async fn channel(address: std::net::SocketAddr) -> Channel {
    let endpoint = Endpoint::from_shared(format!("http://{address}")).unwrap();
    endpoint.connect().await.unwrap()
}

fn ask(customer: &str) -> v1::DecideRequest {
    v1::DecideRequest {
        appointment: Some(v1::Appointment {
            phase: v1::Phase::EnRoute.into(),
            ..Default::default()
        }),
        customer: Some(v1::Customer {
            id: Some(customer.into()),
            ..Default::default()
        }),
        placements: vec![v1::PlacementAsk {
            id: "card".into(),
            ..Default::default()
        }],
        ..Default::default()
    }
}

/// Goal: a decision over gRPC is followed like one over HTTP, on one port, with the operators' services
/// on the other and nowhere else.
#[tokio::test]
async fn both_doors_lead_to_the_same_service() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start(config_with(dir.path(), &catalog(""))).await;
    let public = channel(server.client.public).await;
    let admin = channel(server.client.admin).await;
    let mut decisions = DecisionServiceClient::new(public.clone());
    let mut events = EventServiceClient::new(public.clone());

    let answer = decisions.decide(ask("c-1")).await.unwrap().into_inner();
    let offer = &answer.placements[0].offers[0];
    assert_eq!(offer.offer_id, "order");
    let event = v1::Event {
        id: Some("e-1".into()),
        r#type: v1::EventType::Conversion.into(),
        token: Some(offer.token.clone()),
        ..Default::default()
    };
    let request = v1::RecordRequest {
        events: vec![event.clone(), event, v1::Event::default()],
    };
    let response = events.record(request).await.unwrap().into_inner();
    assert_eq!((response.accepted, response.duplicates), (1, 1));
    assert_eq!(response.rejected[0].index, 2);
    // The conversion over gRPC is a duplicate over HTTP.
    let json = serde_json::json!({ "type": "conversion", "id": "other", "token": offer.token });
    assert_eq!(server.client.record(&[json]).await["duplicates"], 1);

    // A stream answers message by message, and ends with the reason where one is malformed.
    let asked = [
        ask("c-2"),
        ask("c-3"),
        v1::DecideRequest::default(),
        ask("c-4"),
    ];
    let mut answers = decisions
        .decide_stream(tokio_stream::iter(asked))
        .await
        .unwrap()
        .into_inner();
    for _ in 0..2 {
        let answer = answers.next().await.unwrap().unwrap();
        assert_eq!(answer.placements[0].offers[0].offer_id, "order");
    }
    let refused = answers.next().await.unwrap().unwrap_err();
    assert_eq!(refused.code(), Code::InvalidArgument, "{refused}");
    assert!(answers.next().await.is_none());

    let mut late = Request::new(ask("c-1"));
    late.metadata_mut()
        .insert("grpc-timeout", "0m".parse().unwrap());
    let refused = decisions.decide(late).await.unwrap_err();
    assert!(
        matches!(refused.code(), Code::DeadlineExceeded | Code::Cancelled),
        "{refused}"
    );

    let mut catalogs = CatalogServiceClient::new(admin.clone());
    let live = catalogs
        .get_catalog(v1::GetCatalogRequest {})
        .await
        .unwrap()
        .into_inner();
    assert_eq!(live.toml, catalog(""));
    let mut reports = ReportServiceClient::new(admin.clone());
    let id = answer.decision_id.clone();
    until("the decision is on record", async || {
        let request = v1::GetDecisionRecordRequest {
            decision_id: id.clone(),
        };
        reports.get_decision_record(request).await.is_ok()
    })
    .await;
    let mut models = ModelServiceClient::new(admin);
    let list = models.list_models(v1::ListModelsRequest {}).await.unwrap();
    assert_eq!(list.into_inner().models.len(), 1);

    // The operators' services are not on the public port.
    let mut astray = CatalogServiceClient::new(public);
    let refused = astray
        .get_catalog(v1::GetCatalogRequest {})
        .await
        .unwrap_err();
    assert_eq!(refused.code(), Code::Unimplemented, "{refused}");
    drop((
        decisions, events, catalogs, reports, models, astray, answers,
    ));
    server.stop().await;
}

/// Goal: a request is answered alike whether it comes in the one plain piece that goes straight to the service, or
/// in a way that tonic has to look at; and what is none is refused.
#[tokio::test]
async fn a_request_is_read_alike_however_it_comes() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start(config_with(dir.path(), &catalog(""))).await;
    let framed = |message: &[u8]| {
        let length = u32::try_from(message.len()).unwrap().to_be_bytes();
        [&[0], &length[..], message].concat()
    };
    let whole = framed(&ask("c-1").encode_to_vec());
    let (begun, rest) = whole.split_at(9);
    // Its phase a second time, which goes into the same appointment.
    let twice = v1::DecideRequest {
        appointment: Some(v1::Appointment {
            phase: v1::Phase::EnRoute.into(),
            ..Default::default()
        }),
        ..Default::default()
    };
    let twice = [ask("c-1").encode_to_vec(), twice.encode_to_vec()].concat();
    let nothing_asked = v1::DecideRequest {
        placements: Vec::new(),
        ..ask("c-1")
    };
    let mut squeezed = whole.clone();
    squeezed[0] = 1;
    for (pieces, code) in [
        (vec![whole.clone()], Code::Ok),
        (vec![begun.to_vec(), rest.to_vec()], Code::Ok),
        (vec![framed(&twice)], Code::Ok),
        (
            vec![framed(&nothing_asked.encode_to_vec())],
            Code::InvalidArgument,
        ),
        (vec![framed(&[0xff; 9])], Code::Internal),
        (vec![begun.to_vec()], Code::Internal),
        (vec![squeezed], Code::Internal),
        (vec![framed(&vec![0; 70_000])], Code::OutOfRange),
        (vec![], Code::Internal),
    ] {
        let (told, message) = decide_raw(server.client.public, pieces.clone()).await;
        assert_eq!(told, code, "{pieces:?}");
        if code == Code::Ok {
            let answer = v1::DecideResponse::decode(&message[5..]).unwrap();
            assert_eq!(answer.placements[0].offers[0].offer_id, "order");
        }
    }
    server.stop().await;
}

/// Sends these pieces one by one to `Decide`, and gives its status and what it answers.
async fn decide_raw(address: std::net::SocketAddr, pieces: Vec<Vec<u8>>) -> (Code, Bytes) {
    let io = TokioIo::new(TcpStream::connect(address).await.unwrap());
    let (mut sender, connection) = http2::handshake(TokioExecutor::new(), io).await.unwrap();
    let connection = tokio::spawn(connection);
    let pieces = pieces
        .into_iter()
        .map(|piece| Ok::<_, Infallible>(Frame::data(Bytes::from(piece))));
    let request = http::Request::post(format!("http://{address}/offerd.v1.DecisionService/Decide"))
        .header("content-type", "application/grpc")
        .header("te", "trailers")
        .body(StreamBody::new(tokio_stream::iter(pieces)))
        .unwrap();
    let (head, body) = sender.send_request(request).await.unwrap().into_parts();
    assert_eq!(head.headers["content-type"], "application/grpc");
    let body = body.collect().await.unwrap();
    let status = body.trailers().unwrap_or(&head.headers)["grpc-status"].clone();
    drop(sender);
    connection.await.unwrap().unwrap();
    (Code::from_bytes(status.as_bytes()), body.to_bytes())
}

/// Goal: a version goes through its stages over gRPC as it does over HTTP, and what is refused says why.
#[tokio::test]
async fn a_version_is_pushed_staged_and_rolled_back() {
    let dir = tempfile::tempdir().unwrap();
    let mut config = config(dir.path());
    config.models.trial_requests = 0;
    let server = Server::start(config).await;
    let mut models = ModelServiceClient::new(channel(server.client.admin).await);
    let live = async || server.client.decide(&ask_demo("c")).await["model"].clone();
    let shipped = live().await;
    let push = |version: &str, stage: &str| {
        let model = Model::linear(version);
        v1::PushModelRequest {
            name: "pushed".into(),
            version: version.into(),
            manifest: model.manifest.to_string().into_bytes(),
            artifact: model.artifact,
            stage: stage.into(),
            ..Default::default()
        }
    };
    let stage = |version: &str, stage: &str, percent| v1::StageModelRequest {
        name: "pushed".into(),
        version: version.into(),
        stage: stage.into(),
        percent,
        ..Default::default()
    };
    let rollback = |name: &str| v1::RollbackModelRequest { name: name.into() };

    let said = models
        .push_model(push("1", "shadow"))
        .await
        .unwrap()
        .into_inner();
    assert_eq!(said.model.as_ref().unwrap().stage, "shadow");
    assert_eq!(live().await, shipped);
    let said = models.stage_model(stage("1", "canary", Some(100.0))).await;
    let said = said.unwrap().into_inner();
    let model = said.model.unwrap();
    assert_eq!(
        (&*model.stage, model.percent, model.live),
        ("canary", Some(100.0), false)
    );
    assert_eq!(live().await, "pushed@1");
    let said = models.stage_model(stage("1", "live", None)).await.unwrap();
    let model = said.into_inner().model.unwrap();
    assert!(model.live && model.health.is_some(), "{model:?}");
    models.push_model(push("2", "")).await.unwrap();
    assert_eq!(live().await, "pushed@2");
    let said = models
        .rollback_model(rollback("pushed"))
        .await
        .unwrap()
        .into_inner();
    assert_eq!(said.model.unwrap().version, "1");
    assert_eq!(live().await, "pushed@1");
    models.rollback_model(rollback("pushed")).await.unwrap();
    assert_eq!(live().await, shipped);
    let list = models.list_models(v1::ListModelsRequest {}).await.unwrap();
    let stages: Vec<String> = list
        .into_inner()
        .models
        .into_iter()
        .map(|m| m.stage)
        .collect();
    assert_eq!(stages, ["live", "stored", "stored"]);

    let refused = models
        .stage_model(stage("1", "hot", None))
        .await
        .unwrap_err();
    assert_eq!(refused.code(), Code::InvalidArgument, "{refused}");
    let refused = models
        .stage_model(stage("7", "live", None))
        .await
        .unwrap_err();
    assert_eq!(refused.code(), Code::NotFound, "{refused}");
    let refused = models.rollback_model(rollback("pushed")).await.unwrap_err();
    assert!(
        refused.message().contains("not a version of pushed"),
        "{refused}"
    );
    let mut broken = push("3", "live");
    broken.artifact.truncate(100);
    let refused = models.push_model(broken).await.unwrap_err();
    assert_eq!(refused.code(), Code::InvalidArgument, "{refused}");
    drop(models);
    server.stop().await;
}
