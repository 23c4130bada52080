use backing_services::BackingServices;

#[derive(BackingServices)]
struct Services {
    #[setting(env = "SMTP_PASSWORD")]
    relay: String,
}

fn main() {}
