//! `load` and `load_errors`: twelve fields from the environment of the process.
//!
//! Four locators with a user and a password, two secrets, three numbers, a switch, an option, a
//! list. Ours are resources of real services, checked against every rule. The peers' are `Url`s,
//! which is the type that they support. The environment also has the other variables of a typical
//! container.

use std::fmt::{Debug, Display};
use std::hint::black_box;
use std::process::Command;

use stats_alloc::{Region, StatsAlloc};

use crate::generated::cargo;
use crate::measure::{Subject, Summary, in_turns};
use crate::outcome::{Figure, Outcome, Target};
use crate::{Environment, Options, Result};

pub mod grown;
pub mod ours;
pub mod peers;

/// The twelve variables.
pub const VARIABLES: [(&str, &str); 12] = [
    (
        "SHOP_ORDERS_URL",
        "postgres://shop:kX3-vR9_wQ1z@orders.db.internal.example.com:5432/orders?\
         sslmode=verify-full",
    ),
    ("SHOP_SESSIONS_URL", "rediss://shop:bN7_tY2-pL5x@sessions.cache.internal.example.com:6380/"),
    ("SHOP_QUEUE_URL", "amqps://shop:dF4-hJ8_sK3v@queue.internal.example.com:5671/shop"),
    ("SHOP_RELAY_URL", "smtps://shop:zM6_gC1-rB9n@relay.example.com:465"),
    ("SHOP_STRIPE_KEY", "sk_live_4eC39HqLyjWDarjtT1zdp7dc"),
    ("SHOP_SIGNING_KEY", "qV8mJ2xT5wK9rF3nB7yH4cL6pD1sG0aZ"),
    ("SHOP_PORT", "8080"),
    ("SHOP_WORKERS", "16"),
    ("SHOP_TIMEOUT_SECONDS", "30"),
    ("SHOP_MAINTENANCE", "false"),
    ("SHOP_SHARD", "3"),
    ("SHOP_ORIGINS", "https://shop.example.com,https://admin.example.com"),
];

/// The other variables of a container: those of a shell, and those of one service in Kubernetes.
const BESIDE: [(&str, &str); 14] = [
    ("PATH", "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"),
    ("HOME", "/home/shop"),
    ("HOSTNAME", "shop-6d4cf56db6-x8zq4"),
    ("LANG", "C.UTF-8"),
    ("TZ", "UTC"),
    ("RUST_LOG", "info"),
    ("KUBERNETES_SERVICE_HOST", "10.96.0.1"),
    ("KUBERNETES_SERVICE_PORT", "443"),
    ("KUBERNETES_SERVICE_PORT_HTTPS", "443"),
    ("KUBERNETES_PORT", "tcp://10.96.0.1:443"),
    ("KUBERNETES_PORT_443_TCP", "tcp://10.96.0.1:443"),
    ("KUBERNETES_PORT_443_TCP_PROTO", "tcp"),
    ("KUBERNETES_PORT_443_TCP_ADDR", "10.96.0.1"),
    ("KUBERNETES_PORT_443_TCP_PORT", "443"),
];

/// The password of the malformed locator in the environment with mistakes. It must not occur in a
/// report.
pub const CANARY: &str = "cAn4ry-vR9_wQ1z";

/// The environment without mistakes.
#[must_use]
pub fn environment() -> Environment {
    VARIABLES
        .iter()
        .chain(&BESIDE)
        .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
        .collect()
}

/// The environment with five mistakes: three variables are missing, a locator is malformed, and so
/// is a number. It also has the twelve variables without a mistake, under another prefix.
#[must_use]
pub fn environment_with_mistakes() -> Environment {
    let mut variables = environment();
    variables.extend(
        VARIABLES
            .iter()
            .map(|(name, value)| (name.replacen("SHOP", "FLAWLESS", 1), (*value).to_owned())),
    );
    variables.retain(|(name, _)| {
        !["SHOP_QUEUE_URL", "SHOP_SIGNING_KEY", "SHOP_WORKERS"].contains(&name.as_str())
    });
    for (name, value) in &mut variables {
        match name.as_str() {
            "SHOP_ORDERS_URL" => {
                *value = format!(
                    "postgres://shop:{CANARY}@orders.db.internal.example.com:notaport/orders"
                )
            }
            "SHOP_TIMEOUT_SECONDS" => "thirty".clone_into(value),
            _ => {}
        }
    }
    variables
}

/// The variables that the report of every mistake must name.
pub const MISTAKES: [&str; 5] = [
    "SHOP_ORDERS_URL", "SHOP_QUEUE_URL", "SHOP_SIGNING_KEY", "SHOP_WORKERS", "SHOP_TIMEOUT_SECONDS",
];

/// A way to load the twelve fields.
pub struct Loader {
    /// Its name in the tables.
    pub name: &'static str,
    /// Loads them, and returns true if that succeeded.
    pub load: Box<dyn Fn() -> bool>,
    /// Loads them, and returns the errors as a log would contain them.
    pub report: Box<dyn Fn() -> String>,
}

impl Debug for Loader {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Loader").field("name", &self.name).finish_non_exhaustive()
    }
}

impl Loader {
    fn new<T: 'static, E: Display + Debug + 'static>(
        name: &'static str,
        load: fn() -> std::result::Result<T, E>,
    ) -> Self {
        Self {
            name,
            load: Box::new(move || black_box(load()).is_ok()),
            report: Box::new(move || {
                load().err().map(|error| format!("{error}\n{error:?}")).unwrap_or_default()
            }),
        }
    }
}

/// Ours, then the hand-written code, then the peers.
#[must_use]
pub fn loaders() -> Vec<Loader> {
    vec![
        Loader::new("ours", ours::check),
        Loader::new("hand-written", peers::by_hand::load),
        Loader::new("conf", peers::by_conf::load),
        Loader::new("confique", peers::by_confique::load),
        Loader::new("figment", peers::by_figment::load),
        Loader::new("config", peers::by_config::load),
        Loader::new("envy", peers::by_envy::load),
        Loader::new("envconfig", peers::by_envconfig::load),
        Loader::new("clap", peers::by_clap::load),
        Loader::new("serviceconf", peers::by_serviceconf::load),
    ]
}

/// The default number of rounds.
const ROUNDS: usize = 60;

/// Measures all of them in turns.
fn time(loaders: &[Loader], rounds: usize) -> Vec<Vec<f64>> {
    let mut subjects: Vec<_> =
        loaders.iter().map(|loader| Subject::timed(loader.name, &loader.load)).collect();
    in_turns(rounds, &mut subjects)
}

/// Runs the benchmark `load`.
///
/// # Errors
/// If a loader fails.
pub fn run(options: Options) -> Result<Outcome> {
    let loaders = loaders();
    for loader in &loaders {
        if !(loader.load)() {
            return Err(format!(
                "{} cannot load the twelve fields:\n{}",
                loader.name,
                (loader.report)()
            )
            .into());
        }
    }
    let times = time(&loaders, options.rounds(ROUNDS));
    let mut outcome = Outcome::new(
        "load",
        "Twelve fields from the environment, of 26 variables: four locators, two secrets, three \
         numbers, a switch, an option, a list. Ours checks every rule that needs no \
         connection, and knows each value's place; the others parse.",
    );
    let conf = loaders
        .iter()
        .position(|loader| loader.name == "conf")
        .ok_or("there is no loader `conf`")?;
    outcome.targets.push(Target::ratio(
        "`check` / conf, the only peer that reports all mistakes too",
        &times[0],
        &times[conf],
        1.0,
    ));
    for (loader, times) in loaders.iter().zip(&times) {
        outcome.figures.push(Figure::new("time", "ns", loader.name, Summary::of(times)));
    }
    outcome.remarks.push(
        "The peers that are faster ask the process for twelve names. Ours takes a copy of the \
         whole environment, and asks it for 104 names: a resource has eleven variables, and each \
         may be a file; a password in the wrong one is a finding. Loading runs once, before an \
         attach of milliseconds."
            .to_owned(),
    );
    Ok(outcome)
}

/// Runs the benchmark `load_allocations` in a process of `guard`, whose allocator counts.
///
/// # Errors
/// If `guard` cannot be built.
pub fn run_allocations(_: Options) -> Result<Outcome> {
    let status = Command::new(cargo())
        .args(["build", "--quiet", "--release", "-p", "benches", "--bin", "guard"])
        .status()?;
    if !status.success() {
        return Err("`guard` does not build".into());
    }
    let guard = std::env::current_exe()?.with_file_name("guard");
    let output = Command::new(guard).arg("allocations").env_clear().envs(environment()).output()?;
    let mut outcome = Outcome::new("load_allocations", "What loading the twelve fields allocates.");
    for line in String::from_utf8(output.stdout)?.lines() {
        let mut words = line.rsplitn(3, ' ');
        let (Some(bytes), Some(count), Some(name)) = (words.next(), words.next(), words.next())
        else {
            continue;
        };
        outcome.figures.push(Figure::new(
            "allocations",
            "",
            name,
            Summary::exactly(count.parse()?),
        ));
        outcome.figures.push(Figure::new("bytes", "B", name, Summary::exactly(bytes.parse()?)));
    }
    outcome.remarks.push(
        "Of ours, two for each variable of the environment are std's, which copies all of them; \
         and one for each variable that a field may read is its name. `benches/bounds` has the \
         limits."
            .to_owned(),
    );
    Ok(outcome)
}

/// Runs the benchmark `load_errors`.
///
/// # Errors
/// If a loader finds no mistake.
pub fn run_errors(options: Options) -> Result<Outcome> {
    let mut loaders = loaders();
    loaders.insert(1, Loader::new("ours, nothing wrong", ours::check_flawless));
    let reports: Vec<_> = loaders.iter().map(|loader| (loader.report)().to_lowercase()).collect();
    if let Some((loader, _)) = loaders
        .iter()
        .zip(&reports)
        .find(|(loader, report)| report.is_empty() && !loader.name.contains("nothing"))
    {
        return Err(format!("{} finds nothing wrong", loader.name).into());
    }
    let reported = |report: &str| {
        // Some name the variable, some the field.
        MISTAKES
            .iter()
            .filter(|variable| {
                report.contains(&variable.trim_start_matches("SHOP_").to_lowercase())
            })
            .count()
    };
    let holds_the_value = |report: &str| report.contains(&CANARY.to_lowercase());
    let times = time(&loaders, options.rounds(ROUNDS));
    let mut outcome = Outcome::new(
        "load_errors",
        "The same twelve fields with five mistakes: three variables are missing, a locator with a \
         password in it and a number are malformed. Who reports all of them, in `Display` or \
         `Debug`; who prints the password; and how long it takes. That is without writing the \
         report: `ours` has it ready, and the peers stop at the first mistake, all but those that \
         report more.",
    );
    let left_out = MISTAKES.len() - reported(&reports[0]);
    outcome.targets.push(Target::figure(
        "mistakes that ours does not report",
        Summary::exactly(left_out as f64),
        0.0,
        "mistakes",
    ));
    let printed = f64::from(u8::from(holds_the_value(&reports[0])));
    outcome.targets.push(Target::figure(
        "passwords that ours prints",
        Summary::exactly(printed),
        0.0,
        "passwords",
    ));
    outcome.targets.push(Target::ratio(
        "`check` with five mistakes / without any",
        &times[0],
        &times[1],
        2.0,
    ));
    for ((loader, report), times) in loaders.iter().zip(&reports).zip(&times) {
        outcome.figures.push(Figure::new("time", "ns", loader.name, Summary::of(times)));
        if !loader.name.contains("nothing") {
            let reported = Summary::exactly(reported(report) as f64);
            outcome.figures.push(Figure::new("mistakes reported", "of 5", loader.name, reported));
        }
    }
    let who_prints: Vec<_> = loaders
        .iter()
        .zip(&reports)
        .filter(|(_, report)| holds_the_value(report))
        .map(|(loader, _)| loader.name)
        .collect();
    outcome.remarks.push(format!(
        "The password of the malformed locator is printed by: {}.",
        match who_prints.as_slice() {
            [] => "nobody".to_owned(),
            names => names.join(", "),
        }
    ));
    Ok(outcome)
}

/// The number and the bytes of the allocations of one call. The first call is not counted, because
/// it may fill caches.
pub fn allocations(
    allocator: &StatsAlloc<std::alloc::System>,
    load: impl Fn() -> bool,
) -> (usize, usize) {
    black_box(load());
    let region = Region::new(allocator);
    black_box(load());
    let change = region.change();
    (change.allocations + change.reallocations, change.bytes_allocated)
}
