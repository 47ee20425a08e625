//! Requests that are turned away in front of hyper: nobody's answer is another's, however the bytes come.

#![expect(
    clippy::unwrap_used,
    reason = "helpers of tests fail by panicking, like the tests"
)]

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::{BodyExt, Full};
use hyper_util::rt::{TokioExecutor, TokioIo};
use offerd::listener::{
    Answers, Drained, Head, Listener, ListenerConfig, ListenerStats, RequestBody, TurnedAway,
};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::{Notify, oneshot};
use tokio::task::JoinHandle;
use tokio::time::timeout;
use xxhash_rust::xxh3::xxh3_64;

/// Longer than anything here may take, however busy the machine.
const OUTER: Duration = Duration::from_secs(60);

/// Turns away what asks for `/no…`, holds back what asks for `/no/later`, and answers everything else with what was asked.
#[derive(Clone, Default)]
struct Choosy {
    busy: Arc<AtomicBool>,
    turned_away: Arc<AtomicU64>,
    later: Arc<Notify>,
}

impl Answers for Choosy {
    type Body = Full<Bytes>;

    async fn answer(self, request: Request<RequestBody>) -> Response<Full<Bytes>> {
        let mut answer = request.uri().path().as_bytes().to_vec();
        if !answer.starts_with(b"/lazy") {
            let body = request.into_body().collect().await;
            answer.push(b':');
            answer.extend_from_slice(&body.map(|b| b.to_bytes()).unwrap_or_default());
        }
        Response::new(Full::from(answer))
    }

    fn turns_away(&self) -> bool {
        self.busy.load(Relaxed)
    }

    fn turn_away(&self, head: &Head<'_>) -> Option<TurnedAway> {
        if !head.target.starts_with("/no") {
            return None;
        }
        self.turned_away.fetch_add(1, Relaxed);
        let (target, length) = (head.target, head.target.len());
        let answer =
            format!("HTTP/1.1 503 Service Unavailable\r\ncontent-length: {length}\r\n\r\n{target}");
        let later = Arc::clone(&self.later);
        Some(TurnedAway {
            answer: answer.into(),
            hold: (target == "/no/later")
                .then(|| Box::pin(async move { later.notified().await }) as _),
        })
    }
}

struct Server {
    address: SocketAddr,
    choosy: Choosy,
    stats: Arc<ListenerStats>,
    stop: oneshot::Sender<()>,
    served: JoinHandle<Drained>,
}

impl Server {
    fn start() -> Server {
        let config = ListenerConfig::default();
        let listener = Listener::bind("127.0.0.1:0".parse().unwrap(), config).unwrap();
        let choosy = Choosy::default();
        choosy.busy.store(true, Relaxed);
        let (stop, stopped) = oneshot::channel::<()>();
        Server {
            address: listener.local_addr(),
            stats: listener.stats(),
            served: tokio::spawn(listener.serve(choosy.clone(), async {
                let _ = stopped.await;
            })),
            choosy,
            stop,
        }
    }

    async fn connect(&self) -> TcpStream {
        let stream = TcpStream::connect(self.address).await.unwrap();
        stream.set_nodelay(true).unwrap();
        stream
    }
}

/// Dice for a test: the same every time.
struct Dice(u64);

impl Dice {
    fn below(&mut self, n: usize) -> usize {
        self.0 += 1;
        (xxh3_64(&self.0.to_be_bytes()) % n as u64) as usize
    }
}

/// One request of any kind, and what its answer must be.
fn request(dice: &mut Dice, n: usize) -> (String, String) {
    let target = format!("{}/{n}", ["/no", "/no", "/yes"][dice.below(3)]);
    // Of a size that does not always come in one piece, and sometimes more than is looked at.
    let length = [0, 7, 900, 9_000, 20_000][dice.below(5)];
    // What it would be taken for, if anybody lost count.
    let body = "POST /no/evil HTTP/1.1\r\n\r\n".repeat(length / 26 + 1)[..length].to_owned();
    let head = format!("POST {target} HTTP/1.1\r\nhost: x\r\n");
    let text = match dice.below(6) {
        0 => format!(
            "{head}transfer-encoding: chunked\r\n\r\n{length:x}\r\n{body}\r\n{}",
            if length == 0 { "" } else { "0\r\n\r\n" }
        ),
        1 => format!("{head}connection: keep-alive\r\ncontent-length: {length}\r\n\r\n{body}"),
        _ => format!("{head}content-length: {length}\r\n\r\n{body}"),
    };
    (text, format!("{target}:{body}"))
}

/// The next answer's status and body.
async fn answer(reader: &mut (impl AsyncRead + Unpin), read: &mut Vec<u8>) -> (u16, String) {
    loop {
        if let Some(found) = taken(read) {
            return found;
        }
        let n = timeout(OUTER, reader.read_buf(read))
            .await
            .unwrap()
            .unwrap();
        assert!(n > 0, "closed before its answer, after {read:?}");
    }
}

/// Takes a whole answer off the front.
fn taken(read: &mut Vec<u8>) -> Option<(u16, String)> {
    let head = read.windows(4).position(|four| four == b"\r\n\r\n")?;
    let text = String::from_utf8(read[..head].to_vec())
        .unwrap()
        .to_lowercase();
    let status = text[9..12].parse().unwrap();
    let length = text.split("content-length: ").nth(1).unwrap();
    let length: usize = length.lines().next().unwrap().parse().unwrap();
    let all = head + 4 + length;
    let body = String::from_utf8(read.get(head + 4..all)?.to_vec()).unwrap();
    read.drain(..all);
    Some((status, body))
}

/// Goal: answers come in the order of their requests, each to its own, whoever gives them, however requests are cut into
/// pieces, sent ahead, and while the server begins and ends to be busy.
#[tokio::test]
async fn everybody_gets_their_own_answer() {
    const REQUESTS: usize = 60;
    let server = Server::start();
    for seed in 0..40 {
        let mut dice = Dice(seed * 1_000_000);
        let requests: Vec<_> = (0..REQUESTS).map(|n| request(&mut dice, n)).collect();
        let (mut reader, mut writer) = server.connect().await.into_split();
        let bytes: Vec<u8> = requests.iter().flat_map(|(text, _)| text.bytes()).collect();
        let busy = Arc::clone(&server.choosy.busy);
        let writing = tokio::spawn(async move {
            let mut at = 0;
            while at < bytes.len() {
                let most = [1, 40, 700, 3_000, 50_000][dice.below(5)];
                let n = (1 + dice.below(most)).min(bytes.len() - at);
                writer.write_all(&bytes[at..at + n]).await.unwrap();
                at += n;
                busy.store(dice.below(4) > 0, Relaxed);
                tokio::task::yield_now().await;
            }
            writer
        });
        let mut read = Vec::new();
        for (n, (_, expected)) in requests.iter().enumerate() {
            let (status, body) = answer(&mut reader, &mut read).await;
            match status {
                200 => assert_eq!(&body, expected, "seed {seed}, request {n}"),
                _ => assert_eq!(
                    Some(&*body),
                    expected.split(':').next(),
                    "seed {seed}, request {n}"
                ),
            }
        }
        assert!(read.is_empty(), "seed {seed}");
        drop(writing.await.unwrap());
    }
    assert!(server.choosy.turned_away.load(Relaxed) > 0);
    assert_eq!(server.stats.requests(), 40 * REQUESTS as u64);
}

/// Goal: a body that nobody reads is never taken for a request.
#[tokio::test]
async fn what_is_left_of_a_body_is_no_request() {
    const EVIL: &str = "POST /no/evil HTTP/1.1\r\n\r\n";
    let server = Server::start();
    for (pause, times) in [(false, 1), (true, 1), (false, 400), (true, 400)] {
        // The first request makes hyper give the connection back once, so that the second comes over the doorstep.
        let (mut stream, mut read) = (server.connect().await, Vec::new());
        stream
            .write_all(b"GET /yes HTTP/1.1\r\n\r\n")
            .await
            .unwrap();
        assert_eq!(answer(&mut stream, &mut read).await, (200, "/yes:".into()));
        let length = EVIL.len() * times;
        let head = format!("POST /lazy HTTP/1.1\r\ncontent-length: {length}\r\n\r\n");
        stream.write_all(head.as_bytes()).await.unwrap();
        if pause {
            tokio::task::yield_now().await;
        }
        // The server may have hung up on a body that it does not want.
        let _ = stream.write_all(EVIL.repeat(times).as_bytes()).await;
        let _ = stream.write_all(b"POST /no/next HTTP/1.1\r\n\r\n").await;
        let _ = stream.shutdown().await;
        let _ = timeout(OUTER, stream.read_to_end(&mut read)).await.unwrap();
        while let Some((_, body)) = taken(&mut read) {
            assert!(["/lazy", "/no/next"].contains(&&*body), "{body}");
        }
    }
}

/// Goal: a refusal that is held back is sent when its time has come, in its turn, and what came behind it is not lost.
#[tokio::test]
async fn a_refusal_may_be_held_back() {
    let server = Server::start();
    let (mut stream, mut read) = (server.connect().await, Vec::new());
    let all = "POST /no/later HTTP/1.1\r\n\r\nPOST /yes HTTP/1.1\r\ncontent-length: 2\r\n\r\nab";
    stream.write_all(all.as_bytes()).await.unwrap();
    // The connection is looked at, and found held, before anything else is answered on another one.
    while server.choosy.turned_away.load(Relaxed) == 0 {
        tokio::task::yield_now().await;
    }
    assert!(read.is_empty());
    let mut other = server.connect().await;
    other
        .write_all(b"POST /no/1 HTTP/1.1\r\n\r\n")
        .await
        .unwrap();
    assert_eq!(
        answer(&mut other, &mut Vec::new()).await,
        (503, "/no/1".into())
    );
    assert_eq!(
        stream.try_read(&mut [0; 1]).unwrap_err().kind(),
        std::io::ErrorKind::WouldBlock
    );
    server.choosy.later.notify_one();
    assert_eq!(
        answer(&mut stream, &mut read).await,
        (503, "/no/later".into())
    );
    assert_eq!(
        answer(&mut stream, &mut read).await,
        (200, "/yes:ab".into())
    );
}

/// Goal: HTTP/2 is nobody's business at the doorstep, and a drain closes connections that wait there.
#[tokio::test]
async fn http2_passes_and_a_drain_empties_the_doorstep() {
    let server = Server::start();
    let io = TokioIo::new(server.connect().await);
    let (mut h2, connection) = hyper::client::conn::http2::handshake(TokioExecutor::new(), io)
        .await
        .unwrap();
    let connection = tokio::spawn(connection);
    let asked = Request::post("http://x/no/2")
        .body(Full::<Bytes>::from("b"))
        .unwrap();
    let answered = timeout(OUTER, h2.send_request(asked))
        .await
        .unwrap()
        .unwrap();
    assert_eq!(answered.status(), 200);
    drop((answered, h2));

    let (mut stream, mut read) = (server.connect().await, Vec::new());
    stream
        .write_all(b"POST /no/1 HTTP/1.1\r\n\r\n")
        .await
        .unwrap();
    assert_eq!(answer(&mut stream, &mut read).await, (503, "/no/1".into()));
    let _silent = server.connect().await;
    server.stop.send(()).unwrap();
    assert_eq!(
        timeout(OUTER, stream.read_buf(&mut read))
            .await
            .unwrap()
            .unwrap(),
        0
    );
    let drained = timeout(OUTER, server.served).await.unwrap().unwrap();
    assert_eq!(drained.aborted, 0);
    connection.abort();
}
