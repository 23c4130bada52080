//! The variables of a field.

/// Variables of a struct.
pub type Variables = Vec<(&'static str, String)>;

/// The variables of a field: its locator, its password and its authority, in this order.
#[must_use]
pub fn of(
    base: &'static str,
    locator: impl Into<String>,
    password: &str,
    ca: impl Into<String>,
) -> Variables {
    let name = |ending: &str| -> &'static str { format!("{base}_{ending}").leak() };
    vec![
        (name("URL"), locator.into()),
        (name("PASSWORD"), password.to_owned()),
        (name("CA"), ca.into()),
    ]
}
