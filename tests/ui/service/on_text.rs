use backing_services::BackingServices;

#[derive(BackingServices)]
struct Services {
    #[service(env = "DATABASE_URL")]
    database: String,

    #[service]
    cache: Option<String>,
}

fn main() {}
