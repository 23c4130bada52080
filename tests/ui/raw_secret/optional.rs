use backing_services::BackingServices;

#[derive(BackingServices)]
struct Services {
    password: Option<String>,
    database_url: Option<String>,
    motto: Option<String>,
}

fn main() {}
