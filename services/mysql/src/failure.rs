//! The server's errors, in our own words.

use backing_services_rules::rule::WEAK_AUTHENTICATION;
use backing_services_runtime::problem::FailureKind;
use backing_services_runtime::service::Refusal;
use backing_services_runtime::{Failure, Finding};

/// The failure that an error packet reports.
pub(super) fn of_packet(packet: &[u8]) -> Failure {
    let code = packet.get(1..).and_then(<[u8]>::first_chunk);
    server_error(code.map_or(0, |code| u16::from_le_bytes(*code)))
}

/// The number of an error that the relay sends to the driver in the server's place. Those from 2000
/// on are the numbers of client libraries, which no server sends (MySQL Client Error Reference).
pub(super) fn number(refusal: &Refusal) -> u16 {
    let Refusal::Failure(failure) = refusal else { return 2026 };
    match failure.kind() {
        FailureKind::Unreachable => 2003,
        FailureKind::Unresolved => 2005,
        FailureKind::TimedOut => 2013,
        FailureKind::Protocol => 2027,
        FailureKind::AuthenticationFailed => 1045,
        _ => 1105,
    }
}

/// The meaning of an error's number when attaching (MySQL and MariaDB error references). Nothing
/// else in the error is used.
pub(super) fn server_error(code: u16) -> Failure {
    use FailureKind::{
        AuthenticationFailed, Protocol, TimedOut, Unavailable, Unreachable, Unresolved,
    };
    let new = Failure::new;
    match code {
        1045 | 1698 => new(
            AuthenticationFailed,
            "the server does not accept the user and the password, from here",
            "check both; they may have been rotated; check also the host in the account's name",
        ),
        1044 => new(
            AuthenticationFailed,
            "the account may not use this database",
            "`GRANT` it what the application does there",
        ),
        1130 => new(
            AuthenticationFailed,
            "the server admits no account from this host",
            "check the hosts in the accounts' names",
        ),
        1820 | 1862 => {
            new(AuthenticationFailed, "the account's password has expired", "set a new one")
        }
        3118 | 4151 => {
            new(AuthenticationFailed, "the account is locked", "`ALTER USER … ACCOUNT UNLOCK`")
        }
        1142 | 1143 | 1227 | 1370 => new(
            AuthenticationFailed,
            "the account lacks a privilege that attaching requires",
            "check what it is granted",
        ),
        1049 => new(
            Unavailable,
            "the server has no such database",
            "check the name in the locator, or in `_DATABASE`",
        ),
        1040 | 1203 | 1226 => new(
            Unavailable,
            "the server has no connection left",
            "check `max_connections` of the server and of the account, and of the locators that \
             lead to it",
        ),
        1129 => new(
            Unavailable,
            "the server does not talk to this host any more: too many connections broke",
            "`FLUSH HOSTS` on the server, after checking why they did",
        ),
        1053 | 1927 => new(Unavailable, "the server is shutting down", "wait, and read its log"),
        1969 | 3024 => new(
            TimedOut,
            "the server ended the statement: it took too long",
            "check the server's load",
        ),
        1043 | 1047 | 1156..=1161 => new(
            Protocol,
            "the server says that the protocol was not kept",
            "check what answers on the port",
        ),
        2003 => new(
            Unreachable,
            "the server cannot be connected to",
            "check whether it runs; the log of this program has the reason",
        ),
        2005 => new(
            Unresolved,
            "its host's name has no address",
            "check the name, and this machine's name servers",
        ),
        2013 => Failure::no_greeting(),
        2026 => new(
            Unavailable,
            "the server violates a rule, so no connection was opened",
            "the log of this program names the rule",
        ),
        2027 => Failure::protocol(),
        _ => {
            new(Unavailable, "the server refuses to serve this connection", "read the server's log")
        }
    }
}

pub(super) fn ancient() -> Refusal {
    Finding::new(
        &WEAK_AUTHENTICATION,
        "the server wants the password as it was hashed before MySQL 4.1",
    )
    .with_help("switch `secure_auth` on, and set the password again")
    .into()
}

pub(super) fn unspoken() -> Refusal {
    Failure::new(
        FailureKind::AuthenticationFailed,
        "the server wants an authentication that this driver does not have",
        "`ALTER USER …` to `caching_sha2_password`, or on MariaDB to `ed25519` or `parsec`",
    )
    .into()
}

pub(super) fn old() -> Refusal {
    Failure::new(
        FailureKind::Unavailable,
        "the server is older than MySQL 5.5, or says that it is",
        "upgrade the server; check what is between here and there",
    )
    .into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_driver_hands_the_kind_of_a_failure_on() {
        for kind in FailureKind::ALL {
            let refusal = Refusal::from(Failure::new(kind, "", ""));
            assert_eq!(server_error(number(&refusal)).kind(), kind);
        }
        let finding = Refusal::from(Finding::new(&WEAK_AUTHENTICATION, ""));
        assert!(server_error(number(&finding)).to_string().contains("violates a rule"));
    }
}
