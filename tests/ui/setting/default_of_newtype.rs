use backing_services::BackingServices;
use backing_services::setting::{Malformed, Setting};

struct Port(u16);

impl Setting for Port {
    const EXPECTS: &'static str = "a port";
    const CARRIES_TEXT: bool = false;
    fn parse(text: &str) -> Result<Self, Malformed> {
        text.parse().map(Self).map_err(|_| Malformed::default())
    }
}

type Small = u8;

#[derive(BackingServices)]
struct Services {
    #[setting(default = 8080)]
    port: Port,

    #[setting(default = true)]
    workers: Small,
}

fn main() {}
