use backing_services::{BackingServices, Postgres, Resource};

#[derive(BackingServices)]
struct Services {
    #[service(hosts = "db.example.com, https://db.example.com")]
    first: Resource<Postgres>,

    #[service(hosts = "db.example.com:5432, *")]
    second: Resource<Postgres>,

    #[service(hosts = "")]
    third: Resource<Postgres>,

    #[service(hosts = "db.example.com, DB.example.com")]
    fourth: Resource<Postgres>,

    #[service(hosts = "2130706433")]
    fifth: Resource<Postgres>,
}

fn main() {}
