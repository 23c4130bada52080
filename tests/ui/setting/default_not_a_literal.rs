use backing_services::BackingServices;

const PORT: u16 = 8080;

#[derive(BackingServices)]
struct Services {
    #[setting(default = PORT)]
    port: u16,

    #[setting(default = 8000 + 80)]
    admin: u16,

    #[setting(default = b"text")]
    motto: String,

    #[setting(default)]
    greeting: String,
}

fn main() {}
