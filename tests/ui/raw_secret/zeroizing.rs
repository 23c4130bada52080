use backing_services::BackingServices;

/// A stand-in for `zeroize::Zeroizing`, which prints what it holds.
struct Zeroizing<T>(T);

#[derive(BackingServices)]
struct Services {
    password: Zeroizing<String>,
}

fn main() {}
