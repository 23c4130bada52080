//! A listener for HTTP servers in this process, under TLS.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use axum::serve::Listener;
use rustls::ServerConfig;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

/// The time for a TLS handshake.
const HANDSHAKE: Duration = Duration::from_secs(5);

/// A listener whose connections have completed the TLS handshake. Handshakes run beside each other,
/// so a client that does not complete its own delays no other one.
#[derive(Debug)]
pub struct TlsListener {
    listener: TcpListener,
    configuration: Arc<ServerConfig>,
    accepted: Arc<AtomicUsize>,
    handshakes: JoinSet<Option<(TlsStream<TcpStream>, SocketAddr)>>,
}

impl TlsListener {
    /// Accepts the connections of a listener, by this configuration.
    #[must_use]
    pub fn new(listener: TcpListener, configuration: Arc<ServerConfig>) -> Self {
        let (accepted, handshakes) = (Arc::default(), JoinSet::new());
        Self { listener, configuration, accepted, handshakes }
    }

    /// The number of TCP connections so far, with those that complete no handshake. It goes on
    /// counting.
    #[must_use]
    pub fn accepted(&self) -> Arc<AtomicUsize> {
        Arc::clone(&self.accepted)
    }

    fn begin(&mut self, stream: TcpStream, address: SocketAddr) {
        self.accepted.fetch_add(1, Ordering::SeqCst);
        // Without `TCP_NODELAY`, an answer waits until the client has acknowledged earlier data.
        let _ = stream.set_nodelay(true);
        let handshake = TlsAcceptor::from(Arc::clone(&self.configuration)).accept(stream);
        self.handshakes.spawn(async move {
            let stream = tokio::time::timeout(HANDSHAKE, handshake).await.ok()?.ok()?;
            Some((stream, address))
        });
    }
}

impl Listener for TlsListener {
    type Io = TlsStream<TcpStream>;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (Self::Io, SocketAddr) {
        loop {
            tokio::select! {
                accepted = self.listener.accept() => {
                    if let Ok((stream, address)) = accepted {
                        self.begin(stream, address);
                    }
                }
                Some(ended) = self.handshakes.join_next() => {
                    if let Ok(Some(ready)) = ended {
                        return ready;
                    }
                }
            }
        }
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        self.listener.local_addr()
    }
}
