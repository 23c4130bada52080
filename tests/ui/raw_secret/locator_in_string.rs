use backing_services::BackingServices;

#[derive(BackingServices)]
#[services(prefix = "SHOP")]
struct Services {
    cache_url: String,
    url: String,
    sentry_dsn: Box<str>,
}

fn main() {}
