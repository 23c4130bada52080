//! `load_growth`: how the cost of `check` grows with fields, findings and waivers.

use backing_services::secrecy::SecretString;
use backing_services::source::Source;
use backing_services::{Amqp, BackingServices, Environment, Postgres, Redis, Resource};

use crate::measure::{Subject, Summary, in_turns};
use crate::outcome::{Figure, Outcome};
use crate::{Options, Result};

macro_rules! ten_times {
    ($name:ident, $of:ident $(, $attribute:meta)?) => {
        #[derive(BackingServices)]
        $(#[$attribute])?
        #[allow(dead_code, reason = "it is checked, and never attached")]
        struct $name {
            a: $of,
            b: $of,
            c: $of,
            d: $of,
            e: $of,
            f: $of,
            g: $of,
            h: $of,
            i: $of,
            j: $of,
        }
    };
}

/// Three resources, two secrets, five settings.
#[derive(BackingServices)]
#[allow(dead_code, reason = "it is checked, and never attached")]
struct Ten {
    orders: Resource<Postgres>,
    sessions: Resource<Redis>,
    queue: Option<Resource<Amqp>>,
    stripe_key: SecretString,
    signing_key: SecretString,
    #[setting]
    port: u16,
    #[setting]
    workers: usize,
    #[setting]
    maintenance: bool,
    #[setting]
    shard: Option<u16>,
    #[setting]
    origins: Vec<String>,
}

ten_times!(Hundred, Ten);
ten_times!(Thousand, Hundred);

/// The same with two waivers on each resource: one without an end, and one with a last day.
#[derive(BackingServices)]
#[allow(dead_code, reason = "it is checked, and never attached")]
struct TenWaived {
    #[service(
        allow(superuser_account, reason = "one account"),
        allow(weak_password, reason = "old", until = "2199-01-01")
    )]
    orders: Resource<Postgres>,
    #[service(
        allow(superuser_account, reason = "one account"),
        allow(weak_password, reason = "old", until = "2199-01-01")
    )]
    sessions: Resource<Redis>,
    #[service(
        allow(superuser_account, reason = "one account"),
        allow(weak_password, reason = "old", until = "2199-01-01")
    )]
    queue: Option<Resource<Amqp>>,
    stripe_key: SecretString,
    signing_key: SecretString,
    #[setting]
    port: u16,
    #[setting]
    workers: usize,
    #[setting]
    maintenance: bool,
    #[setting]
    shard: Option<u16>,
    #[setting]
    origins: Vec<String>,
}

ten_times!(HundredWaived, TenWaived);
ten_times!(ThousandWaived, HundredWaived);

const VALUES: [(&str, &str); 10] = [
    (
        "ORDERS_URL",
        "postgres://shop:kX3-vR9_wQ1z@orders.db.internal.example.com:5432/orders?\
         sslmode=verify-full",
    ),
    ("SESSIONS_URL", "rediss://shop:bN7_tY2-pL5x@sessions.cache.internal.example.com:6380/"),
    ("QUEUE_URL", "amqps://shop:dF4-hJ8_sK3v@queue.internal.example.com:5671/shop"),
    ("STRIPE_KEY", "sk_live_4eC39HqLyjWDarjtT1zdp7dc"),
    ("SIGNING_KEY", "qV8mJ2xT5wK9rF3nB7yH4cL6pD1sG0aZ"),
    ("PORT", "8080"),
    ("WORKERS", "16"),
    ("MAINTENANCE", "false"),
    ("SHARD", "3"),
    ("ORIGINS", "https://shop.example.com,https://admin.example.com"),
];

/// The variables of nested structs: ten fields at depth 0, and ten times as many at each further
/// depth.
fn variables(depth: u32) -> crate::Environment {
    if depth == 0 {
        return VALUES.map(|(name, value)| (name.to_owned(), value.to_owned())).into();
    }
    let inner = variables(depth - 1);
    ('A'..='J')
        .flat_map(|letter| {
            inner.iter().map(move |(name, value)| (format!("{letter}_{name}"), value.clone()))
        })
        .collect()
}

/// The variables of 10, 100 and 1000 fields.
#[must_use]
pub fn environment() -> crate::Environment {
    (0..3).flat_map(variables).collect()
}

/// Runs the benchmark `load_growth`.
///
/// # Errors
/// If valid values are refused, or invalid ones are not.
pub fn run(options: Options) -> Result<Outcome> {
    let nothing = Environment::from_iter::<[(&str, &str); 0]>([]);
    let given = |depth| Environment::from_iter(variables(depth));
    type Check = fn(&dyn Source) -> bool;
    fn is_right<T: BackingServices>(source: &dyn Source) -> bool {
        T::check(source).is_ok()
    }
    let plain: [(f64, Check, Environment); 3] = [
        (10.0, is_right::<Ten>, given(0)),
        (100.0, is_right::<Hundred>, given(1)),
        (1000.0, is_right::<Thousand>, given(2)),
    ];
    let waived: [Check; 3] =
        [is_right::<TenWaived>, is_right::<HundredWaived>, is_right::<ThousandWaived>];
    let process = Environment::process();
    let mut subjects = Vec::new();
    let mut places = Vec::new();
    for ((fields, check, given), waived) in plain.iter().zip(&waived) {
        if !check(given) || !waived(given) || !check(&process) || check(&nothing) {
            return Err(format!(
                "{fields} fields: what is right is refused, or what is wrong is not"
            )
            .into());
        }
        for (name, check, source) in [
            ("ours, of as many variables", check, given),
            ("ours, of the process's 1110 variables", check, &process),
            ("ours, with waivers", waived, given),
            ("ours, with a finding at most fields", check, &nothing),
        ] {
            places.push((name, *fields));
            subjects.push(Subject::timed(name, move || check(source)));
        }
    }
    let times = in_turns(options.rounds(20), &mut subjects);
    let mut outcome = Outcome::new(
        "load_growth",
        "`check` of 10, 100 and 1000 fields, in nested structs: three resources, two secrets and \
         five settings of each ten.",
    );
    for ((name, fields), times) in places.into_iter().zip(&times) {
        outcome
            .figures
            .push(Figure::new("time", "ns", name, Summary::of(times)).at(fields, "fields"));
    }
    outcome.remarks.extend(
        [
            "A field costs the same whether there are ten or a thousand, and so does a finding, \
             and a waiver.",
            "The environment of the process was copied before: what a field costs depends on the \
             logarithm of the number of variables.",
            "A resource asks for 22 names, each of them on its own: a field costs more the deeper \
             the source has to search.",
        ]
        .map(str::to_owned),
    );
    Ok(outcome)
}
