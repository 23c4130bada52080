//! A service knows the password that it was sent, and may say it back, in its version or wherever else it is quoted. Nothing that comes of connecting repeats it.
//!
//! What a service makes of the password, in other letters or in part, is its own: it could as well publish it.

use std::borrow::Cow;

use secrecy::{ExposeSecret as _, SecretString};

use crate::connected::Connected;
use crate::finding::{Failure, Finding};
use crate::posture::{Posture, printable_up_to};
use crate::service::Refusal;
use crate::target::Target;

/// What stands in its place.
const UNSAID: &str = "(the password)";

/// A shorter password, which is only there by a waiver, occurs in texts by chance: taking it out there would tell it.
const SHORTEST: usize = 8;

/// How much of it, at least, is taken out at the place where a text was cut.
const SHORTEST_PART: usize = 4;

/// What came of connecting to a target, without the password in it.
pub(crate) fn silenced(target: &Target, result: Result<Connected, Refusal>) -> Result<Connected, Refusal> {
    let silence = Silence::of(target);
    match result {
        Ok(mut connected) => {
            silence.posture(&mut connected.posture);
            connected.findings.iter_mut().for_each(|finding| silence.finding(finding));
            Ok(connected)
        }
        Err(Refusal::Finding(mut finding)) => {
            silence.finding(&mut finding);
            Err(Refusal::Finding(finding))
        }
        Err(Refusal::Failure(mut failure)) => {
            silence.failure(&mut failure);
            Err(Refusal::Failure(failure))
        }
    }
}

/// What is not to be said: the password, as it is shown where it is quoted. Nothing prints it.
struct Silence(Option<SecretString>);

impl Silence {
    fn of(target: &Target) -> Self {
        let password = target.password().map(|password| printable_up_to(password.expose_secret(), usize::MAX));
        Self(password.filter(|password| password.chars().count() >= SHORTEST).map(SecretString::from))
    }

    fn posture(&self, posture: &mut Posture) {
        let Posture { tls, server, account, privileges, authentication, .. } = posture;
        let of_server = server.iter_mut().flat_map(|server| [&mut server.product, &mut server.version]);
        let certificates = tls.iter_mut().map(|tls| &mut tls.certificate);
        let of_certificate = certificates.flat_map(|certificate| {
            [&mut certificate.subject, &mut certificate.issuer, &mut certificate.key].into_iter().chain(&mut certificate.names)
        });
        for text in of_server.chain(of_certificate).chain(account).chain(privileges).chain(authentication) {
            self.text(text);
        }
    }

    fn finding(&self, finding: &mut Finding) {
        finding.texts().for_each(|text| self.either(text));
    }

    fn failure(&self, failure: &mut Failure) {
        failure.texts().for_each(|text| self.either(text));
    }

    fn either(&self, text: &mut Cow<'static, str>) {
        // What is ours by the program's text holds nothing of a server's.
        if let Cow::Owned(text) = text {
            self.text(text);
        }
    }

    fn text(&self, text: &mut String) {
        let Some(password) = &self.0 else { return };
        let password = password.expose_secret();
        if text.contains(password) {
            *text = text.replace(password, UNSAID);
        }
        // Its beginning, where what follows was cut off.
        let parts = password.char_indices().rev().map(|(end, _)| &password[..end]).take_while(|part| part.len() >= SHORTEST_PART);
        for part in parts {
            let cut = format!("{part}…");
            if text.contains(&cut) {
                *text = text.replace(&cut, &format!("{UNSAID}…"));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_password_is_taken_out_of_a_text() {
        let silence = Silence(Some("tulip-bulb-19".into()));
        for (said, shown) in [
            ("7.4 tulip-bulb-19, tulip-bulb-19!", "7.4 (the password), (the password)!"),
            ("7.4 tulip-bul…", "7.4 (the password)…"),
            ("redis 7.4 tulip… gets no fixes", "redis 7.4 (the password)… gets no fixes"),
            ("7.4 tul…", "7.4 tul…"),
            ("tulip and bulbs", "tulip and bulbs"),
        ] {
            let mut text = said.to_owned();
            silence.text(&mut text);
            assert_eq!(text, shown);
        }
    }

    #[test]
    fn a_password_that_texts_hold_by_chance_is_left_there() {
        let mut text = "redis 7.4".to_owned();
        Silence(None).text(&mut text);
        assert_eq!(text, "redis 7.4");
    }
}
