//! gRPC on the same ports: the same service, the same rules.

use offerd_proto::v1;
use offerd_proto::v1::catalog_service_client::CatalogServiceClient;
use offerd_proto::v1::decision_service_client::DecisionServiceClient;
use offerd_proto::v1::event_service_client::EventServiceClient;
use offerd_proto::v1::model_service_client::ModelServiceClient;
use offerd_proto::v1::report_service_client::ReportServiceClient;
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
