use backing_services::BackingServices;

#[derive(BackingServices)]
struct Services {
    #[setting(public = true, reason = "everybody may know it")]
    token: String,
}

fn main() {}
