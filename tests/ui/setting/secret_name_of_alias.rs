use backing_services::BackingServices;

type Text = String;

#[derive(BackingServices)]
struct Services {
    #[setting]
    password: Text,

    #[setting(env = "SMTP_PASSWORD")]
    relay: Text,
}

fn main() {}
