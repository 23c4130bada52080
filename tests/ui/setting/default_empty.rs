use backing_services::BackingServices;

#[derive(BackingServices)]
struct Services {
    #[setting(default = "")]
    motto: String,
}

fn main() {}
