//! A relay between a client and a server. It counts connections, and can stop forwarding on
//! request, as a network does.

use std::fmt;
use std::sync::atomic::{AtomicU16, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

use crate::conformance::hostile;

/// A port of the loopback interface that leads to another one.
pub struct Relay {
    /// The port that it listens on.
    pub port: u16,
    target: Arc<AtomicU16>,
    flow: watch::Sender<Flow>,
    accepted: Arc<AtomicUsize>,
    open: Arc<AtomicUsize>,
    heard: Heard,
}

/// The recorded bytes may hold a secret.
impl fmt::Debug for Relay {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Relay").field("port", &self.port).finish_non_exhaustive()
    }
}

/// The first bytes of all clients.
type Heard = Arc<Mutex<Vec<u8>>>;

/// The number of bytes of clients that are recorded.
const RECORDED: usize = 64 * 1024;

/// The mode of the relay.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Flow {
    /// Bytes are forwarded.
    Open,
    /// Bytes are held back: nothing is lost, nothing is closed, nothing arrives.
    Silent,
    /// Bytes are forwarded after this number of milliseconds, which is half of a round trip.
    Slow(u64),
    /// Bytes of the server are forwarded one by one, with this pause after each.
    Drip(Duration),
    /// This number of bytes of the server is forwarded on each connection, and then nothing.
    SilentAfter(usize),
    /// Connections are closed, and new ones are closed at once.
    ForcedClose,
}

impl Relay {
    /// A relay to a port of the loopback interface.
    #[must_use]
    pub fn to(target: u16) -> Self {
        let listener = hostile::listen();
        let port = listener.local_addr().expect("a port").port();
        let (flow, watched) = watch::channel(Flow::Open);
        let target = Arc::new(AtomicU16::new(target));
        let current = Arc::clone(&target);
        let heard = Heard::default();
        let record = Arc::clone(&heard);
        let (accepted, open) = (Arc::<AtomicUsize>::default(), Arc::<AtomicUsize>::default());
        let (count, count_open) = (Arc::clone(&accepted), Arc::clone(&open));
        hostile::runtime().spawn(async move {
            let listener = TcpListener::from_std(listener).expect("a listener");
            while let Ok((client, _)) = listener.accept().await {
                count.fetch_add(1, Ordering::SeqCst);
                count_open.fetch_add(1, Ordering::SeqCst);
                let target = current.load(Ordering::SeqCst);
                let relayed = relay(client, target, watched.clone(), Arc::clone(&record));
                let open = Arc::clone(&count_open);
                tokio::spawn(async move {
                    relayed.await;
                    open.fetch_sub(1, Ordering::SeqCst);
                });
            }
        });
        Self { port, target, flow, accepted, open, heard }
    }

    /// Leads new connections to another port.
    pub fn lead_to(&self, target: u16) {
        self.target.store(target, Ordering::SeqCst);
    }

    /// Changes the mode for every connection.
    pub fn set(&self, flow: Flow) {
        self.flow.send_replace(flow);
    }

    /// The first bytes that clients have sent, of all connections.
    #[must_use]
    pub fn heard(&self) -> Vec<u8> {
        self.heard.lock().expect("the record").clone()
    }

    /// The number of connections so far.
    #[must_use]
    pub fn accepted(&self) -> usize {
        self.accepted.load(Ordering::SeqCst)
    }

    /// Waits until both sides have closed every connection. If the relay is silent, it does not
    /// notice that.
    ///
    /// # Panics
    /// If one is still open after some seconds: the client leaks it.
    pub async fn assert_all_closed(&self) {
        for _ in 0..100 {
            if self.open.load(Ordering::SeqCst) == 0 {
                return;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        panic!("{} connections are still open", self.open.load(Ordering::SeqCst));
    }
}

async fn relay(client: TcpStream, target: u16, flow: watch::Receiver<Flow>, heard: Heard) {
    let mut cut = flow.clone();
    let both = async {
        let Ok(server) = TcpStream::connect(("127.0.0.1", target)).await else { return };
        let (from_client, to_client) = client.into_split();
        let (from_server, to_server) = server.into_split();
        tokio::join!(
            pass(from_client, to_server, flow.clone(), Side::Client(heard)),
            pass(from_server, to_client, flow, Side::Server)
        );
    };
    tokio::select! {
        () = both => {}
        _ = cut.wait_for(|flow| *flow == Flow::ForcedClose) => {}
    }
}

/// The side that sends.
enum Side {
    /// Its bytes are recorded.
    Client(Heard),
    Server,
}

impl Side {
    const fn is_server(&self) -> bool {
        matches!(self, Self::Server)
    }
}

async fn pass(
    mut from: OwnedReadHalf,
    mut to: OwnedWriteHalf,
    mut flow: watch::Receiver<Flow>,
    side: Side,
) {
    let mut bytes = vec![0; 16 * 1024];
    let mut passed = 0;
    while let Ok(count @ 1..) = from.read(&mut bytes).await {
        let mut rest = &bytes[..count];
        if let Side::Client(heard) = &side {
            let mut heard = heard.lock().expect("the record");
            let room = RECORDED.saturating_sub(heard.len());
            heard.extend_from_slice(&rest[..room.min(rest.len())]);
        }
        while !rest.is_empty() {
            let goes = |flow: &Flow| match *flow {
                Flow::Open | Flow::Slow(_) | Flow::Drip(_) => true,
                Flow::SilentAfter(most) => !side.is_server() || passed < most,
                Flow::Silent | Flow::ForcedClose => false,
            };
            let Ok(flow) = flow.wait_for(goes).await.map(|flow| *flow) else { return };
            let (pause, most) = match flow {
                Flow::Slow(milliseconds) => (Duration::from_millis(milliseconds), rest.len()),
                Flow::Drip(pause) if side.is_server() => (pause, 1),
                Flow::SilentAfter(most) if side.is_server() => (Duration::ZERO, most - passed),
                _ => (Duration::ZERO, rest.len()),
            };
            if !pause.is_zero() {
                tokio::time::sleep(pause).await;
            }
            let (now, later) = rest.split_at(most.min(rest.len()));
            if to.write_all(now).await.is_err() {
                return;
            }
            passed += now.len();
            rest = later;
        }
    }
}
