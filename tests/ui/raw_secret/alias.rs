use backing_services::BackingServices;

type Text = String;

#[derive(BackingServices)]
struct Services {
    greeting: Text,
    password: Text,
}

fn main() {}
