use backing_services::BackingServices;

#[derive(BackingServices)]
struct Services {
    #[setting]
    password: String,

    #[setting]
    tokens: Vec<String>,

    #[setting]
    client_secret: Option<String>,
}

fn main() {}
