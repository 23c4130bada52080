//! A locator that lists several hosts: `postgres://ada@a.example,b.example:5433/shop`.
//!
//! The parser of one host reads the text once per host, with that host alone. So each host passes
//! the rules that a single one passes, and a list adds no second grammar.

use std::fmt;

use backing_services_rules::rule::MALFORMED_LOCATOR;
use secrecy::{ExposeSecret as _, SecretString};

use super::{Dialect, Host, Locator, MAX_LENGTH, Parsed, Parser, is_plain};
use crate::report::finding::Finding;

/// The most hosts of one locator. A cluster of PostgreSQL has two to five members that take over;
/// each host that is down costs the caller up to `connect_timeout`.
pub(crate) const MOST_HOSTS: usize = 8;

/// The place of a host in a list, from 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Place {
    at: usize,
    of: usize,
}

impl Place {
    /// Adds the place to the message of each finding.
    pub(crate) fn name(self, findings: &mut [Finding]) {
        for finding in findings {
            finding.add(&self.to_string());
        }
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "this is about host {} of {}", self.at, self.of)
    }
}

impl Locator {
    /// Each host, and its place if there are several.
    pub(crate) fn placed_hosts(&self) -> impl Iterator<Item = (Option<Place>, &Host)> {
        let of = self.hosts().count();
        self.hosts().zip(1..).map(move |((host, _), at)| {
            let place = if of > 1 { Some(Place { at, of }) } else { None };
            (place, host)
        })
    }

    /// The same locator, with one host alone.
    pub(crate) fn with_host(&self, host: &Host, port: u16) -> Self {
        let others = Vec::new();
        Self { host: Some(host.clone()), port, others, ..self.clone() }
    }
}

/// The hosts of a locator as they are written, and the texts before and behind them.
pub(super) struct List<'a> {
    before: &'a str,
    hosts: Vec<&'a str>,
    behind: &'a str,
}

impl<'a> List<'a> {
    /// Cuts a locator with several hosts where the parser cuts it. `None` if it has one host, or is
    /// longer than a locator: the parser then reads it as it is.
    pub(super) fn cut(text: &'a str) -> Option<Self> {
        if text.len() > MAX_LENGTH || !text.contains(',') {
            return None;
        }
        let (scheme, rest) = text.split_once(':')?;
        let begin = scheme.len() + 3;
        if !rest.starts_with("//") {
            return None;
        }
        let end = text[begin..].find(['/', '?', '#']).map_or(text.len(), |at| begin + at);
        let begin = text[begin..end].rfind('@').map_or(begin, |at| begin + at + 1);
        let hosts = &text[begin..end];
        hosts.contains(',').then(|| Self {
            before: &text[..begin],
            hosts: hosts.split(',').collect(),
            behind: &text[end..],
        })
    }

    /// Parses each host, with everything around it. A finding about the rest is reported once.
    pub(super) fn parse(&self, dialect: &Dialect, findings: &mut Vec<Finding>) -> Option<Parsed> {
        if self.hosts.len() > MOST_HOSTS {
            let message = format!("it lists more than {MOST_HOSTS} hosts");
            let help = "list fewer, or write the name of what balances between them";
            findings.push(Finding::new(&MALFORMED_LOCATOR, message).with_help(help));
            return None;
        }
        let parsed: Vec<_> = (0..self.hosts.len())
            .map(|index| {
                let (parsed, found) = self.parse_host(index, dialect);
                for finding in found {
                    if !findings.iter().any(|earlier| earlier.is_like(&finding)) {
                        findings.push(finding);
                    }
                }
                parsed
            })
            .collect();
        let mut parsed = parsed.into_iter().collect::<Option<Vec<_>>>()?.into_iter();
        let mut whole = parsed.next()?;
        let others = parsed.map(|parsed| parsed.locator);
        whole.locator.others =
            others.filter_map(|other| other.host.map(|host| (host, other.port))).collect();
        findings.extend(check_together(&whole.locator));
        Some(whole)
    }

    fn parse_host(&self, index: usize, dialect: &Dialect) -> (Option<Parsed>, Vec<Finding>) {
        let place = Place { at: index + 1, of: self.hosts.len() };
        let host = self.hosts[index];
        let mut findings = Vec::new();
        let is_readable = if host.is_empty() {
            findings.push(
                Finding::new(&MALFORMED_LOCATOR, "its list of hosts has an empty entry")
                    .with_help("write a host between two commas, and none at either end"),
            );
            None
        } else {
            Parser::new(host, dialect, &mut findings).check_characters()
        };
        place.name(&mut findings);
        let parsed = is_readable.and_then(|()| {
            let text = self.with_host(host);
            let mut parser = Parser::new(text.expose_secret(), dialect, &mut findings);
            parser.place = Some(place);
            parser.parse()
        });
        (parsed, findings)
    }

    /// The locator with this host alone. Like the whole text, it may hold a password.
    fn with_host(&self, host: &str) -> SecretString {
        // A `String` that grows would leave a copy behind.
        let mut text = String::with_capacity(self.before.len() + host.len() + self.behind.len());
        for part in [self.before, host, self.behind] {
            text.push_str(part);
        }
        text.into()
    }
}

impl<'a> Parser<'a> {
    pub(super) fn new(text: &'a str, dialect: &'a Dialect, findings: &'a mut Vec<Finding>) -> Self {
        Self { text, is_plain: is_plain(text), dialect, findings, place: None }
    }
}

/// Checks the hosts against each other.
fn check_together(locator: &Locator) -> Vec<Finding> {
    let hosts: Vec<_> = locator.hosts().collect();
    let twice = hosts.iter().enumerate().find(|(at, host)| hosts[..*at].contains(host));
    let twice = twice.map(|(index, _)| {
        let mut finding = Finding::new(&MALFORMED_LOCATOR, "it lists a host and its port twice")
            .with_help("write it once");
        Place { at: index + 1, of: hosts.len() }.name(std::slice::from_mut(&mut finding));
        finding
    });
    // A member that is not there must not hand its clients over to what runs beside them.
    let local = hosts.iter().filter(|(host, _)| host.is_loopback()).count();
    let mixed = (local != 0 && local != hosts.len()).then(|| {
        Finding::new(&MALFORMED_LOCATOR, "some of its hosts are this machine, and others are not")
            .with_help("list the hosts of one service: all on this machine, or none")
    });
    twice.into_iter().chain(mixed).collect()
}

#[cfg(test)]
mod tests;
