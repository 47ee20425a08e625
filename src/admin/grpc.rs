//! The operators' gRPC door: the same, for programs.

use std::sync::Arc;

use offerd_proto::v1;
use offerd_proto::v1::catalog_service_server::{CatalogService, CatalogServiceServer};
use offerd_proto::v1::model_service_server::{ModelService, ModelServiceServer};
use offerd_proto::v1::report_service_server::{ReportService, ReportServiceServer};
use tonic::service::Routes;
use tonic::{Request, Response, Status};

use super::http::waiting;
use super::models::{actor, word};
use super::operator::{Learning, Operator, Place};
use super::problem::Problem;
use crate::control::ControlError;
use crate::control::budget::ExploringBudget;
use crate::control::catalog::EntryDiff;
use crate::control::registry::{Drift, Insist, ModelInfo, Push, Signature, Stage};
use crate::learn::learner::run::Progress;

/// Bytes of one message: a model with its manifest.
const MESSAGE_BYTES_MAX: usize = 65 << 20;

/// The names of the operators' services.
pub const SERVICES: &[&str] = &[
    v1::model_service_server::SERVICE_NAME,
    v1::catalog_service_server::SERVICE_NAME,
    v1::report_service_server::SERVICE_NAME,
];

/// The operators' services.
pub fn routes(operator: &Arc<Operator>) -> Routes {
    let door = || Door(Arc::clone(operator));
    let models = ModelServiceServer::new(door()).max_decoding_message_size(MESSAGE_BYTES_MAX);
    let catalogs = CatalogServiceServer::new(door()).max_decoding_message_size(MESSAGE_BYTES_MAX);
    Routes::new(models)
        .add_service(catalogs)
        .add_service(ReportServiceServer::new(door()))
}

struct Door(Arc<Operator>);

impl Door {
    /// The same key as over HTTP.
    fn enter<T>(&self, request: Request<T>) -> Result<(Arc<Operator>, T), Status> {
        (self.0.parts().authorize)(request.metadata().as_ref())
            .map_err(|why| Status::from(Problem::unauthenticated(why)))?;
        Ok((Arc::clone(&self.0), request.into_inner()))
    }
}

#[tonic::async_trait]
impl CatalogService for Door {
    async fn get_catalog(
        &self,
        request: Request<v1::GetCatalogRequest>,
    ) -> Result<Response<v1::GetCatalogResponse>, Status> {
        let (operator, _) = self.enter(request)?;
        let catalog = operator.parts().control.catalog();
        Ok(Response::new(v1::GetCatalogResponse {
            toml: catalog.source.to_string(),
            digest: catalog.digest.clone(),
            epoch: operator.parts().control.live().load().epoch,
        }))
    }

    async fn put_catalog(
        &self,
        request: Request<v1::PutCatalogRequest>,
    ) -> Result<Response<v1::PutCatalogResponse>, Status> {
        let (operator, asked) = self.enter(request)?;
        let live = operator.parts().control.catalog().digest.clone();
        if !asked.expected_digest.is_empty() && asked.expected_digest != live {
            let why = format!("expected_digest: the catalog that serves has {live}");
            return Err(Status::failed_precondition(why));
        }
        let now = (operator.parts().now)();
        let put = waiting(move || {
            operator
                .parts()
                .control
                .put_catalog(&asked.toml, asked.dry_run, false, now)
        });
        match put.await? {
            Ok(outcome) => {
                let mut changes: Vec<v1::CatalogChange> = outcome
                    .diff
                    .settings
                    .iter()
                    .map(|name| changed(name, "changed"))
                    .collect();
                changes.extend(entries("placement", &outcome.diff.placements));
                changes.extend(entries("offer", &outcome.diff.offers));
                Ok(Response::new(v1::PutCatalogResponse {
                    applied: outcome.live,
                    digest: outcome.digest,
                    epoch: outcome.epoch,
                    changes,
                    problems: Vec::new(),
                }))
            }
            Err(ControlError::Catalog(mistakes)) => Ok(Response::new(v1::PutCatalogResponse {
                digest: live,
                problems: mistakes
                    .all()
                    .iter()
                    .map(|m| v1::CatalogProblem {
                        line: m.line.unwrap_or(0),
                        path: m.path.clone(),
                        message: m.message.clone(),
                    })
                    .collect(),
                ..v1::PutCatalogResponse::default()
            })),
            Err(error) => Err(Problem::from(error).into()),
        }
    }
}

fn changed(path: &str, what: &str) -> v1::CatalogChange {
    v1::CatalogChange {
        path: path.into(),
        before: String::new(),
        after: what.into(),
    }
}

fn entries(kind: &str, diff: &EntryDiff) -> Vec<v1::CatalogChange> {
    let one = |id: &String, before: &str, after: &str| v1::CatalogChange {
        path: format!("{kind}[{id}]"),
        before: before.into(),
        after: after.into(),
    };
    let added = diff.added.iter().map(|id| one(id, "", "added"));
    let removed = diff.removed.iter().map(|id| one(id, "removed", ""));
    let changed = diff
        .changed
        .iter()
        .map(|c| one(&c.id, "", &c.fields.join(", ")));
    added.chain(removed).chain(changed).collect()
}

#[tonic::async_trait]
impl ModelService for Door {
    async fn list_models(
        &self,
        request: Request<v1::ListModelsRequest>,
    ) -> Result<Response<v1::ListModelsResponse>, Status> {
        let (operator, _) = self.enter(request)?;
        let models = waiting(move || operator.parts().control.models()).await?;
        let models = models
            .map_err(Problem::from)?
            .into_iter()
            .map(model)
            .collect();
        Ok(Response::new(v1::ListModelsResponse { models }))
    }

    async fn push_model(
        &self,
        request: Request<v1::PushModelRequest>,
    ) -> Result<Response<v1::PushModelResponse>, Status> {
        let by = actor(&self.0, request.metadata().as_ref());
        let (operator, asked) = self.enter(request)?;
        let stage = Some(&*asked.stage).filter(|stage| !stage.is_empty());
        let stage = stage.map(word).transpose()?;
        let signature = asked.signature.map(|s| Signature {
            created: s.created,
            signature: s.signature,
        });
        let pushed = waiting(move || {
            let manifest = std::str::from_utf8(&asked.manifest)
                .map_err(|e| Problem::malformed(format!("manifest: not UTF-8: {e}")))?;
            let push = Push {
                name: &asked.name,
                version: &asked.version,
                manifest,
                artifact: &asked.artifact,
                signature: signature.as_ref(),
                stage,
                percent: asked.percent,
                insist: Insist::new(asked.confirm, asked.force, Some(&asked.reason), &by)?,
            };
            let now = (operator.parts().now)();
            Ok::<_, Problem>(operator.parts().control.push(&push, now)?)
        });
        let pushed = pushed.await??;
        Ok(Response::new(v1::PushModelResponse {
            model: Some(model(pushed.model)),
            epoch: pushed.epoch,
        }))
    }

    async fn stage_model(
        &self,
        request: Request<v1::StageModelRequest>,
    ) -> Result<Response<v1::StageModelResponse>, Status> {
        let by = request.metadata().clone().into_headers();
        let (operator, asked) = self.enter(request)?;
        let by = actor(&operator, &by);
        let stage = word(&asked.stage)?;
        let staged = waiting(move || {
            let (name, version) = (&asked.name, &asked.version);
            let now = (operator.parts().now)();
            let control = &operator.parts().control;
            let insist = Insist::new(asked.confirm, asked.force, Some(&asked.reason), &by)?;
            control.stage(name, version, stage, asked.percent, insist, now)
        });
        let staged = staged.await?.map_err(Problem::from)?;
        Ok(Response::new(v1::StageModelResponse {
            model: Some(model(staged.model)),
            epoch: staged.epoch,
        }))
    }

    async fn rollback_model(
        &self,
        request: Request<v1::RollbackModelRequest>,
    ) -> Result<Response<v1::RollbackModelResponse>, Status> {
        let (operator, asked) = self.enter(request)?;
        let back = waiting(move || {
            let now = (operator.parts().now)();
            operator.parts().control.roll_back(&asked.name, now)
        });
        let back = back.await?.map_err(Problem::from)?;
        Ok(Response::new(v1::RollbackModelResponse {
            model: Some(model(back.model)),
            epoch: back.epoch,
        }))
    }
}

fn model(info: ModelInfo) -> v1::Model {
    v1::Model {
        live: info.stage == Stage::Live.as_str(),
        name: info.name,
        version: info.version,
        format: info.format,
        sha256: info.sha256,
        trained_at: info.trained_at.as_deref().and_then(timestamp),
        note: info.note,
        stage: info.stage.to_owned(),
        percent: info.percent,
        pushed_by: info.pushed_by,
        pushed_at: timestamp(&info.pushed_at),
        problem: info.problem.unwrap_or_default(),
        health: info.health.map(|h| v1::ModelHealth {
            decisions: h.decisions,
            failures: h.failures,
            choices: h.choices,
            predicted: h.predicted,
            conversions: h.conversions,
            value_minor: h.value_minor,
            decide_p99_us: h.decide_p99_us,
            odd_inputs: (h.odd_inputs.into_iter())
                .map(|odd| v1::OddInputs {
                    feature: odd.feature,
                    missing: odd.missing,
                    mistyped: odd.mistyped,
                    unknown: odd.unknown,
                })
                .collect(),
            drift: h.drift.map(drift),
        }),
    }
}

fn drift(drift: Drift) -> v1::ModelDrift {
    let features = drift.features.into_iter().map(|f| v1::FeatureDrift {
        feature: f.feature,
        psi: f.psi,
        level: f.level.as_str().to_owned(),
    });
    v1::ModelDrift {
        level: drift.level.as_str().to_owned(),
        rows: drift.rows,
        reference_rows: drift.reference_rows,
        largest: drift.largest,
        features: features.collect(),
    }
}

/// `None` for text that is no instant, such as none at all.
fn timestamp(text: &str) -> Option<offerd_proto::Timestamp> {
    let at: jiff::Timestamp = text.parse().ok()?;
    Some(offerd_proto::Timestamp {
        seconds: at.as_second(),
        nanos: at.subsec_nanosecond(),
    })
}

#[tonic::async_trait]
impl ReportService for Door {
    async fn get_delivery(
        &self,
        request: Request<v1::GetDeliveryRequest>,
    ) -> Result<Response<v1::GetDeliveryResponse>, Status> {
        let (operator, _) = self.enter(request)?;
        let delivery = operator.delivery();
        let counts = |map: std::collections::BTreeMap<&'static str, u64>| {
            map.into_iter()
                .map(|(word, n)| (word.to_owned(), n))
                .collect()
        };
        Ok(Response::new(v1::GetDeliveryResponse {
            node: delivery.node,
            appended: counts(delivery.appended),
            duplicates: delivery.duplicates,
            lost: counts(delivery.lost),
            durable: Some(delivery.durable.into()),
            shipped: Some(delivery.shipped.into()),
            lag_entries: delivery.lag_entries,
            lag_ms: delivery.lag_ms,
            sink: delivery.sink,
            connected: delivery.connected,
            last_error: delivery.last_error.unwrap_or_default(),
            warnings: delivery.warnings,
        }))
    }

    async fn get_learning(
        &self,
        request: Request<v1::GetLearningRequest>,
    ) -> Result<Response<v1::GetLearningResponse>, Status> {
        let (operator, _) = self.enter(request)?;
        Ok(Response::new(learning(operator.learning())))
    }

    async fn get_decision_record(
        &self,
        request: Request<v1::GetDecisionRecordRequest>,
    ) -> Result<Response<v1::GetDecisionRecordResponse>, Status> {
        let (operator, asked) = self.enter(request)?;
        let json = waiting(move || operator.record_json(&asked.decision_id)).await??;
        Ok(Response::new(v1::GetDecisionRecordResponse { json }))
    }
}

fn learning(learning: Learning) -> v1::GetLearningResponse {
    let told = v1::GetLearningResponse {
        node: learning.node,
        enabled: learning.enabled,
        serving: learning.serving.unwrap_or_default(),
        today: learning.today,
        currency: learning.currency,
        budgets: (learning.budgets.into_iter())
            .map(|(class, budget)| (class.to_owned(), budget.into()))
            .collect(),
        ..v1::GetLearningResponse::default()
    };
    let Some(progress) = learning.progress else {
        return told;
    };
    let Progress {
        running,
        lag_entries,
        age_ms,
        report,
    } = progress;
    let words = |counts: serde_json::Result<serde_json::Value>| {
        let counts = counts.ok();
        let counts = counts.as_ref().and_then(serde_json::Value::as_object);
        let counts = counts.into_iter().flatten();
        counts
            .filter_map(|(word, n)| Some((word.clone(), n.as_u64()?)))
            .collect::<std::collections::HashMap<String, u64>>()
    };
    let cost = report.learning_cost.get(&told.today);
    v1::GetLearningResponse {
        running,
        version: report.version,
        until_ms: report.until_ms.unsigned_abs(),
        lag_entries,
        age_ms,
        remembered: report.remembered as u64,
        showings: words(serde_json::to_value(&report.decisions)),
        events: words(serde_json::to_value(&report.events)),
        curve: (report.curve.points.iter())
            .map(|p| v1::LearningPoint {
                showings: p.showings,
                labels: p.labels,
                believed: p.believed,
                base: p.base,
                loss: p.loss,
                base_loss: p.base_loss,
            })
            .collect(),
        cost_today_minor: (cost.into_iter().flatten())
            .map(|(class, cost)| ((*class).to_owned(), cost.cost_minor))
            .collect(),
        offers: (report.offers.into_iter())
            .map(|o| v1::OfferRate {
                offer: o.offer,
                showings: o.rate.showings,
                successes: o.rate.successes,
                rate: o.rate.rate,
                low: o.rate.low,
                high: o.rate.high,
                horizon_ms: o.rate.horizon_ms.unsigned_abs(),
                naive: o.rate.naive,
            })
            .collect(),
        ..told
    }
}

impl From<ExploringBudget> for v1::ExploringBudget {
    fn from(budget: ExploringBudget) -> v1::ExploringBudget {
        v1::ExploringBudget {
            budget_minor: budget.budget_minor.unsigned_abs(),
            spent_minor: budget.spent_minor,
            spent: budget.spent,
            since_ms: budget.since_ms.map_or(0, i64::unsigned_abs),
        }
    }
}

impl From<Place> for v1::Position {
    fn from(place: Place) -> v1::Position {
        v1::Position {
            ms: place.ms.unsigned_abs(),
            seq: place.seq,
        }
    }
}
