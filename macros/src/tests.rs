//! Tests of the whole expansion: its text and its growth.

#![allow(
    clippy::disallowed_macros,
    reason = "insta reads environment variables in the test; the derive reads none"
)]

use proc_macro2::{TokenStream, TokenTree};

fn expansion(input: &str) -> TokenStream {
    super::derive(&syn::parse_str(input).unwrap())
}

fn pretty(input: &str) -> String {
    prettyplease::unparse(&syn2::parse_str(&expansion(input).to_string()).unwrap())
}

fn count(tokens: TokenStream) -> usize {
    tokens
        .into_iter()
        .map(
            |token| if let TokenTree::Group(group) = token { 2 + count(group.stream()) } else { 1 },
        )
        .sum()
}

const EVERY_KIND: &str = r#"
    /// Everything.
    #[services(prefix = "SHOP", deadline = 10)]
    struct Services {
        /// Orders.
        #[service(
            env = "DATABASE_URL",
            default = "postgres://localhost/shop",
            needs = "SELECT ON orders",
            hosts = "localhost",
            allow(superuser_account, weak_password, reason = "one account", until = "2027-03-01"),
            allow(starttls, reason = "old"),
        )]
        orders: Resource<Postgres>,
        sessions: Option<Resource<Redis>>,
        #[secret(env = "STRIPE_KEY")]
        stripe: SecretString,
        #[setting(default = 8080)]
        port: u16,
        #[setting(default = 5)]
        tokens: Count,
        mail: r#Mail,
    }
"#;

#[test]
fn of_a_struct() {
    insta::assert_snapshot!(pretty(EVERY_KIND));
}

#[test]
fn of_a_generic_struct() {
    insta::assert_snapshot!(pretty(
        r#"
        #[services(crate = vendored::services)]
        struct Services<S: Service, T = u16, const N: usize = 1> where T: Setting {
            #[service(scheme = "rediss", needs = "read")]
            cache: Resource<S>,
            #[setting]
            token: T,
        }
    "#
    ));
}

#[test]
fn of_a_struct_with_mistakes() {
    insta::assert_snapshot!(pretty(
        r#"
        struct Services {
            cache_url: String,
            #[service(default = "rediss://localhost")]
            cache: Resource<Redis>,
        }
    "#
    ));
}

#[test]
fn of_what_is_no_struct() {
    insta::assert_snapshot!(pretty(
        "struct Services<'a, T: 'a, const N: usize>(&'a [T; N]) where T: Other<'a>;"
    ));
}

#[test]
fn with_another_path_nothing_is_named_backing_services() {
    let renamed = EVERY_KIND.replace("deadline = 10", "crate = ::renamed");
    let expansion = expansion(&renamed).to_string();
    assert!(
        expansion.contains("renamed") && !expansion.contains("backing_services"),
        "{expansion}"
    );
}

/// Half-typed attributes give a message and no panic.
#[test]
fn half_written_attributes() {
    for attribute in [
        "#[service(,)]",
        "#[service(env = \"A\",, scheme = \"rediss\")]",
        "#[service(=)]",
        "#[service(= \"A\")]",
        "#[service(env =)]",
        "#[service(env = -)]",
        "#[service(env = \"A\" \"B\")]",
        "#[service(env == \"A\")]",
        "#[service(env.x = \"A\")]",
        "#[service(env::x)]",
        "#[service(a::b = \"c\")]",
        "#[service({})]",
        "#[service(\"\")]",
        "#[service(allow(,))]",
        "#[service(allow)]",
        "#[service(allow())]",
        "#[service(allow(reason))]",
        "#[service(allow(reason = ))]",
        "#[service(allow(weak_password, reason = 1))]",
        "#[service(allow(\"weak_password\"))]",
        "#[service(allow(\"weak\"))]",
        "#[service(allow[weak_password])]",
        "#[service(allow(weak_password = 1, reason = \"x\"))]",
        "#[service(default = \"\")]",
        "#[service(default = \"://\")]",
        "#[service(default = \"rediss://?\")]",
        "#[service(default = \"rediss://[\")]",
        "#[service(default = \"rediss://]:\")]",
        "#[service(default = \"rediss://@\")]",
        "#[service(default = \":\")]",
        "#[service(default = \"é\")]",
        "#[service(scheme = \"é\")]",
        "#[service(scheme = \" \")]",
        "#[service(scheme = \"://\")]",
        "#[service(hosts = \",\")]",
        "#[service(hosts = \"[\")]",
        "#[setting(default = -)]",
        "#[setting(default = -\"x\")]",
        "#[setting(default = - - 1)]",
        "#[setting(default = ())]",
        "#[setting(public)]",
        "#[setting(public public)]",
        "#[setting(reason)]",
        "#[secret(default)]",
        "#[secret = 1]",
    ] {
        let expansion =
            expansion(&format!("struct Services {{ {attribute} field: Unknown }}")).to_string();
        assert!(expansion.contains("compile_error"), "{attribute}: {expansion}");
    }
    for attribute in [
        "#[services(prefix)]",
        "#[services(prefix = 1)]",
        "#[services(prefix = \"_\")]",
        "#[services(prefix = \"é\")]",
        "#[services(crate =)]",
        "#[services(crate = a::<b>)]",
        "#[services(crate = 1)]",
        "#[services(deadline = -1)]",
        "#[services(deadline = 1.5)]",
        "#[services(deadline = 10u8)]",
        "#[services(deadline = 1)]#[services(deadline = 2)]",
        "#[services = 1]",
        "#[services(,)]",
    ] {
        let expansion = expansion(&format!("{attribute} struct Services {{}}")).to_string();
        assert!(expansion.contains("compile_error"), "{attribute}: {expansion}");
    }
}

#[test]
fn is_linear_in_the_fields() {
    let of = |fields: usize| {
        let fields: String = (0..fields)
            .map(|i| {
                format!(
                    r#"
                        /// A field.
                        #[service(
                            default = "rediss://localhost", needs = "read",
                            allow(weak_password, reason = "x")
                        )]
                        resource_{i:03}: Resource<Redis>,
                        #[setting(default = 5)]
                        token_{i:03}: Count,
                        nested_{i:03}: Nested,
                    "#
                )
            })
            .collect();
        count(expansion(&format!("struct Services {{ {fields} }}")))
    };
    let empty = of(0);
    let each = of(1) - empty;
    for fields in [10, 100, 500] {
        assert_eq!(of(fields), empty + fields * each);
    }
    // Three fields of the kind that expands to the most tokens. The bound is in the file with the
    // other bounds.
    let bound = include_str!("../../benches/bounds")
        .lines()
        .find_map(|line| line.strip_prefix("expansion_tokens "));
    assert!(each <= bound.unwrap().parse().unwrap(), "{each} tokens");
}
