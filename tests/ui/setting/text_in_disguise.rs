use std::collections::BTreeSet;

use backing_services::BackingServices;

type Bytes = Vec<u8>;
type Letters = Vec<char>;
type Wide = Option<Vec<u16>>;
type Number = u128;

#[derive(BackingServices)]
struct Services {
    #[setting]
    password: Vec<char>,

    #[setting]
    signing_key: Vec<u8>,

    #[setting]
    token: Option<BTreeSet<u8>>,

    #[setting]
    api_key: u128,

    #[setting]
    passphrase: Bytes,

    #[setting]
    client_secret: Letters,

    #[setting(env = "SMTP_PASSWORD")]
    relay: Wide,

    #[setting]
    private_key: Number,
}

fn main() {}
