//! A locator in a literal: the mistakes that do not depend on the service.
//!
//! The runtime parses the same text again when it uses it, with the service's own grammar. These
//! checks report earlier, under the literal.

use backing_services_rules::parameter::{Asks, asks, fragment_asks};
use backing_services_rules::scheme::{self, Transport};

use crate::errors::{self, Mistake};

/// The scheme of a literal, and its mistakes, each once.
pub(crate) struct Literal<'a> {
    pub(crate) scheme: Option<&'a str>,
    pub(crate) mistakes: Vec<Mistake>,
}

/// Parses a locator's literal. `plaintext_waived` is true if the field waives `plaintext_scheme`.
pub(crate) fn read(text: &str, plaintext_waived: bool) -> Literal<'_> {
    let mut mistakes = Vec::new();
    let scheme = scheme::of(text);
    let known = scheme.and_then(scheme::look_up);

    let plaintext =
        known.filter(|known| known.transport == Transport::Plaintext && !plaintext_waived);
    if let Some(known) = plaintext {
        // Blanks around the scheme, and a socket's path instead of a host, are part of that
        // mistake.
        mistakes.push(errors::plaintext_scheme(known.name, known.instead));
    } else if text.chars().any(char::is_control) {
        mistakes.push(errors::ambiguous_locator(
            "a control character can be read in two ways",
            "remove it",
        ));
    } else if text.chars().any(char::is_whitespace) {
        mistakes.push(errors::malformed_locator(
            "a locator holds no blanks",
            "remove them, a blank in a path is `%20`",
        ));
    }
    if text.contains('\\') {
        mistakes.push(errors::ambiguous_locator(
            "some readers take a backslash for a `/`",
            "write `/`",
        ));
    }

    let (text, fragment) = split(text, '#');
    match fragment {
        Some(fragment) if fragment_asks(fragment) == Asks::Unverified => {
            mistakes.push(errors::unverified_parameter(&format!("#{fragment}")))
        }
        Some(_) => mistakes.push(errors::ambiguous_locator(
            "a locator has no fragment",
            "remove the `#` and what stands behind it",
        )),
        None => {}
    }
    let (text, query) = split(text, '?');
    if let Some(query) = query {
        parameters(query, plaintext_waived, &mut mistakes);
    }

    match scheme {
        None => mistakes.push(errors::malformed_locator(
            "a locator begins with its scheme",
            "write `scheme://host`",
        )),
        Some(_) if known.is_some_and(|known| known.transport == Transport::Embedded) => {}
        Some(scheme) => {
            // `scheme` is a part of the text, with only blanks before it and between it and the
            // colon.
            let rest = text.split_once(':').map_or("", |(_, rest)| rest);
            match rest.strip_prefix("//") {
                None => mistakes.push(errors::malformed_locator(
                    "`://` is missing behind the scheme",
                    &missing_slashes(scheme, known.is_some()),
                )),
                Some(rest) => authority(rest, query, plaintext.is_none(), &mut mistakes),
            }
        }
    }
    Literal { scheme, mistakes }
}

/// True if it is a name or an address in its usual form.
pub(crate) fn is_host(host: &str) -> bool {
    let unbracketed =
        host.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(host);
    if unbracketed.parse::<std::net::Ipv6Addr>().is_ok()
        || host.parse::<std::net::Ipv4Addr>().is_ok()
    {
        return true;
    }
    // `2130706433` and `0x7f.1` are other forms of addresses: URL parsers read a last label that
    // begins with a digit as a number.
    let last_is_a_name = host
        .rsplit('.')
        .next()
        .is_some_and(|last| last.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_'));
    host.len() <= 253
        && last_is_a_name
        && host.split('.').all(|label| {
            (1..=63).contains(&label.len())
                && label.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_')
                && !label.starts_with('-')
                && !label.ends_with('-')
        })
}

/// True if a text has a user part, provided that it can be a locator.
pub(crate) fn holds_credentials(text: &str) -> bool {
    text.split_once("://").is_some_and(|(_, rest)| {
        rest.split(['/', '?', '#']).next().is_some_and(|authority| authority.contains('@'))
    })
}

fn missing_slashes(scheme: &str, is_known: bool) -> String {
    // `localhost:6379` parses as the scheme `localhost`.
    if is_known { format!("write `{scheme}://host`") } else { "write `scheme://host`".to_owned() }
}

fn parameters(query: &str, plaintext_waived: bool, mistakes: &mut Vec<Mistake>) {
    let mut seen: Vec<String> = Vec::new();
    for parameter in query.split('&') {
        let (key, value) = parameter.split_once('=').unwrap_or((parameter, ""));
        if key.contains('%') {
            mistakes.push(errors::ambiguous_locator(
                "a parameter's name with `%` in it can be read in two ways",
                "write the name's letters",
            ));
            continue;
        }
        if seen.iter().any(|other| other.eq_ignore_ascii_case(key)) {
            mistakes.push(errors::ambiguous_locator(
                &format!("the parameter `{key}` is there twice"),
                "remove one of them",
            ));
            continue;
        }
        seen.push(key.to_owned());
        match asks(key, value) {
            Asks::Plaintext if !plaintext_waived => {
                mistakes.push(errors::plaintext_parameter(parameter))
            }
            Asks::Opportunistic => mistakes.push(errors::opportunistic_parameter(parameter)),
            Asks::Unverified => mistakes.push(errors::unverified_parameter(parameter)),
            Asks::Secret => mistakes.push(errors::secret_parameter(key)),
            _ => {}
        }
    }
}

fn authority(rest: &str, query: Option<&str>, names_a_host: bool, mistakes: &mut Vec<Mistake>) {
    let (authority, path) = split(rest, '/');
    // An `@` after the authority means that a password contains an unencoded `/` or `?`.
    let elsewhere = path.is_some_and(|path| path.contains('@'))
        || query.is_some_and(|query| query.contains('@'));
    let host = match authority.split_once('@') {
        Some((_, host)) if host.contains('@') => {
            mistakes.push(errors::ambiguous_locator(
                "a second `@` leaves open where the host begins",
                "remove all that stands before the host",
            ));
            return;
        }
        Some((_, host)) => {
            mistakes.push(errors::embedded_credentials());
            host
        }
        None => authority,
    };
    if elsewhere {
        mistakes.push(errors::ambiguous_locator(
            "an `@` behind the host leaves open where the host begins",
            "write `%40` if it belongs to the path, and leave out credentials",
        ));
        return;
    }
    let (name, port) = match (host.rfind(']'), host.rfind(':')) {
        (Some(bracket), Some(colon)) if colon < bracket => (host, None),
        (_, Some(colon)) => (&host[..colon], Some(&host[colon + 1..])),
        (_, None) => (host, None),
    };
    if names_a_host {
        let plain = name.strip_suffix('.').unwrap_or(name);
        if plain.trim().is_empty() {
            mistakes.push(errors::malformed_locator(
                "a locator names its host", "write `scheme://host`",
            ));
        } else if !plain.is_ascii() {
            mistakes.push(errors::malformed_locator(
                "a host is written in ASCII",
                "write the name in its ASCII form, as `xn--bcher-kva.example` for `bücher.example`",
            ));
        } else if !plain.contains(char::is_whitespace) && !plain.contains('\\') && !is_host(plain) {
            // Blanks and backslashes were reported above.
            mistakes.push(errors::malformed_locator(
                "a host is a name or an address",
                "write it as `db.example.com`, `10.0.0.1` or `[::1]`",
            ));
        }
    }
    if port.is_some_and(|port| {
        !port.bytes().all(|b| b.is_ascii_digit()) || !port.parse().is_ok_and(|port: u16| port != 0)
    }) {
        mistakes.push(errors::malformed_locator(
            "a port is a number from 1 to 65535",
            "write one, or remove the `:`",
        ));
    }
}

fn split(text: &str, at: char) -> (&str, Option<&str>) {
    text.split_once(at).map_or((text, None), |(before, behind)| (before, Some(behind)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rules(text: &str) -> Vec<&'static str> {
        read(text, false).mistakes.iter().map(|mistake| mistake.rule.name).collect()
    }

    #[test]
    fn valid_literals_have_no_mistakes() {
        for text in [
            "rediss://localhost",
            "rediss://cache.internal:6380/0",
            "postgres://db/shop?sslmode=require",
            "postgres://[::1]:5432/shop?application_name=shop",
            "sqlite:///var/lib/shop.db",
            "gophers://host:7070",
            "gophers://HOST.example.com.:7070",
            "gophers://xn--bcher-kva.example",
        ] {
            assert_eq!(rules(text), [""; 0], "{text}");
        }
        assert_eq!(read("redis://mesh?tls=false", true).mistakes.len(), 0);
    }

    #[test]
    fn one_mistake_is_one_message() {
        for (text, rule) in [
            ("redis://localhost", "plaintext_scheme"),
            (" REDIS://localhost\n", "plaintext_scheme"),
            ("redis+unix:///run/redis.sock", "plaintext_scheme"),
            ("postgres://db?sslmode=disable", "plaintext_scheme"),
            ("postgres://db?sslmode=prefer", "opportunistic_tls"),
            ("postgres://db?sslmode=verify-fulll", "opportunistic_tls"),
            ("mongodb://db?tlsInsecure=true", "unverified_tls"),
            ("rediss://cache#insecure", "unverified_tls"),
            ("rediss://cache#x", "ambiguous_locator"),
            ("postgres://app@db", "embedded_credentials"),
            ("postgres://app:pw@db", "embedded_credentials"),
            ("rediss://:pw@cache", "embedded_credentials"),
            ("postgres://a:b@c@db", "ambiguous_locator"),
            ("postgres://a:b/c@db", "ambiguous_locator"),
            ("postgres://db?password=x", "secret_in_parameter"),
            ("postgres://db?a=1&A=2", "ambiguous_locator"),
            ("postgres://db?ssl%6Dode=disable", "ambiguous_locator"),
            ("postgres://db\\x", "ambiguous_locator"),
            ("postgres://d b", "malformed_locator"),
            ("postgres://d\tb", "ambiguous_locator"),
            ("postgres://", "malformed_locator"),
            ("postgres:///shop", "malformed_locator"),
            ("postgres:db", "malformed_locator"),
            ("localhost:6379", "malformed_locator"),
            ("localhost", "malformed_locator"),
            ("", "malformed_locator"),
            ("rediss://[", "malformed_locator"),
            ("rediss://::1", "malformed_locator"),
            ("rediss://a,b", "malformed_locator"),
            ("rediss://2130706433", "malformed_locator"),
            ("rediss://bücher.example", "malformed_locator"),
            ("rediss://１２７.0.0.1:6379", "malformed_locator"),
            ("https://db。example", "malformed_locator"),
            ("rediss://cache:99999", "malformed_locator"),
            ("rediss://cache:", "malformed_locator"),
        ] {
            assert_eq!(rules(text), [rule], "{text}");
        }
        assert_eq!(rules("redis://u:p@h?sslmode=prefer#insecure").len(), 4);
    }

    #[test]
    fn hosts() {
        for good in
            ["db", "db.example.com", "10.0.0.1", "::1", "[::1]", "my_db", "xn--bcher-kva.example"]
        {
            assert!(is_host(good), "{good}");
        }
        for bad in [
            "", "*", "*.", "*.example.com", ".example.com", "example.com.", "a..b", "[", "]",
            "db:5432", "https://db", "db/x", "a b", "-a", "a-", "2130706433", "0x7f.1", "1.2.3",
            "bücher.example", "user@db",
        ] {
            assert!(!is_host(bad), "{bad}");
        }
    }

    #[test]
    fn credentials_are_seen_in_any_text() {
        for (text, holds) in [
            ("https://u:p@host/x", true),
            ("https://host/@x", false),
            ("me@example.com", false),
            ("a://b@c", true),
        ] {
            assert_eq!(holds_credentials(text), holds, "{text}");
        }
    }
}
