//! The floors: what HTTP and gRPC cost when nothing is decided.
//!
//! A bare hyper that answers every request with the same bytes, and a bare tonic that decodes the
//! request and encodes the same answer: one real answer of the server under test. Each is a process of
//! its own on the same processors with one thread, so that its cost can be told from the generator's,
//! and what the server takes more than that is what deciding takes.

use std::convert::Infallible;
use std::io::{Read, Write};
use std::path::PathBuf;
use std::process::{Command, Stdio};

use anyhow::Context;
use bytes::Bytes;
use http::{Request, Response};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto;
use hyper_util::service::TowerToHyperService;
use offerd_proto::v1;
use offerd_proto::v1::decision_service_server::{DecisionService, DecisionServiceServer};
use prost::Message;
use tokio::net::{TcpListener, TcpStream};
use tonic::Status;

use super::args::Target;
use super::machine;
use super::process::{Folder, Process};

/// What stands below the server under test.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Kind {
    /// HTTP and nothing else.
    Hyper,
    /// gRPC and nothing else.
    Tonic,
}

/// Serve one floor until standard input ends (for --floor, which starts it).
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Which.
    kind: Kind,
    /// The answer: JSON for hyper, a DecideResponse for tonic.
    #[arg(long, value_name = "FILE")]
    answer: PathBuf,
}

/// Serves until its parent is gone.
pub fn run(args: &Args) -> anyhow::Result<bool> {
    let answer = Bytes::from(std::fs::read(&args.answer)?);
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    std::thread::spawn(|| {
        // The parent holds the other end and never writes.
        drop(std::io::stdin().read(&mut [0]));
        std::process::exit(0);
    });
    runtime.block_on(async {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        println!("floor http://{}/", listener.local_addr()?);
        std::io::stdout().flush()?;
        let message = match args.kind {
            Kind::Hyper => v1::DecideResponse::default(),
            Kind::Tonic => v1::DecideResponse::decode(answer.clone())?,
        };
        loop {
            let (stream, _) = listener.accept().await?;
            stream.set_nodelay(true)?;
            match args.kind {
                Kind::Hyper => tokio::spawn(serve_http(stream, answer.clone())),
                Kind::Tonic => tokio::spawn(serve_grpc(stream, message.clone())),
            };
        }
    })
}

async fn serve_http(stream: TcpStream, answer: Bytes) {
    let service = service_fn(move |request: Request<Incoming>| {
        let answer = answer.clone();
        async move {
            // A request has to be read before its answer, as by any server that looks at it.
            drop(request.into_body().collect().await);
            let response = Response::builder().header("content-type", "application/json");
            let response = response.body(Full::new(answer));
            Ok::<_, Infallible>(response.expect("the header is fixed"))
        }
    });
    let builder = auto::Builder::new(TokioExecutor::new());
    // How a connection ends is the generator's to tell.
    drop(
        builder
            .serve_connection(TokioIo::new(stream), service)
            .await,
    );
}

async fn serve_grpc(stream: TcpStream, answer: v1::DecideResponse) {
    let service = TowerToHyperService::new(DecisionServiceServer::new(Echo(answer)));
    let builder = auto::Builder::new(TokioExecutor::new()).http2_only();
    drop(
        builder
            .serve_connection(TokioIo::new(stream), service)
            .await,
    );
}

/// Answers everything with the same message.
#[derive(Clone, Debug)]
struct Echo(v1::DecideResponse);

#[tonic::async_trait]
impl DecisionService for Echo {
    async fn decide(
        &self,
        _: tonic::Request<v1::DecideRequest>,
    ) -> Result<tonic::Response<v1::DecideResponse>, Status> {
        Ok(tonic::Response::new(self.0.clone()))
    }

    type DecideStreamStream = tonic::codegen::BoxStream<v1::DecideResponse>;

    async fn decide_stream(
        &self,
        _: tonic::Request<tonic::Streaming<v1::DecideRequest>>,
    ) -> Result<tonic::Response<Self::DecideStreamStream>, Status> {
        Err(Status::unimplemented("a floor answers single requests"))
    }
}

/// A floor that runs.
#[derive(Debug)]
pub struct Floor {
    pub host: String,
    pub process: Process,
    pub notes: Vec<String>,
    kind: Kind,
    _folder: Folder,
}

impl Kind {
    fn names(self) -> (&'static str, &'static str) {
        match self {
            Kind::Hyper => ("hyper", "bare hyper"),
            Kind::Tonic => ("tonic", "bare tonic"),
        }
    }
}

impl Floor {
    pub fn name(&self) -> &'static str {
        self.kind.names().1
    }

    /// Starts one that answers with these bytes, on the same processors as the server under test.
    pub async fn start(kind: Kind, answer: &[u8], target: &Target) -> anyhow::Result<Floor> {
        let folder = Folder::new("floor")?;
        let file = folder.path().join("answer");
        std::fs::write(&file, answer)?;
        let (word, name) = kind.names();
        let program = std::env::current_exe().context("failed to find this program")?;
        let mut command = Command::new(program);
        command.args(["floor", word, "--answer"]).arg(&file);
        command.stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut process = Process::start(name, command, target.pin_server.as_ref())?;
        let lines = process.lines_until("floor").await?;
        let host = lines.last().and_then(|line| line.split_once("http://"));
        let host = host.map(|(_, rest)| rest.trim_end_matches('/').to_owned());
        let notes = match target.fifo {
            true => vec![machine::raise_priority(name, process.pid())],
            false => Vec::new(),
        };
        Ok(Floor {
            host: host.context("the floor does not say where it is")?,
            process,
            notes,
            kind,
            _folder: folder,
        })
    }
}
