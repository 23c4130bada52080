//! The choice between a coloured and a plain report.

/// True if the user disabled colours with `NO_COLOR` (<https://no-color.org>).
#[allow(clippy::disallowed_methods, reason = "it is not a value: it is how a report looks")]
pub(crate) fn colour_is_unwanted() -> bool {
    std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty())
}
