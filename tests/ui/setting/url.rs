use backing_services::BackingServices;

/// A stand-in for `url::Url`.
struct Url;

#[derive(BackingServices)]
struct Services {
    #[setting]
    homepage: Url,
}

fn main() {}
