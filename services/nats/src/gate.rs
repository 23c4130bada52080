//! Runs before each of the driver's attempts to connect. It checks the addresses against the rules,
//! backs off, and stops once the server rejects the credentials.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, LazyLock, Mutex as Lock, PoisonError, Weak};
use std::time::Duration;

use async_nats::{Auth, AuthError, Client, ReconnectToServer, ServerAddr};
use backing_services_runtime::Service as _;
use backing_services_runtime::service::Target;
use backing_services_runtime::service::reconnect::ReconnectAttempts;
use backing_services_runtime::service::time::run_until_cancelled;
use tokio::sync::Notify;

use super::Nats;
use crate::credentials::Credentials;
use crate::visit::visit;

/// The limit of attempts in a row by the driver that fail although a visit of our own has just
/// succeeded. Then the client ends.
pub(super) const MOST_ATTEMPTS: usize = 8;

/// The host and the port of a server that does not exist: nothing listens on the port 0 (RFC 6335,
/// 6). The driver has no way to end its attempts other than that they fail.
pub(super) const NOWHERE: &str = "127.0.0.1:0";

/// Decides when the driver may connect.
pub(super) struct ReconnectGate {
    credentials: Credentials,
    address: ServerAddr,
    nowhere: ServerAddr,
    /// True before the driver's first attempt: a visit has just succeeded, and is not repeated.
    is_first: AtomicBool,
    /// True once no more credentials are given out: the resource is detached, or the server
    /// rejected them.
    is_shut: AtomicBool,
    shutting: Notify,
    attempts: ReconnectAttempts,
}

impl ReconnectGate {
    pub(super) fn new(
        target: Target,
        credentials: Credentials,
        address: ServerAddr,
        nowhere: ServerAddr,
    ) -> Arc<Self> {
        Arc::new(Self {
            attempts: ReconnectAttempts::new(Nats::NAME, &target),
            credentials,
            address,
            nowhere,
            is_first: AtomicBool::new(true),
            is_shut: AtomicBool::new(false),
            shutting: Notify::new(),
        })
    }

    /// Waits until the driver may connect. If the gate is shut, it returns at once, and the driver
    /// is sent [`NOWHERE`], [`MOST_ATTEMPTS`] times. Then the driver ends.
    pub(super) async fn pass(self: Arc<Self>, has_failed: bool) -> Option<ReconnectToServer> {
        if !self.is_first.swap(false, Ordering::AcqRel) {
            if !has_failed {
                self.attempts.reset();
            }
            self.attempts.postpone();
            while !self.is_shut() {
                let target = self.attempts.target();
                let visiting = async {
                    self.attempts.wait().await;
                    visit(&target, &self.credentials).await
                };
                match run_until_cancelled(self.shutting.notified(), visiting).await {
                    None | Some(Ok(_)) => break,
                    Some(Err(refusal)) => {
                        if self.attempts.failed(&target, &refusal) {
                            self.shut();
                        }
                    }
                }
            }
        }
        let address = if self.is_shut() { &self.nowhere } else { &self.address };
        Some(ReconnectToServer { addr: address.clone(), delay: Some(Duration::ZERO) })
    }

    /// The credentials for the driver.
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

/// Shuts a gate when it is dropped, unless the client was handed out.
pub(super) struct ShutOnDrop(Option<Arc<ReconnectGate>>);

impl ShutOnDrop {
    pub(super) const fn new(gate: Arc<ReconnectGate>) -> Self {
        Self(Some(gate))
    }

    pub(super) fn keep_open(mut self) {
        self.0 = None;
    }
}

impl Drop for ShutOnDrop {
    fn drop(&mut self) {
        if let Some(gate) = self.0.take() {
            gate.shut();
        }
    }
}

/// The gates by client, as the driver's client has no place for data of ours. The key is the
/// address of the client's statistics. They live as long as the driver's task, which holds the
/// gate.
static GATES: LazyLock<Lock<HashMap<usize, Weak<ReconnectGate>>>> = LazyLock::new(Lock::default);

fn key(client: &Client) -> usize {
    Arc::as_ptr(&client.statistics()).addr()
}

pub(super) fn remember(client: &Client, gate: &Arc<ReconnectGate>) {
    let mut gates = GATES.lock().unwrap_or_else(PoisonError::into_inner);
    gates.retain(|_, gate| gate.strong_count() > 0);
    gates.insert(key(client), Arc::downgrade(gate));
}

/// Shuts the gate of a client, if it is open.
pub(super) fn shut(client: &Client) {
    let gate = GATES.lock().unwrap_or_else(PoisonError::into_inner).remove(&key(client));
    if let Some(gate) = gate.and_then(|gate| gate.upgrade()) {
        gate.shut();
    }
}
