//! Names that suggest a secret, of fields and of variables.

use crate::text;

/// Whether a field or variable of this name probably holds a secret, or a locator that may hold one.
///
/// The name is read word by word (`stripeKey`, `stripe_key` and `STRIPE_KEY` alike). Only what carries text is asked:
/// a number cannot be a password, so `token_ttl_seconds: u64` never comes here.
///
/// ```
/// use backing_services_rules::name::suggests_secret;
/// assert!(suggests_secret("stripe_key"));
/// assert!(suggests_secret("SHOP_DATABASE_URL"));
/// assert!(!suggests_secret("key_prefix"));
/// assert!(!suggests_secret("tokenizer"));
/// ```
#[must_use]
pub const fn suggests_secret(name: &str) -> bool {
    let bytes = name.as_bytes();
    if text::listed(PUBLIC_NAMES, name) {
        return false;
    }
    // What a name is *of* is said by its last word: `key_prefix` is a prefix, `password_policy` a policy.
    let (last_start, last_end) = last_word(bytes, bytes.len());
    if in_words(PUBLIC_LAST_WORDS, bytes, last_start, last_end) {
        return false;
    }
    let mut end = bytes.len();
    while end > 0 {
        let (start, stop) = last_word(bytes, end);
        if start == stop {
            return false;
        }
        if in_words(SECRET_WORDS, bytes, start, stop) {
            return true;
        }
        if in_words(&["string"], bytes, start, stop) {
            let (before_start, before_end) = last_word(bytes, start);
            if in_words(&["connection", "conn"], bytes, before_start, before_end) {
                return true;
            }
        }
        if in_words(SECRET_LAST_WORDS, bytes, start, stop) && stop == last_end {
            // `key` and `url` alone are too common: what stands before them decides, and nothing before them does not.
            let (before_start, before_end) = last_word(bytes, start);
            if !in_words(PUBLIC_BEFORE, bytes, before_start, before_end) {
                return true;
            }
        }
        end = start;
    }
    false
}

/// A word that makes a name a secret's wherever it stands.
const SECRET_WORDS: &[&str] = &[
    "password", "passwords", "passwd", "passphrase", "pwd", "pw", "secret", "secrets", "token", "tokens", "credential",
    "credentials", "creds", "apikey", "apikeys", "privatekey", "secretkey", "accesskey", "authkey", "dsn", "pat", "jwt", "otp",
    "totp", "pin", "bearer", "cookie", "signature", "hmac", "salt", "pepper", "seed", "mnemonic", "connectionstring",
];

/// A word that makes a name a secret's, or a locator's, when it is the last one.
const SECRET_LAST_WORDS: &[&str] = &["key", "keys", "auth", "authorization", "uri", "url", "pass"];

/// A word before `key`, `url` and the like that makes it public after all.
const PUBLIC_BEFORE: &[&str] = &[
    "public", "primary", "foreign", "partition", "sort", "routing", "base", "home", "homepage", "docs", "help", "logo", "image",
    "avatar", "website", "canonical", "site", "support", "terms", "privacy", "frontend", "redirect", "callback", "return",
];

/// A last word that makes a name a plain value's, whatever stands before it.
const PUBLIC_LAST_WORDS: &[&str] = &[
    "policy", "prefix", "suffix", "length", "count", "size", "limit", "max", "min", "ttl", "seconds", "secs", "millis", "ms",
    "minutes", "hours", "days", "timeout", "interval", "lifetime", "expiry", "enabled", "disabled", "required", "type", "kind",
    "algorithm", "issuer", "audience", "format", "encoding", "header", "name", "id", "path", "dir", "directory", "file",
    "rotation", "version", "scope", "scopes", "endpoint", "host", "port",
];

/// Whole names that look like a secret's and are not.
const PUBLIC_NAMES: &[&str] = &["keys_per_page", "max_tokens", "token_limit", "monkey", "author", "authority"];

/// Where the last word of `bytes[..end]` begins and ends; an empty range where there is none.
const fn last_word(bytes: &[u8], end: usize) -> (usize, usize) {
    let mut stop = end;
    while stop > 0 && !bytes[stop - 1].is_ascii_alphabetic() {
        stop -= 1;
    }
    let mut start = stop;
    while start > 0 && bytes[start - 1].is_ascii_alphabetic() {
        // `stripeKey`: a capital after a small letter begins a word; in `APIKey`, so does one before a small letter.
        if start < stop {
            let here = bytes[start];
            let before = bytes[start - 1];
            if here.is_ascii_uppercase() && before.is_ascii_lowercase() {
                break;
            }
            if here.is_ascii_uppercase()
                && before.is_ascii_uppercase()
                && start + 1 < stop
                && bytes[start + 1].is_ascii_lowercase()
            {
                break;
            }
        }
        start -= 1;
    }
    (start, stop)
}

const fn in_words(words: &[&str], bytes: &[u8], start: usize, end: usize) -> bool {
    let mut i = 0;
    while i < words.len() {
        let word = words[i].as_bytes();
        if word.len() == end - start && text::holds_at(bytes, start, word) {
            return true;
        }
        i += 1;
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn suspects() {
        for name in [
            "password", "db_password", "dbPassword", "DB_PASSWORD", "stripe_key", "stripeKey", "STRIPE_API_KEY", "APIKey",
            "apikey", "api_key", "private_key", "signing_key", "secret", "client_secret", "token", "tokens", "access_token",
            "credentials", "database_url", "cache_url", "url", "key", "dsn", "sentry_dsn", "redis_uri", "basic_auth",
            "smtp_pass", "password2", "my_pwd", "webhook_secret_v2", "github_pat", "token_value", "session_cookie",
            "connection_string", "DbConnectionString", "connectionstring", "session_key",
        ] {
            assert!(suggests_secret(name), "{name}");
        }
    }

    #[test]
    fn innocents() {
        for name in [
            "port", "host", "log_level", "name", "monkey", "keyboard", "tokenizer", "token_limit", "max_tokens", "key_prefix",
            "public_key", "publicKey", "primary_key", "password_policy", "secretary", "passenger", "author", "authority",
            "compass", "base_url", "homepage_url", "region", "bucket", "spinner", "keys_per_page", "", "_", "token_issuer",
            "path", "pattern", "secret_name",
        ] {
            assert!(!suggests_secret(name), "{name}");
        }
    }
}
