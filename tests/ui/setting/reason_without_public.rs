use backing_services::BackingServices;

#[derive(BackingServices)]
struct Services {
    #[setting(reason = "everybody may know it")]
    motto: String,
}

fn main() {}
