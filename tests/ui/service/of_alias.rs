use backing_services::BackingServices;

type Text = String;

#[derive(BackingServices)]
struct Services {
    #[service(env = "DATABASE_URL", scheme = "postgres", needs = "SELECT ON orders")]
    database: Text,
}

fn main() {}
