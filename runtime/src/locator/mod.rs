//! The grammar of a locator. A value that this module returns is well-formed and contains no
//! secret.
//!
//! ```text
//! locator   = scheme "://" [ user [ ":" password ] "@" ] host [ ":" port ] [ "/" path ]
//!             [ "?" key "=" value *( "&" key "=" value ) ]
//! several   = the same, with 2 to 8 of host [ ":" port ], and a "," between them
//! embedded  = scheme ":" [ "//" ] "/" path [ "?" … ]
//! ```
//!
//! The grammar is RFC 3986 without the parts that two parsers could read differently: no fragment,
//! no second `@`, no backslash, no blank, no control character (not even percent-encoded), no empty
//! part, no part `.` or `..` of a path, no duplicate key. A host is ASCII: a name in another script
//! is written as its A-label (RFC 5890). If any part of the text is not plain, `url` parses it too,
//! and both results must agree. The host parser of `url` decides what a host is, so that
//! `2130706433`, `0x7f.1`, `[::ffff:127.0.0.1]` and `127.0.0.1.` all become the address that they
//! mean.
//!
//! A service may accept several hosts. Then the text is read once per host, with that host alone.

pub(crate) mod dialect;
pub(crate) mod hosts;

use std::fmt;
use std::net::IpAddr;

use backing_services_rules::parameter::{Asks, asks, fragment_asks};
use backing_services_rules::rule::{
    AMBIGUOUS_LOCATOR, MALFORMED_LOCATOR, OPPORTUNISTIC_TLS, PLAINTEXT_SCHEME, SECRET_IN_PARAMETER,
    UNKNOWN_PARAMETER, UNKNOWN_SCHEME, UNVERIFIED_TLS,
};
use backing_services_rules::scheme::{self, Scheme, Transport};
use backing_services_rules::spelling::distance;
use secrecy::SecretString;
use url::Url;

use crate::locator::dialect::{Login, Parameter, ParameterValue};
use crate::locator::hosts::{List, Place};
use crate::report::finding::Finding;
use crate::report::text::is_invisible;

/// The longest locator, in bytes. Real ones are a tenth as long.
pub(crate) const MAX_LENGTH: usize = 8 * 1024;

/// The parsed address of a resource: scheme, host, port, path, parameters and user. The password is
/// stored elsewhere, so a locator cannot print it.
///
/// `Display` and `Debug` print scheme, each host with its port, and path. They omit the path if it
/// may be a secret ([`Service::SECRET_PATH`](crate::service::Service::SECRET_PATH)), as in the URL
/// of a webhook (Slack, Discord, Telegram). Every other path is a name: of a database, a virtual
/// host, a prefix, or a file.
#[derive(Clone, PartialEq, Eq)]
pub struct Locator {
    scheme: &'static str,
    transport: Transport,
    user: Option<String>,
    host: Option<Host>,
    port: u16,
    /// The hosts behind the first one, if the locator lists several.
    others: Vec<(Host, u16)>,
    path: String,
    /// True if the path may be a credential, so that it is never shown.
    has_secret_path: bool,
    parameters: Vec<(&'static str, String)>,
}

/// The host of a [`Locator`].
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Host {
    /// A name, in lower case and in ASCII, without a trailing dot. A name in another script is its
    /// A-label, `xn--bcher-kva.example`.
    Name(String),
    /// An address. An IPv4-mapped IPv6 address is stored as the IPv4 address.
    Address(IpAddr),
}

impl Host {
    /// True for a loopback address, and for `localhost`.
    pub(crate) fn is_loopback(&self) -> bool {
        match self {
            Self::Address(address) => address.is_loopback(),
            Self::Name(name) => name == "localhost",
        }
    }

    /// The help about a server without TLS. A build with `debug_assertions` accepts plaintext to
    /// this machine: `form` is how the locator asks for it.
    pub(crate) fn help_without_tls(&self, help: &str, form: &str) -> String {
        if cfg!(debug_assertions) && self.is_loopback() {
            format!("{help}; for a server on this machine, a debug build also accepts {form}")
        } else {
            help.to_owned()
        }
    }
}

impl fmt::Display for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Name(name) => f.write_str(name),
            Self::Address(IpAddr::V6(address)) => write!(f, "[{address}]"),
            Self::Address(address) => write!(f, "{address}"),
        }
    }
}

impl Locator {
    /// The scheme, in lower case.
    #[must_use]
    pub const fn scheme(&self) -> &'static str {
        self.scheme
    }

    /// The protection of the connection. [`Transport::Plaintext`] occurs only with a waiver, or to
    /// a loopback address in a build with `debug_assertions`.
    #[must_use]
    pub const fn transport(&self) -> Transport {
        self.transport
    }

    /// The user that the locator names.
    #[must_use]
    pub fn user(&self) -> Option<&str> {
        self.user.as_deref()
    }

    /// The host; `None` for an embedded service. If there are [several](Self::hosts), it is the
    /// first one.
    #[must_use]
    pub const fn host(&self) -> Option<&Host> {
        self.host.as_ref()
    }

    /// The port; 0 for an embedded service. If there are [several hosts](Self::hosts), it is the
    /// first one's.
    #[must_use]
    pub const fn port(&self) -> u16 {
        self.port
    }

    /// Each host and its port, in the order in which they are written. There is one, or up to 8 for
    /// a service with [`Service::SEVERAL_HOSTS`](crate::service::Service::SEVERAL_HOSTS); none for
    /// an embedded service. No two are equal. Either all of them are loopback hosts, or none is.
    pub fn hosts(&self) -> impl Iterator<Item = (&Host, u16)> {
        let first = self.host.iter().map(|host| (host, self.port));
        first.chain(self.others.iter().map(|(host, port)| (host, *port)))
    }

    /// The host, if there is exactly one.
    pub(crate) fn only_host(&self) -> Option<&Host> {
        self.host.as_ref().filter(|_| self.others.is_empty())
    }

    /// True if it leads to a loopback host, and to no other one.
    pub(crate) fn is_local(&self) -> bool {
        self.host.is_some() && self.hosts().all(|(host, _)| host.is_loopback())
    }

    /// The decoded path: without its leading `/` if there is a host, with it if there is none.
    #[must_use]
    pub fn path(&self) -> &str {
        &self.path
    }

    /// The parts of the path that no text may show: the path, and its segments that are as long as
    /// a token.
    pub(crate) fn secret_paths(&self) -> impl Iterator<Item = &str> {
        /// The shortest token in a path: 16 characters. Discord's have 68, Telegram's 46, and
        /// Slack's 24.
        const SHORTEST_TOKEN: usize = 16;
        let path = self.path.trim_matches('/');
        let parts = path.split('/').filter(|part| part.len() < path.len());
        let all = std::iter::once(path).chain(parts).filter(|part| part.len() >= SHORTEST_TOKEN);
        all.filter(|_| self.has_secret_path)
    }

    /// The value of a parameter. It is already within its bounds.
    #[must_use]
    pub fn parameter(&self, name: &str) -> Option<&str> {
        self.parameters.iter().find(|(known, _)| *known == name).map(|(_, value)| value.as_str())
    }

    /// The value of a [`Parameter::number`]. It is already within its bounds.
    #[must_use]
    pub fn number(&self, name: &str) -> Option<u64> {
        self.parameter(name)?.parse().ok()
    }
}

impl fmt::Display for Locator {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:", self.scheme)?;
        let mut mark = "//";
        for (host, port) in self.hosts() {
            write!(f, "{mark}{host}:{port}")?;
            mark = ",";
        }
        if self.host.is_some() {
            f.write_str("/")?;
        }
        if self.has_secret_path {
            Ok(())
        } else {
            f.write_str(&crate::report::text::printable(&self.path))
        }
    }
}

impl fmt::Debug for Locator {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Locator({self})")
    }
}

/// A service's demands on its locators, as the parser needs them.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Dialect {
    pub(crate) schemes: &'static [Scheme],
    /// The service's own parameters.
    pub(crate) parameters: &'static [Parameter],
    /// The parameters that the runtime adds to them.
    pub(crate) added: &'static [Parameter],
    pub(crate) login: Login,
    pub(crate) path: Option<&'static str>,
    /// True if a locator may list several hosts.
    pub(crate) several_hosts: bool,
    /// True if the path is never shown.
    pub(crate) secret_path: bool,
    /// The reason why plaintext is waived for this field, if it is.
    pub(crate) plaintext_waiver: Option<&'static str>,
    /// True if this build accepts plaintext to a loopback address.
    pub(crate) plaintext_loopback: bool,
}

impl Dialect {
    /// The dialect of an endpoint: `https://host:port/path`, and nothing else.
    pub(crate) const fn endpoint(self) -> Self {
        const HTTPS: &[Scheme] = &[Scheme::tls("https")];
        Self {
            schemes: HTTPS,
            parameters: &[],
            added: &[],
            login: Login::None,
            path: Some("what stands before the service's own path"),
            several_hosts: false,
            secret_path: true,
            ..self
        }
    }

    /// All parameters: the runtime's, then the service's own.
    fn parameters(&self) -> impl Iterator<Item = &'static Parameter> + use<> {
        self.added.iter().chain(self.parameters)
    }
}

/// A locator, its secret, and the findings that did not prevent its acceptance.
pub(crate) struct Parsed {
    pub(crate) locator: Locator,
    pub(crate) password: Option<SecretString>,
    pub(crate) warnings: Vec<Finding>,
}

/// Parses a locator. On error there is at least one finding; none contains a part of the text.
pub(crate) fn parse(text: &str, dialect: &Dialect) -> Result<Parsed, Vec<Finding>> {
    let mut findings = Vec::new();
    let list = if dialect.several_hosts { List::cut(text) } else { None };
    let parsed = match list {
        Some(list) => list.parse(dialect, &mut findings),
        None => Parser::new(text, dialect, &mut findings).parse(),
    };
    match parsed {
        Some(mut parsed) if findings.iter().all(|finding| !finding.is_denied()) => {
            parsed.warnings = findings;
            Ok(parsed)
        }
        _ => Err(findings),
    }
}

struct Parser<'a> {
    text: &'a str,
    is_plain: bool,
    dialect: &'a Dialect,
    findings: &'a mut Vec<Finding>,
    /// The place of the host in a list.
    place: Option<Place>,
}

/// The pieces of a locator, cut at the first delimiters, before anything is decoded.
struct Pieces<'a> {
    userinfo: Option<&'a str>,
    /// `None` if there is no `//`.
    host_and_port: Option<&'a str>,
    path: &'a str,
    query: Option<&'a str>,
}

impl Parser<'_> {
    fn parse(mut self) -> Option<Parsed> {
        self.check_characters()?;
        let name = scheme::of(self.text);
        let Some(name) = name else {
            self.find(
                Finding::new(&MALFORMED_LOCATOR, "it has no scheme")
                    .with_help(format!("write it as `{}`", self.example())),
            );
            return None;
        };
        let rest = &self.text[name.len() + 1..];
        let (scheme, plaintext) = self.scheme(name)?;
        let embedded = scheme.transport() == Transport::Embedded;

        let pieces = self.cut(rest, embedded)?;
        let (user, password) = self.userinfo(pieces.userinfo, embedded);
        let host_and_port = if embedded {
            Some((None, 0))
        } else {
            let before = self.findings.len();
            let parsed = self.host_and_port(pieces.host_and_port?, scheme);
            self.name_place(before);
            parsed.map(|(host, port)| (Some(host), port))
        };
        let path = self.path(pieces.path, embedded);
        let (parameters, asks_for_plaintext) = self.parameters(pieces.query);
        let (host, port) = host_and_port?;

        let wants_plaintext = plaintext || asks_for_plaintext;
        if wants_plaintext {
            self.plaintext(scheme, host.as_ref());
        }
        if self.has_other_readings(scheme) {
            self.cross_check(&host)?;
        }
        let transport = if wants_plaintext { Transport::Plaintext } else { scheme.transport() };
        let has_secret_path = self.dialect.secret_path;
        Some(Parsed {
            locator: Locator {
                scheme: scheme.name(),
                transport,
                user,
                host,
                port,
                others: Vec::new(),
                path: path?,
                has_secret_path,
                parameters,
            },
            password,
            warnings: Vec::new(),
        })
    }

    fn find(&mut self, finding: Finding) {
        self.findings.push(finding);
    }

    /// Adds the host's place in a list to the findings behind the first `before`.
    fn name_place(&mut self, before: usize) {
        if let Some(place) = self.place {
            place.name(&mut self.findings[before..]);
        }
    }

    /// An example of this service's locators.
    fn example(&self) -> String {
        let Some(scheme) = self.dialect.schemes.first() else { return String::new() };
        if scheme.transport() == Transport::Embedded {
            return format!("{}:///path/to/file", scheme.name());
        }
        let user = match self.dialect.login {
            Login::None | Login::Optional => "",
            Login::UserAndPassword | Login::Password => "user:password@",
        };
        format!(
            "{}://{user}host:{}{}",
            scheme.name(),
            scheme.port(),
            if self.dialect.path.is_some() { "/path" } else { "" }
        )
    }

    /// Rejects characters that are not allowed anywhere in a locator. Each kind is reported once.
    fn check_characters(&mut self) -> Option<()> {
        let before = self.findings.len();
        if self.text.len() > MAX_LENGTH {
            self.find(
                Finding::new(&MALFORMED_LOCATOR, "it is longer than 8 KiB")
                    .with_help("check what was written into the variable: no locator is this long"),
            );
            return None;
        }
        if self.is_plain {
            return Some(());
        }
        self.check_blanks();
        if self.text.contains('\\') {
            self.find(
                Finding::new(
                    &AMBIGUOUS_LOCATOR,
                    "it holds a backslash, which some readers take for a `/`",
                )
                .with_help("in a password, a backslash is written `%5C`"),
            );
        }
        self.check_fragment();
        self.check_percent();
        (self.findings.len() == before).then_some(())
    }

    fn check_blanks(&mut self) {
        if self.text.chars().any(|c| c.is_control() || is_invisible(c)) {
            self.find(Finding::new(
                &AMBIGUOUS_LOCATOR,
                "it holds a control character or an invisible one, such as a line break, a tab or \
                 a byte order mark",
            ));
        } else if self.text.chars().any(char::is_whitespace) {
            self.find(
                Finding::new(&MALFORMED_LOCATOR, "it holds a blank").with_help(
                    "remove blanks around it; inside a password, a blank is written `%20`",
                ),
            );
        }
    }

    fn check_fragment(&mut self) {
        if let Some((_, fragment)) = self.text.split_once('#') {
            if fragment_asks(fragment) == Asks::Unverified {
                self.find(
                    Finding::new(
                        &UNVERIFIED_TLS,
                        "its fragment `#insecure` switches verification off",
                    )
                    .with_help("remove it"),
                );
            } else {
                self.find(
                    Finding::new(
                        &AMBIGUOUS_LOCATOR,
                        "it holds a `#`, and a locator has no fragment",
                    )
                    .with_help("in a password, `#` is written `%23`; anywhere else, remove it"),
                );
            }
        }
    }

    /// Checks what is percent-encoded. The first mistake is reported.
    fn check_percent(&mut self) {
        let mut rest = self.text;
        while let Some(at) = rest.find('%') {
            rest = &rest[at + 1..];
            let Some(byte) = rest
                .get(..2)
                .filter(|digits| digits.bytes().all(|b| b.is_ascii_hexdigit()))
                .and_then(|digits| u8::from_str_radix(digits, 16).ok())
            else {
                self.find(
                    Finding::new(
                        &MALFORMED_LOCATOR,
                        "it holds a `%` without two hexadecimal digits behind it",
                    )
                    .with_help("in a password, `%` is written `%25`"),
                );
                break;
            };
            if byte < 0x20 || byte == 0x7f {
                self.find(
                    Finding::new(
                        &AMBIGUOUS_LOCATOR,
                        "it holds a percent-encoded control character",
                    )
                    .with_help("remove it: what it does depends on who reads it"),
                );
                break;
            }
        }
    }

    /// The scheme, if the service accepts it; and whether it is a plaintext scheme that is accepted
    /// nevertheless.
    fn scheme(&mut self, name: &str) -> Option<(Scheme, bool)> {
        if let Some(scheme) = self.dialect.schemes.iter().find(|scheme| scheme.is(name)) {
            return Some((*scheme, false));
        }
        if let Some(known) = scheme::look_up(name)
            && known.transport == Transport::Plaintext
        {
            // For a plaintext scheme, use the service's own encrypted twin, with the plaintext
            // scheme's port.
            if known.has_twin
                && let Some(twin) =
                    self.dialect.schemes.iter().find(|scheme| scheme.is(known.instead))
            {
                return Some((twin.with_port(known.port), true));
            }
            let accepted = self.accepted();
            let help = if known.instead.contains(' ') {
                format!("use {}; this service accepts {accepted}", known.instead)
            } else if known.has_twin {
                format!(
                    "`{}` is what `{}` becomes with TLS; this service accepts {accepted}",
                    known.instead, known.name
                )
            } else {
                format!(
                    "use a service that is reached by `{}`; this one accepts {accepted}",
                    known.instead
                )
            };
            self.find(
                Finding::new(
                    &PLAINTEXT_SCHEME,
                    format!("its scheme `{}` is plaintext", known.name),
                )
                .with_help(help),
            );
            return None;
        }
        let accepted = self.accepted();
        // The text before the first `:` may be anything, even a password: it is repeated only if it
        // is a known scheme.
        let found = scheme::look_up(name).map_or_else(
            || "its scheme is not known".to_owned(),
            |known| format!("its scheme `{}` belongs to another service", known.name),
        );
        self.find(
            Finding::new(&UNKNOWN_SCHEME, found)
                .with_help(format!("this service accepts {accepted}")),
        );
        None
    }

    fn accepted(&self) -> String {
        let names: Vec<_> =
            self.dialect.schemes.iter().map(|scheme| format!("`{}`", scheme.name())).collect();
        names.join(" or ")
    }

    /// Handles plaintext that the scheme or a parameter asks for.
    fn plaintext(&mut self, scheme: Scheme, host: Option<&Host>) {
        if self.dialect.plaintext_loopback && host.is_some_and(Host::is_loopback) {
            let message = "plaintext to a loopback address: a build with `debug_assertions` \
                           accepts it, a release build refuses it";
            self.find(Finding::new(&PLAINTEXT_SCHEME, message).into_warning());
            return;
        }
        let mut finding =
            Finding::new(&PLAINTEXT_SCHEME, "it asks for a connection without TLS").with_help(
                format!("write `{}://`, and no parameter that switches TLS off", scheme.name()),
            );
        if let Some(reason) = self.dialect.plaintext_waiver {
            finding.waive(reason);
        }
        self.find(finding);
    }

    fn cut<'t>(&mut self, rest: &'t str, embedded: bool) -> Option<Pieces<'t>> {
        let (rest, query) = match rest.split_once('?') {
            Some((rest, query)) => (rest, Some(query)),
            None => (rest, None),
        };
        let Some(after) = rest.strip_prefix("//") else {
            if embedded {
                return Some(Pieces { userinfo: None, host_and_port: None, path: rest, query });
            }
            self.find(
                Finding::new(&MALFORMED_LOCATOR, "`://` is missing behind its scheme")
                    .with_help(format!("write it as `{}`", self.example())),
            );
            return None;
        };
        let (authority, path) = match after.find('/') {
            Some(slash) => after.split_at(slash),
            None => (after, ""),
        };
        // An `@` after the authority means that a password contains an unencoded `/` or `?`: the
        // host would be a part of the password.
        let ats = |text: &str| text.bytes().filter(|b| *b == b'@').count();
        if ats(authority) > 1 || ats(path) > 0 || query.is_some_and(|query| ats(query) > 0) {
            self.find(
                Finding::new(
                    &AMBIGUOUS_LOCATOR,
                    "it holds an `@` that does not end the user part: where the host begins is \
                     open",
                )
                .with_help(
                    "inside a user, a password or a path, `@` is written `%40`, `/` is `%2F` and \
                       `?` is `%3F`",
                ),
            );
            return None;
        }
        if embedded && !authority.is_empty() {
            self.find(
                Finding::new(
                    &MALFORMED_LOCATOR,
                    "two slashes begin a host, and this service has none",
                )
                .with_help(format!(
                    "write an absolute path behind three slashes: `{}`",
                    self.example()
                )),
            );
            return None;
        }
        let (userinfo, host_and_port) = match authority.split_once('@') {
            Some((userinfo, host)) => (Some(userinfo), host),
            None => (None, authority),
        };
        Some(Pieces { userinfo, host_and_port: Some(host_and_port), path, query })
    }

    fn userinfo(
        &mut self,
        userinfo: Option<&str>,
        embedded: bool,
    ) -> (Option<String>, Option<SecretString>) {
        let Some(userinfo) = userinfo else { return (None, None) };
        if embedded || self.dialect.login == Login::None {
            self.find(
                Finding::new(
                    &MALFORMED_LOCATOR,
                    "it names a user, and this service has no accounts",
                )
                .with_help("remove the user and the password"),
            );
            return (None, None);
        }
        let (user, password) = match userinfo.split_once(':') {
            Some((user, password)) => (user, Some(password)),
            None => (userinfo, None),
        };
        if password.is_some_and(|password| password.contains(':')) {
            self.find(
                Finding::new(&AMBIGUOUS_LOCATOR, "its user part holds a second `:`")
                    .with_help("in a user or a password, `:` is written `%3A`"),
            );
        }
        if user.is_empty()
            && (password.is_none_or(str::is_empty) || self.dialect.login == Login::UserAndPassword)
        {
            self.find(
                Finding::new(&MALFORMED_LOCATOR, "it has an `@` and no user before it")
                    .with_help("write the user, or remove the `@`"),
            );
        }
        if password == Some("") {
            self.find(
                Finding::new(&MALFORMED_LOCATOR, "it has a `:` behind the user and no password")
                    .with_help("write the password, or remove the `:`"),
            );
        }
        let user = self.decoded(user, "user").filter(|user| !user.is_empty());
        let password = password
            .filter(|password| !password.is_empty())
            .and_then(|password| self.decoded(password, "password"));
        (user, password.map(SecretString::from))
    }

    fn decoded(&mut self, text: &str, what: &str) -> Option<String> {
        if self.is_plain || is_plain(text) {
            return Some(text.to_owned());
        }
        match percent_decode(text) {
            Some(decoded) if !decoded.chars().any(|c| c.is_control() || is_invisible(c)) => {
                Some(decoded)
            }
            _ => {
                self.find(Finding::new(
                    &MALFORMED_LOCATOR,
                    format!("its {what}, percent-decoded, is not printable UTF-8"),
                ));
                None
            }
        }
    }

    fn host_and_port(&mut self, text: &str, scheme: Scheme) -> Option<(Host, u16)> {
        // The bracket of an IPv6 address ends before its port.
        let (host, port) = match text.rsplit_once(':') {
            Some((host, port)) if !port.contains(']') => (host, Some(port)),
            _ => (text, None),
        };
        let port = match port {
            None if scheme.port() == 0 => {
                self.find(
                    Finding::new(
                        &MALFORMED_LOCATOR,
                        "it has no port, and its scheme has no usual one",
                    )
                    .with_help("write `:port` behind the host"),
                );
                None
            }
            None => Some(scheme.port()),
            // `parse` would accept a sign.
            Some(digits) => match digits.parse() {
                Ok(port) if port != 0 && digits.bytes().all(|b| b.is_ascii_digit()) => Some(port),
                _ => {
                    self.find(Finding::new(
                        &MALFORMED_LOCATOR,
                        "its port is not a number from 1 to 65535",
                    ));
                    None
                }
            },
        };
        let host = self.host(host);
        Some((host?, port?))
    }

    fn host(&mut self, text: &str) -> Option<Host> {
        if text.is_empty() {
            self.find(
                Finding::new(&MALFORMED_LOCATOR, "it has no host")
                    .with_help("write the host; this service is not looked for on a local socket"),
            );
            return None;
        }
        if text.contains(',') {
            self.find(Finding::new(&MALFORMED_LOCATOR, "it lists several hosts").with_help(
                "this service takes one: write the one host to connect to, or the name of what \
                 balances between them",
            ));
            return None;
        }
        if text.contains('%') {
            self.find(Finding::new(&MALFORMED_LOCATOR, "its host is percent-encoded").with_help(
                "write the host as it is; local sockets and address zones are not accepted",
            ));
            return None;
        }
        if is_plain_name(text) {
            return Some(Host::Name(text.to_owned()));
        }
        if !text.is_ascii() {
            self.find(
                Finding::new(&MALFORMED_LOCATOR, "its host holds a character that is not ASCII")
                    .with_help(self.in_ascii(text)),
            );
            return None;
        }
        // One trailing dot makes a name absolute. It changes neither the name nor an address. `url`
        // would accept another one behind an address.
        let absolute = text.strip_suffix('.').unwrap_or(text);
        match url::Host::parse(absolute) {
            // `url` reads `0x` as 0, as browsers do. This machine's resolver has no such number.
            Ok(url::Host::Ipv4(_))
                if absolute.ends_with('.')
                    || absolute.split('.').any(|part| part.eq_ignore_ascii_case("0x")) =>
            {
                self.no_host()
            }
            Ok(url::Host::Domain(name)) if is_host_name(&name) => Some(Host::Name(name)),
            Ok(url::Host::Ipv4(address)) => Some(Host::Address(address.into())),
            Ok(url::Host::Ipv6(address)) => Some(Host::Address(address.to_canonical())),
            Ok(url::Host::Domain(_)) | Err(_) => self.no_host(),
        }
    }

    fn no_host(&mut self) -> Option<Host> {
        self.find(
            Finding::new(&MALFORMED_LOCATOR, "its host is neither a name nor an address")
                .with_help(
                    "a name has letters, digits, `-` and `.`; an IPv6 address stands in `[…]`",
                ),
        );
        None
    }

    fn path(&mut self, text: &str, embedded: bool) -> Option<String> {
        let text = if embedded { text } else { text.strip_prefix('/').unwrap_or(text) };
        let path = self.decoded(text, "path")?;
        let finding = if embedded && !path.starts_with('/') {
            Finding::new(&MALFORMED_LOCATOR, "its path is not absolute")
                .with_help(format!("write it as `{}`", self.example()))
        } else if !path.is_empty() && !embedded && self.dialect.path.is_none() {
            Finding::new(&MALFORMED_LOCATOR, "it has a path, and this service has none")
                .with_help("remove what stands behind the host and port")
        } else if path.split('/').any(|part| matches!(part, "." | "..")) {
            Finding::new(
                &MALFORMED_LOCATOR,
                "its path has a part `.` or `..`, which some readers resolve and others keep",
            )
            .with_help("write the path that is meant, without such parts")
        } else {
            return Some(path);
        };
        self.find(finding);
        None
    }

    /// The help for a host that is not ASCII. The URL standard leaves such a host unchanged, except
    /// for `http` and the like, and parsers outside of browsers differ in their version of IDNA.
    /// The name that is checked, resolved and dialled must be the same.
    fn in_ascii(&self, host: &str) -> String {
        // Without an `@`, the host may be a password that was written in its place.
        let is_host = self.text.contains('@') || self.dialect.login == Login::None;
        match url::Host::parse(host.strip_suffix('.').unwrap_or(host)) {
            Ok(url::Host::Domain(name)) if is_host && is_host_name(&name) => {
                format!("write it as `{name}`")
            }
            Ok(address @ (url::Host::Ipv4(_) | url::Host::Ipv6(_))) => {
                format!("write it as `{address}`")
            }
            _ => "write the name in its ASCII form, whose labels begin with `xn--`".to_owned(),
        }
    }

    /// The recognised parameters; and whether one of them asked for plaintext.
    fn parameters(&mut self, query: Option<&str>) -> (Vec<(&'static str, String)>, bool) {
        let mut parameters: Vec<(&'static str, String)> = Vec::new();
        let mut seen: Vec<&str> = Vec::new();
        let mut asks_for_plaintext = false;
        for pair in query.into_iter().flat_map(|query| query.split('&')) {
            let Some((key, value)) = self.key_and_value(pair, &seen) else { continue };
            seen.push(key);
            let known = self.dialect.parameters().find(|parameter| parameter.name == key);
            let Some(value) = self.decoded(value, "query") else { continue };
            match (asks(key, &value), known) {
                (Asks::Plaintext, Some(_)) => asks_for_plaintext = true,
                (
                    asks
                    @ (Asks::Plaintext | Asks::Opportunistic | Asks::Unverified | Asks::Secret),
                    _,
                ) => self.refuse_parameter(asks),
                (_, Some(known)) => self.parameter(known, value, &mut parameters),
                (_, None) => self.unknown_parameter(key),
            }
        }
        (parameters, asks_for_plaintext)
    }

    /// Cuts `key=value`. Refuses a key that is not plain, or is there already.
    fn key_and_value<'q>(&mut self, pair: &'q str, seen: &[&str]) -> Option<(&'q str, &'q str)> {
        let Some((key, value)) = pair.split_once('=') else {
            self.find(Finding::new(
                &MALFORMED_LOCATOR,
                "its query holds something that is not `key=value`",
            ));
            return None;
        };
        if key.is_empty() || key.contains('%') || key.contains('+') {
            self.find(
                Finding::new(&AMBIGUOUS_LOCATOR, "a parameter's name is empty or percent-encoded")
                    .with_help("write the name as it is"),
            );
            return None;
        }
        if seen.iter().any(|earlier| earlier.eq_ignore_ascii_case(key)) {
            // A key may be a misplaced secret: it is repeated only if the service knows it.
            let known = self
                .dialect
                .parameters()
                .find(|parameter| parameter.name.eq_ignore_ascii_case(key));
            let what = known.map_or_else(
                || "a parameter".to_owned(),
                |known| format!("the parameter `{}`", known.name),
            );
            self.find(
                Finding::new(&AMBIGUOUS_LOCATOR, format!("{what} stands there twice"))
                    .with_help("write it once"),
            );
            return None;
        }
        Some((key, value))
    }

    /// Refuses a parameter for what it asks for.
    fn refuse_parameter(&mut self, asks: Asks) {
        let finding = match asks {
            Asks::Plaintext => Finding::new(&PLAINTEXT_SCHEME, "a parameter switches TLS off")
                .with_help("remove the parameter"),
            Asks::Opportunistic => Finding::new(
                &OPPORTUNISTIC_TLS,
                "a parameter makes TLS optional, or its value is not a mode of TLS",
            )
            .with_help("remove the parameter: the connection is verified TLS without it"),
            Asks::Unverified => {
                Finding::new(&UNVERIFIED_TLS, "a parameter switches verification off")
                    .with_help("remove the parameter")
            }
            Asks::Secret => Finding::new(&SECRET_IN_PARAMETER, "a parameter holds a secret"),
            _ => return,
        };
        self.find(finding);
    }

    fn parameter(
        &mut self,
        known: &Parameter,
        value: String,
        parameters: &mut Vec<(&'static str, String)>,
    ) {
        let expected = match known.value {
            ParameterValue::Tls => return,
            ParameterValue::Refused(help) => {
                self.find(
                    Finding::new(
                        &UNKNOWN_PARAMETER,
                        format!("the parameter `{}` is not accepted", known.name),
                    )
                    .with_help(help),
                );
                return;
            }
            ParameterValue::Text(longest) => {
                if !value.is_empty()
                    && value.len() <= longest
                    && value.bytes().all(|b| b.is_ascii_graphic() || b == b' ')
                {
                    parameters.push((known.name, value));
                    return;
                }
                format!("1 to {longest} printable ASCII characters")
            }
            ParameterValue::Number(least, most) => {
                if value.bytes().all(|b| b.is_ascii_digit())
                    && value.parse().is_ok_and(|number| (least..=most).contains(&number))
                {
                    parameters.push((known.name, value));
                    return;
                }
                format!("a whole number from {least} to {most}")
            }
            ParameterValue::Choice(words) => {
                if words.contains(&value.as_str()) {
                    parameters.push((known.name, value));
                    return;
                }
                words.iter().map(|word| format!("`{word}`")).collect::<Vec<_>>().join(" or ")
            }
        };
        self.find(Finding::new(
            &MALFORMED_LOCATOR,
            format!("the value of the parameter `{}` is not {expected}", known.name),
        ));
    }

    fn unknown_parameter(&mut self, key: &str) {
        let accepted = || {
            self.dialect
                .parameters()
                .filter(|parameter| !matches!(parameter.value, ParameterValue::Refused(_)))
        };
        let names: Vec<_> = accepted().map(|parameter| format!("`{}`", parameter.name)).collect();
        let near =
            accepted().find(|parameter| distance(parameter.name.as_bytes(), key.as_bytes()) <= 1);
        let message = near.map_or_else(
            || "it has a parameter that this service does not know".to_owned(),
            |near| {
                format!(
                    "it has a parameter that this service does not know; is `{}` meant?",
                    near.name
                )
            },
        );
        let help = if names.is_empty() {
            "remove it: this service has no parameters".to_owned()
        } else {
            format!("remove it; there are {}", names.join(", "))
        };
        self.find(Finding::new(&UNKNOWN_PARAMETER, message).with_help(help));
    }

    /// True unless there is one way to read the locator: it is plain, and has a host. A test checks
    /// that against `url`.
    fn has_other_readings(&self, scheme: Scheme) -> bool {
        !self.is_plain || scheme.transport() == Transport::Embedded || scheme.is("file")
    }

    /// Compares this parser's host with the one that `url` reads. If both disagreed, an attacker
    /// could choose which one counts.
    fn cross_check(&mut self, host: &Option<Host>) -> Option<()> {
        if !self.agrees(host) {
            let before = self.findings.len();
            self.find(
                Finding::new(&AMBIGUOUS_LOCATOR, "it can be read in more than one way")
                    .with_help(format!("write it as `{}`", self.example())),
            );
            self.name_place(before);
            return None;
        }
        Some(())
    }

    fn agrees(&self, host: &Option<Host>) -> bool {
        let Ok(url) = Url::parse(self.text) else { return false };
        match host {
            None => url.host_str().is_none_or(str::is_empty),
            // `url` does not normalise the host of a scheme that it does not know. So its host goes
            // through the host parser, as ours did.
            Some(host) => {
                url.host_str().is_some_and(|theirs| self.host_only(theirs).as_ref() == Some(host))
            }
        }
    }

    fn host_only(&self, text: &str) -> Option<Host> {
        let decoded = percent_decode(text)?;
        Parser::new("", self.dialect, &mut Vec::new()).host(&decoded)
    }
}

/// True if every parser reads the host as this name: it is lower case, without IDNA, and its last
/// label does not begin with a digit, which would make it an address. There are other such names;
/// these are quick to recognise.
fn is_plain_name(text: &str) -> bool {
    let bytes = text.as_bytes();
    let Some(last_label) = bytes.rsplit(|b| *b == b'.').next() else { return false };
    let mut after_mark = true;
    for b in bytes {
        let is_mark = matches!(b, b'-' | b'.');
        if (is_mark && after_mark) || !(is_mark || b.is_ascii_lowercase() || b.is_ascii_digit()) {
            return false;
        }
        after_mark = is_mark;
    }
    // A label has at most 63 bytes (RFC 1035, 2.3.4).
    !after_mark && bytes.len() <= 63 && last_label[0].is_ascii_lowercase()
}

/// The characters of a host name (RFC 1123, 2.1), and `_`, which occurs in internal names.
fn is_host_name(name: &str) -> bool {
    name.len() <= 253
        && name.split('.').all(|label| {
            (1..=63).contains(&label.len())
                && !label.starts_with('-')
                && !label.ends_with('-')
                && label.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_'))
        })
}

/// True if the text has one meaning for every parser of locators: only RFC 3986's unreserved
/// characters and delimiters, except `#`, `[` and `]`, and nothing percent-encoded.
fn is_plain(text: &str) -> bool {
    // Without a branch, so that the compiler can check sixteen bytes at once.
    text.bytes().fold(true, |plain, b| {
        plain
            & ((b == b'!')
                | (b == b'$')
                | (b'&'..=b';').contains(&b)
                | (b == b'=')
                | (b'?'..=b'Z').contains(&b)
                | (b == b'_')
                | b.is_ascii_lowercase()
                | (b == b'~'))
    })
}

/// Decodes `%41`; `None` if the result is not UTF-8. `+` stays a plus: only HTML forms decode it to
/// a blank.
fn percent_decode(text: &str) -> Option<String> {
    percent_encoding::percent_decode_str(text).decode_utf8().ok().map(std::borrow::Cow::into_owned)
}

#[cfg(test)]
mod fuzz;
#[cfg(test)]
mod tests;
