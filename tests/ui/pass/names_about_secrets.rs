//! A name is judged by its last word: what is about a secret is none.

use backing_services::{BackingServices, Environment};

type Text = String;

#[derive(BackingServices)]
struct Services {
    #[setting(default = "arn:aws:secretsmanager:eu-west-1:1:secret:x")]
    secret_arn: String,

    #[setting(default = "example.com")]
    cookie_domain: String,

    #[setting(default = "strict")]
    password_policy: Text,

    #[setting(default = "X-Api-Key")]
    api_key_header_name: Text,

    #[setting(default = "shop")]
    client_id: String,

    #[setting(default = "/login/token")]
    token_url: String,

    #[setting(default = "1, 2")]
    connection_limits: Vec<u16>,
}

fn main() {
    let services = Services::check(&Environment::from_iter::<[(&str, &str); 0]>([]));
    assert!(services.is_ok(), "{services:?}");
    fn read(services: &Services) -> [&str; 6] {
        let Services {
            secret_arn,
            cookie_domain,
            password_policy,
            api_key_header_name,
            client_id,
            token_url,
            ..
        } = services;
        assert_eq!(services.connection_limits, [1, 2]);
        [secret_arn, cookie_domain, password_policy, api_key_header_name, client_id, token_url]
    }
    let _ = read;
}
