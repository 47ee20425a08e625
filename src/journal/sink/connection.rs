//! A connection to Redis: made here, anew after every doubt, and never by itself. A connection that
//! repairs itself is a doubt that nobody asks about.

use std::io;
use std::time::Duration;

use redis::{ConnectionAddr, ConnectionInfo, IntoConnectionInfo};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpStream, UnixStream};

use super::error::ErrorCode;
use super::resp::{self, Commands, Reply};
use super::wire::Failure;

/// How long a connection may be silent before the kernel asks whether the other end is there.
const KEEPALIVE: Duration = Duration::from_secs(30);
/// Bytes read at once, and kept at most once they have been understood.
const READ_BYTES: usize = 64 << 10;

trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> Stream for T {}

/// An authenticated connection.
pub struct Connection {
    stream: Box<dyn Stream>,
    inbox: Vec<u8>,
    /// Bytes of `inbox` that have been understood.
    read: usize,
}

impl Connection {
    /// Connects and does what the URL asks for: `AUTH` and `SELECT`.
    ///
    /// # Errors
    /// The URL's, the network's, or what Redis answered; after `patience` that it took too long.
    pub async fn open(url: &str, patience: Duration) -> Result<Connection, Failure> {
        let info = url
            .into_connection_info()
            .map_err(|error| Failure::new(ErrorCode::Other, &error.to_string()))?;
        tokio::time::timeout(patience, Connection::introduce(&info))
            .await
            .map_err(|_| Failure::new(ErrorCode::Timeout, "connecting took too long"))?
    }

    async fn introduce(info: &ConnectionInfo) -> Result<Connection, Failure> {
        let stream: Box<dyn Stream> = match info.addr() {
            ConnectionAddr::Tcp(host, port) => Box::new(tcp(host, *port).await.map_err(lost)?),
            ConnectionAddr::Unix(path) => Box::new(UnixStream::connect(path).await.map_err(lost)?),
            _ => return Err(Failure::new(ErrorCode::Other, "TLS is not spoken here")),
        };
        let mut connection = Connection {
            stream,
            inbox: Vec::with_capacity(READ_BYTES),
            read: 0,
        };
        let settings = info.redis_settings();
        let mut commands = Commands::default();
        match (settings.username(), settings.password()) {
            (Some(user), Some(password)) => commands.push(&["AUTH", user, password]),
            (None, Some(password)) => commands.push(&["AUTH", password]),
            _ => {}
        }
        if settings.db() != 0 {
            commands.push(&["SELECT", &settings.db().to_string()]);
        }
        for reply in connection.ask(&commands).await? {
            if let Reply::Error(text) = reply {
                return Err(Failure::said(&text));
            }
        }
        Ok(connection)
    }

    /// Sends commands and waits for as many replies.
    ///
    /// # Errors
    /// The connection's: nothing is known of the commands.
    pub async fn ask(&mut self, commands: &Commands) -> Result<Vec<Reply>, Failure> {
        self.send(commands.bytes()).await?;
        let mut replies = Vec::new();
        while replies.len() < commands.number() {
            match self.heard()? {
                Some(reply) => replies.push(reply),
                None => self.listen().await?,
            }
        }
        Ok(replies)
    }

    /// Sends all of `bytes`. Redis keeps its replies until they are read, so it takes them all.
    ///
    /// # Errors
    /// The connection's.
    pub async fn send(&mut self, bytes: &[u8]) -> Result<(), Failure> {
        self.stream.write_all(bytes).await.map_err(lost)
    }

    /// A reply that has arrived, if there is one.
    ///
    /// # Errors
    /// What has arrived is no reply.
    pub fn heard(&mut self) -> Result<Option<Reply>, Failure> {
        let found = resp::parse(&self.inbox[self.read..])?;
        Ok(found.map(|(reply, length)| {
            self.read += length;
            reply
        }))
    }

    /// Waits for more to arrive.
    ///
    /// # Errors
    /// The connection's, or it has been closed at the other end.
    pub async fn listen(&mut self) -> Result<(), Failure> {
        self.inbox.drain(..self.read);
        self.read = 0;
        self.inbox.reserve(READ_BYTES);
        match self.stream.read_buf(&mut self.inbox).await {
            Ok(0) => Err(Failure::new(ErrorCode::Io, "redis closed the connection")),
            Ok(_) => Ok(()),
            Err(error) => Err(lost(error)),
        }
    }
}

async fn tcp(host: &str, port: u16) -> io::Result<TcpStream> {
    let stream = TcpStream::connect((host, port)).await?;
    stream.set_nodelay(true)?;
    let keepalive = socket2::TcpKeepalive::new().with_time(KEEPALIVE);
    socket2::SockRef::from(&stream).set_tcp_keepalive(&keepalive)?;
    Ok(stream)
}

fn lost(error: io::Error) -> Failure {
    Failure::new(ErrorCode::of_io(error.kind()), &error.to_string())
}
