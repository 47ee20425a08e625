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

use super::{Server, catalog, config_with, until};

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
