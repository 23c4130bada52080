//! Tests that need no server.

use backing_services_fuzz::target;
use nkeys::KeyPair;

use super::*;

/// The seed in the documentation of nkeys.
const SEED: &str = "SUANQDPB2RUOE4ETUA26CNX7FUKE5ZZKFCQIIW63OX225F2CO7UEXTM7ZY";

#[test]
fn an_nkey_signs_nonces_alone() {
    let credentials = Credentials::Nkey { public: String::new(), seed: SEED.into() };
    assert!(credentials.sign(b"PXoWU7zWAMt75FY").is_ok_and(|signature| signature.is_some()));
    assert!(credentials.sign(b"").is_err());
    assert!(credentials.sign(&[b'a'; 64]).is_ok());
    assert!(credentials.sign(&[b'a'; 65]).is_err());
}

#[test]
fn a_password_with_the_form_of_a_seed_is_an_nkey() {
    let kind = |login: &str| {
        let target = target::<Nats>(&format!("tls://{login}@nats.example.com"))?;
        let credentials = Credentials::of(&target).ok()?;
        Some((credentials.name(), credentials.user().map(str::to_owned)))
    };
    let public = KeyPair::from_seed(SEED).unwrap().public_key();
    let nkey = Some(("nkey", Some(public.clone())));
    assert_eq!(kind(&format!(":{SEED}")), nkey);
    assert_eq!(kind(&format!("{public}:{SEED}")), nkey);
    assert_eq!(kind(&format!("shop:{SEED}")), None, "another user");
    assert_eq!(kind(&format!(":{}A", &SEED[..57])), None, "a damaged one");
    let account = KeyPair::new_account().seed().unwrap();
    assert_eq!(kind(&format!(":{account}")), None, "an account's");
    for password in [
        &SEED[..57],
        &format!("{SEED}A"),
        &format!("T{}", &SEED[1..]),
        &format!("{}y", &SEED[..57]),
        &format!("{}1", &SEED[..57]),
    ] {
        let expected = Some(("password", Some("shop".to_owned())));
        assert_eq!(kind(&format!("shop:{password}")), expected, "{password}");
    }
    assert_eq!(kind(":a-token-of-the-shop"), Some(("token", None)));
    assert_eq!(Credentials::Certificate.name(), "client certificate");
    let token = Credentials::Token("no-target-has-it".into());
    assert!(token.is_in("it is no-target-has-it") && !token.is_in("it is another"));
}
