use backing_services::BackingServices;

type Text = String;

#[derive(BackingServices)]
struct Services {
    #[secret]
    stripe_key: Text,
}

fn main() {}
