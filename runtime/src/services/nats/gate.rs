//! What stands before each of the driver's attempts to connect: it holds the addresses against the rules, backs off, and stops when the server does
//! not accept the credentials any more.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, LazyLock, Mutex as Lock, PoisonError, Weak};
use std::time::Duration;

use async_nats::{Auth, AuthError, Client, ReconnectToServer, ServerAddr};
use tokio::sync::{Mutex, Notify};

use super::Nats;
use crate::net::reconnect::ReconnectBackoff;
use crate::service::Service as _;
use crate::service::target::Target;
use crate::services::nats::credentials::Credentials;
use crate::services::nats::visit::visit;

/// The driver's attempts in a row that fail although a visit of our own has just been let in: then it ends.
pub(super) const MOST_ATTEMPTS: usize = 8;

/// Stands before the driver.
pub(super) struct Gate {
    target: Target,
    credentials: Credentials,
    address: ServerAddr,
    /// The first time, somebody has just visited the server.
    is_first: AtomicBool,
    /// The credentials are given out no more: the resource is detached, or the server does not accept them.
    is_shut: AtomicBool,
    shutting: Notify,
    again: Mutex<ReconnectBackoff>,
}

impl Gate {
    pub(super) fn new(target: Target, credentials: Credentials, address: ServerAddr) -> Arc<Self> {
        Arc::new(Self {
            target,
            credentials,
            address,
            is_first: AtomicBool::new(true),
            is_shut: AtomicBool::new(false),
            shutting: Notify::new(),
            again: Mutex::new(ReconnectBackoff::new()),
        })
    }

    /// Waits until the driver may connect. Past a gate that is shut it comes at once, gets no credentials, and so ends after [`MOST_ATTEMPTS`].
    pub(super) async fn pass(self: Arc<Self>, has_failed: bool) -> Option<ReconnectToServer> {
        if !self.is_first.swap(false, Ordering::AcqRel) {
            let mut again = self.again.lock().await;
            if !has_failed {
                *again = ReconnectBackoff::new();
            }
            again.postpone();
            while !self.is_shut() {
                let visited = async {
                    again.wait().await;
                    visit(&self.target, &self.credentials).await
                };
                let visited = tokio::select! {
                    visited = visited => visited,
                    () = self.shutting.notified() => break,
                };
                match visited {
                    Ok(_) => break,
                    Err(refusal) => {
                        again.failed(&refusal);
                        let given_up = again.has_given_up();
                        tracing::warn!(service = Nats::NAME, endpoint = %self.target.locator(), given_up, "not connected again: {refusal}");
                        if given_up {
                            self.shut();
                        }
                    }
                }
            }
        }
        Some(ReconnectToServer { addr: self.address.clone(), delay: Some(Duration::ZERO) })
    }

    /// What the driver logs in with.
    pub(super) fn auth(&self, nonce: &[u8]) -> Result<Auth, AuthError> {
        if self.is_shut() {
            return Err(AuthError::new(
                "the resource is detached, or the server does not accept the credentials",
            ));
        }
        self.credentials.auth(nonce).map_err(|_| AuthError::new("the server gives nothing to sign"))
    }

    pub(super) fn shut(&self) {
        self.is_shut.store(true, Ordering::Release);
        self.shutting.notify_one();
    }

    fn is_shut(&self) -> bool {
        self.is_shut.load(Ordering::Acquire)
    }
}

/// The gates, each by its client: the driver's client has no place for anything of ours. What tells clients apart is where their statistics are, which live as
/// long as the driver's task, and that holds the gate.
static GATES: LazyLock<Lock<HashMap<usize, Weak<Gate>>>> = LazyLock::new(Lock::default);

fn key(client: &Client) -> usize {
    Arc::as_ptr(&client.statistics()).addr()
}

pub(super) fn remember(client: &Client, gate: &Arc<Gate>) {
    let mut gates = GATES.lock().unwrap_or_else(PoisonError::into_inner);
    gates.retain(|_, gate| gate.strong_count() > 0);
    gates.insert(key(client), Arc::downgrade(gate));
}

pub(super) fn forget(client: &Client) -> Option<Arc<Gate>> {
    GATES.lock().unwrap_or_else(PoisonError::into_inner).remove(&key(client))?.upgrade()
}
