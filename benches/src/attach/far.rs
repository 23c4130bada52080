//! A relay to a server with an adjustable delay: it forwards bytes later, so that the elapsed time
//! shows the number of round trips.

use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::Runtime;
use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, sleep, sleep_until};

use crate::Result;

/// A port of the loopback interface that forwards to another one.
#[derive(Debug)]
pub struct Far {
    /// The port that it listens on.
    pub port: u16,
    way: watch::Sender<Duration>,
    /// A runtime of its own, so that the measured code does not wait for the relay.
    _runtime: Runtime,
}

impl Far {
    /// A relay to a port, without a delay.
    ///
    /// # Errors
    /// If no port is free.
    pub fn to(port: u16) -> Result<Self> {
        let runtime =
            tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
        let listener = runtime.block_on(TcpListener::bind(("127.0.0.1", 0)))?;
        let own = listener.local_addr()?.port();
        let (way, watched) = watch::channel(Duration::ZERO);
        runtime.spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                tokio::spawn(lead(client, port, *watched.borrow()));
            }
        });
        Ok(Self { port: own, way, _runtime: runtime })
    }

    /// Sets the one-way delay of all later connections.
    pub fn set(&self, way: Duration) {
        self.way.send_replace(way);
    }
}

async fn lead(client: TcpStream, port: u16, way: Duration) {
    // The kernel has already accepted the connection, so its round trip is added here.
    sleep(2 * way).await;
    let Ok(server) = TcpStream::connect(("127.0.0.1", port)).await else { return };
    let _ = (client.set_nodelay(true), server.set_nodelay(true));
    let (from_client, to_client) = client.into_split();
    let (from_server, to_server) = server.into_split();
    tokio::join!(pass(from_client, to_server, way), pass(from_server, to_client, way));
}

async fn pass(mut from: OwnedReadHalf, mut to: OwnedWriteHalf, way: Duration) {
    let (under_way, mut arriving) = mpsc::unbounded_channel::<(Instant, Vec<u8>)>();
    let send = async move {
        let mut bytes = vec![0; 64 * 1024];
        while let Ok(count @ 1..) = from.read(&mut bytes).await {
            if under_way.send((Instant::now() + way, bytes[..count].to_vec())).is_err() {
                return;
            }
        }
    };
    let receive = async move {
        while let Some((at, bytes)) = arriving.recv().await {
            sleep_until(at).await;
            if to.write_all(&bytes).await.is_err() {
                return;
            }
        }
    };
    tokio::join!(send, receive);
}
