//! The peers, each as in its documentation, with `Url` and `SecretString` for locators and secrets;
//! and the hand-written code.

use secrecy::SecretString;
use serde::{Deserialize, Deserializer};
use url::Url;

/// A comma-separated list, for the peers that have another list syntax.
fn with_commas<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<String>, D::Error> {
    let text = String::deserialize(deserializer)?;
    Ok(text.split(',').map(str::to_owned).collect())
}

/// A secret, for the peers that need `FromStr` or a function in its place.
fn secret(text: &str) -> Result<SecretString, std::convert::Infallible> {
    Ok(text.into())
}

pub(super) mod by_hand {
    use std::env::{self, VarError};
    use std::fmt;

    use super::{SecretString, Url};

    #[allow(dead_code, reason = "it is loaded, and nothing else")]
    pub(crate) struct Config {
        orders_url: Url,
        sessions_url: Url,
        queue_url: Url,
        relay_url: Url,
        stripe_key: SecretString,
        signing_key: SecretString,
        port: u16,
        workers: usize,
        timeout_seconds: u64,
        maintenance: bool,
        shard: Option<u16>,
        origins: Vec<String>,
    }

    #[derive(Debug)]
    pub(crate) struct Error {
        variable: &'static str,
        why: Box<dyn std::error::Error>,
    }

    impl fmt::Display for Error {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            write!(f, "{}: {}", self.variable, self.why)
        }
    }

    fn text(variable: &'static str) -> Result<String, Error> {
        env::var(variable).map_err(|why| Error { variable, why: why.into() })
    }

    fn parsed<T: std::str::FromStr<Err: std::error::Error + 'static>>(
        variable: &'static str,
    ) -> Result<T, Error> {
        text(variable)?.parse().map_err(|why: T::Err| Error { variable, why: why.into() })
    }

    pub(crate) fn load() -> Result<Config, Error> {
        Ok(Config {
            orders_url: parsed("SHOP_ORDERS_URL")?,
            sessions_url: parsed("SHOP_SESSIONS_URL")?,
            queue_url: parsed("SHOP_QUEUE_URL")?,
            relay_url: parsed("SHOP_RELAY_URL")?,
            stripe_key: text("SHOP_STRIPE_KEY")?.into(),
            signing_key: text("SHOP_SIGNING_KEY")?.into(),
            port: parsed("SHOP_PORT")?,
            workers: parsed("SHOP_WORKERS")?,
            timeout_seconds: parsed("SHOP_TIMEOUT_SECONDS")?,
            maintenance: parsed("SHOP_MAINTENANCE")?,
            shard: match env::var("SHOP_SHARD") {
                Err(VarError::NotPresent) => None,
                _ => Some(parsed("SHOP_SHARD")?),
            },
            origins: text("SHOP_ORIGINS")?.split(',').map(str::to_owned).collect(),
        })
    }
}

pub(super) mod by_conf {
    use conf::Conf;

    use super::{SecretString, Url, secret};

    #[derive(Conf)]
    #[conf(env_prefix = "SHOP_")]
    #[allow(dead_code, reason = "it is loaded, and nothing else")]
    pub(crate) struct Config {
        #[conf(env, secret)]
        orders_url: Url,
        #[conf(env, secret)]
        sessions_url: Url,
        #[conf(env, secret)]
        queue_url: Url,
        #[conf(env, secret)]
        relay_url: Url,
        #[conf(env, secret, value_parser = secret)]
        stripe_key: SecretString,
        #[conf(env, secret, value_parser = secret)]
        signing_key: SecretString,
        #[conf(env)]
        port: u16,
        #[conf(env)]
        workers: usize,
        #[conf(env)]
        timeout_seconds: u64,
        #[conf(parameter, env)]
        maintenance: bool,
        #[conf(env)]
        shard: Option<u16>,
        #[conf(repeat, env)]
        origins: Vec<String>,
    }

    pub(crate) fn load() -> Result<Config, conf::Error> {
        Config::try_parse_from(["shop"], std::env::vars_os())
    }
}

pub(super) mod by_confique {
    use confique::Config as _;

    use super::{SecretString, Url};

    #[derive(confique::Config)]
    #[allow(dead_code, reason = "it is loaded, and nothing else")]
    pub(crate) struct Config {
        #[config(env = "SHOP_ORDERS_URL")]
        orders_url: Url,
        #[config(env = "SHOP_SESSIONS_URL")]
        sessions_url: Url,
        #[config(env = "SHOP_QUEUE_URL")]
        queue_url: Url,
        #[config(env = "SHOP_RELAY_URL")]
        relay_url: Url,
        #[config(env = "SHOP_STRIPE_KEY")]
        stripe_key: SecretString,
        #[config(env = "SHOP_SIGNING_KEY")]
        signing_key: SecretString,
        #[config(env = "SHOP_PORT")]
        port: u16,
        #[config(env = "SHOP_WORKERS")]
        workers: usize,
        #[config(env = "SHOP_TIMEOUT_SECONDS")]
        timeout_seconds: u64,
        #[config(env = "SHOP_MAINTENANCE")]
        maintenance: bool,
        #[config(env = "SHOP_SHARD")]
        shard: Option<u16>,
        #[config(env = "SHOP_ORIGINS", parse_env = confique::env::parse::list_by_comma)]
        origins: Vec<String>,
    }

    pub(crate) fn load() -> Result<Config, confique::Error> {
        Config::builder().env().load()
    }
}

/// The deserializer for all peers that use serde.
#[derive(Deserialize)]
#[allow(dead_code, reason = "it is loaded, and nothing else")]
pub(super) struct Deserialized {
    orders_url: Url,
    sessions_url: Url,
    queue_url: Url,
    relay_url: Url,
    stripe_key: SecretString,
    signing_key: SecretString,
    port: u16,
    workers: usize,
    timeout_seconds: u64,
    maintenance: bool,
    shard: Option<u16>,
    #[serde(deserialize_with = "with_commas")]
    origins: Vec<String>,
}

pub(super) mod by_figment {
    use figment::{Figment, providers::Env};

    use super::Deserialized;

    #[allow(clippy::result_large_err, reason = "the peer's own")]
    pub(crate) fn load() -> Result<Deserialized, figment::Error> {
        Figment::from(Env::prefixed("SHOP_")).extract()
    }
}

pub(super) mod by_config {
    use config::{Config, ConfigError, Environment};

    use super::Deserialized;

    pub(crate) fn load() -> Result<Deserialized, ConfigError> {
        Config::builder().add_source(Environment::with_prefix("SHOP")).build()?.try_deserialize()
    }
}

pub(super) mod by_envy {
    use super::Deserialized;

    pub(crate) fn load() -> Result<Deserialized, envy::Error> {
        envy::prefixed("SHOP_").from_env()
    }
}

pub(super) mod by_envconfig {
    use std::convert::Infallible;
    use std::str::FromStr;

    use envconfig::Envconfig;

    use super::{SecretString, Url};

    pub(crate) struct Secret(
        #[allow(dead_code, reason = "it is loaded, and nothing else")] SecretString,
    );

    impl FromStr for Secret {
        type Err = Infallible;
        fn from_str(text: &str) -> Result<Self, Infallible> {
            Ok(Self(text.into()))
        }
    }

    pub(crate) struct List(
        #[allow(dead_code, reason = "it is loaded, and nothing else")] Vec<String>,
    );

    impl FromStr for List {
        type Err = Infallible;
        fn from_str(text: &str) -> Result<Self, Infallible> {
            Ok(Self(text.split(',').map(str::to_owned).collect()))
        }
    }

    #[derive(Envconfig)]
    #[allow(dead_code, reason = "it is loaded, and nothing else")]
    pub(crate) struct Config {
        #[envconfig(from = "SHOP_ORDERS_URL")]
        orders_url: Url,
        #[envconfig(from = "SHOP_SESSIONS_URL")]
        sessions_url: Url,
        #[envconfig(from = "SHOP_QUEUE_URL")]
        queue_url: Url,
        #[envconfig(from = "SHOP_RELAY_URL")]
        relay_url: Url,
        #[envconfig(from = "SHOP_STRIPE_KEY")]
        stripe_key: Secret,
        #[envconfig(from = "SHOP_SIGNING_KEY")]
        signing_key: Secret,
        #[envconfig(from = "SHOP_PORT")]
        port: u16,
        #[envconfig(from = "SHOP_WORKERS")]
        workers: usize,
        #[envconfig(from = "SHOP_TIMEOUT_SECONDS")]
        timeout_seconds: u64,
        #[envconfig(from = "SHOP_MAINTENANCE")]
        maintenance: bool,
        #[envconfig(from = "SHOP_SHARD")]
        shard: Option<u16>,
        #[envconfig(from = "SHOP_ORIGINS")]
        origins: List,
    }

    pub(crate) fn load() -> Result<Config, envconfig::Error> {
        Config::init_from_env()
    }
}

pub(super) mod by_clap {
    use clap::Parser;

    use super::{SecretString, Url, secret};

    #[derive(Parser)]
    #[allow(dead_code, reason = "it is loaded, and nothing else")]
    pub(crate) struct Config {
        #[arg(long, env = "SHOP_ORDERS_URL", hide_env_values = true)]
        orders_url: Url,
        #[arg(long, env = "SHOP_SESSIONS_URL", hide_env_values = true)]
        sessions_url: Url,
        #[arg(long, env = "SHOP_QUEUE_URL", hide_env_values = true)]
        queue_url: Url,
        #[arg(long, env = "SHOP_RELAY_URL", hide_env_values = true)]
        relay_url: Url,
        #[arg(long, env = "SHOP_STRIPE_KEY", hide_env_values = true, value_parser = secret)]
        stripe_key: SecretString,
        #[arg(long, env = "SHOP_SIGNING_KEY", hide_env_values = true, value_parser = secret)]
        signing_key: SecretString,
        #[arg(long, env = "SHOP_PORT")]
        port: u16,
        #[arg(long, env = "SHOP_WORKERS")]
        workers: usize,
        #[arg(long, env = "SHOP_TIMEOUT_SECONDS")]
        timeout_seconds: u64,
        #[arg(long, env = "SHOP_MAINTENANCE")]
        maintenance: bool,
        #[arg(long, env = "SHOP_SHARD")]
        shard: Option<u16>,
        #[arg(long, env = "SHOP_ORIGINS", value_delimiter = ',')]
        origins: Vec<String>,
    }

    pub(crate) fn load() -> Result<Config, clap::Error> {
        Config::try_parse_from(["shop"])
    }
}

pub(super) mod by_serviceconf {
    use serviceconf::ServiceConf;

    use super::{SecretString, Url, secret};

    fn list(text: &str) -> Result<Vec<String>, std::convert::Infallible> {
        Ok(text.split(',').map(str::to_owned).collect())
    }

    #[derive(ServiceConf)]
    #[conf(prefix = "SHOP_")]
    #[allow(dead_code, reason = "it is loaded, and nothing else")]
    pub(crate) struct Config {
        orders_url: Url,
        sessions_url: Url,
        queue_url: Url,
        relay_url: Url,
        #[conf(deserializer = "secret")]
        stripe_key: SecretString,
        #[conf(deserializer = "secret")]
        signing_key: SecretString,
        port: u16,
        workers: usize,
        timeout_seconds: u64,
        maintenance: bool,
        shard: Option<u16>,
        #[conf(deserializer = "list")]
        origins: Vec<String>,
    }

    pub(crate) fn load() -> Result<Config, serviceconf::anyhow::Error> {
        Config::from_env()
    }
}
