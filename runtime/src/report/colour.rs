//! Whether a report is in colour.

/// Whether the user asked for no colours (<https://no-color.org>).
pub(crate) fn colour_is_unwanted() -> bool {
    std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty())
}
