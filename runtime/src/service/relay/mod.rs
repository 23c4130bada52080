//! A relay: an endpoint inside of the process, for a driver that takes only an address.
//!
//! The driver connects to the endpoint without TLS. For each of its connections, the relay dials
//! the server ([`Target::dial`]: address rules, TLS of this crate, the resource's own trust), logs
//! in, and then copies the messages of both sides. So the driver has no password, no certificate
//! and no address, and it cannot connect to the server in another way.
//!
//! The service's [`Protocol`] knows how to log in, and checks the server's messages.
//!
//! # Gates
//! Two gates keep others out: the peer of the socket is this process, and the user name that the
//! driver sends is the [`Token`] of this relay. A system without Unix sockets has the second only.
//! A connection of another process is closed, has got nothing, and is logged.
//!
//! # Life
//! A relay belongs to one client: [`Attachment::with_relay`](crate::service::Attachment). When the
//! client is closed, the relay opens no connection any more. When the time for closing is over, it
//! ends those that are left. Then its connections, its task and its folder are gone, as they are
//! when it is dropped.

mod copying;
mod endpoint;

use std::fmt;
use std::io;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use crate::net::metered::{FrameCheck, Metered};
use crate::net::progress::{self, Progress, reporting};
use crate::net::random_name::random_name;
use crate::net::tasks::Tasks;
use crate::net::time::{run_until_cancelled, with_timeout};
use crate::report::finding::Failure;
use crate::report::refusal::Refusal;
use crate::service::connections::{Connections, CountedConnection};
use crate::service::dial::Stream;
use crate::service::reconnect::ReconnectAttempts;
use crate::service::target::Target;

use self::endpoint::Endpoint;
pub use self::endpoint::{Address, DriverStream};

/// A protocol between a driver and its server, of which the relay does the beginning.
pub trait Protocol: Send + Sync + 'static {
    /// The driver's first message, if the driver sends first.
    type Hello: Send;

    /// Checks what the server sends after the login.
    type Check: FrameCheck + Send + Unpin;

    /// Reads the driver's first message, and checks that it holds the token. `None` ends the
    /// connection: the driver's message is complete without an answer.
    ///
    /// # Errors
    /// The driver sent something else.
    fn greet(
        &self,
        opening: &mut Opening<'_>,
    ) -> impl Future<Output = Result<Option<Self::Hello>, Refusal>> + Send;

    /// Dials the server and logs in. Then it answers the driver as the server would. A driver that
    /// sends second sends the token here.
    ///
    /// The future is dropped if the driver hangs up.
    ///
    /// # Errors
    /// [`Refusal`], as of [`Service::connect`](crate::Service::connect).
    fn open(
        &self,
        hello: Self::Hello,
        opening: &mut Opening<'_>,
    ) -> impl Future<Output = Result<Metered<Stream, Self::Check>, Refusal>> + Send;

    /// Sends the driver an error in its protocol, in this crate's own words. Unless the connection
    /// is settled, it must be one after which the driver does not try again.
    fn refuse(
        &self,
        opening: &mut Opening<'_>,
        refusal: &Refusal,
    ) -> impl Future<Output = io::Result<()>> + Send;
}

/// A connection that a driver opens.
#[derive(Debug)]
#[non_exhaustive]
pub struct Opening<'a> {
    /// The driver's side.
    pub driver: &'a mut DriverStream,
    /// The user name that the driver has to send.
    pub token: &'a Token,
    /// The target of the login. It has the newest credentials.
    pub target: &'a Target,
    /// Set once the service has attached.
    pub settled: Settled,
    /// True if the peer has not the token: [`Self::refuse_stranger`].
    is_strange: bool,
}

impl Opening<'_> {
    /// The peer has not the token. It gets no answer, and that is logged.
    #[must_use]
    pub fn refuse_stranger(&mut self) -> Refusal {
        self.is_strange = true;
        Failure::closed().into()
    }
}

/// A mark that is set once the probe of attaching has been answered. Until then, a server may send
/// little. Clones are one.
#[derive(Clone, Debug, Default)]
pub struct Settled(Arc<AtomicBool>);

impl Settled {
    /// Not yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// True once it was set.
    #[must_use]
    pub fn get(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }

    /// The probe has been answered.
    pub fn set(&self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// The user name of a relay's driver: random, and known to no other program.
#[derive(Clone)]
pub struct Token(String);

impl Token {
    /// The name, for the driver's options. It is of no use elsewhere.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// True if the driver sent this token. The time that it takes does not depend on the bytes.
    #[must_use]
    pub fn is(&self, sent: &[u8]) -> bool {
        let own = self.0.as_bytes();
        let differences = own.iter().zip(sent).fold(0, |sum, (own, sent)| sum | (own ^ sent));
        own.len() == sent.len() && differences == 0
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Token")
    }
}

/// A relay that runs. It ends when it is dropped.
pub struct Relay {
    address: Address,
    token: Token,
    shared: Arc<Shared>,
    _running: Tasks<()>,
}

impl Drop for Relay {
    fn drop(&mut self) {
        self.shared.end();
    }
}

/// The state of a relay that does not depend on the protocol.
struct Shared {
    attempts: ReconnectAttempts,
    connections: Connections,
    /// The reason why the last connection was refused, or ended by a check.
    refusal: Mutex<Option<Refusal>>,
    settled: Settled,
    /// The function that closes the driver.
    at_end: Mutex<Option<AtEnd>>,
    /// When a stranger was reported.
    reported: Mutex<Option<Instant>>,
}

/// A function that is called when a relay ends.
type AtEnd = Box<dyn FnOnce() + Send>;

/// The pause between two reports of strangers: one who floods the endpoint does not flood the log.
const REPORTING: Duration = Duration::from_secs(60);

/// The limits of the steps of an opening end before its own does: their errors are more precise.
const GRACE: Duration = Duration::from_secs(1);

/// The time that a driver has to take the answer that its connection is refused.
const REFUSING: Duration = Duration::from_secs(1);

impl Relay {
    /// Begins to listen. `service` is [`Service::NAME`](crate::Service::NAME), for logs. `file`
    /// is the name of the socket, as the driver demands it.
    ///
    /// # Errors
    /// [`Refusal`], if there is nowhere to listen.
    pub fn start(
        service: &'static str,
        protocol: impl Protocol,
        target: &Target,
        file: &str,
    ) -> Result<Self, Refusal> {
        let (endpoint, token) = (Endpoint::bind(file)?, Token(random_name()?));
        let shared = Arc::new(Shared {
            attempts: ReconnectAttempts::new(service, target),
            connections: Connections::new(),
            refusal: Mutex::new(None),
            settled: Settled::default(),
            at_end: Mutex::new(None),
            reported: Mutex::new(None),
        });
        let address = endpoint.address().clone();
        let mut running = Tasks::new();
        let serving = Serving {
            service,
            protocol: Arc::new(protocol),
            token: token.clone(),
            progress: progress::receiver(),
            shared: Arc::clone(&shared),
        };
        let ended = shared.connections.ended();
        // The endpoint ends with it, and so does its folder.
        running.spawn(async move {
            let _ = run_until_cancelled(ended, serving.run(endpoint)).await;
        });
        Ok(Self { address, token, shared, _running: running })
    }

    /// The address for the driver.
    #[must_use]
    pub const fn address(&self) -> &Address {
        &self.address
    }

    /// The user name for the driver.
    #[must_use]
    pub const fn token(&self) -> &Token {
        &self.token
    }

    /// The reason why the last connection of the driver was refused or ended, in more detail than
    /// the driver's error has it.
    #[must_use]
    pub fn refusal(&self) -> Option<Refusal> {
        self.shared.refusal().clone()
    }

    /// Closes the driver when this relay ends, however it does: its path is then free, and what
    /// listens there would be taken for the server. `close` must not wait.
    #[must_use]
    pub fn closing(self, close: impl FnOnce() + Send + 'static) -> Self {
        *locked(&self.shared.at_end) = Some(Box::new(close));
        self
    }

    /// The server has answered the probe. From now on it may send what the application asks for.
    /// An opening that fails is logged and followed by a pause.
    pub fn settle(&self) {
        self.shared.settled.set();
    }

    /// The limit for the driver to wait for a connection: longer than an opening takes, so that the
    /// driver gets the reason why it failed.
    #[must_use]
    pub fn patience(target: &Target) -> Duration {
        target.opening_timeout() + 2 * GRACE
    }

    /// The next connections log in with this target's credentials.
    pub(crate) fn renew(&self, target: &Target) {
        self.shared.attempts.renew(target);
    }

    /// Opens no connection any more. The future waits for the end of those that there are. If it is
    /// dropped, it ends them.
    pub(crate) fn close(&self) -> impl Future<Output = ()> + Send + 'static {
        self.shared.connections.close()
    }
}

impl fmt::Debug for Relay {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Relay").field("connections", &self.shared.connections).finish()
    }
}

fn locked<T>(of: &Mutex<T>) -> MutexGuard<'_, T> {
    of.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Shared {
    fn refusal(&self) -> MutexGuard<'_, Option<Refusal>> {
        locked(&self.refusal)
    }

    /// Closes the driver, once.
    fn end(&self) {
        let at_end = locked(&self.at_end).take();
        if let Some(close) = at_end {
            close();
        }
    }
}

/// Ends the relay's state before its endpoint is gone.
struct EndOnDrop(Arc<Shared>);

impl Drop for EndOnDrop {
    fn drop(&mut self) {
        self.0.end();
    }
}

/// The task of a relay, and what each of its connections needs.
struct Serving<P> {
    service: &'static str,
    protocol: Arc<P>,
    token: Token,
    /// The display of attaching, which the relay works for.
    progress: Option<Arc<dyn Progress>>,
    shared: Arc<Shared>,
}

impl<P> Clone for Serving<P> {
    fn clone(&self) -> Self {
        Self {
            service: self.service,
            protocol: Arc::clone(&self.protocol),
            token: self.token.clone(),
            progress: self.progress.clone(),
            shared: Arc::clone(&self.shared),
        }
    }
}

impl<P: Protocol> Serving<P> {
    async fn run(self, endpoint: Endpoint) {
        let _ending = EndOnDrop(Arc::clone(&self.shared));
        let mut connections = Tasks::new();
        loop {
            let accepting = endpoint.accept(|| self.report_stranger());
            let ended = async {
                // Without a connection, there is no end to wait for.
                if connections.join_next().await.is_none() {
                    std::future::pending::<()>().await;
                }
            };
            match run_until_cancelled(ended, accepting).await {
                Some(Ok(driver)) => {
                    connections.spawn(self.clone().serve(driver));
                }
                // A connection has ended.
                None => {}
                // Out of file descriptors, for example. The driver waits, up to its limit.
                Some(Err(error)) => {
                    tracing::error!(
                        service = self.service,
                        "the driver's connection was not accepted: {}",
                        error.kind()
                    );
                    tokio::time::sleep(REFUSING).await;
                }
            }
        }
    }

    fn report_stranger(&self) {
        let mut reported = locked(&self.shared.reported);
        if reported.is_some_and(|reported| reported.elapsed() < REPORTING) {
            return;
        }
        *reported = Some(Instant::now());
        tracing::error!(
            service = self.service,
            endpoint = %self.shared.attempts.target().locator(),
            "a stranger connected to the endpoint of this process's driver: another process, or \
             one without the driver's name; it was refused, and has got nothing"
        );
    }

    /// One connection of the driver, from its beginning to its end.
    async fn serve(self, mut driver: DriverStream) {
        let gone = driver.hang_up();
        let opening = self.shared.connections.open(|counted| async {
            // A caller that gives up has not met a failure of the server.
            let server = run_until_cancelled(gone, self.open(&mut driver)).await;
            let server = server.unwrap_or(Ok(None))?;
            Ok(server.map(|server| (server, counted)))
        });
        match opening.await {
            Ok(Some((server, counted))) => self.copy(driver, server, &counted).await,
            Ok(None) => {}
            // The driver is closed, too.
            Err(_) if self.shared.connections.are_closed() => {}
            Err(refusal) => {
                *self.shared.refusal() = Some(refusal.clone());
                let target = self.shared.attempts.target();
                let mut opening = self.opening(&mut driver, &target);
                // The driver may be gone.
                let refusing = self.protocol.refuse(&mut opening, &refusal);
                let _ = with_timeout(REFUSING, refusing).await;
            }
        }
    }

    fn opening<'a>(&'a self, driver: &'a mut DriverStream, target: &'a Target) -> Opening<'a> {
        let settled = self.shared.settled.clone();
        Opening { driver, token: &self.token, target, settled, is_strange: false }
    }

    /// Opens the server's side of a connection. `None` if the driver wants none.
    async fn open(
        &self,
        driver: &mut DriverStream,
    ) -> Result<Option<Metered<Stream, P::Check>>, Refusal> {
        let Shared { attempts, settled, .. } = &*self.shared;
        let target = attempts.target();
        let mut opening = self.opening(driver, &target);
        let greeting = self.protocol.greet(&mut opening);
        let greeted = with_timeout(target.connect_timeout(), greeting).await?;
        if opening.is_strange {
            self.report_stranger();
            return Ok(None);
        }
        let Some(hello) = greeted? else { return Ok(None) };
        // A pool waits for its connection, so a pause after a failed attempt is waited for.
        let target = match attempts.admit() {
            Ok(target) => target,
            Err(_) => {
                attempts.wait().await;
                attempts.admit()?
            }
        };
        let mut opening = Opening { target: &target, ..opening };
        let limit = target.opening_timeout() + GRACE;
        let progress = self.progress.clone().filter(|_| !settled.get());
        let opened = reporting(progress, self.protocol.open(hello, &mut opening));
        let opened = with_timeout(limit, opened).await;
        let opened = opened.unwrap_or_else(|timed_out| Err(timed_out.into()));
        if opening.is_strange {
            self.report_stranger();
            return Ok(None);
        }
        match &opened {
            // Attaching reports its own result.
            _ if !settled.get() => {}
            // A pool that grows does not reconnect.
            Ok(_) if !attempts.have_failed() => {}
            Ok(_) => attempts.succeeded(&target),
            Err(refusal) => {
                attempts.failed(&target, refusal);
            }
        }
        opened.map(Some)
    }

    /// Copies until one side has ended, or until the client is cut.
    async fn copy(
        &self,
        mut driver: DriverStream,
        mut server: Metered<Stream, P::Check>,
        counted: &CountedConnection,
    ) {
        let hang_up = driver.hang_up();
        let copying = copying::copy(&mut driver, &mut server, hang_up);
        let ended = run_until_cancelled(counted.cut(), copying).await;
        if let Some(Err(error)) = ended
            && error.kind() == io::ErrorKind::InvalidData
        {
            *self.shared.refusal() = Some(Failure::protocol().into());
            // The words of a check.
            tracing::error!(
                service = self.service,
                endpoint = %self.shared.attempts.target().locator(),
                "a connection was ended: {error}"
            );
        }
    }
}
