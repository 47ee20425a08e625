//! A TCP proxy that can turn into a black hole: connections stay open and nothing comes through.
//!
//! That is how a network fails: no error, no end of file, only silence. Neither a killed nor a stopped
//! process does that to its peer's new connections.

use std::net::SocketAddr;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinSet;

/// A proxy in front of one address; it ends when it is forgotten.
#[derive(Debug)]
pub struct Proxy {
    pub address: SocketAddr,
    swallows: watch::Sender<bool>,
    _tasks: JoinSet<()>,
}

impl Proxy {
    pub async fn start(to: SocketAddr) -> std::io::Result<Proxy> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?;
        let (swallows, hole) = watch::channel(false);
        let mut tasks = JoinSet::new();
        tasks.spawn(async move {
            let mut connections = JoinSet::new();
            while let Ok((near, _)) = listener.accept().await {
                while connections.try_join_next().is_some() {}
                connections.spawn(carry(near, to, hole.clone()));
            }
        });
        Ok(Proxy {
            address,
            swallows,
            _tasks: tasks,
        })
    }

    /// From now on nothing comes through, or everything does that comes from now on. What was on its way
    /// meanwhile is gone, and with it every connection that had something on its way.
    pub fn swallow(&self, yes: bool) {
        self.swallows.send_replace(yes);
    }
}

async fn carry(near: TcpStream, to: SocketAddr, mut hole: watch::Receiver<bool>) {
    // A connection that begins in the hole is accepted by the kernel and hears nothing.
    if hole.wait_for(|swallows| !swallows).await.is_err() {
        return;
    }
    let Ok(far) = TcpStream::connect(to).await else {
        return;
    };
    drop((near.set_nodelay(true), far.set_nodelay(true)));
    let (near_read, near_write) = near.into_split();
    let (far_read, far_write) = far.into_split();
    tokio::select! {
        () = pump(near_read, far_write, hole.clone()) => {}
        () = pump(far_read, near_write, hole) => {}
    }
}

/// One direction; ends with the connection, or after it lost something.
async fn pump(mut from: OwnedReadHalf, mut to: OwnedWriteHalf, mut hole: watch::Receiver<bool>) {
    let mut buffer = vec![0; 64 << 10];
    while let Ok(read) = from.read(&mut buffer).await {
        if read == 0 {
            return;
        }
        if *hole.borrow() {
            // Lost: the connection can only end, and its peer must not hear of it before the hole does.
            drop(hole.wait_for(|swallows| !swallows).await);
            return;
        }
        if to.write_all(&buffer[..read]).await.is_err() {
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    /// A server that says everything again.
    async fn echo() -> SocketAddr {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(async move {
                    let (mut read, mut write) = stream.into_split();
                    drop(tokio::io::copy(&mut read, &mut write).await);
                });
            }
        });
        address
    }

    async fn heard(stream: &mut TcpStream, word: &[u8; 2]) -> bool {
        stream.write_all(word).await.unwrap();
        let mut answer = [0; 2];
        let read = tokio::time::timeout(Duration::from_millis(100), stream.read_exact(&mut answer));
        matches!(read.await, Ok(Ok(_))) && answer == *word
    }

    #[tokio::test]
    async fn a_black_hole_is_silent_and_ends() {
        let proxy = Proxy::start(echo().await).await.unwrap();
        let mut old = TcpStream::connect(proxy.address).await.unwrap();
        assert!(heard(&mut old, b"hi").await);
        proxy.swallow(true);
        assert!(!heard(&mut old, b"ho").await);
        let mut new = TcpStream::connect(proxy.address).await.unwrap();
        assert!(
            !heard(&mut new, b"he").await,
            "a new connection is swallowed too"
        );
        proxy.swallow(false);
        let mut after = TcpStream::connect(proxy.address).await.unwrap();
        assert!(heard(&mut after, b"ha").await);
        assert_eq!(
            old.read(&mut [0; 2]).await.unwrap(),
            0,
            "what lost something ends"
        );
    }
}
