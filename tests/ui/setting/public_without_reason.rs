use backing_services::BackingServices;

#[derive(BackingServices)]
struct Services {
    #[setting(public)]
    password: String,

    #[setting(public, reason = " ")]
    token: String,
}

fn main() {}
