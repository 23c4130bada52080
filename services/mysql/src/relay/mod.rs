//! The relay's part of a connection: the greetings, TLS, the login, and then the limits on the
//! server's messages.
//!
//! The server speaks first, but the driver is asked before TLS begins: the request for TLS holds
//! the capabilities that the driver wants, and a driver without the token gets no connection.

pub(crate) mod greeting;
pub(crate) mod limits;
pub(crate) mod login;
mod packet;
mod proof;

use std::io;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};

use backing_services_rules::rule::OPPORTUNISTIC_TLS;
use backing_services_runtime::posture::TlsPosture;
use backing_services_runtime::problem::FailureKind;
use backing_services_runtime::service::metered::Metered;
use backing_services_runtime::service::reconnect::ReconnectBackoff;
use backing_services_runtime::service::relay::{DriverStream, Opening, Protocol};
use backing_services_runtime::service::time::with_timeout;
use backing_services_runtime::service::{Refusal, Stream, Target};
use backing_services_runtime::{Failure, Finding};
use ring::rand::{SecureRandom as _, SystemRandom};
use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout_at};

use self::greeting::{DEPRECATE_EOF, DriverLogin, Greeting, NONCE, SSL};
use self::limits::MessageLimits;
use self::login::{Login, Plugin};
use self::packet::Packets;
use crate::failure::number;

/// The result of the pool's first login, which the posture reports.
#[derive(Debug)]
pub(crate) struct FirstLogin {
    pub(crate) tls: Option<TlsPosture>,
    pub(crate) plugin: Plugin,
    /// The capabilities that the driver was offered.
    offered: u32,
}

/// The protocol of MySQL and MariaDB.
#[derive(Debug)]
pub(crate) struct MySqlProtocol {
    /// The limit of one message of the server in bytes.
    pub(crate) largest: u64,
    pub(crate) first: Arc<OnceLock<FirstLogin>>,
    /// True after a rejected proof of a nonce that arrived without TLS.
    pub(crate) distrusts_nonce: AtomicBool,
}

impl MySqlProtocol {
    /// The capabilities arrive without TLS, and change what answers mean. So none may be missing
    /// that the first greeting had.
    fn check_offer(&self, greeting: &Greeting) -> Result<(), Refusal> {
        let first = self.first.get().map_or(0, |first| first.offered);
        if first & !greeting.offered() == 0 {
            return Ok(());
        }
        Err(Failure::new(
            FailureKind::Unavailable,
            "the server's greeting offers less than it did when the resource was attached",
            "if the server was changed, attach again; if not, ask who answers there",
        )
        .into())
    }
}

impl Protocol for MySqlProtocol {
    type Hello = ();
    type Check = MessageLimits;

    /// The server speaks first.
    async fn greet(&self, _: &mut Opening<'_>) -> Result<Option<()>, Refusal> {
        Ok(Some(()))
    }

    async fn open(
        &self,
        (): (),
        opening: &mut Opening<'_>,
    ) -> Result<Metered<Stream, MessageLimits>, Refusal> {
        let (target, limit) = (opening.target, opening.target.connect_timeout());
        let late = |_| Failure::no_greeting();
        let mut server = Packets::new(dial(target, opening.settled.get()).await?, 0);
        let packet = with_timeout(limit, server.read()).await.map_err(late)??;
        let greeting = Greeting::read(&packet, !target.is_plaintext())?;
        self.check_offer(&greeting)?;
        if !target.is_plaintext() && greeting.capabilities & SSL == 0 {
            return Err(without_tls(target));
        }

        let mut driver = Packets::new(&mut *opening.driver, 0);
        let login = ask_driver(&mut driver, &greeting).await?;
        if !opening.token.is(&login.user) {
            return Err(opening.refuse_stranger());
        }

        if !target.is_plaintext() {
            let request = login.request(login::added(target));
            let requesting = server.write(&request);
            with_timeout(limit, requesting).await.map_err(late)??;
        }
        let (next, connection) = (server.next(), server.into_inner());
        if !target.is_plaintext() {
            nothing_early(&connection)?;
        }
        let dialled = target.encrypt(connection).await?;
        let mut server = Packets::new(dialled.stream, next);
        let logging_in = Login {
            target,
            greeting: &greeting,
            driver: &login,
            first: self.first.get().map(|first| first.plugin),
            distrusts_nonce: self.distrusts_nonce.load(Ordering::Relaxed),
        };
        let begins = logging_in.begin().is_some();
        let logged_in = with_timeout(limit, logging_in.run(&mut server)).await.map_err(late)?;
        let plugin = logged_in.map_err(|refusal| {
            // An attacker may have changed the nonce. The next login gets one within TLS.
            let is_doubtful = begins && !target.is_plaintext() && is_rejection(&refusal);
            if is_doubtful && !self.distrusts_nonce.swap(true, Ordering::Relaxed) {
                return if opening.settled.get() { passing(refusal) } else { refusal };
            }
            refusal
        })?;
        let offered = greeting.offered();
        self.first.get_or_init(|| FirstLogin { tls: dialled.tls, plugin, offered });
        driver.write(OK).await?;
        let without_eof = login.capabilities & DEPRECATE_EOF != 0;
        let limits = MessageLimits::new(self.largest, Some(opening.settled.clone()), without_eof);
        Ok(Metered::new(server.into_inner(), limits))
    }

    async fn refuse(&self, opening: &mut Opening<'_>, refusal: &Refusal) -> io::Result<()> {
        let text = refusal.to_string();
        let head = [&[0xff], &number(refusal).to_le_bytes()[..], b"#HY000"].concat();
        let packet = [&head, text.as_bytes()].concat();
        let length = packet.len().min(packet::LONGEST);
        let [a, b, c, _] = u32::try_from(length).unwrap_or_default().to_le_bytes();
        opening.driver.write_all(&[&[a, b, c, 0], &packet[..length]].concat()).await?;
        opening.driver.flush().await
    }
}

/// `OK_Packet`, with the status `SERVER_STATUS_AUTOCOMMIT`.
const OK: &[u8] = b"\0\0\0\x02\0\0\0";

/// Dials the server. Once the service has attached, a port that refuses connections is dialled
/// again until the time is over: the server may be starting again. sqlx does so by itself only if
/// it dials the server.
async fn dial(target: &Target, has_attached: bool) -> Result<TcpStream, Refusal> {
    let (mut backoff, end) = (ReconnectBackoff::new(), Instant::now() + target.connect_timeout());
    loop {
        let dialled = target.dial_tcp().await;
        let Err(refusal) = &dialled else { return dialled };
        let is_refused = matches!(
            refusal,
            Refusal::Failure(failure) if failure.kind() == FailureKind::Unreachable
        );
        if !has_attached || !is_refused {
            return dialled;
        }
        backoff.failed(refusal);
        if timeout_at(end, backoff.wait()).await.is_err() {
            return dialled;
        }
    }
}

/// Greets the driver in the server's place, and reads its answer.
async fn ask_driver(
    driver: &mut Packets<&mut DriverStream>,
    greeting: &Greeting,
) -> Result<DriverLogin, Refusal> {
    let mut nonce = [0; NONCE];
    SystemRandom::new().fill(&mut nonce).map_err(|_| Failure::protocol())?;
    driver.write(&greeting.for_driver(nonce)).await?;
    DriverLogin::read(&driver.read().await?, greeting.offered())
}

fn is_rejection(refusal: &Refusal) -> bool {
    matches!(
        refusal,
        Refusal::Failure(failure) if failure.kind() == FailureKind::AuthenticationFailed
    )
}

/// The same reason, but not the end of all attempts.
pub(super) fn passing(refusal: Refusal) -> Refusal {
    match refusal {
        Refusal::Failure(failure) => {
            let (message, help) = (failure.message().to_owned(), failure.help().to_owned());
            Failure::new(FailureKind::Unavailable, message, help).into()
        }
        finding => finding,
    }
}

/// Checks that the server has sent nothing between its greeting and TLS. Such bytes were sent in
/// cleartext, and would be read as if they came through TLS.
fn nothing_early(connection: &TcpStream) -> Result<(), Refusal> {
    let mut early = [0];
    match connection.try_read(&mut early) {
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(()),
        Ok(0) | Err(_) => Err(Failure::closed_before_login().into()),
        Ok(_) => Err(Finding::new(
            &OPPORTUNISTIC_TLS,
            "data arrived before TLS began: an attacker is on the path, or it is not a MySQL \
             server",
        )
        .with_help("check what is between here and the server")
        .into()),
    }
}

fn without_tls(target: &Target) -> Refusal {
    Finding::new(&OPPORTUNISTIC_TLS, "the server has no TLS, and nothing is said to it")
        .with_help(target.help_without_tls(
            "switch TLS on in the server (`ssl_cert`, `ssl_key`, and `require_secure_transport = \
             ON`), or write the host of one that has it",
            "`ssl-mode=DISABLED`",
        ))
        .into()
}

#[cfg(test)]
mod tests {
    use super::greeting::tests::MYSQL_8;
    use super::*;

    #[test]
    fn a_later_greeting_offers_no_less_than_the_first() {
        let greeting = |bytes: &[u8]| Greeting::read(bytes, true).unwrap();
        let protocol = MySqlProtocol {
            largest: 1,
            first: Arc::new(OnceLock::new()),
            distrusts_nonce: AtomicBool::new(false),
        };
        let whole = greeting(MYSQL_8);
        protocol.check_offer(&whole).unwrap();
        protocol.first.get_or_init(|| FirstLogin {
            tls: None,
            plugin: Plugin::CachingSha2,
            offered: whole.offered(),
        });
        protocol.check_offer(&whole).unwrap();
        // `CLIENT_FOUND_ROWS`: without it, `rows_affected` counts other rows.
        let mut less = MYSQL_8.to_vec();
        let at = less.iter().position(|byte| *byte == 0).unwrap() + 1 + 4 + 8 + 1;
        less[at] &= !0x02;
        let refusal = protocol.check_offer(&greeting(&less)).unwrap_err();
        assert!(refusal.to_string().contains("offers less"), "{refusal}");
    }
}
