//! Connections: made, made again, and given up where the other side is silent.

use std::rc::Rc;
use std::time::Duration;

use tokio::net::TcpStream;

use super::{Engine, LaneKind, REAP, Slot};
use crate::load::clock::now_ns;
use crate::load::wire::Outcome;

/// The pause before a connection that failed is tried again.
const RECONNECT: Duration = Duration::from_millis(20);
/// How long making a connection may take.
const CONNECT: Duration = Duration::from_secs(3);

impl Engine {
    pub(super) async fn keep_connected(self: Rc<Engine>, at: usize) {
        loop {
            let connect = tokio::time::timeout(CONNECT, TcpStream::connect(self.line.address));
            if let Ok(Ok(stream)) = connect.await {
                // Answers are small: waiting for more to send with them would cost 40 ms.
                drop(stream.set_nodelay(true));
                self.serve(at, stream).await;
                self.lanes[at].up.set(false);
                self.lanes[at].tried.set(true);
                self.tally.borrow_mut().reconnects += 1;
            } else {
                self.lanes[at].tried.set(true);
                tokio::time::sleep(RECONNECT).await;
            }
        }
    }

    async fn serve(self: &Rc<Engine>, at: usize, stream: TcpStream) {
        let streams = self.line.streams;
        let up = || {
            let lane = &self.lanes[at];
            let generation = lane.generation.get() + 1;
            lane.generation.set(generation);
            lane.up.set(true);
            lane.tried.set(true);
            for _ in 0..streams {
                let slot = Slot {
                    lane: at,
                    generation,
                };
                self.vacant(slot);
            }
        };
        match &self.lanes[at].kind {
            LaneKind::H1(lane) => lane.serve(self, stream, up).await,
            LaneKind::H2(lane) => lane.serve(streams, stream, up).await,
        }
    }

    /// Gives up what has waited too long.
    pub(super) async fn reap(self: Rc<Engine>) {
        loop {
            tokio::time::sleep(REAP).await;
            let before = now_ns().saturating_sub(self.timeout_ns());
            for lane in &self.lanes {
                if let LaneKind::H1(lane) = &lane.kind {
                    lane.give_up_before(before);
                }
            }
            loop {
                let mut backlog = self.backlog.borrow_mut();
                let Some(job) = backlog.pop_front_if(|job| job.intended_ns < before) else {
                    break;
                };
                drop(backlog);
                self.settle(job, Outcome::Failed("timeout".into(), String::new()));
            }
        }
    }
}
