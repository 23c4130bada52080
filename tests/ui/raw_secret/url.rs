use backing_services::BackingServices;

/// A stand-in for `url::Url`.
struct Url;

#[derive(BackingServices)]
struct Services {
    database: Url,
    database_url: Url,
    mirror: Option<Url>,
}

fn main() {}
