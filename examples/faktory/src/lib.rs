//! A service in a crate of its own: [Faktory](https://contribsys.com/faktory/), a job server that
//! `backing-services` does not know.
//!
//! It shows that the trait is enough. The runtime provides the locator's grammar, the address
//! rules, verified TLS with the resource's own authority or pin, credentials from a file, the
//! deadline, reconnecting, the posture and the report. This crate only implements the protocol, and
//! does not trust the server's data:
//! <https://github.com/contribsys/faktory/blob/main/docs/protocol-specification.md>. Faktory has
//! one password, and no accounts. A client certificate does not replace the password.
//!
//! `tests/conformance.rs` runs the suite of cases that the services of `backing-services` pass.
//!
//! ```no_run
//! use backing_services::{BackingServices, Resource};
//! use backing_services_faktory::Faktory;
//!
//! #[derive(BackingServices)]
//! struct Services {
//!     /// Read from JOBS_URL: `tcp+tls://:password@faktory.internal:7419`.
//!     jobs: Resource<Faktory>,
//! }
//!
//! # async fn example() -> Result<(), Box<dyn std::error::Error>> {
//! let services = Services::attach().await?;
//! services.jobs.client().push("SendReceipt", &serde_json::json!([42])).await?;
//! # Ok(()) }
//! ```
//!
//! Its scheme is checked at its declaration. `tcp://`, which Faktory supports too, does not
//! compile:
//!
//! ```compile_fail,E0080
//! use backing_services::rules::Scheme;
//!
//! const SCHEMES: &[Scheme] = &[Scheme::tls("tcp")];
//! ```

use std::ops::RangeInclusive;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, SystemTime};

use backing_services_runtime::posture::ServerPosture;
use backing_services_runtime::problem::FailureKind;
use backing_services_runtime::rules::Scheme;
use backing_services_runtime::rules::rule::{MISSING_CREDENTIALS, WEAK_AUTHENTICATION};
use backing_services_runtime::secrecy::{ExposeSecret as _, SecretString};
use backing_services_runtime::service::reconnect::{Link, Reconnector};
use backing_services_runtime::service::time::with_timeout;
use backing_services_runtime::service::{Attachment, Attempt, Login, Refusal, Stream, Target};
use backing_services_runtime::{Failure, Finding, Posture, Service};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::sync::Mutex;

/// The service.
#[derive(Clone, Copy, Debug)]
pub struct Faktory;

/// The numbers of hash rounds that the server may request. Faktory requests 4000 to 9000. With few
/// rounds, the hash gives the password away; a million take a second.
const ROUNDS: RangeInclusive<u64> = 4000..=100_000;

/// The longest line that is read, in bytes. `INFO` has some 1000.
const LONGEST_LINE: usize = 64 * 1024;

/// The limit for an answer.
const ANSWER: Duration = Duration::from_secs(5);

impl Service for Faktory {
    type Client = Client;
    type Guard = backing_services_runtime::resource::ClientGuard<Self>;

    const NAME: &'static str = "Faktory";
    const SCHEMES: &'static [Scheme] = &[Scheme::tls("tcp+tls").with_port(7419)];
    const LOGIN: Login = Login::Password;

    async fn connect(target: &Target, _: Attempt) -> Result<Attachment<Client>, Refusal> {
        let (connection, posture) = Connection::open(target).await?;
        Ok(Attachment::new(Client(Reconnector::new(target, connection)), posture))
    }

    async fn health(client: &Client) -> Result<(), Refusal> {
        client.0.get().await?.ask("INFO").await.map(drop)
    }

    async fn close(client: &Client) {
        if let Some(connection) = client.0.close().await {
            connection.end().await;
        }
    }
}

/// A client of a Faktory server. Clones share one connection, which is opened again after it broke.
#[derive(Clone, Debug)]
pub struct Client(Reconnector<Connection>);

impl Client {
    /// Pushes a job, and returns its id.
    ///
    /// # Errors
    /// [`Refusal`], if the server does not answer, or does not confirm the job.
    pub async fn push(&self, kind: &str, arguments: &Value) -> Result<String, Refusal> {
        let id = SystemTime::now()
            .duration_since(SystemTime::UNIX_EPOCH)
            .unwrap_or_default()
            .as_nanos()
            .to_string();
        let job = json!({ "jid": id, "jobtype": kind, "args": arguments });
        self.0.get().await?.command(&format!("PUSH {job}")).await?;
        Ok(id)
    }
}

/// A connection. Its users take turns.
#[derive(Debug)]
struct Connection {
    /// `None` once it broke.
    stream: Mutex<Option<Stream>>,
    is_broken: AtomicBool,
}

impl Link for Connection {
    const SERVICE: &'static str = Faktory::NAME;

    fn is_alive(&self) -> bool {
        !self.is_broken.load(Ordering::Relaxed)
    }

    async fn open(target: &Target) -> Result<Self, Refusal> {
        Ok(Self::open(target).await?.0)
    }
}

impl Connection {
    /// Dials, logs in, and asks the server for its version.
    async fn open(target: &Target) -> Result<(Self, Posture), Refusal> {
        let mut dialled = target.dial().await?;
        let mut posture = Posture::of::<Faktory>(target);
        posture.tls = dialled.tls;
        timely(log_in(&mut dialled.stream, target)).await?;
        posture.authentication = Some("salted SHA-256".to_owned());
        let connection =
            Self { stream: Mutex::new(Some(dialled.stream)), is_broken: AtomicBool::new(false) };
        let info = connection.ask("INFO").await?;
        posture.server = serde_json::from_str::<Value>(&info).ok().and_then(|info| {
            Some(ServerPosture::new("Faktory", info["server"]["faktory_version"].as_str()?))
        });
        Ok((connection, posture))
    }

    /// Sends a command whose answer is `+OK`.
    async fn command(&self, command: &str) -> Result<(), Refusal> {
        self.talk(async |stream| {
            send(stream, command).await?;
            if line(stream).await? == "+OK" { Ok(()) } else { Err(Failure::protocol().into()) }
        })
        .await
    }

    /// Sends a command, and reads the text of its answer: `$`, its length, and the text.
    async fn ask(&self, command: &str) -> Result<String, Refusal> {
        self.talk(async |stream| {
            send(stream, command).await?;
            let header = line(stream).await?;
            let length: usize = header
                .strip_prefix('$')
                .and_then(|length| length.parse().ok())
                .ok_or_else(Failure::protocol)?;
            if length > LONGEST_LINE {
                return Err(Failure::protocol().into());
            }
            let text = line(stream).await?;
            if text.len() == length { Ok(text) } else { Err(Failure::protocol().into()) }
        })
        .await
    }

    /// One exchange with the server. If it does not end well, its answer may still arrive: the
    /// connection is then used no more. That holds for a call that is dropped, too.
    async fn talk<T>(
        &self,
        exchange: impl AsyncFnOnce(&mut Stream) -> Result<T, Refusal>,
    ) -> Result<T, Refusal> {
        let mut place = timely(async { Ok(self.stream.lock().await) }).await?;
        let mut stream = place.take().ok_or_else(Failure::closed)?;
        let broken = Broken(&self.is_broken);
        let answer = timely(exchange(&mut stream)).await?;
        *place = Some(stream);
        std::mem::forget(broken);
        Ok(answer)
    }

    /// Faktory expects `END`; without it, it detects the closed connection.
    async fn end(&self) {
        let _ = timely(async {
            if let Some(mut stream) = self.stream.lock().await.take() {
                send(&mut stream, "END").await?;
                stream.shutdown().await.map_err(|_| Failure::closed())?;
            }
            Ok(())
        })
        .await;
    }
}

/// Marks a connection as broken when it is dropped.
struct Broken<'a>(&'a AtomicBool);

impl Drop for Broken<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// Reads the greeting, and proves the password. A server that asks for none admits every client.
async fn log_in(stream: &mut Stream, target: &Target) -> Result<(), Refusal> {
    let greeting: Value = line(stream)
        .await?
        .strip_prefix("+HI ")
        .and_then(|json| serde_json::from_str(json).ok())
        .ok_or_else(Failure::protocol)?;
    let Some(salt) = greeting.get("s").and_then(Value::as_str) else {
        let weak = "the server admits every client, without a password";
        return Err(Finding::new(&WEAK_AUTHENTICATION, weak).into());
    };
    let Some(password) = target.password() else {
        let missing = "the server wants a password";
        return Err(Finding::new(&MISSING_CREDENTIALS, missing).into());
    };
    let rounds = greeting.get("i").and_then(Value::as_u64).unwrap_or(1);
    if !ROUNDS.contains(&rounds) || salt.is_empty() {
        let weak = "the server wants the password hashed with too few or too many rounds, or \
                    without a salt";
        return Err(Finding::new(&WEAK_AUTHENTICATION, weak).into());
    }
    let proof = hash(password, salt, rounds);
    let hello = json!({ "v": 2, "hostname": "backing-services", "labels": [], "pwdhash": proof });
    send(stream, &format!("HELLO {hello}")).await?;
    if line(stream).await? == "+OK" {
        return Ok(());
    }
    let refused = "the server does not accept the password";
    let help = "check the password; it may have been rotated";
    Err(Failure::new(FailureKind::AuthenticationFailed, refused, help).into())
}

async fn send(stream: &mut Stream, line: &str) -> Result<(), Refusal> {
    stream.write_all(format!("{line}\r\n").as_bytes()).await.map_err(|_| Failure::closed())?;
    stream.flush().await.map_err(|_| Failure::closed())?;
    Ok(())
}

/// A line, without its end.
async fn line(stream: &mut Stream) -> Result<String, Refusal> {
    let mut line = Vec::new();
    while !line.ends_with(b"\r\n") {
        if line.len() == LONGEST_LINE {
            return Err(Failure::protocol().into());
        }
        line.push(stream.read_u8().await.map_err(|_| Failure::closed())?);
    }
    line.truncate(line.len() - 2);
    String::from_utf8(line).map_err(|_| Failure::protocol().into())
}

/// The hash that the server gets instead of the password.
fn hash(password: &SecretString, salt: &str, rounds: u64) -> String {
    let mut digest =
        Sha256::new().chain_update(password.expose_secret()).chain_update(salt).finalize();
    for _ in 1..rounds {
        digest = Sha256::digest(digest);
    }
    digest.iter().map(|byte| format!("{byte:02x}")).collect()
}

async fn timely<T>(work: impl Future<Output = Result<T, Refusal>>) -> Result<T, Refusal> {
    with_timeout(ANSWER, work).await?
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The example in the protocol's specification.
    #[test]
    fn hashes_as_the_specification_does() {
        assert_eq!(
            hash(&"foobar".into(), "55104dc76695721d", 1545),
            "6d877f8e5544b1f2598768f817413ab8a357afffa924dedae99eb91472d4ec30"
        );
    }
}
