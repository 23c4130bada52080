//! The login at the server, by the strict rules.

use backing_services_rules::rule::WEAK_AUTHENTICATION;
use backing_services_runtime::problem::FailureKind;
use backing_services_runtime::service::thread::on_thread;
use backing_services_runtime::service::{Refusal, Target};
use backing_services_runtime::{Failure, Finding};
use ring::rand::{SecureRandom as _, SystemRandom};
use secrecy::zeroize::Zeroizing;
use secrecy::{ExposeSecret as _, SecretString};
use tokio::io::{AsyncRead, AsyncWrite};

use super::greeting::{CONNECT_WITH_DB, DriverLogin, Greeting, NONCE, SSL};
use super::packet::Packets;
use super::proof::{self, ExtendedSalt};
use crate::failure::{ancient, of_packet, unspoken};

/// The plugin that is named to learn the account's. No account has it, so the server answers with
/// the account's plugin, and has got no proof.
const NO_PLUGIN: &str = "backing_services_asks";

/// An account's authentication plugin. A greater one proves more, or shows less of the password.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Plugin {
    /// The server admits the user by the name alone.
    Nothing,
    Native,
    CachingSha2,
    Ed25519,
    Parsec,
}

impl Plugin {
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Nothing => "nothing",
            Self::Native => "mysql_native_password",
            Self::CachingSha2 => "caching_sha2_password",
            Self::Ed25519 => "client_ed25519",
            Self::Parsec => "parsec",
        }
    }

    /// The finding if an account has this plugin, on MariaDB or on MySQL.
    pub(crate) fn weakness(self, is_mariadb: bool) -> Option<Finding> {
        let finding = |message: &'static str| Finding::new(&WEAK_AUTHENTICATION, message);
        Some(match self {
            Self::Nothing => {
                finding("the server lets the user in without any proof").with_help(BETTER)
            }
            Self::Native => {
                let finding =
                    finding("the account proves its password by SHA-1 (`mysql_native_password`)");
                if is_mariadb { finding.with_help(ON_MARIADB).into_warning() } else {
                    finding.with_help(ON_MYSQL)
                }
            }
            Self::CachingSha2 | Self::Ed25519 | Self::Parsec => return None,
        })
    }
}

const ON_MYSQL: &str = "`ALTER USER … IDENTIFIED WITH caching_sha2_password BY …`";
const ON_MARIADB: &str = "`INSTALL SONAME 'auth_ed25519'`, and `ALTER USER … IDENTIFIED VIA ed25519 \
    USING PASSWORD(…)`; from MariaDB 11.6 `auth_parsec` and `parsec`; let the password be a \
    generated one";
const BETTER: &str = "`ALTER USER … IDENTIFIED WITH caching_sha2_password BY …`; on MariaDB \
    `IDENTIFIED VIA ed25519 USING PASSWORD(…)`";

/// What is logged in with.
pub(super) struct Login<'a> {
    pub(super) target: &'a Target,
    pub(super) greeting: &'a Greeting,
    pub(super) driver: &'a DriverLogin,
    /// The plugin of the pool's first connection. No later one may prove less.
    pub(super) first: Option<Plugin>,
}

/// The capabilities that the driver does not have, and that the server gets.
pub(super) fn added(target: &Target) -> u32 {
    let tls = if target.is_plaintext() { 0 } else { SSL };
    let database = if target.locator().path().is_empty() { 0 } else { CONNECT_WITH_DB };
    tls | database
}

/// What the server has to send next.
enum Expected {
    /// The account's plugin.
    Plugin,
    /// `caching_sha2_password`: whether it knows the proof.
    Fast,
    /// `parsec`: how the key is derived.
    Salt { nonce: [u8; 32] },
    /// That the user is admitted.
    Admission,
}

impl Login<'_> {
    /// Logs in. Returns the plugin that the account has.
    pub(super) async fn run<S>(&self, server: &mut Packets<S>) -> Result<Plugin, Refusal>
    where
        S: AsyncRead + AsyncWrite + Unpin + Send,
    {
        let mut plugin = self.begin();
        let nonce = &self.greeting.nonce;
        let (proof, mut expected) = match plugin {
            Some(plugin) => self.proof(plugin, nonce)?,
            None => (Zeroizing::default(), Expected::Plugin),
        };
        let name = plugin.map_or(NO_PLUGIN, Plugin::name);
        server.write(&self.response(name, &proof)?).await?;
        let mut is_switched = false;
        loop {
            let packet = server.read().await?;
            match (packet.as_slice(), &expected) {
                ([0x00, ..], Expected::Admission) => {
                    return Ok(plugin.unwrap_or(Plugin::Nothing));
                }
                // Admitted without a look at a proof.
                ([0x00, ..], _) => return self.judged(Plugin::Nothing),
                ([0xff, ..], _) => return Err(of_packet(&packet).into()),
                // The switch to the authentication from before plugins.
                ([0xfe], _) => return Err(ancient()),
                ([0xfe, ..], _) if is_switched => return Err(again()),
                ([0xfe, asked @ ..], _) => {
                    is_switched = true;
                    let end = asked.iter().position(|byte| *byte == 0).unwrap_or(asked.len());
                    let (name, nonce) = asked.split_at(end);
                    let asked = self.asked(name)?;
                    let proof;
                    (proof, expected) = self.proof(asked, nonce.get(1..).unwrap_or_default())?;
                    plugin = Some(asked);
                    server.write(&proof).await?;
                }
                (answer, Expected::Fast | Expected::Salt { .. }) => {
                    // Some servers leave the mark of `AuthMoreData` out.
                    let answer = answer.strip_prefix(&[1]).unwrap_or(answer);
                    if let Some(proof) = self.continued(answer, &expected).await? {
                        server.write(&proof).await?;
                    }
                    expected = Expected::Admission;
                }
                _ => return Err(Failure::protocol().into()),
            }
        }
    }

    /// The plugin to begin with, so that there is no further round trip if the account has it.
    /// `None` asks for the account's plugin: that shows a server that demands none.
    fn begin(&self) -> Option<Plugin> {
        let password = self.password()?;
        let begins = match self.first {
            // These two begin with a nonce that the greeting does not have.
            Some(Plugin::Ed25519 | Plugin::Parsec | Plugin::Nothing) => None,
            Some(plugin) => Some(plugin),
            None if self.greeting.plugin == Plugin::CachingSha2.name().as_bytes()
                || !self.greeting.product().is_mariadb =>
            {
                Some(Plugin::CachingSha2)
            }
            None => None,
        };
        begins.filter(|_| !password.expose_secret().is_empty())
    }

    fn password(&self) -> Option<&SecretString> {
        self.target.password()
    }

    /// `HandshakeResponse41`.
    fn response(&self, plugin: &str, proof: &[u8]) -> Result<Zeroizing<Vec<u8>>, Refusal> {
        let user = self.target.user().unwrap_or_default();
        let database = self.target.locator().path();
        if [user, database].iter().any(|name| name.contains('\0')) {
            return Err(Failure::protocol().into());
        }
        let mut parts = vec![user.as_bytes(), b"\0"];
        // All proofs here are shorter than what needs more than one byte.
        let length = [u8::try_from(proof.len()).map_err(|_| Failure::protocol())?];
        parts.extend([&length[..], proof]);
        if !database.is_empty() {
            parts.extend([database.as_bytes(), b"\0"]);
        }
        let request = self.driver.request(added(self.target));
        parts.insert(0, &request);
        parts.extend([plugin.as_bytes(), b"\0"]);
        Ok(Zeroizing::new(parts.concat()))
    }

    /// The proof of a plugin for the server's nonce, and the server's next packet.
    fn proof(
        &self,
        plugin: Plugin,
        nonce: &[u8],
    ) -> Result<(Zeroizing<Vec<u8>>, Expected), Refusal> {
        let of = |length: usize| {
            // A NUL ends the nonce, but not on all servers.
            let nonce = nonce.get(..length).filter(|_| matches!(nonce[length..], [] | [0]));
            nonce.ok_or_else(|| Refusal::from(Failure::protocol()))
        };
        let password = self.password().map_or("", |password| password.expose_secret()).as_bytes();
        if password.is_empty() {
            return Ok((Zeroizing::default(), Expected::Admission));
        }
        let (proof, expected) = match plugin {
            Plugin::Native => (proof::native(password, of(NONCE)?), Expected::Admission),
            Plugin::CachingSha2 => (proof::caching_sha2(password, of(NONCE)?), Expected::Fast),
            Plugin::Ed25519 => (proof::ed25519(password, of(32)?), Expected::Admission),
            Plugin::Parsec => {
                let nonce = of(32)?.try_into().map_err(|_| Failure::protocol())?;
                (Vec::new(), Expected::Salt { nonce })
            }
            Plugin::Nothing => return Err(Failure::protocol().into()),
        };
        Ok((Zeroizing::new(proof), expected))
    }

    /// The answer to the second packet of a plugin.
    async fn continued(
        &self,
        answer: &[u8],
        expected: &Expected,
    ) -> Result<Option<Zeroizing<Vec<u8>>>, Refusal> {
        let password = self.password().ok_or_else(Failure::protocol)?;
        match (expected, answer) {
            // The server knows the proof.
            (Expected::Fast, [3]) => Ok(None),
            // The server wants the password: it has not logged in since the server started.
            (Expected::Fast, [4]) => {
                if self.target.is_plaintext() {
                    return Err(unencrypted());
                }
                let mut text = Zeroizing::new(password.expose_secret().as_bytes().to_vec());
                if text.contains(&0) {
                    return Err(Failure::protocol().into());
                }
                text.push(0);
                Ok(Some(text))
            }
            (Expected::Salt { nonce }, salt) => {
                let salt = ExtendedSalt::read(salt).ok_or_else(expensive)?;
                let mut own = [0; 32];
                SystemRandom::new().fill(&mut own).map_err(|_| Failure::protocol())?;
                let password = password.clone();
                let deriving =
                    on_thread(self.target.connect_timeout(), move || {
                        salt.key(password.expose_secret().as_bytes())
                    });
                let key = deriving.await.map_err(|_| late())?;
                let proof = proof::parsec(&key, nonce, &own).ok_or_else(Failure::protocol)?;
                Ok(Some(Zeroizing::new(proof)))
            }
            _ => Err(Failure::protocol().into()),
        }
    }

    /// The plugin that the server asks for, if it is accepted.
    fn asked(&self, name: &[u8]) -> Result<Plugin, Refusal> {
        let plugin = match name {
            b"mysql_native_password" => Plugin::Native,
            b"caching_sha2_password" => Plugin::CachingSha2,
            b"client_ed25519" => Plugin::Ed25519,
            b"parsec" => Plugin::Parsec,
            b"mysql_old_password" => return Err(ancient()),
            // `dialog` is MariaDB's name of PAM.
            b"mysql_clear_password" | b"dialog" => {
                return Err(cleartext("the server wants the password in cleartext"));
            }
            b"sha256_password" => {
                return Err(cleartext(
                    "the server wants the password in cleartext, within TLS, at every login \
                     (`sha256_password`)",
                ));
            }
            _ => return Err(unspoken()),
        };
        self.judged(plugin)
    }

    /// Returns the plugin, if the rules accept it, and if the first connection proved no more.
    fn judged(&self, plugin: Plugin) -> Result<Plugin, Refusal> {
        if let Some(first) = self.first.filter(|first| plugin < *first) {
            return Err(less(first, plugin));
        }
        let is_mariadb = self.greeting.product().is_mariadb;
        let weakness = plugin.weakness(is_mariadb).filter(Finding::is_denied);
        match weakness.filter(|_| !self.target.waives(&WEAK_AUTHENTICATION)) {
            Some(finding) => Err(finding.into()),
            None => Ok(plugin),
        }
    }
}

/// No waiver covers it: the password stays here.
fn cleartext(message: &'static str) -> Refusal {
    Finding::new(&WEAK_AUTHENTICATION, message).with_help(BETTER).into()
}

fn unencrypted() -> Refusal {
    Finding::new(
        &WEAK_AUTHENTICATION,
        "the server wants the password itself (`caching_sha2_password`), and there is no TLS",
    )
    .with_help(
        "switch TLS on; or log in once in another way since the server started, so that it knows \
         the proof",
    )
    .into()
}

fn less(first: Plugin, plugin: Plugin) -> Refusal {
    let message = format!(
        "the server asks for less than it did when the resource was attached: {} in place of {}",
        plugin.name(),
        first.name()
    );
    Finding::new(&WEAK_AUTHENTICATION, message)
        .with_help("if the account was changed, attach again; if not, ask who answers there")
        .into()
}

fn again() -> Refusal {
    let message = "the server asked for another authentication more than once";
    Failure::new(FailureKind::Protocol, message, "check what answers on the port").into()
}

fn expensive() -> Refusal {
    Finding::new(
        &WEAK_AUTHENTICATION,
        "the server's parameters for `parsec` are unknown, or demand too many iterations",
    )
    .with_help("set the account's password again; at most 524,288 iterations are accepted")
    .into()
}

fn late() -> Failure {
    let message = "the key for `parsec` was not derived in time";
    Failure::new(FailureKind::TimedOut, message, "check the load of this machine")
}
