//! The credentials for a NATS server.

use async_nats::{Auth, ConnectInfo, Protocol};
use backing_services_rules::rule::{AMBIGUOUS_LOCATOR, MALFORMED_VALUE, MISSING_CREDENTIALS};
use backing_services_runtime::Finding;
use backing_services_runtime::service::{Target, redact};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use nkeys::KeyPair;
use secrecy::{ExposeSecret as _, SecretString};

/// The longest nonce that is signed, in bytes; servers send 15 to 22.
const LONGEST_NONCE: usize = 64;

/// The length of a seed, in characters: 36 bytes in base32.
const SEED: usize = 58;

/// The credentials of a login.
#[derive(Clone)]
pub(super) enum Credentials {
    /// The client certificate identifies the account.
    Certificate,
    /// A token. It does not identify the account.
    Token(SecretString),
    /// A user and a password.
    Password(String, SecretString),
    /// An nkey: its seed stays here, and the server gets a signature.
    Nkey {
        /// The user's public key.
        public: String,
        seed: SecretString,
    },
}

impl Credentials {
    /// Reads the credentials from a target. A password with the form of an nkey's seed is taken as
    /// one, and refused if its checksum is bad. One password in 2²⁶⁰ has both by chance.
    pub(super) fn of(target: &Target) -> Result<Self, Finding> {
        let user = target.user();
        let Some(password) = target.password() else {
            return match (user, target.client_certificate()) {
                (None, Some(_)) => Ok(Self::Certificate),
                (Some(_), Some(_)) => Err(Finding::new(
                    &AMBIGUOUS_LOCATOR,
                    "it names a user without a password, and a client certificate says who it is",
                )
                .with_help(
                    "remove the user: the server takes it from the certificate (`verify_and_map`); \
                     or give the password too",
                )),
                (_, None) => Err(Finding::new(
                    &MISSING_CREDENTIALS,
                    "it has no password, no token, no nkey and no client certificate",
                )),
            };
        };
        let text = password.expose_secret();
        let is_seed = text.len() == SEED
            && text.starts_with('S')
            && text.bytes().all(|b| matches!(b, b'A'..=b'Z' | b'2'..=b'7'));
        if !is_seed {
            return Ok(match user {
                Some(user) => Self::Password(user.to_owned(), password.clone()),
                None => Self::Token(password.clone()),
            });
        }
        // Any kind of seed is a secret key, and must not be sent as a password.
        let public = KeyPair::from_seed(text)
            .ok()
            .map(|pair| pair.public_key())
            .filter(|public| public.starts_with('U'));
        let Some(public) = public else {
            return Err(Finding::new(
                &MALFORMED_VALUE,
                "its password has the form of an nkey's seed, and is not a user's, or is damaged",
            )
            .with_help(
                "write the user's seed, which begins with `SU`; an account's or an operator's \
                 belongs to no application",
            ));
        };
        if user.is_some_and(|user| user != public) {
            return Err(Finding::new(
                &AMBIGUOUS_LOCATOR,
                "its password is an nkey's seed, and its user is another one",
            )
            .with_help("remove the user: an nkey says itself who it is"));
        }
        Ok(Self::Nkey { public, seed: password.clone() })
    }

    /// The name of this kind of login in a posture.
    pub(super) const fn name(&self) -> &'static str {
        match self {
            Self::Certificate => "client certificate",
            Self::Token(_) => "token",
            Self::Password(..) => "password",
            Self::Nkey { .. } => "nkey",
        }
    }

    /// The user that the client names; `None` if only the server knows it.
    pub(super) fn user(&self) -> Option<&str> {
        match self {
            Self::Certificate | Self::Token(_) => None,
            Self::Password(user, _) => Some(user),
            Self::Nkey { public, .. } => Some(public),
        }
    }

    /// True if a text from the server holds the secret of this login, or another secret of ours.
    pub(super) fn is_in(&self, text: &str) -> bool {
        let is_ours = match self {
            Self::Certificate => false,
            Self::Token(secret) | Self::Password(_, secret) | Self::Nkey { seed: secret, .. } => {
                text.contains(secret.expose_secret())
            }
        };
        is_ours || redact::is_in(text.as_bytes())
    }

    /// The answer to a server's nonce. An nkey signs only a nonce: a signature of an empty one
    /// would be valid for ever.
    pub(super) fn sign(&self, nonce: &[u8]) -> Result<Option<Vec<u8>>, Unsigned> {
        let Self::Nkey { seed, .. } = self else { return Ok(None) };
        if nonce.is_empty() || nonce.len() > LONGEST_NONCE {
            return Err(Unsigned);
        }
        let pair = KeyPair::from_seed(seed.expose_secret()).map_err(|_| Unsigned)?;
        pair.sign(nonce).map(Some).map_err(|_| Unsigned)
    }

    /// The credentials for the driver.
    pub(super) fn auth(&self, nonce: &[u8]) -> Result<Auth, Unsigned> {
        let mut auth = Auth::new();
        auth.signature = self.sign(nonce)?;
        match self {
            Self::Certificate => {}
            Self::Token(token) => auth.token = Some(token.expose_secret().to_owned()),
            Self::Password(user, password) => {
                auth.username = Some(user.clone());
                auth.password = Some(password.expose_secret().to_owned());
            }
            Self::Nkey { public, .. } => auth.nkey = Some(public.clone()),
        }
        Ok(auth)
    }

    /// The credentials for a conversation of our own.
    pub(super) fn connect(&self, nonce: &[u8], tls: bool) -> Result<ConnectInfo, Unsigned> {
        let auth = self.auth(nonce)?;
        Ok(ConnectInfo {
            verbose: false,
            pedantic: false,
            user_jwt: None,
            nkey: auth.nkey,
            signature: auth.signature.map(|signature| URL_SAFE_NO_PAD.encode(signature)),
            name: Some(crate::NAME.to_owned()),
            echo: true,
            lang: "rust".to_owned(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            protocol: Protocol::Dynamic,
            tls_required: tls,
            user: auth.username,
            pass: auth.password,
            auth_token: auth.token,
            headers: true,
            no_responders: true,
        })
    }
}

/// The server's nonce is empty or too long, or cannot be signed.
pub(super) struct Unsigned;
