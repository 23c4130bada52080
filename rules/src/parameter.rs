//! Locator parameters that affect TLS, in the dialects of all products.

use crate::text;

/// The effect that a locator's parameter asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Asks {
    /// TLS, perhaps weaker than the connection's own: accepted, without effect.
    Tls,
    /// Plaintext: refused as `plaintext_scheme`.
    Plaintext,
    /// TLS only if the server agrees, or an unknown mode: refused as `opportunistic_tls`.
    Opportunistic,
    /// TLS without verifying the certificate: refused as `unverified_tls`.
    Unverified,
    /// A secret in a parameter, which logs and process lists show: refused as
    /// `secret_in_parameter`.
    Secret,
    /// None of these.
    Nothing,
}

/// Classifies `key=value`. Case does not matter, and neither do `-` and `_` in the key.
///
/// ```
/// use backing_services_rules::parameter::{Asks, asks};
/// assert!(matches!(asks("sslmode", "disable"), Asks::Plaintext));
/// assert!(matches!(asks("sslmode", "require"), Asks::Tls));
/// assert!(matches!(asks("tlsInsecure", "true"), Asks::Unverified));
/// ```
#[must_use]
pub const fn asks(key: &str, value: &str) -> Asks {
    let key = text::trimmed(key);
    let value = text::trimmed(value);
    if key_listed(MODES, key) {
        return mode(text::listed(MODES_WITH_TLS, value), text::listed(MODES_WITHOUT_TLS, value));
    }
    if key_listed(SWITCHES, key) {
        return mode(text::listed(YES, value), text::listed(NO, value));
    }
    if key_listed(EXEMPTIONS, key) {
        return if text::listed(NO, value) { Asks::Tls } else { Asks::Unverified };
    }
    if key_listed(VERIFICATIONS, key) {
        return if text::listed(VERIFIED, value) || text::listed(YES, value) {
            Asks::Tls
        } else {
            Asks::Unverified
        };
    }
    if key_listed(SECRETS, key) {
        return Asks::Secret;
    }
    Asks::Nothing
}

const fn mode(with_tls: bool, without: bool) -> Asks {
    if with_tls {
        Asks::Tls
    } else if without {
        Asks::Plaintext
    } else {
        Asks::Opportunistic
    }
}

/// Classifies a fragment. The only known one is `#insecure`, which the redis crate reads.
#[must_use]
pub const fn fragment_asks(fragment: &str) -> Asks {
    if text::same(text::trimmed(fragment), "insecure") { Asks::Unverified } else { Asks::Nothing }
}

/// Keys whose value is a mode: libpq's `sslmode`, MySQL's `ssl-mode`, lettre's `tls`.
const MODES: &[&str] = &["sslmode", "tlsmode"];
/// Modes that never use plaintext. Every other one may: `allow`, `prefer`, `PREFERRED`, a misspelt
/// one.
const MODES_WITH_TLS: &[&str] = &[
    "require", "required", "verify-ca", "verify_ca", "verify-full", "verify_full",
    "verify-identity", "verify_identity",
];

/// Modes that always use plaintext.
const MODES_WITHOUT_TLS: &[&str] = &["disable", "disabled", "none", "off"];

/// Keys that switch TLS on or off: MongoDB's `tls`, many drivers' `ssl`, `mysql_async`'s
/// `require_ssl`.
const SWITCHES: &[&str] =
    &["tls", "ssl", "usessl", "requiressl", "requiretls", "encrypt", "secure"];
/// Keys that disable verification.
const EXEMPTIONS: &[&str] = &[
    "insecure", "tlsinsecure", "sslinsecure", "insecureskipverify", "skipverify", "tlsskipverify",
    "tlsallowinvalidcertificates", "tlsallowinvalidhostnames", "sslallowinvalidcertificates",
    "trustservercertificate", "acceptinvalidcerts", "acceptinvalidhostnames", "danger",
    "allowhttp",
];
/// Keys that set the extent of verification.
const VERIFICATIONS: &[&str] = &[
    "verify", "verifyca", "verifyidentity", "verifymode", "sslverify", "tlsverify", "sslcertreqs",
    "verifypeer", "sslverifycert",
];
/// Values that ask for verification, apart from those that mean yes.
const VERIFIED: &[&str] =
    &["full", "peer", "verify_peer", "required", "cert_required", "verify-full"];

/// Keys whose value is a secret.
const SECRETS: &[&str] = &[
    "password", "passwd", "pwd", "pass", "sslpassword", "secret", "secretkey", "secretaccesskey",
    "token", "accesstoken", "sessiontoken", "apikey", "authtoken", "privatekey",
    "sentinelpassword",
];

const YES: &[&str] = &["true", "1", "yes", "on"];
const NO: &[&str] = &["false", "0", "no", "off"];

/// True if the list contains `key`, ignoring case and `-`, `_` and `.` in it.
const fn key_listed(list: &[&str], key: &str) -> bool {
    let mut i = 0;
    while i < list.len() {
        if same_key(list[i], key) {
            return true;
        }
        i += 1;
    }
    false
}

const fn same_key(plain: &str, key: &str) -> bool {
    let plain = plain.as_bytes();
    let key = key.as_bytes();
    let mut p = 0;
    let mut k = 0;
    while k < key.len() {
        if matches!(key[k], b'-' | b'_' | b'.') {
            k += 1;
        } else if p < plain.len() && plain[p].eq_ignore_ascii_case(&key[k]) {
            p += 1;
            k += 1;
        } else {
            return false;
        }
    }
    p == plain.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dialects() {
        for (key, value, asked) in [
            ("sslmode", "disable", Asks::Plaintext),
            ("sslmode", "prefer", Asks::Opportunistic),
            ("sslmode", "allow", Asks::Opportunistic),
            ("sslmode", "verify-fulll", Asks::Opportunistic),
            ("sslmode", "", Asks::Opportunistic),
            ("SSLMODE", "REQUIRE", Asks::Tls),
            ("ssl-mode", "VERIFY_IDENTITY", Asks::Tls),
            ("ssl_mode", "preferred", Asks::Opportunistic),
            ("tls", "true", Asks::Tls),
            ("tls", "opportunistic", Asks::Opportunistic),
            ("ssl", "0", Asks::Plaintext),
            ("tlsInsecure", "true", Asks::Unverified),
            ("tlsInsecure", "false", Asks::Tls),
            ("tlsAllowInvalidCertificates", "1", Asks::Unverified),
            ("verify", "verify_none", Asks::Unverified),
            ("verify_ca", "false", Asks::Unverified),
            ("verify", "verify_peer", Asks::Tls),
            ("password", "x", Asks::Secret),
            ("application_name", "shop", Asks::Nothing),
        ] {
            assert_eq!(asks(key, value), asked, "{key}={value}");
        }
        assert_eq!(fragment_asks(" INSECURE"), Asks::Unverified);
    }
}
