//! Names that suggest a secret, of fields and of variables.

use crate::text;

/// True if a field or variable of this name probably holds a secret, or a locator that may contain
/// one.
///
/// The name is split into words (`stripeKey`, `stripe_key` and `STRIPE_KEY` alike), and the last
/// word decides: a `password_policy` is a policy, a `secret_arn` is the address of a secret, a
/// `policy_password` is a password. Words for the form of a value, or for one of several values, do
/// not count: `key_pem` is a key. The part before a `for`, an `of` or an `and` is read by itself: a
/// `password_for_user` is a password. If the last word decides nothing, any word that names a
/// secret does. Callers ask only for types that carry text: a number is not a password, so
/// `token_ttl_seconds: u64` is never checked.
///
/// ```
/// use backing_services_rules::name::suggests_secret;
/// assert!(suggests_secret("stripe_key"));
/// assert!(suggests_secret("SHOP_DATABASE_URL"));
/// assert!(suggests_secret("signing_key_pem"));
/// assert!(!suggests_secret("key_prefix"));
/// assert!(!suggests_secret("secret_arn"));
/// assert!(!suggests_secret("tokenizer"));
/// ```
#[must_use]
pub const fn suggests_secret(name: &str) -> bool {
    let bytes = name.as_bytes();
    let mut end = bytes.len();
    // A `password_for_user` is a password: what stands before such a word is a name by itself.
    loop {
        if is_secret(bytes, end) {
            return true;
        }
        let mut word = Word::before(bytes, end);
        while !word.is_empty() && !word.is_one_of(JOINTS) {
            word = Word::before(bytes, word.start);
        }
        if word.is_empty() {
            return false;
        }
        end = word.start;
    }
}

/// Words between two names.
const JOINTS: &[&str] = &["for", "of", "from", "to", "with", "and", "or"];

/// Whether `name[..end]` is the name of a secret.
const fn is_secret(bytes: &[u8], end: usize) -> bool {
    let mut last = Word::before(bytes, end);
    let mut before = Word::before(bytes, last.start);
    while !before.is_empty() && !last.follows(PAIRS_OF_SECRETS, before) && last.is_one_of(FORMS) {
        (last, before) = (before, Word::before(bytes, before.start));
    }
    if last.is_empty() {
        return false;
    }
    if last.follows(PAIRS_OF_SECRETS, before) {
        return true;
    }
    if last.is_one_of(ABOUT) || last.follows(PUBLIC_PAIRS, before) {
        return false;
    }
    if last.is_one_of(SECRETS_AT_THE_END) {
        return true;
    }
    while !last.is_empty() {
        if last.is_one_of(SECRETS)
            || last.ends_with_one_of(ENDINGS)
            || last.follows(PAIRS_OF_SECRETS, before)
        {
            return true;
        }
        (last, before) = (before, Word::before(bytes, before.start));
    }
    false
}

/// Words for the form of a value, or for one of several values. A digit is not a letter: `base64`
/// is `base`.
const FORMS: &[&str] = &[
    "pem", "der", "hex", "base", "b", "json", "yaml", "raw", "plain", "plaintext", "encoded",
    "encrypted", "wrapped", "value", "val", "string", "strings", "str", "text", "data", "content",
    "contents", "v", "current", "previous", "old", "new", "next", "live", "test", "testing",
    "prod", "production", "staging", "dev", "development", "sandbox", "default", "main", "primary",
    "secondary", "backup", "fallback", "extra",
];

/// A last word that makes the name one about a secret, whatever precedes it.
const ABOUT: &[&str] = &[
    // Its place and its name.
    "name", "names", "id", "ids", "identifier", "arn", "arns", "path", "paths", "dir", "directory",
    "folder", "file", "files", "filename", "location", "mount", "ref", "reference", "env", "var",
    "variable", "label", "tag", "tags", "title", "description", "prefix", "suffix", "column",
    "field", "fields", "table", "attribute", "property", "claim", "claims", "namespace", "zone",
    "region", "bucket", "collection", "topic", "queue", "channel", "exchange",
    // Its holders, issuers and users.
    "host", "hostname", "hosts", "port", "address", "addr", "ip", "domain", "domains", "site",
    "endpoint", "origin", "origins", "server", "servers", "service", "provider", "providers",
    "manager", "store", "vault", "engine", "driver", "helper", "source", "issuer", "audience",
    "realm", "user", "username", "email", "role", "roles", "group", "owner", "tenant", "project",
    // Its rules and properties.
    "policy", "policies", "mode", "type", "types", "kind", "class", "version", "level", "scheme",
    "strategy", "method", "methods", "mechanism", "algorithm", "algorithms", "alg", "algo",
    "cipher", "format", "encoding", "charset", "alphabet", "pattern", "regex", "rule", "rules",
    "template", "schema", "scope", "scopes", "permission", "permissions", "usage", "purpose",
    "action", "status", "enabled", "disabled", "required", "optional", "allowed", "forbidden",
    "secure", "samesite", "httponly", "consent", "creation", "rotation", "feature",
    // Its duration and its amount.
    "length", "len", "count", "size", "limit", "limits", "max", "min", "bytes", "bits", "quota",
    "budget", "page", "cost", "entropy", "strength", "rounds", "iterations", "attempts", "retries",
    "threshold", "window", "ttl", "exp", "expiry", "expiration", "expires", "expire", "in", "at",
    "until", "after", "age", "lifetime", "lifespan", "duration", "period", "interval", "frequency",
    "schedule", "cron", "delay", "timeout", "grace", "leeway", "skew", "drift", "hours", "hour",
    "minutes", "minute", "mins", "seconds", "second", "secs", "sec", "millis", "ms", "days", "day",
    // Its public parts.
    "public", "pub", "fingerprint", "thumbprint", "checksum", "cert", "certs", "certificate",
    "certificates", "crt", "ca",
];

/// A word that makes the name a secret's at any position, if the last word does not decide.
const SECRETS: &[&str] = &[
    "password", "passwords", "passwd", "passwds", "passphrase", "passphrases", "passcode",
    "passcodes", "passkey", "pwd", "pw", "pword", "adminpw", "userpw", "rootpw", "dbpw", "secret",
    "secrets", "token", "tokens", "credential", "credentials", "cred", "creds", "apikey",
    "apikeys", "privatekey", "privkey", "secretkey", "skey", "accesskey", "authkey", "sshkey",
    "signingkey", "encryptionkey", "masterkey", "kek", "dek", "psk", "dsn", "pat", "jwt", "jwk",
    "otp", "totp", "hotp", "pin", "bearer", "basicauth", "cookie", "cookies", "hmac", "salt",
    "pepper", "mnemonic", "macaroon", "htpasswd", "netrc", "pgpass", "connectionstring",
    "connstring", "connstr", "conninfo",
];

/// The end of a word without separators: `PGPASSWORD`, `authToken` in lower case.
const ENDINGS: &[&str] = &[
    "password", "passwd", "passphrase", "secret", "secrets", "token", "tokens", "apikey",
    "privatekey", "secretkey", "accesskey", "credentials", "databaseurl", "dburl",
];

/// A word that makes the name a secret's or a locator's if it is the last one.
const SECRETS_AT_THE_END: &[&str] = &[
    "key", "keys", "auth", "authorization", "pass", "signature", "seed", "sas", "keytab",
    "webhook", "webhooks", "uri", "uris", "url", "urls", "connection", "conn", "broker", "redis",
    "postgres", "postgresql", "mysql", "mariadb", "mongo", "mongodb", "rabbitmq", "amqp",
];

/// Pairs of words that make a secret's name: the second word, and the words before it.
const PAIRS_OF_SECRETS: &[(&str, &[&str])] = &[
    ("word", &["pass"]),
    ("words", &["pass", "seed"]),
    ("phrase", &["pass", "seed", "recovery", "backup", "wallet", "secret"]),
    ("code", CODES),
    ("codes", CODES),
    (
        "key",
        &[
            "api", "access", "private", "priv", "secret", "auth", "encryption", "signing",
            "master", "session", "ssh", "shared",
        ],
    ),
    ("keys", &["api", "access", "private", "secret", "signing", "ssh"]),
    ("pem", &["private", "server", "client", "tls", "ssl"]),
    ("json", &["account"]),
    ("header", &["auth", "authorization"]),
    ("headers", &["auth", "authorization", "otlp"]),
    ("basic", &["auth"]),
    // It contains the logins of registries.
    ("config", &["auth"]),
    // Telegram's, and the secret half of HashiCorp Vault's AppRole.
    ("hash", &["api"]),
    ("id", &["secret"]),
    ("verifier", &["code"]),
    // Both are locators, which may contain a user and a password.
    ("proxy", &["http", "https", "socks", "all"]),
    ("backend", &["celery", "result"]),
];

const CODES: &[&str] = &[
    "pass", "recovery", "backup", "scratch", "auth", "authorization", "access", "security",
    "verification", "activation", "unlock", "pairing", "login", "mfa",
];

/// Pairs of words that make a public value's name, although the second word alone would not.
const PUBLIC_PAIRS: &[(&str, &[&str])] = &[
    ("key", PUBLIC_KEYS),
    ("keys", PUBLIC_KEYS),
    ("url", PUBLIC_URLS),
    ("urls", PUBLIC_URLS),
    ("uri", PUBLIC_URLS),
    ("uris", PUBLIC_URLS),
    // Of a language model.
    (
        "tokens",
        &[
            "max", "min", "total", "input", "output", "prompt", "completion", "context", "stop",
            "special", "design",
        ],
    ),
    ("signature", &["email", "mail"]),
];

/// Words before `key` that make it public: half of a key pair, or the name of a row, a message or
/// an entry.
const PUBLIC_KEYS: &[&str] = &[
    "public", "pub", "publishable", "site", "primary", "foreign", "partition", "sort", "sorting",
    "routing", "cache", "row", "object", "idempotency", "deduplication", "dedup", "group", "shard",
    "index", "translation", "metric", "lock", "json", "shortcut", "hot", "modifier",
];

/// Words before `url` that make it public: pages to which a browser is sent, and URLs that OAuth
/// publishes. An address that the program itself dials is a locator.
const PUBLIC_URLS: &[&str] = &[
    "public", "base", "external", "home", "homepage", "site", "website", "web", "webapp", "app",
    "frontend", "canonical", "portal", "dashboard", "docs", "doc", "documentation", "help",
    "support", "contact", "about", "blog", "faq", "terms", "privacy", "legal", "policy", "tos",
    "status", "logo", "icon", "favicon", "image", "avatar", "banner", "asset", "assets", "static",
    "media", "cdn", "redirect", "callback", "return", "success", "cancel", "error", "login",
    "logout", "signin", "signup", "invite", "reset", "confirmation", "unsubscribe", "auth",
    "authorize", "authorization", "oauth", "oidc", "sso", "saml", "idp", "issuer", "discovery",
    "metadata", "jwks", "certs", "cert", "token", "userinfo", "introspection", "revocation",
];

/// A word of a name: its letters, in the bytes of the name.
#[derive(Clone, Copy)]
struct Word<'a> {
    name: &'a [u8],
    start: usize,
    end: usize,
}

impl<'a> Word<'a> {
    /// The last word of `name[..end]`; an empty one if there is none.
    const fn before(name: &'a [u8], end: usize) -> Self {
        let mut stop = end;
        while stop > 0 && !name[stop - 1].is_ascii_alphabetic() {
            stop -= 1;
        }
        let mut start = stop;
        while start > 0 && name[start - 1].is_ascii_alphabetic() {
            // `stripeKey`: a capital after a small letter starts a word; in `APIKey`, so does a
            // capital before a small letter.
            if start < stop {
                let here = name[start];
                let before = name[start - 1];
                if here.is_ascii_uppercase() && before.is_ascii_lowercase() {
                    break;
                }
                if here.is_ascii_uppercase()
                    && before.is_ascii_uppercase()
                    && start + 1 < stop
                    && name[start + 1].is_ascii_lowercase()
                {
                    break;
                }
            }
            start -= 1;
        }
        Self { name, start, end: stop }
    }

    const fn is_empty(self) -> bool {
        self.start == self.end
    }

    const fn is(self, word: &str) -> bool {
        word.len() == self.end - self.start
            && text::holds_at(self.name, self.start, word.as_bytes())
    }

    const fn is_one_of(self, words: &[&str]) -> bool {
        let mut i = 0;
        while i < words.len() {
            if self.is(words[i]) {
                return true;
            }
            i += 1;
        }
        false
    }

    const fn ends_with_one_of(self, endings: &[&str]) -> bool {
        let mut i = 0;
        while i < endings.len() {
            let ending = endings[i].as_bytes();
            if ending.len() <= self.end - self.start
                && text::holds_at(self.name, self.end - ending.len(), ending)
            {
                return true;
            }
            i += 1;
        }
        false
    }

    /// True if the table lists this word after `before`.
    const fn follows(self, pairs: &[(&str, &[&str])], before: Self) -> bool {
        let mut i = 0;
        while i < pairs.len() {
            if self.is(pairs[i].0) && before.is_one_of(pairs[i].1) {
                return true;
            }
            i += 1;
        }
        false
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    extern crate std;

    #[test]
    fn a_name_is_read_word_by_word() {
        for name in [
            "dbPassword",
            "DB_PASSWORD",
            "stripeKey",
            "APIKey",
            "DbConnectionString",
            "password2",
            "webhook_secret_v2",
            "key_base64",
            "Secret-Key",
            "PGPASSWORD",
            "password_for_user",
            "tokenForService",
            "secret_of_role",
            "password_and_user",
            "key_and_cert_pem",
            "credentials_from_vault_of_tenant",
        ] {
            assert!(suggests_secret(name), "{name}");
        }
        for name in [
            "", "_", "7", "monkey", "keyboard", "tokenizer", "secretary", "passenger", "author",
            "compass", "secretARN", "path_of_token_file", "format", "order_of_names",
            "ttl_for_password_policy",
        ] {
            assert!(!suggests_secret(name), "{name}");
        }
    }

    #[test]
    fn a_pair_of_words_is_read_as_its_table_says() {
        for (pairs, is_secret) in [(PAIRS_OF_SECRETS, true), (PUBLIC_PAIRS, false)] {
            for (last, firsts) in pairs {
                for first in *firsts {
                    let name = std::format!("{first}_{last}");
                    assert_eq!(suggests_secret(&name), is_secret, "{name}");
                }
            }
        }
        assert!(!suggests_secret("dbTokEn"), "an ending is one of a word, not of the name");
    }

    #[test]
    fn a_capital_begins_a_word_after_a_small_letter_or_before_one() {
        let words = |name: &'static str| {
            let mut last = Word::before(name.as_bytes(), name.len());
            let mut words = std::vec::Vec::new();
            while !last.is_empty() {
                words.push(&name[last.start..last.end]);
                last = Word::before(name.as_bytes(), last.start);
            }
            words
        };
        for (name, expected) in [
            ("stripeKey", &["Key", "stripe"][..]),
            ("APIKey", &["Key", "API"]),
            ("APIKEY", &["APIKEY"]),
            ("apikey", &["apikey"]),
            ("aBC", &["BC", "a"]),
            ("ABc", &["Bc", "A"]),
            ("AbC", &["C", "Ab"]),
            ("A_Bc2dE", &["E", "d", "Bc", "A"]),
            ("A", &["A"]),
            ("_7", &[]),
        ] {
            assert_eq!(words(name), expected, "{name}");
        }
    }

    #[test]
    fn no_word_is_in_two_tables_that_contradict_each_other() {
        for word in ABOUT {
            assert!(
                !SECRETS.contains(word)
                    && !SECRETS_AT_THE_END.contains(word)
                    && !FORMS.contains(word),
                "{word}"
            );
        }
        for word in FORMS {
            assert!(!SECRETS.contains(word) && !SECRETS_AT_THE_END.contains(word), "{word}");
        }
        for word in SECRETS {
            assert!(!SECRETS_AT_THE_END.contains(word), "{word}");
        }
    }
}
