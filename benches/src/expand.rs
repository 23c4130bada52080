//! `expand`: the compile time of the derive, by number of fields.
//!
//! Of ten fields, two are locators, two are secrets, three are numbers, one is a switch, one an
//! option, one a list. The figure is an increment: the CPU time of the crate with its struct and
//! the function that loads it, minus that of the crate without them. All dependencies are built
//! before.

use std::cell::RefCell;
use std::fmt::Write as _;
use std::process::Command;

use crate::generated::{Generated, below_target, cargo, runtime};
use crate::measure::{Subject, Summary, in_turns_at_once};
use crate::outcome::{Figure, Outcome, Target};
use crate::{Options, Result};

const SIZES: [usize; 4] = [10, 100, 500, 1000];

/// The size that has a target.
const COMPARED: usize = 500;

/// The limit on the expected time of one build beyond that size, in seconds. A slower peer is left
/// out.
const LONGEST: f64 = 40.0;

/// A build that is expected to take longer than this many seconds is measured once.
const LONG: f64 = 10.0;

/// A library to compare with, and its struct.
struct Peer {
    name: &'static str,
    dependencies: String,
    /// The code before the struct.
    prelude: &'static str,
    /// The attributes of the struct.
    derive: &'static str,
    /// The attributes of a field: `LOCATOR`, `SECRET` and `VALUE`, with `{}` for the variable.
    above: [&'static str; 4],
    locator: &'static str,
    secret: &'static str,
    list: &'static str,
    /// The function that loads the struct.
    load: &'static str,
}

const URL: &str = "url = { version = \"2\", features = [\"serde\"] }\n\
                   secrecy = { version = \"0.10\", features = [\"serde\"] }\n";

fn peers() -> Vec<Peer> {
    let secret_fn = "pub fn secret(text: &str) -> Result<secrecy::SecretString, \
                     std::convert::Infallible> { Ok(text.into()) }\n";
    let peer = Peer {
        name: "",
        dependencies: String::new(),
        prelude: "",
        derive: "",
        above: ["", "", "", ""],
        locator: "url::Url",
        secret: "secrecy::SecretString",
        list: "Vec<String>",
        load: "",
    };
    vec![
        Peer {
            name: "ours",
            dependencies: runtime(&[]),
            prelude: "use backing_services::*;
pub struct Gopher;
impl Service for Gopher {
    type Client = ();
    type Guard = backing_services::resource::ClientGuard<Self>;
    const NAME: &'static str = \"Gopher\";
    const SCHEMES: &'static [Scheme] = &[Scheme::tls(\"gophers\").with_port(7070)];
    async fn connect(target: &Target, _: Attempt) -> Result<Attachment<()>, Refusal> {
        Ok(Attachment::new((), Posture::of::<Self>(target)))
    }
    async fn health(_: &()) -> Result<(), Refusal> { Ok(()) }
    async fn close(_: &()) {}
}
",
            derive: "#[derive(BackingServices)]\n#[services(prefix = \"SHOP\")]",
            above: ["", "", "#[setting]", "#[setting]"],
            locator: "Resource<Gopher>",
            secret: "backing_services::secrecy::SecretString",
            load: "pub fn load() -> Result<(), AttachError> { \
                   Config::check(&Environment::process()) }",
            ..peer
        },
        Peer {
            name: "serde",
            dependencies: format!(
                "{URL}serde = {{ version = \"1\", features = [\"derive\"] }}\nserde_json = \"1\"\n"
            ),
            derive: "#[derive(serde::Deserialize)]",
            load: "pub fn load(text: &str) -> Result<Config, serde_json::Error> { \
                   serde_json::from_str(text) }",
            ..peer
        },
        Peer {
            name: "conf",
            dependencies: format!(
                "{URL}conf = {{ version = \"0.4.5\", default-features = false }}\n"
            ),
            prelude: secret_fn,
            derive: "#[derive(conf::Conf)]\n#[conf(env_prefix = \"SHOP_\")]",
            above: [
                "#[conf(env, secret)]",
                "#[conf(env, secret, value_parser = secret)]",
                "#[conf(parameter, env)]",
                "#[conf(repeat, env)]",
            ],
            load: "pub fn load() -> Result<Config, conf::Error> { \
                   conf::Conf::try_parse_from([\"x\"], std::env::vars_os()) }",
            ..peer
        },
        Peer {
            name: "confique",
            dependencies: format!(
                "{URL}confique = {{ version = \"0.4\", default-features = false }}\n"
            ),
            prelude: "use confique::Config as _;\n",
            derive: "#[derive(confique::Config)]",
            above: [
                "#[config(env = \"{}\")]",
                "#[config(env = \"{}\")]",
                "#[config(env = \"{}\")]",
                "#[config(env = \"{}\", parse_env = confique::env::parse::list_by_comma)]",
            ],
            load: "pub fn load() -> Result<Config, confique::Error> { \
                   Config::builder().env().load() }",
            ..peer
        },
        Peer {
            name: "envconfig",
            dependencies: format!("{URL}envconfig = \"0.11\"\n"),
            prelude: "use envconfig::Envconfig;
pub struct Secret(pub secrecy::SecretString);
impl std::str::FromStr for Secret { type Err = std::convert::Infallible; \
fn from_str(text: &str) -> Result<Self, Self::Err> { Ok(Self(text.into())) } }
pub struct List(pub Vec<String>);
impl std::str::FromStr for List { type Err = std::convert::Infallible; \
fn from_str(text: &str) -> Result<Self, Self::Err> { \
Ok(Self(text.split(',').map(str::to_owned).collect())) } }
",
            derive: "#[derive(Envconfig)]",
            above: ["#[envconfig(from = \"{}\")]"; 4],
            secret: "Secret",
            list: "List",
            load: "pub fn load() -> Result<Config, envconfig::Error> { Config::init_from_env() }",
            ..peer
        },
        Peer {
            name: "clap",
            dependencies: format!(
                "{URL}clap = {{ version = \"4\", features = [\"derive\", \"env\"] }}\n"
            ),
            prelude: secret_fn,
            derive: "#[derive(clap::Parser)]",
            above: [
                "#[arg(long, env = \"{}\")]",
                "#[arg(long, env = \"{}\", value_parser = secret)]",
                "#[arg(long, env = \"{}\")]",
                "#[arg(long, env = \"{}\", value_delimiter = ',')]",
            ],
            load: "pub fn load() -> Result<Config, clap::Error> { \
                   clap::Parser::try_parse_from([\"x\"]) }",
            ..peer
        },
        Peer {
            name: "serviceconf",
            dependencies: format!("{URL}serviceconf = \"0.2\"\n"),
            prelude: "pub fn secret(text: &str) -> Result<secrecy::SecretString, \
                std::convert::Infallible> { Ok(text.into()) }
pub fn list(text: &str) -> Result<Vec<String>, std::convert::Infallible> { \
Ok(text.split(',').map(str::to_owned).collect()) }
",
            derive: "#[derive(serviceconf::ServiceConf)]\n#[conf(prefix = \"SHOP_\")]",
            above: [
                "",
                "#[conf(deserializer = \"secret\")]",
                "",
                "#[conf(deserializer = \"list\")]",
            ],
            load: "pub fn load() -> serviceconf::anyhow::Result<Config> { Config::from_env() }",
            ..peer
        },
    ]
}

impl Peer {
    /// The crate's source, with this many fields. With none, there is no struct and no function.
    fn text(&self, fields: usize) -> String {
        let mut text = self.prelude.to_owned();
        if fields == 0 {
            return text;
        }
        text += self.derive;
        text += "\npub struct Config {\n";
        for i in 0..fields {
            let (name, above, ty) = match i % 10 {
                0 | 5 => ("place", 0, self.locator),
                1 | 6 => ("signature", 1, self.secret),
                2 => ("port", 2, "u16"),
                3 => ("workers", 2, "u32"),
                4 => ("timeout", 2, "u64"),
                7 => ("maintenance", 2, "bool"),
                8 => ("shard", 2, "Option<u16>"),
                _ => ("origins", 3, self.list),
            };
            let variable = format!("SHOP_{}_{i}", name.to_uppercase());
            // Writing to a `String` cannot fail.
            let _ = writeln!(
                text,
                "    {} pub {name}_{i}: {ty},",
                self.above[above].replace("{}", &variable)
            );
        }
        text + "}\n" + self.load + "\n"
    }

    fn generated(&self, fields: usize) -> Result<Generated> {
        let folder = below_target("expand").join(format!("{}-{fields}", self.name));
        Generated::new(
            folder,
            below_target("expand").join("target"),
            &self.dependencies,
            "lib.rs",
            &self.text(fields),
        )
    }
}

/// The size in bytes of a crate after macro expansion, as rustc prints it.
fn expanded(generated: &Generated) -> Result<usize> {
    let mut command = Command::new(cargo());
    // rustc prints it with nightly features only, which this variable enables on stable.
    command.env("RUSTC_BOOTSTRAP", "1");
    command.args(["rustc", "--quiet", "--profile", "check", "--", "-Zunpretty=expanded"]);
    generated.output(command).map(|output| output.len())
}

/// Runs the benchmark.
///
/// # Errors
/// If a build fails.
pub fn run(options: Options) -> Result<Outcome> {
    let peers = peers();
    let rounds = options.rounds(3);
    let mut outcome = Outcome::new(
        "expand",
        "A struct of many fields and the function that loads it: CPU seconds of `cargo check` and \
         of `cargo build`, beyond those of the same crate without them. figment, config and \
         envy use serde's derive.",
    );
    let mut at_500 = Vec::new();
    for command in ["check", "build"] {
        // The time of each peer at the previous size. A peer that would take too long is left out
        // of the next size.
        let mut before: Vec<Option<(usize, f64)>> = vec![Some((0, 0.0)); peers.len()];
        let mut empty = Vec::new();
        for size in [0].into_iter().chain(SIZES) {
            let mut taken = Vec::new();
            for (i, peer) in peers.iter().enumerate() {
                let Some((fields, seconds)) = before[i] else { continue };
                let times = size as f64 / fields.max(1) as f64;
                // The compared size is the one with a target, so no peer is left out up to it.
                if size > COMPARED && seconds * times * times > LONGEST {
                    before[i] = None;
                    outcome.remarks.push(format!(
                        "{} is left out of `cargo {command}` from {size} fields on: {} s at \
                         {fields}.",
                        peer.name,
                        crate::tables::number(seconds, "").trim()
                    ));
                    continue;
                }
                let generated = peer.generated(size)?;
                if size == 0 {
                    // Builds the dependencies.
                    generated.cargo(&[command])?;
                }
                taken.push((i, generated, seconds * times * times > LONG));
            }
            let failed = RefCell::new(None);
            let mut subjects: Vec<_> = taken
                .iter()
                .map(|(i, generated, is_long)| {
                    let failed = &failed;
                    let mut taken = None;
                    Subject::new(peers[*i].name, move || {
                        if let Some(seconds) = taken {
                            return seconds;
                        }
                        let seconds = generated.own(command).unwrap_or_else(|error| {
                            failed.borrow_mut().get_or_insert(error);
                            0.0
                        });
                        taken = is_long.then_some(seconds);
                        seconds
                    })
                })
                .collect();
            let samples = in_turns_at_once(rounds, &mut subjects);
            drop(subjects);
            if let Some(error) = failed.into_inner() {
                return Err(error);
            }
            for ((i, ..), samples) in taken.iter().zip(samples) {
                if size == 0 {
                    empty.push(Summary::of(&samples).median);
                    continue;
                }
                let increments: Vec<_> =
                    samples.iter().map(|seconds| seconds - empty[*i]).collect();
                let found = Summary::of(&increments);
                before[*i] = Some((size, found.median));
                let kind = format!("cargo {command}");
                outcome
                    .figures
                    .push(Figure::new(&kind, "s", peers[*i].name, found).at(size as f64, "fields"));
                if size == COMPARED {
                    at_500.push((command, peers[*i].name, increments));
                }
            }
        }
    }
    let of = |command, name| {
        at_500
            .iter()
            .find(|(c, n, _)| (*c, *n) == (command, name))
            .map(|(.., samples)| samples.as_slice())
    };
    for (command, at_most) in [("check", 0.5), ("build", 1.0)] {
        if let (Some(ours), Some(theirs)) = (of(command, "ours"), of(command, "serde")) {
            outcome.targets.push(Target::ratio(
                format!("`cargo {command}` of 500 fields / serde's"),
                ours,
                theirs,
                at_most,
            ));
        }
    }
    for (command, name) in [("check", "cargo check"), ("build", "cargo build")] {
        let per_field = |size: f64| {
            let figure = outcome.figures.iter().find(|figure| {
                figure.kind == name && figure.subject == "ours" && figure.at == Some(size)
            });
            figure.map(|figure| figure.found.median / size)
        };
        if let (Some(few), Some(many)) = (per_field(100.0), per_field(1000.0)) {
            let found = Summary::exactly(many / few);
            outcome.targets.push(Target::figure(
                format!("`cargo {command}`: a field of 1000 / a field of 100"),
                found,
                1.25,
                "",
            ));
        }
    }
    for peer in &peers {
        let (few, many) = (peer.generated(10)?, peer.generated(100)?);
        let bytes = (expanded(&many)? - expanded(&few)?) as f64 / 90.0;
        outcome.figures.push(Figure::new(
            "expansion per field",
            "bytes",
            peer.name,
            Summary::exactly(bytes),
        ));
    }
    Ok(outcome)
}
