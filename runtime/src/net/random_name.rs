//! Random names, unique to each call.

use ring::rand::{SecureRandom as _, SystemRandom};

use crate::report::finding::{Failure, FailureKind};
use crate::report::refusal::Refusal;

/// Returns 32 random hexadecimal digits.
pub fn random_name() -> Result<String, Refusal> {
    let mut bytes = [0; 16];
    SystemRandom::new().fill(&mut bytes).map_err(|_| {
        Failure::new(
            FailureKind::Unavailable,
            "this machine has no random numbers",
            "check the system: `/dev/urandom` is missing",
        )
    })?;
    Ok(bytes.iter().map(|byte| format!("{byte:02x}")).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_names_have_32_digits_each_and_differ() {
        let [one, other] = [random_name().unwrap(), random_name().unwrap()];
        for name in [&one, &other] {
            assert_eq!(name.len(), 32, "{name}");
            assert!(name.bytes().all(|b| b.is_ascii_hexdigit()), "{name}");
        }
        assert_ne!(one, other);
    }
}
