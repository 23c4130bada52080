//! A service's demands on its locators: the login and the parameters.

/// The credentials that a service requires.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Login {
    /// There are no accounts.
    None,
    /// A user and a password, or a client certificate instead of the password.
    UserAndPassword,
    /// A password; also a user if there is more than one account.
    Password,
    /// Nothing, a password, or a user and a password, depending on the server.
    Optional,
}

/// A parameter that a locator may have.
///
/// A name that the runtime adds to each service does not compile:
///
/// ```compile_fail,E0080
/// # use backing_services::service::Parameter;
/// const PARAMETERS: &[Parameter] = &[Parameter::number("connect_timeout", 1, 60)];
/// ```
#[derive(Clone, Copy, Debug)]
pub struct Parameter {
    pub(crate) name: &'static str,
    pub(crate) value: ParameterValue,
}

impl Parameter {
    #[track_caller]
    const fn new(name: &'static str, value: ParameterValue) -> Self {
        assert!(
            !is_same(name, CONNECT_TIMEOUT.name),
            "the runtime adds the parameter `connect_timeout` to each service that is dialled: \
             remove it here"
        );
        Self { name, value }
    }

    /// A parameter that asks for TLS in the product's own way. It is accepted if it asks for TLS,
    /// and has no effect: the connection is fully verified anyway.
    #[must_use]
    #[track_caller]
    pub const fn tls(name: &'static str) -> Self {
        Self::new(name, ParameterValue::Tls)
    }

    /// A text of printable ASCII characters, at most `longest` of them.
    #[must_use]
    #[track_caller]
    pub const fn text(name: &'static str, longest: usize) -> Self {
        Self::new(name, ParameterValue::Text(longest))
    }

    /// A whole number, from `least` to `most`.
    #[must_use]
    #[track_caller]
    pub const fn number(name: &'static str, least: u64, most: u64) -> Self {
        Self::new(name, ParameterValue::Number(least, most))
    }

    /// One of a few words.
    #[must_use]
    #[track_caller]
    pub const fn choice(name: &'static str, words: &'static [&'static str]) -> Self {
        Self::new(name, ParameterValue::Choice(words))
    }

    /// A parameter that is in common use and is refused; `help` says what to do instead.
    #[must_use]
    #[track_caller]
    pub const fn refused(name: &'static str, help: &'static str) -> Self {
        Self::new(name, ParameterValue::Refused(help))
    }

    /// Its name in a locator's query.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        self.name
    }
}

/// The parameter that the runtime adds to those of each service that is dialled: the limit for one
/// connection, in seconds.
pub(crate) const CONNECT_TIMEOUT: Parameter =
    Parameter { name: "connect_timeout", value: ParameterValue::Number(1, 300) };

const fn is_same(one: &str, other: &str) -> bool {
    let (one, other) = (one.as_bytes(), other.as_bytes());
    let mut at = 0;
    while at < one.len() && at < other.len() && one[at] == other[at] {
        at += 1;
    }
    at == one.len() && at == other.len()
}

#[derive(Clone, Copy, Debug)]
pub(crate) enum ParameterValue {
    Tls,
    Text(usize),
    Number(u64, u64),
    Choice(&'static [&'static str]),
    Refused(&'static str),
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_parameter_has_its_own_name_or_the_one_that_the_runtime_adds() {
        assert_eq!(Parameter::tls("sslmode").name(), "sslmode");
        for (one, other) in [("", ""), ("a", "a"), ("connect_timeout", "connect_timeout")] {
            assert!(is_same(one, other), "{one} {other}");
        }
        for (one, other) in [("", "a"), ("a", "b"), ("ab", "a"), ("ab", "ac"), ("ba", "ca")] {
            assert!(!is_same(one, other) && !is_same(other, one), "{one} {other}");
        }
    }
}
