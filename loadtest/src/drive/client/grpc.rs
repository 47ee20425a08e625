//! The same over gRPC: one h2c connection that carries every request.

use std::error::Error;

use offerd_proto::v1;
use offerd_proto::v1::decision_service_client::DecisionServiceClient;
use offerd_proto::v1::event_service_client::EventServiceClient;
use tonic::metadata::MetadataValue;
use tonic::transport::{Channel, Endpoint};
use tonic::{Code, Status};

use super::{Failure, Fate};
use crate::WrongUse;
use crate::visit::message::{Answer, Ask, Event, Receipt};
use crate::visit::proto::{event, read_answer, read_receipt, request};

#[derive(Clone, Debug)]
pub struct Client {
    decisions: DecisionServiceClient<Channel>,
    events: EventServiceClient<Channel>,
}

impl Client {
    pub fn new(url: &str) -> Result<Client, WrongUse> {
        if !url.starts_with("http://") {
            return Err(WrongUse(format!("--url {url}: must begin with http://")));
        }
        let endpoint = Endpoint::from_shared(url.to_owned())
            .map_err(|e| WrongUse(format!("--url {url}: {e}")))?;
        let channel = endpoint.tcp_nodelay(true).connect_lazy();
        Ok(Client {
            decisions: DecisionServiceClient::new(channel.clone()),
            events: EventServiceClient::new(channel),
        })
    }

    pub async fn decide(&self, ask: &Ask<'_>) -> Result<Answer, Failure> {
        let mut request = tonic::Request::new(request(ask));
        if ask.gpc {
            let metadata = request.metadata_mut();
            metadata.insert("sec-gpc", MetadataValue::from_static("1"));
        }
        let answer = self.decisions.clone().decide(request).await;
        Ok(read_answer(answer.map_err(|s| failure(&s))?.into_inner()))
    }

    pub async fn record(&self, events: &[Event]) -> Result<Receipt, Failure> {
        let events = events.iter().map(event).collect();
        let request = v1::RecordRequest { events };
        let receipt = self.events.clone().record(request).await;
        Ok(read_receipt(receipt.map_err(|s| failure(&s))?.into_inner()))
    }
}

/// A status made here has a source: what happened to the connection. One without came from the server.
fn failure(status: &Status) -> Failure {
    if status.source().is_some() {
        return Failure::broken(status, false);
    }
    let fate = match status.code() {
        Code::ResourceExhausted | Code::Unavailable => Fate::Later,
        Code::Internal | Code::Unknown | Code::DeadlineExceeded | Code::Cancelled => Fate::Unknown,
        _ => Fate::Refused,
    };
    let cause = format!("grpc {:?}", status.code());
    Failure::new(fate, cause, status.message())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_servers_word_is_told_from_a_broken_connection() {
        assert_eq!(failure(&Status::unavailable("draining")).fate, Fate::Later);
        assert_eq!(failure(&Status::invalid_argument("x")).fate, Fate::Refused);
        let refused = std::io::Error::from(std::io::ErrorKind::ConnectionRefused);
        assert_eq!(
            failure(&Status::from_error(refused.into())).fate,
            Fate::NotSent
        );
        let reset = std::io::Error::from(std::io::ErrorKind::ConnectionReset);
        assert_eq!(
            failure(&Status::from_error(reset.into())).fate,
            Fate::Unknown
        );
    }
}
