//! Tests that need no server.

use super::*;

/// The seed in the documentation of nkeys.
const SEED: &str = "SUANQDPB2RUOE4ETUA26CNX7FUKE5ZZKFCQIIW63OX225F2CO7UEXTM7ZY";

#[test]
fn an_nkey_signs_nonces_alone() {
    let credentials = Credentials::Nkey { public: String::new(), seed: SEED.into() };
    assert!(credentials.sign(b"PXoWU7zWAMt75FY").is_ok_and(|signature| signature.is_some()));
    assert!(credentials.sign(b"").is_err());
    assert!(credentials.sign(&[b'a'; 65]).is_err());
}
