use backing_services::BackingServices;

#[derive(BackingServices)]
struct Services {
    #[secret]
    stripe_key: String,

    #[secret(env = "GITHUB_TOKEN")]
    github: Option<Box<str>>,
}

fn main() {}
