use backing_services::BackingServices;

#[derive(BackingServices)]
struct Services {
    #[setting]
    database_url: String,
}

fn main() {}
