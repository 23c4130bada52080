//! Findings, each a violation of one rule, and failures, which no rule covers.

use std::borrow::Cow;
use std::fmt;

use backing_services_rules::{Level, Rule};

use crate::report::redact::redact;

/// One violation of one rule, at one field. It names variables, never values.
///
/// `Debug` prints the message, the rule and the help: a `main` that returns it prints it so.
#[derive(Clone)]
#[must_use = "a finding has to be reported"]
pub struct Finding(Box<Violation>);

/// The contents of a finding. It is boxed because it is large and every `Result` of a connection
/// may hold one.
#[derive(Clone)]
struct Violation {
    rule: &'static Rule,
    notice: Notice,
    /// Only warns, whatever the rule's level: the violation is still to come.
    warns: bool,
    /// The reason of the waiver that covers it.
    waived: Option<&'static str>,
}

/// The place of a problem.
#[derive(Clone, Debug, Default)]
pub(crate) struct Place {
    /// The field's path: `mail.relay`.
    pub(crate) field: String,
    /// The variable that is wrong or missing.
    pub(crate) variable: Option<String>,
    /// The origin of the variable's value, in words.
    pub origin: Option<Cow<'static, str>>,
}

/// The place and the texts of a finding or a failure.
#[derive(Clone, Debug)]
pub(crate) struct Notice {
    place: Place,
    message: Cow<'static, str>,
    help: Option<Cow<'static, str>>,
    /// The help if there is no other one: the rule's.
    otherwise: &'static str,
}

impl Notice {
    fn new(mut message: Cow<'static, str>, otherwise: &'static str) -> Self {
        redact(&mut message);
        Self { place: Place::default(), message, help: None, otherwise }
    }

    #[cold]
    #[inline(never)]
    fn set_help(&mut self, mut help: Cow<'static, str>) {
        redact(&mut help);
        self.help = Some(help);
    }

    /// Adds the place to the message: `the connection broke (at HOST)`.
    fn add_place(&mut self, place: &dyn fmt::Display) {
        let mut message = Cow::Owned(format!("{} (at {place})", self.message));
        redact(&mut message);
        self.message = message;
    }

    /// Its texts, except those of its rule.
    fn texts(&mut self) -> impl Iterator<Item = &mut Cow<'static, str>> {
        std::iter::once(&mut self.message).chain(&mut self.help)
    }

    /// Names the companions of a field's variable in full.
    fn name_companions(&mut self, variable: Option<&str>) {
        for text in self.texts() {
            name_companions(text, variable);
        }
    }
}

/// The public methods of a type with a [`Notice`].
macro_rules! notice_methods {
    ($type:ty) => {
        impl $type {
            /// The field's path, with a `.` before a nested field: `mail.relay`.
            #[must_use]
            pub fn field(&self) -> &str {
                &self.notice().place.field
            }

            /// The variable that is wrong or missing, or that leads to the service.
            #[must_use]
            pub fn variable(&self) -> Option<&str> {
                self.notice().place.variable.as_deref()
            }

            /// The origin of the variable's value: `the environment`; `None` if there is no value.
            #[must_use]
            pub fn origin(&self) -> Option<&str> {
                self.notice().place.origin.as_deref()
            }

            /// The message: what is wrong.
            #[must_use]
            pub fn message(&self) -> &str {
                &self.notice().message
            }

            /// The help: what to write, to do or to check.
            #[must_use]
            pub fn help(&self) -> &str {
                self.notice().help.as_deref().unwrap_or(self.notice().otherwise)
            }
        }
    };
}

notice_methods!(Finding);
notice_methods!(Failure);
notice_methods!(crate::report::error::Problem);

/// The endings of a resource's variables other than the locator's.
const ENDINGS: [&str; 10] = [
    "_CA", "_PIN", "_USER", "_PASSWORD", "_CLIENT_CERT", "_CLIENT_KEY", "_ENDPOINT", "_HOST",
    "_PORT", "_DATABASE",
];

/// Connection code does not know its field, so it names companions by their ending: `` `_CA` ``. If
/// the field's variable is known, this replaces the ending with the full name:
/// `` `SHOP_SESSIONS_CA` ``.
fn name_companions(text: &mut Cow<'static, str>, variable: Option<&str>) {
    // Most texts name no companion.
    if !text.contains("`_") {
        return;
    }
    let Some(base) = variable
        .filter(|variable| !variable.is_empty())
        .map(backing_services_rules::variable::base)
    else {
        return;
    };
    for ending in ENDINGS {
        let (ours, named) = (format!("`{ending}`"), format!("`{base}{ending}`"));
        if text.contains(&ours) {
            let whole = [
                format!("the resource's {ours} variable"),
                format!("the {ours} variable"),
                format!("the resource's {ours}"),
            ];
            let replaced =
                whole.iter().fold(text.to_string(), |text, whole| text.replace(whole, &named));
            *text = replaced.replace(&ours, &named).into();
        }
    }
}

impl Finding {
    /// A violation of `rule`. The message says what is wrong, in lower case and without a full
    /// stop. It contains no value.
    ///
    /// Pass a server's message through [`printable`](crate::posture::printable) first. A password
    /// that this process uses to log in is removed in any case.
    pub fn new(rule: &'static Rule, message: impl Into<Cow<'static, str>>) -> Self {
        Self::of(rule, message.into())
    }

    /// The common part of `new`, not generic: hundreds of call sites share it instead of a copy
    /// each.
    #[cold]
    #[inline(never)]
    fn of(rule: &'static Rule, message: Cow<'static, str>) -> Self {
        let notice = Notice::new(message, rule.help);
        Self(Box::new(Violation { rule, notice, warns: false, waived: None }))
    }

    /// Sets the help: what to write or do instead. Without it, the report prints the rule's own
    /// help.
    pub fn with_help(mut self, help: impl Into<Cow<'static, str>>) -> Self {
        self.0.notice.set_help(help.into());
        self
    }

    /// Makes it a warning, whatever the rule's level.
    pub fn into_warning(mut self) -> Self {
        self.0.warns = true;
        self
    }

    /// Marks it as covered by a waiver with this reason.
    pub(crate) fn waive(&mut self, because: &'static str) {
        self.0.waived = Some(because);
    }

    /// Adds a half-sentence to its message.
    pub(crate) fn add(&mut self, text: &str) {
        let message = &mut self.0.notice.message;
        *message = format!("{message}; {text}").into();
    }

    /// Adds the host to its message, for a locator with several.
    pub(crate) fn at_host(mut self, host: &dyn fmt::Display) -> Self {
        self.0.notice.add_place(host);
        self
    }

    /// True if it violates the same rule, with the same message and help.
    pub(crate) fn is_like(&self, other: &Self) -> bool {
        self.rule() == other.rule()
            && self.message() == other.message()
            && self.help() == other.help()
    }

    /// Sets the variable that it is about, if that is not the locator's.
    pub fn with_variable(mut self, variable: impl Into<String>) -> Self {
        self.0.notice.place.variable = Some(variable.into());
        self
    }

    pub(crate) fn at(mut self, field: &str, variable: &str) -> Self {
        self.0.notice.name_companions(Some(variable));
        let place = &mut self.0.notice.place;
        field.clone_into(&mut place.field);
        match &mut place.variable {
            None => place.variable = Some(variable.to_owned()),
            // Connection code names a companion by its ending alone.
            Some(own) if ENDINGS.contains(&own.as_str()) => {
                own.insert_str(0, backing_services_rules::variable::base(variable))
            }
            Some(_) => {}
        }
        self
    }

    /// Sets the origin of the variable's value, in words.
    pub(crate) fn out_of(mut self, origin: Option<Cow<'static, str>>) -> Self {
        self.0.notice.place.origin = origin;
        self
    }

    pub(crate) fn in_place(self, place: &Place) -> Self {
        self.at(&place.field, place.variable.as_deref().unwrap_or_default())
            .out_of(place.origin.clone())
    }

    pub(crate) fn notice(&self) -> &Notice {
        &self.0.notice
    }

    /// The violated rule.
    #[must_use]
    pub fn rule(&self) -> &'static Rule {
        self.0.rule
    }

    /// True if it ends the attempt, by the rule's level and the field's waivers.
    #[must_use]
    pub fn is_denied(&self) -> bool {
        !self.0.warns && self.0.waived.is_none() && !matches!(self.0.rule.level, Level::Warn)
    }

    /// True if it only warns, whatever the rule's level.
    pub(crate) fn warns(&self) -> bool {
        self.0.warns
    }

    /// The reason of the waiver that covers it; `None` if there is no such waiver.
    #[must_use]
    pub fn waived_because(&self) -> Option<&'static str> {
        self.0.waived
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} [{}]", self.message(), self.0.rule.name)
    }
}

impl fmt::Debug for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}; help: {}", self.help())
    }
}

impl std::error::Error for Finding {}

/// A failure that violates no rule: the service is unreachable, rejects the login, or is not the
/// expected service.
///
/// `Debug` prints the message, the kind and the help: a `main` that returns it prints it so.
#[derive(Clone)]
#[must_use = "a failure has to be reported"]
pub struct Failure(Box<Trouble>);

/// The contents of a failure.
#[derive(Clone)]
struct Trouble {
    kind: FailureKind,
    /// The state passes by itself.
    passes: bool,
    notice: Notice,
}

/// The kind of a [`Failure`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum FailureKind {
    /// The host name has no address.
    Unresolved,
    /// No connection: refused, unreachable, or the file does not exist.
    Unreachable,
    /// The deadline passed.
    TimedOut,
    /// The service rejects the user, the password or the client certificate.
    AuthenticationFailed,
    /// The service broke its protocol, or sent more than allowed.
    Protocol,
    /// The service has no such database, or is not ready to serve it.
    Unavailable,
}

impl FailureKind {
    /// All kinds, in declaration order.
    pub const ALL: [Self; 6] = [
        Self::Unresolved,
        Self::Unreachable,
        Self::TimedOut,
        Self::AuthenticationFailed,
        Self::Protocol,
        Self::Unavailable,
    ];

    /// The requirement that does not hold, in half a line, like a rule's summary.
    pub const fn summary(self) -> &'static str {
        match self {
            Self::Unresolved => "the host's name has an address",
            Self::Unreachable => "the service can be connected to",
            Self::TimedOut => "the service answers before the deadline",
            Self::AuthenticationFailed => "the service accepts the user and its credentials",
            Self::Protocol => "the service speaks its protocol, within its bounds",
            Self::Unavailable => "the service serves what the locator names",
        }
    }

    /// The meaning of the kind, like a rule's rationale.
    pub const fn meaning(self) -> &'static str {
        match self {
            Self::Unresolved => {
                "The resolver of this machine knows no address for the host in the locator, or \
                 cannot be asked."
            }
            Self::Unreachable => {
                "The host has an address, and no connection to its port was possible: it was \
                 refused, there is no way to it, or the file is not there."
            }
            Self::TimedOut => {
                "The other end took longer than it may: than the deadline for everything \
                 (`#[services(deadline = …)]`, `--deadline`), or than the locator's \
                 `connect_timeout`, which is 10 s unless it is there, for one connection."
            }
            Self::AuthenticationFailed => {
                "The service was reached and verified, and does not let us in: it knows another \
                 user, another password or another client certificate."
            }
            Self::Protocol => {
                "What answers is not the service that the locator's scheme says, or it sends more \
                 than it may, or it breaks its own protocol."
            }
            Self::Unavailable => {
                "The service was reached and lets us in, and does not serve what the locator \
                 names: there is no such database, bucket or virtual host, or it is starting, \
                 stopping or overloaded."
            }
        }
    }

    /// The checks to make if no more specific advice is known.
    pub const fn help(self) -> &'static str {
        match self {
            Self::Unresolved => {
                "Check how the host is written in the locator, and whether this machine resolves \
                 it (`getent hosts NAME`)."
            }
            Self::Unreachable => {
                "Check the host and the port, whether the service runs and listens there; check \
                 also firewalls and network policies on the way."
            }
            Self::TimedOut => {
                "Check the service's load, and a firewall that drops instead of refusing. \
                 If the service is slow for a reason, write `connect_timeout=SECONDS` into the \
                 locator, and a deadline that is longer than that."
            }
            Self::AuthenticationFailed => {
                "Check the variables with the user, the password and the client certificate, \
                 whether the account exists and is not locked, and from where it may log in."
            }
            Self::Protocol => {
                "Check what listens on the port, such as a proxy, a load balancer or another \
                 product. If it is the right service, report it as a bug."
            }
            Self::Unavailable => {
                "Check the locator's path, whether what it names exists, and the service's \
                 own log."
            }
        }
    }

    /// The kind's name in reports, `snake_case`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Unresolved => "unresolved",
            Self::Unreachable => "unreachable",
            Self::TimedOut => "timed_out",
            Self::AuthenticationFailed => "authentication_failed",
            Self::Protocol => "protocol",
            Self::Unavailable => "unavailable",
        }
    }
}

impl Failure {
    /// A failure: what went wrong, in lower case and without a full stop, and what to check.
    /// Neither text contains a value.
    pub fn new(
        kind: FailureKind,
        message: impl Into<Cow<'static, str>>,
        help: impl Into<Cow<'static, str>>,
    ) -> Self {
        Self::of(kind, message.into(), help.into())
    }

    #[cold]
    #[inline(never)]
    fn of(kind: FailureKind, message: Cow<'static, str>, help: Cow<'static, str>) -> Self {
        let mut notice = Notice::new(message, "");
        notice.set_help(help);
        Self(Box::new(Trouble { kind, passes: false, notice }))
    }

    /// The server sent something that is not its protocol, or more than a service accepts:
    /// [`FailureKind::Protocol`].
    #[cold]
    pub fn protocol() -> Self {
        Self::new(
            FailureKind::Protocol,
            "the server's data is not its protocol, or is more than it may send",
            "check what answers on the port",
        )
    }

    /// The server closed the connection, without a reason: [`FailureKind::Unreachable`].
    #[cold]
    pub fn closed() -> Self {
        Self::new(
            FailureKind::Unreachable,
            "the server closed the connection",
            "check the port and the server's log",
        )
    }

    /// The server closed the connection before it named a login method:
    /// [`FailureKind::Unreachable`].
    #[cold]
    pub fn closed_before_login() -> Self {
        Self::new(
            FailureKind::Unreachable,
            "the server closed the connection before it said how to log in",
            "check the port and the server's log",
        )
    }

    /// An open connection broke: [`FailureKind::Unreachable`].
    #[cold]
    pub fn broken() -> Self {
        Self::new(
            FailureKind::Unreachable,
            "the connection broke",
            "check the network and the server's log",
        )
    }

    /// The server accepted the connection, and sent nothing in time: [`FailureKind::TimedOut`].
    #[cold]
    pub fn no_greeting() -> Self {
        Self::new(
            FailureKind::TimedOut,
            "the server accepted the connection, and did not answer in time",
            "check the port: what listens there may wait for another protocol; check also the \
             server's load",
        )
    }

    /// There was no answer within the locator's `response_timeout`: [`FailureKind::TimedOut`]. For
    /// a service with that parameter.
    #[cold]
    pub fn no_answer() -> Self {
        Self::new(
            FailureKind::TimedOut,
            "the server did not answer in time",
            "check its load, and `response_timeout` in the locator",
        )
    }

    /// The server answered with an error that has no meaning of its own to the service:
    /// [`FailureKind::Unavailable`].
    #[cold]
    pub fn server_error() -> Self {
        Self::new(FailureKind::Unavailable, "the server answered with an error", "read its log")
    }

    /// The client is of a resource that is detached: [`FailureKind::Unavailable`].
    #[cold]
    pub fn detached() -> Self {
        Self::new(FailureKind::Unavailable, "the resource is detached", "attach it again")
    }

    pub(crate) fn in_place(mut self, place: &Place) -> Self {
        self.0.notice.name_companions(place.variable.as_deref());
        self.0.notice.place = place.clone();
        self
    }

    /// Adds the host to its message, for a locator with several.
    pub(crate) fn at_host(mut self, host: &dyn fmt::Display) -> Self {
        self.0.notice.add_place(host);
        self
    }

    /// Marks a state of the server that passes by itself: it starts, or all its connections are in
    /// use.
    pub fn into_passing(mut self) -> Self {
        self.0.passes = true;
        self
    }

    /// True if another attempt may succeed soon: the server could not be connected to, or the state
    /// passes by itself ([`Self::into_passing`]).
    #[must_use]
    pub fn is_passing(&self) -> bool {
        self.0.passes || matches!(self.kind(), FailureKind::Unreachable | FailureKind::TimedOut)
    }

    /// Adds a check to the help.
    pub(crate) fn also(mut self, what: &str) -> Self {
        self.0.notice.help = Some(format!("{}{what}", self.help()).into());
        self
    }

    pub(crate) fn notice(&self) -> &Notice {
        &self.0.notice
    }

    /// The kind.
    #[must_use]
    pub fn kind(&self) -> FailureKind {
        self.0.kind
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} [{}]", self.message(), self.0.kind.name())
    }
}

impl fmt::Debug for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}; help: {}", self.help())
    }
}

impl std::error::Error for Failure {}

#[cfg(test)]
mod tests {
    use backing_services_rules::rule::UNVERIFIED_TLS;

    use super::*;

    #[test]
    fn a_companion_is_named_once_its_field_is_known() {
        let place = Place {
            field: "sessions".to_owned(),
            variable: Some("SHOP_SESSIONS_URL".to_owned()),
            origin: None,
        };
        let finding = Finding::new(&UNVERIFIED_TLS, "not from the authority in the `_CA` variable")
            .with_help("write it into the resource's `_CA` variable, or its digest into `_PIN`")
            .in_place(&place);
        assert_eq!(finding.message(), "not from the authority in `SHOP_SESSIONS_CA`");
        assert_eq!(
            finding.help(),
            "write it into `SHOP_SESSIONS_CA`, or its digest into `SHOP_SESSIONS_PIN`"
        );
        let failure = Failure::new(
            FailureKind::AuthenticationFailed,
            "no",
            "set `_CLIENT_CERT` and `_CLIENT_KEY`",
        )
        .in_place(&place);
        assert_eq!(
            failure.help(),
            "set `SHOP_SESSIONS_CLIENT_CERT` and `SHOP_SESSIONS_CLIENT_KEY`"
        );
        // Without a field nothing is replaced. A name that is already complete stays as it is.
        assert_eq!(Finding::new(&UNVERIFIED_TLS, "`_CA`").at("", "").message(), "`_CA`");
        assert_eq!(Finding::new(&UNVERIFIED_TLS, "`A_CA`").at("b", "B_URL").message(), "`A_CA`");
    }
}
