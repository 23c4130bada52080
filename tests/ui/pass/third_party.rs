//! A service, a secret and a setting of a third party.

use backing_services::secrecy::{SecretBox, zeroize::Zeroize};
use backing_services::{
    Attachment, Attempt, BackingServices, Malformed, Posture, Refusal, Resource, Scheme,
    SecretValue, Service, Setting, Target,
};

struct Gophers;

impl Service for Gophers {
    type Client = ();
    type Guard = backing_services::ClientGuard<Self>;
    const NAME: &'static str = "Gopher";
    const SCHEMES: &'static [Scheme] = &[Scheme::tls("gophers").with_port(7070)];

    async fn connect(target: &Target, _: Attempt) -> Result<Attachment<()>, Refusal> {
        Ok(Attachment::new((), Posture::of::<Self>(target)))
    }

    async fn health(_: &()) -> Result<(), Refusal> {
        Ok(())
    }

    async fn close(_: &()) {}
}

struct Key([u8; 2]);

impl Zeroize for Key {
    fn zeroize(&mut self) {
        self.0.zeroize();
    }
}

impl SecretValue for Key {
    fn parse(text: &str) -> Result<Self, Malformed> {
        text.as_bytes().try_into().map(Self).map_err(|_| Malformed::default())
    }
}

struct Tier;

impl Setting for Tier {
    const EXPECTS: &'static str = "`free`";
    const CARRIES_TEXT: bool = false;
    fn parse(_: &str) -> Result<Self, Malformed> {
        Ok(Self)
    }
}

#[derive(BackingServices)]
struct Services {
    #[service(default = "gophers://localhost")]
    burrow: Resource<Gophers>,
    signing_key: SecretBox<Key>,
    #[setting(default = "free")]
    token_tier: Tier,
    #[setting]
    secret: Option<Tier>,
}

fn main() {
    assert_eq!(<Services as BackingServices>::MANIFEST.fields().len(), 4);
}
