//! A raw identifier means the name without `r#`.

use backing_services::{BackingServices, Postgres, Resource};

#[derive(BackingServices)]
#[allow(non_camel_case_types, reason = "the name is the test")]
struct r#struct {
    r#type: Resource<Postgres>,
    #[setting(default = 1)]
    r#match: u8,
}

type Alias = r#struct;

fn main() {
    let manifest = <Alias as BackingServices>::MANIFEST;
    assert_eq!(manifest.struct_name(), "struct");
    assert_eq!(manifest.fields()[0].name(), "type");
    let environment = backing_services::Environment::from_iter([("X", "")]);
    let report = Alias::check(&environment).unwrap_err().to_string();
    assert!(report.contains("TYPE_URL"), "{report}");
}
