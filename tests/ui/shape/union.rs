use backing_services::BackingServices;

#[derive(BackingServices)]
union Services {
    port: u16,
}

fn main() {}
