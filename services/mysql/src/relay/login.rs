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
                if is_mariadb {
                    finding.with_help(ON_MARIADB).into_warning()
                } else {
                    finding.with_help(ON_MYSQL)
                }
            }
            Self::CachingSha2 | Self::Ed25519 | Self::Parsec => return None,
        })
    }
}

const ON_MYSQL: &str = "`ALTER USER … IDENTIFIED WITH caching_sha2_password BY …`";
const ON_MARIADB: &str = "`INSTALL SONAME 'auth_ed25519'`, and `ALTER USER … IDENTIFIED VIA \
    ed25519 USING PASSWORD(…)`; from MariaDB 11.6 `auth_parsec` and `parsec`; let the password \
    be a generated one";
const BETTER: &str = "`ALTER USER … IDENTIFIED WITH caching_sha2_password BY …`; on MariaDB \
    `IDENTIFIED VIA ed25519 USING PASSWORD(…)`";

/// The data of a login.
pub(super) struct Login<'a> {
    pub(super) target: &'a Target,
    pub(super) greeting: &'a Greeting,
    pub(super) driver: &'a DriverLogin,
    /// The plugin of the pool's first connection. No later one may prove less.
    pub(super) first: Option<Plugin>,
    /// True if no proof is made of the greeting's nonce, which arrived without TLS.
    pub(super) distrusts_nonce: bool,
}

/// The capabilities that the driver does not have, and that the server gets.
pub(super) fn added(target: &Target) -> u32 {
    let tls = if target.is_plaintext() { 0 } else { SSL };
    let database = if target.locator().path().is_empty() { 0 } else { CONNECT_WITH_DB };
    tls | database
}

/// The server's next packet.
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
    pub(super) fn begin(&self) -> Option<Plugin> {
        let password = self.password().filter(|_| !self.distrusts_nonce)?;
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
                let deriving = on_thread(self.target.connect_timeout(), move || {
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

#[cfg(test)]
pub(super) mod tests {
    use std::pin::Pin;
    use std::sync::LazyLock;
    use std::task::{Context, Poll};

    use backing_services_fuzz::target;
    use tokio::io::{ReadBuf, empty};
    use tokio::runtime::{Builder, Runtime};

    use super::super::greeting::tests::{MARIADB_10, MYSQL_8, driver_login};
    use super::*;
    use crate::MySql;

    pub(in super::super) const PASSWORD: &str = "amaryllis-bulb-83";

    static RUNTIME: LazyLock<Runtime> =
        LazyLock::new(|| Builder::new_current_thread().enable_all().build().unwrap());

    /// A server that sends what it sends, and records what it gets.
    pub(in super::super) struct Script<R> {
        pub(in super::super) sends: R,
        pub(in super::super) heard: Vec<u8>,
    }

    impl<R: AsyncRead + Unpin> AsyncRead for Script<R> {
        fn poll_read(
            mut self: Pin<&mut Self>,
            context: &mut Context<'_>,
            buffer: &mut ReadBuf<'_>,
        ) -> Poll<std::io::Result<()>> {
            Pin::new(&mut self.sends).poll_read(context, buffer)
        }
    }

    impl<R: Unpin> AsyncWrite for Script<R> {
        fn poll_write(
            mut self: Pin<&mut Self>,
            _: &mut Context<'_>,
            bytes: &[u8],
        ) -> Poll<std::io::Result<usize>> {
            self.heard.extend_from_slice(bytes);
            Poll::Ready(Ok(bytes.len()))
        }

        fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<std::io::Result<()>> {
            Poll::Ready(Ok(()))
        }

        fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<std::io::Result<()>> {
            Poll::Ready(Ok(()))
        }
    }

    /// Logs in at a server that sends these bytes. Returns the plugin or the reason, and what the
    /// server heard.
    pub(in super::super) fn login<R: AsyncRead + Unpin + Send>(
        greeting: &[u8],
        locator: &str,
        first: Option<Plugin>,
        sends: R,
    ) -> (Result<Plugin, Refusal>, Vec<u8>) {
        let target = target::<MySql>(locator).unwrap();
        let greeting = Greeting::read(greeting, true).unwrap();
        let driver = driver_login(greeting.offered());
        let login = Login {
            target: &target,
            greeting: &greeting,
            driver: &driver,
            first,
            distrusts_nonce: false,
        };
        let mut server = Packets::new(Script { sends, heard: Vec::new() }, 2);
        let plugin = RUNTIME.block_on(login.run(&mut server));
        (plugin, server.into_inner().heard)
    }

    /// A nonce that arrived without TLS is not used again after a rejection.
    #[test]
    fn no_proof_is_made_of_a_doubted_nonce() {
        let target = target::<MySql>(OVER_TLS).unwrap();
        let greeting = Greeting::read(MYSQL_8, true).unwrap();
        let driver = driver_login(greeting.offered());
        for distrusts_nonce in [false, true] {
            let login = Login {
                target: &target,
                greeting: &greeting,
                driver: &driver,
                first: Some(Plugin::CachingSha2),
                distrusts_nonce,
            };
            let expected = (!distrusts_nonce).then_some(Plugin::CachingSha2);
            assert_eq!(login.begin(), expected);
            let mut server = Packets::new(Script { sends: empty(), heard: Vec::new() }, 2);
            assert!(RUNTIME.block_on(login.run(&mut server)).is_err());
            let heard = server.into_inner().heard;
            let asks = heard.windows(NO_PLUGIN.len()).any(|part| part == NO_PLUGIN.as_bytes());
            assert_eq!(asks, distrusts_nonce);
        }
    }

    /// The packets of a server, numbered as if each were answered. The first one answers the
    /// login, which is number 2.
    fn packets(bodies: &[&[u8]]) -> Vec<u8> {
        let mut number = 3;
        let packets = bodies.iter().map(|body| {
            let length = u8::try_from(body.len()).unwrap();
            let packet = [&[length, 0, 0, number], *body].concat();
            // The client answers, unless the server knows the proof.
            number += if body.starts_with(&[1, 3]) { 1 } else { 2 };
            packet
        });
        packets.collect::<Vec<_>>().concat()
    }

    const OVER_TLS: &str = "mysql://shop:amaryllis-bulb-83@db.example/orders";
    const WITHOUT_DATABASE: &str = "mysql://shop:amaryllis-bulb-83@db.example";
    const OK: &[u8] = b"\0\0\0\x02\0\0\0";
    const NONCE_20: &[u8] = b"abcdefghijklmnopqrst";

    fn scripted(
        greeting: &[u8],
        first: Option<Plugin>,
        bodies: &[&[u8]],
    ) -> (Result<Plugin, Refusal>, Vec<u8>) {
        login(greeting, OVER_TLS, first, packets(bodies).as_slice())
    }

    fn holds(heard: &[u8], part: &[u8]) -> bool {
        heard.windows(part.len()).any(|window| window == part)
    }

    #[test]
    fn mysql_is_begun_with_a_proof_and_no_further_round_trip() {
        let (plugin, heard) = scripted(MYSQL_8, None, &[b"\x01\x03", OK]);
        assert_eq!(plugin.unwrap(), Plugin::CachingSha2);
        let nonce = Greeting::read(MYSQL_8, true).unwrap().nonce;
        let proof = proof::caching_sha2(PASSWORD.as_bytes(), &nonce);
        let end = [&b"shop\0\x20"[..], &proof, b"orders\0caching_sha2_password\0"];
        assert!(heard.ends_with(&end.concat()), "{heard:?}");
        assert_eq!(heard[3], 2);
        assert!(!holds(&heard, PASSWORD.as_bytes()));
        let capabilities = u32::from_le_bytes(*heard[4..].first_chunk().unwrap());
        assert_eq!(capabilities & (SSL | CONNECT_WITH_DB), SSL | CONNECT_WITH_DB);
        // LOCAL_FILES, COMPRESS, ZSTD, SESSION_TRACK
        assert_eq!(capabilities & (0x80 | 0x20 | 1 << 26 | 1 << 23), 0);
        let sends = packets(&[b"\x01\x03", OK]);
        let (plugin, heard) = login(MYSQL_8, WITHOUT_DATABASE, None, sends.as_slice());
        assert_eq!(plugin.unwrap(), Plugin::CachingSha2);
        assert!(heard.ends_with(&[&proof[..], b"caching_sha2_password\0"].concat()));
        assert_eq!(heard[4] & 8, 0);
    }

    #[test]
    fn the_password_is_sent_within_tls_if_the_server_has_forgotten_the_proof() {
        let (plugin, heard) = scripted(MYSQL_8, None, &[b"\x01\x04", OK]);
        assert_eq!(plugin.unwrap(), Plugin::CachingSha2);
        let sent = [&[18, 0, 0, 4], PASSWORD.as_bytes(), &[0]].concat();
        assert!(heard.ends_with(&sent), "{heard:?}");
        // MariaDB leaves the mark of `AuthMoreData` out.
        let (plugin, _) = scripted(MYSQL_8, None, &[b"\x04", OK]);
        assert_eq!(plugin.unwrap(), Plugin::CachingSha2);
        // Without TLS, it stays here. No key of the server is asked for.
        let plain = OVER_TLS.replace("db.example", "127.0.0.1") + "?ssl-mode=disabled";
        let sends = packets(&[b"\x01\x04", OK]);
        let (plugin, heard) = login(MYSQL_8, &plain, None, sends.as_slice());
        assert!(matches!(plugin, Err(Refusal::Finding(_))));
        assert!(!holds(&heard, PASSWORD.as_bytes()));
        assert!(!heard.ends_with(&[1, 0, 0, 4, 2]));
    }

    #[test]
    fn mariadb_is_asked_for_the_plugin_first() {
        let switch = [b"\xfemysql_native_password\0", NONCE_20, b"\0"].concat();
        let (plugin, heard) = scripted(MARIADB_10, None, &[&switch, OK]);
        assert_eq!(plugin.unwrap(), Plugin::Native);
        let asked = [b"shop\0\0orders\0", NO_PLUGIN.as_bytes(), b"\0"].concat();
        assert!(holds(&heard, &asked));
        assert!(heard.ends_with(&proof::native(PASSWORD.as_bytes(), NONCE_20)));
        // A later connection knows it.
        let (plugin, heard) = scripted(MARIADB_10, Some(Plugin::Native), &[OK]);
        assert_eq!(plugin.unwrap(), Plugin::Native);
        assert!(heard.ends_with(b"orders\0mysql_native_password\0"));
        assert!(!holds(&heard, b"shop\0\0"));
    }

    #[test]
    fn mariadbs_signatures_are_sent_for_nonces_of_32_bytes() {
        let nonce = [7; 32];
        let switch = [b"\xfeclient_ed25519\0", &nonce[..]].concat();
        let (plugin, heard) = scripted(MARIADB_10, None, &[&switch, OK]);
        assert_eq!(plugin.unwrap(), Plugin::Ed25519);
        assert!(heard.ends_with(&proof::ed25519(PASSWORD.as_bytes(), &nonce)));

        let switch = [b"\xfeparsec\0", &nonce[..]].concat();
        let salt = [b"P\x01", &[9; 18][..]].concat();
        let (plugin, heard) = scripted(MARIADB_10, None, &[&switch, &salt, OK]);
        assert_eq!(plugin.unwrap(), Plugin::Parsec);
        // An empty packet asks for the salt.
        let (asked, proof) = heard.split_at(heard.len() - 4 - 96);
        assert!(asked.ends_with(&[0, 0, 0, 4]), "{heard:?}");
        let own = proof[4..36].try_into().unwrap();
        let key = ExtendedSalt::read(&salt).unwrap().key(PASSWORD.as_bytes());
        assert_eq!(proof[4..], proof::parsec(&key, &nonce, own).unwrap());
    }

    #[test]
    fn an_account_that_wants_less_than_a_proof_gets_none() {
        let switch = |name: &str| [b"\xfe", name.as_bytes(), b"\0", NONCE_20, b"\0"].concat();
        for greeting in [MYSQL_8, MARIADB_10] {
            for (bodies, is_finding) in [
                (vec![switch("mysql_clear_password")], true),
                (vec![switch("dialog")], true),
                (vec![switch("sha256_password")], true),
                (vec![switch("mysql_old_password")], true),
                (vec![b"\xfe".to_vec()], true),
                // Without a look at a proof.
                (vec![OK.to_vec()], true),
                (vec![switch("caching_sha2_password"), OK.to_vec()], true),
                (vec![switch("authentication_ldap_sasl_client")], false),
                (vec![switch("authentication_webauthn_client")], false),
                (vec![switch("")], false),
                (vec![switch("\u{1b}[2J")], false),
                // Nonces of other lengths.
                (vec![switch("client_ed25519")], false),
                (vec![switch("parsec")], false),
                (vec![b"\xfecaching_sha2_password\0short".to_vec()], false),
                (vec![b"\xfecaching_sha2_password".to_vec()], false),
                // An RSA key, nothing, something, another factor, and an error.
                (vec![switch("caching_sha2_password"), b"\x01-----BEGIN".to_vec()], false),
                (vec![switch("caching_sha2_password"), b"\x01".to_vec()], false),
                (vec![switch("caching_sha2_password"), b"\x05".to_vec()], false),
                (vec![b"\x01".to_vec()], false),
                (vec![b"\x02second\0".to_vec()], false),
                (vec![b"\xff\x15\x04#28000".to_vec()], false),
                (vec![b"\xff".to_vec()], false),
                // Switches without end.
                (vec![switch("caching_sha2_password"); 2], false),
            ] {
                let parts: Vec<_> = bodies.iter().map(Vec::as_slice).collect();
                let (plugin, heard) = scripted(greeting, None, &parts);
                let refusal = plugin.map(|_| panic!("{bodies:?}")).unwrap_err();
                assert_eq!(matches!(refusal, Refusal::Finding(_)), is_finding, "{bodies:?}");
                assert!(!holds(&heard, PASSWORD.as_bytes()));
                assert!(!refusal.to_string().contains('\u{1b}'));
            }
        }
        // MySQL has better than SHA-1.
        let (plugin, heard) = scripted(MYSQL_8, None, &[&switch("mysql_native_password")]);
        assert!(matches!(plugin, Err(Refusal::Finding(_))));
        assert!(!heard.ends_with(&proof::native(PASSWORD.as_bytes(), NONCE_20)));
    }

    #[test]
    fn a_server_switches_the_plugin_once() {
        let sha2 = [b"\xfecaching_sha2_password\0", NONCE_20, b"\0"].concat();
        let (plugin, _) = scripted(MARIADB_10, None, &[&sha2, b"\x01\x03", OK]);
        assert_eq!(plugin.unwrap(), Plugin::CachingSha2);
        for greeting in [MYSQL_8, MARIADB_10] {
            let switches = [&sha2, &sha2, b"\x01\x03".as_slice(), OK];
            let refusal = scripted(greeting, None, &switches).0.unwrap_err();
            assert!(refusal.to_string().contains("more than once"), "{refusal}");
        }
    }

    #[test]
    fn no_later_connection_proves_less_than_the_first() {
        let nonce = [7; 32];
        let native = [b"\xfemysql_native_password\0", NONCE_20, b"\0"].concat();
        let sha2 = [b"\xfecaching_sha2_password\0", NONCE_20, b"\0"].concat();
        let ed25519 = [b"\xfeclient_ed25519\0", &nonce[..]].concat();
        for (first, bodies, is_accepted) in [
            (Plugin::Native, vec![&sha2[..], b"\x01\x03", OK], true),
            (Plugin::Native, vec![&ed25519[..], OK], true),
            (Plugin::CachingSha2, vec![&native[..], OK], false),
            (Plugin::CachingSha2, vec![OK], false),
            (Plugin::Ed25519, vec![&sha2[..], b"\x01\x04", OK], false),
            (Plugin::Ed25519, vec![&native[..], OK], false),
            (Plugin::Ed25519, vec![OK], false),
            (Plugin::Parsec, vec![&ed25519[..], OK], false),
            (Plugin::Native, vec![b"\xfemysql_clear_password\0"], false),
        ] {
            let (plugin, heard) = scripted(MARIADB_10, Some(first), &bodies);
            assert_eq!(plugin.is_ok(), is_accepted, "{first:?} {bodies:?}");
            assert!(is_accepted || matches!(plugin, Err(Refusal::Finding(_))));
            assert!(!holds(&heard, PASSWORD.as_bytes()));
            assert!(is_accepted || !heard.ends_with(&proof::native(PASSWORD.as_bytes(), NONCE_20)));
        }
    }

    #[test]
    fn packets_are_bounded_and_numbered() {
        for sends in [
            b"\x01\x40\0\x03".to_vec(),
            b"\xff\xff\xff\x03\xfe".to_vec(),
            b"\0\0\0\x03".to_vec(),
            b"\x07\0\0\x02\0\0\0\x02\0\0\0".to_vec(),
            b"\x07\0\0\x04\0\0\0\x02\0\0\0".to_vec(),
            b"\x07\0\0\x03\0\0".to_vec(),
        ] {
            let (plugin, _) = login(MARIADB_10, OVER_TLS, None, sends.as_slice());
            assert!(matches!(plugin, Err(Refusal::Failure(_))), "{sends:?}");
        }
        let (plugin, _) = login(MARIADB_10, OVER_TLS, None, empty());
        assert!(matches!(plugin, Err(Refusal::Failure(_))));
    }
}

#[cfg(test)]
mod fuzz {
    use backing_services_fuzz::{Input, check};

    use super::super::greeting::tests::{MARIADB_10, MYSQL_8};
    use super::tests::{PASSWORD, login};
    use super::*;

    const ANSWERS: &[&[u8]] = &[
        b"\x02\0\0\x03\x01\x03\x07\0\0\x04\0\0\0\x02\0\0\0",
        b"\x02\0\0\x03\x01\x04\x07\0\0\x05\0\0\0\x02\0\0\0",
        b"\x2c\0\0\x03\xfemysql_native_password\0abcdefghijklmnopqrst\0\
            \x07\0\0\x05\0\0\0\x02\0\0\0",
        b"\x2c\0\0\x03\xfecaching_sha2_password\0abcdefghijklmnopqrst\0\x02\0\0\x05\x01\x03",
        b"\x30\0\0\x03\xfeclient_ed25519\0abcdefghijklmnopqrstuvwxyzabcdef\
            \x07\0\0\x05\0\0\0\x02\0\0\0",
        b"\x28\0\0\x03\xfeparsec\0abcdefghijklmnopqrstuvwxyzabcdef\
            \x14\0\0\x05P\0abcdefghijklmnopqr\x07\0\0\x07\0\0\0\x02\0\0\0",
        b"\x13\0\0\x03\xfemysql_old_password\0\x07\0\0\x03\xfedialog\0",
        b"\x14\0\0\x03\xffJ\x04#28000Access denied",
    ];

    /// The login ends, however the server splits its packets. The password is sent in cleartext
    /// only if `caching_sha2_password` asks for it, and never without TLS.
    #[test]
    fn any_answers_of_a_server_end_the_login() {
        check!(ANSWERS, |input: &Input| {
            for greeting in [MYSQL_8, MARIADB_10] {
                for host in ["db.example", "127.0.0.1"] {
                    let is_plain = host == "127.0.0.1";
                    let end = if is_plain { "?ssl-mode=disabled" } else { "" };
                    let locator = format!("mysql://shop:{PASSWORD}@{host}/orders{end}");
                    let run = |stream| login(greeting, &locator, None, stream);
                    let (plugin, heard) = run(input.stream());
                    let (other, _) = run(input.whole_stream());
                    assert_eq!(plugin.as_ref().ok(), other.as_ref().ok());
                    let shown = |refusal: Result<_, Refusal>| refusal.map_err(|it| it.to_string());
                    let is_sent =
                        heard.windows(PASSWORD.len()).any(|part| part == PASSWORD.as_bytes());
                    assert!(!is_sent || !is_plain && input.bytes().contains(&4));
                    assert!(heard.len() < 1024, "{}", heard.len());
                    assert_eq!(shown(plugin), shown(other));
                }
            }
        });
    }
}
