use backing_services::BackingServices;

type Text = String;

#[derive(BackingServices)]
struct Services {
    greeting: Option<Text>,
}

fn main() {}
