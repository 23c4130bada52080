use backing_services::{BackingServices, Postgres, Resource};

type Database = Resource<Postgres>;

#[derive(BackingServices)]
struct Services {
    #[service(needs = "SELCT ON orders")]
    misspelt: Resource<Postgres>,

    #[service(needs = "SELECT, INSERT ON orders; DANCE ON customers")]
    unknown: Resource<Postgres>,

    #[service(needs = "SELECT")]
    on_nothing: Resource<Postgres>,

    #[service(needs = "SELECT ON orders, ")]
    half_a_list: Resource<Postgres>,

    #[service(needs = "SELECT ON \"orders")]
    half_a_name: Resource<Postgres>,

    #[service(needs = "EXECUTE ON FUNCTION settle")]
    which_routine: Resource<Postgres>,

    #[service(needs = "DELETE (id) ON orders")]
    columns: Option<Resource<Postgres>>,

    #[service(needs = "SELECT ON orders WHERE true")]
    of_an_alias: Database,
}

fn main() {}
