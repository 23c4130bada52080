//! Whether a report is in colour.

/// Whether the user asked for no colours (<https://no-color.org>).
#[allow(clippy::disallowed_methods, reason = "it is not a value: it is how a report looks")]
pub(crate) fn colour_is_unwanted() -> bool {
    std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty())
}
