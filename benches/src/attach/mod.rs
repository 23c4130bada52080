//! `attach` and `attach_many`: real servers on this machine, over TLS with a private authority.
//!
//! The peer is the service's own driver, with a verified connection and a minimal first statement.
//! In ours, the probe of `attach` takes the place of that statement.

use std::future::Future;
use std::hint::black_box;
use std::pin::Pin;
use std::sync::Arc;
use std::time::{Duration, Instant};

use async_rs::Tokio;
use async_rs::util::RuntimeParts;
use backing_services::{
    Amqp, BackingServices, Environment as Source, Https, MySql, Nats, Postgres, Redis, Resource,
    S3, Smtp, TokioPostgres,
};
use backing_services_tests::canary::PASSWORD;
use backing_services_tests::{amqp, https, mariadb, nats, postgres, redis, s3, smtp};
use lapin::uri::{AMQPAuthority, AMQPUri, AMQPUserInfo};
use lapin::{AsyncTcpStream, Connection, ConnectionProperties};
use lettre::transport::smtp::authentication::{Credentials, Mechanism};
use lettre::transport::smtp::client::AsyncSmtpConnection;
use lettre::transport::smtp::extension::ClientId;
use object_store::ObjectStoreExt as _;
use object_store::aws::AmazonS3Builder;
use rustix::time::{ClockId, clock_gettime};
use sqlx::ConnectOptions as _;
use sqlx::mysql::{MySqlConnectOptions, MySqlSslMode};
use sqlx::postgres::{PgConnectOptions, PgSslMode};
use tokio::runtime::Runtime;
use tokio_util::compat::TokioAsyncReadCompatExt as _;

use crate::measure::{Summary, ratio};
use crate::outcome::{Figure, Outcome, Target};
use crate::{Options, Result};

pub mod far;
pub mod wire;

use far::Far;

/// The default number of rounds.
const ROUNDS: usize = 30;

/// The one-way delay for the measurement of round trips.
const WAY: Duration = Duration::from_millis(40);

/// The number of samples of each subject for the measurement of round trips.
const TRIPS: usize = 3;

macro_rules! structs {
    ($($name:ident { $($field:ident: $service:ty),* })*) => {$(
        #[derive(BackingServices)]
        #[allow(dead_code, reason = "it is attached, and nothing more")]
        struct $name { $($field: Resource<$service>),* }
    )*};
}

structs! {
    WithPostgres { it: Postgres }
    WithTokioPostgres { it: TokioPostgres }
    WithMySql { it: MySql }
    WithRedis { it: Redis }
    WithNats { it: Nats }
    WithAmqp { it: Amqp }
    WithSmtp { it: Smtp }
    WithHttps { it: Https }
    WithS3 { it: S3 }
    One { p1: Postgres }
    Two { p1: Postgres, r1: Redis }
    Four { p1: Postgres, r1: Redis, p2: Postgres, r2: Redis }
    Eight {
        p1: Postgres, r1: Redis, p2: Postgres, r2: Redis,
        p3: Postgres, r3: Redis, p4: Postgres, r4: Redis
    }
    Sixteen {
        p1: Postgres, r1: Redis, p2: Postgres, r2: Redis,
        p3: Postgres, r3: Redis, p4: Postgres, r4: Redis,
        p5: Postgres, r5: Redis, p6: Postgres, r6: Redis,
        p7: Postgres, r7: Redis, p8: Postgres, r8: Redis
    }
}

type Connecting<'a> = Pin<Box<dyn Future<Output = Result<Taken>> + 'a>>;

/// One sample, in ms: wall time, and CPU time of this process.
#[derive(Clone, Copy)]
struct Taken {
    wall: f64,
    cpu: f64,
}

/// The CPU time of all threads of this process so far, including those that have ended.
fn cpu() -> f64 {
    let used = clock_gettime(ClockId::ProcessCPUTime);
    used.tv_sec as f64 * 1e3 + used.tv_nsec as f64 / 1e6
}

/// Measures `work` alone. Its result is dropped after the measurement.
async fn taken<T>(work: impl Future<Output = Result<T>>) -> Result<(Taken, T)> {
    let (used, begun) = (cpu(), Instant::now());
    let done = work.await?;
    let wall = begun.elapsed().as_secs_f64() * 1e3;
    Ok((Taken { wall, cpu: cpu() - used }, done))
}

async fn attach<T: BackingServices + Send + Sync>(source: &Source) -> Result<Taken> {
    let (taken, services) =
        taken(async { T::attach_from(source).await.map_err(|error| error.to_string().into()) })
            .await?;
    services.detach().await;
    Ok(taken)
}

/// A service, and its driver without us. Both connect to the port that is passed to them.
struct Subject<'a> {
    name: &'static str,
    port: u16,
    ours: Box<dyn Fn(u16) -> Connecting<'a> + 'a>,
    bare: Box<dyn Fn(u16) -> Connecting<'a> + 'a>,
}

fn source(locator: &str, ca: &str, more: &[(&str, String)]) -> Source {
    let it = [
        ("IT_URL", locator.to_owned()),
        ("IT_PASSWORD", PASSWORD.to_owned()),
        ("IT_CA", ca.to_owned()),
    ];
    Source::from_iter(it.into_iter().chain(more.iter().cloned()))
}

/// The locator of the same server with another port.
fn by(locator: &str, port: u16, other: u16) -> String {
    locator.replacen(&format!(":{port}"), &format!(":{other}"), 1)
}

/// The servers, which run as long as the benchmark.
struct Servers {
    postgres: postgres::Postgres,
    mariadb: mariadb::MariaDb,
    redis: redis::Redis,
    nats: nats::Nats,
    amqp: amqp::Amqp,
    smtp: smtp::Smtp,
    https: https::Https,
    s3: s3::S3,
}

impl Servers {
    fn start() -> Self {
        Self {
            postgres: postgres::Postgres::start(),
            mariadb: mariadb::MariaDb::start(),
            redis: redis::Redis::start(),
            nats: nats::Nats::start(),
            amqp: amqp::Amqp::start(),
            smtp: smtp::Smtp::start(),
            https: https::Https::start(),
            s3: s3::S3::start(),
        }
    }
}

fn with_sqlx(server: &postgres::Postgres, port: u16) -> PgConnectOptions {
    PgConnectOptions::new_without_pgpass()
        .host("localhost")
        .port(port)
        .username(postgres::USER)
        .password(PASSWORD)
        .database(postgres::DATABASE)
        .ssl_mode(PgSslMode::VerifyFull)
        .ssl_root_cert_from_pem(server.authority.pem().into_bytes())
}

fn of_postgres(server: &postgres::Postgres) -> [Subject<'_>; 2] {
    let source =
        move |port| source(&by(&server.locator(), server.port, port), &server.authority.pem(), &[]);
    let with_sqlx = move |port| -> Connecting<'_> {
        Box::pin(async move {
            let options = with_sqlx(server, port);
            let connect = async {
                let mut connection = options.connect().await?;
                black_box(sqlx::raw_sql("SELECT 1").execute(&mut connection).await?);
                Ok(connection)
            };
            let (taken, connection) = taken(connect).await?;
            sqlx::Connection::close(connection).await?;
            Ok(taken)
        })
    };
    let with_tokio_postgres = move |port| -> Connecting<'_> {
        Box::pin(async move {
            let mut options = tokio_postgres::Config::new();
            options
                .host("localhost")
                .port(port)
                .user(postgres::USER)
                .password(PASSWORD)
                .dbname(postgres::DATABASE);
            options.ssl_mode(tokio_postgres::config::SslMode::Require);
            let connect = async {
                let tls = wire::Tls(wire::configuration(&server.authority.pem())?);
                let (client, connection) = options.connect(tls).await?;
                let running = tokio::spawn(connection);
                black_box(client.simple_query("SELECT 1").await?);
                Ok((client, running))
            };
            let (taken, (client, running)) = taken(connect).await?;
            drop(client);
            running.await??;
            Ok(taken)
        })
    };
    [
        Subject {
            name: "PostgreSQL, sqlx",
            port: server.port,
            ours: Box::new(move |port| {
                Box::pin(async move { attach::<WithPostgres>(&source(port)).await })
            }),
            bare: Box::new(with_sqlx),
        },
        Subject {
            name: "PostgreSQL, tokio-postgres",
            port: server.port,
            ours: Box::new(move |port| {
                Box::pin(async move { attach::<WithTokioPostgres>(&source(port)).await })
            }),
            bare: Box::new(with_tokio_postgres),
        },
    ]
}

fn of_mysql(server: &mariadb::MariaDb) -> Subject<'_> {
    let source =
        move |port| source(&by(&server.locator(), server.port, port), &server.authority.pem(), &[]);
    let bare = move |port| -> Connecting<'_> {
        Box::pin(async move {
            let options = MySqlConnectOptions::new()
                .host("localhost")
                .port(port)
                .username(mariadb::USER)
                .password(PASSWORD)
                .database(mariadb::DATABASE)
                .ssl_mode(MySqlSslMode::VerifyIdentity)
                .ssl_ca_from_pem(server.authority.pem().into_bytes());
            let connect = async {
                let mut connection = options.connect().await?;
                black_box(sqlx::raw_sql("SELECT 1").execute(&mut connection).await?);
                Ok(connection)
            };
            let (taken, connection) = taken(connect).await?;
            sqlx::Connection::close(connection).await?;
            Ok(taken)
        })
    };
    Subject {
        name: "MariaDB, sqlx",
        port: server.port,
        ours: Box::new(move |port| {
            Box::pin(async move { attach::<WithMySql>(&source(port)).await })
        }),
        bare: Box::new(bare),
    }
}

fn of_redis(server: &redis::Redis) -> Subject<'_> {
    let source =
        move |port| source(&by(&server.locator(), server.port, port), &server.authority.pem(), &[]);
    let bare = move |port| -> Connecting<'_> {
        Box::pin(async move {
            let connect = async {
                let info = ::redis::RedisConnectionInfo::default()
                    .set_protocol(::redis::ProtocolVersion::RESP3)
                    .set_username(redis::USER)
                    .set_password(PASSWORD);
                let stream = wire::connect(&server.authority.pem(), port).await?;
                let (mut connection, driver) =
                    ::redis::aio::MultiplexedConnection::new_with_config(
                        &info,
                        stream,
                        ::redis::AsyncConnectionConfig::new(),
                    )
                    .await?;
                tokio::spawn(driver);
                black_box(::redis::cmd("PING").query_async::<String>(&mut connection).await?);
                Ok(connection)
            };
            Ok(taken(connect).await?.0)
        })
    };
    Subject {
        name: "Redis",
        port: server.port,
        ours: Box::new(move |port| {
            Box::pin(async move { attach::<WithRedis>(&source(port)).await })
        }),
        bare: Box::new(bare),
    }
}

fn of_nats(server: &nats::Nats) -> Subject<'_> {
    let source =
        move |port| source(&by(&server.locator(), server.port, port), &server.authority.pem(), &[]);
    let bare = move |port| -> Connecting<'_> {
        Box::pin(async move {
            let connect = async {
                let options = async_nats::ConnectOptions::with_user_and_password(
                    nats::USER.to_owned(),
                    PASSWORD.to_owned(),
                );
                let configuration = wire::configuration(&server.authority.pem())?;
                let options = options
                    .tls_client_config(Arc::unwrap_or_clone(configuration))
                    .require_tls(true);
                let client = options.connect(format!("tls://localhost:{port}")).await?;
                client.flush().await?;
                Ok(client)
            };
            Ok(taken(connect).await?.0)
        })
    };
    Subject {
        name: "NATS",
        port: server.port,
        ours: Box::new(move |port| {
            Box::pin(async move { attach::<WithNats>(&source(port)).await })
        }),
        bare: Box::new(bare),
    }
}

fn of_amqp(server: &amqp::Amqp) -> Subject<'_> {
    let source =
        move |port| source(&by(&server.locator(), server.port, port), &server.authority.pem(), &[]);
    let bare = move |port| -> Connecting<'_> {
        Box::pin(async move {
            let uri = AMQPUri {
                authority: AMQPAuthority {
                    userinfo: AMQPUserInfo {
                        username: amqp::USER.to_owned(),
                        password: PASSWORD.to_owned(),
                    },
                    host: "localhost".to_owned(),
                    port,
                },
                ..AMQPUri::default()
            };
            let tokio = Tokio::default().with_handle(tokio::runtime::Handle::current());
            let reacting =
                async_rs::Runtime::new(RuntimeParts::new(tokio.clone(), wire::Reacting(tokio)));
            let ca = server.authority.pem();
            let dial = async move |_, _| match wire::connect(&ca, port).await {
                Ok(stream) => Ok(AsyncTcpStream::Plain(stream.compat())),
                Err(error) => Err(std::io::Error::other(error).into()),
            };
            let connect = async {
                let connection =
                    Connection::connector(uri, reacting, dial, ConnectionProperties::default())
                        .await?;
                let channel = connection.create_channel().await?;
                Ok((connection, channel))
            };
            let (taken, (connection, _channel)) = taken(connect).await?;
            connection.close(200, "OK".into()).await?;
            Ok(taken)
        })
    };
    Subject {
        name: "RabbitMQ",
        port: server.port,
        ours: Box::new(move |port| {
            Box::pin(async move { attach::<WithAmqp>(&source(port)).await })
        }),
        bare: Box::new(bare),
    }
}

fn of_smtp(server: &smtp::Smtp) -> Subject<'_> {
    let source =
        move |port| source(&by(&server.locator(), server.port, port), &server.authority.pem(), &[]);
    let bare = move |port| -> Connecting<'_> {
        Box::pin(async move {
            let connect = async {
                let stream = Box::new(wire::connect(&server.authority.pem(), port).await?);
                let name = ClientId::Ipv4(std::net::Ipv4Addr::LOCALHOST);
                let mut smtp = AsyncSmtpConnection::connect_with_transport(stream, &name).await?;
                smtp.auth(
                    &[Mechanism::Plain],
                    &Credentials::new(smtp::USER.to_owned(), PASSWORD.to_owned()),
                )
                .await?;
                if !smtp.test_connected().await {
                    return Err("the relay does not answer".into());
                }
                Ok(smtp)
            };
            let (taken, mut smtp) = taken(connect).await?;
            let _ = smtp.quit().await;
            Ok(taken)
        })
    };
    Subject {
        name: "SMTP",
        port: server.port,
        ours: Box::new(move |port| {
            Box::pin(async move { attach::<WithSmtp>(&source(port)).await })
        }),
        bare: Box::new(bare),
    }
}

fn of_https(server: &https::Https) -> Subject<'_> {
    let source = move |port| {
        let locator = by(&server.locator(), server.port, port) + "?health=/health";
        source(&locator, &server.authority.pem(), &[("IT_USER", https::USER.to_owned())])
    };
    let bare = move |port| -> Connecting<'_> {
        Box::pin(async move {
            let connect = async {
                let configuration =
                    Arc::unwrap_or_clone(wire::configuration(&server.authority.pem())?);
                let client = reqwest::Client::builder()
                    .tls_backend_preconfigured(configuration)
                    .https_only(true)
                    .build()?;
                let request = client.get(format!("https://localhost:{port}/api/health"));
                let answer = request
                    .basic_auth(https::USER, Some(PASSWORD))
                    .send()
                    .await?
                    .error_for_status()?;
                black_box(answer.bytes().await?);
                Ok(client)
            };
            Ok(taken(connect).await?.0)
        })
    };
    Subject {
        name: "HTTPS",
        port: server.port,
        ours: Box::new(move |port| {
            Box::pin(async move { attach::<WithHttps>(&source(port)).await })
        }),
        bare: Box::new(bare),
    }
}

fn of_s3(server: &s3::S3) -> Subject<'_> {
    let endpoint = move |port| by(&server.endpoint(), server.server.port, port);
    let source = move |port| {
        let more = [("IT_ENDPOINT", endpoint(port)), ("IT_USER", s3::USER.to_owned())];
        source(
            &format!("s3://{}?region=eu-west-1", s3::BUCKET),
            &server.server.authority.pem(),
            &more,
        )
    };
    let bare = move |port| -> Connecting<'_> {
        Box::pin(async move {
            let connect = async {
                let ca =
                    object_store::Certificate::from_pem(server.server.authority.pem().as_bytes())?;
                let store = AmazonS3Builder::new()
                    .with_bucket_name(s3::BUCKET)
                    .with_region("eu-west-1")
                    .with_endpoint(endpoint(port))
                    .with_access_key_id(s3::USER)
                    .with_secret_access_key(PASSWORD)
                    .with_client_options(
                        object_store::ClientOptions::new().with_root_certificate(ca),
                    )
                    .build()?;
                // "Not found" is a valid answer too.
                match store.head(&"nothing".into()).await {
                    Ok(_) | Err(object_store::Error::NotFound { .. }) => Ok(store),
                    Err(error) => Err(error.into()),
                }
            };
            Ok(taken(connect).await?.0)
        })
    };
    Subject {
        name: "S3",
        port: server.server.port,
        ours: Box::new(move |port| Box::pin(async move { attach::<WithS3>(&source(port)).await })),
        bare: Box::new(bare),
    }
}

/// Runs the benchmark `attach`.
///
/// # Errors
/// If a connection fails.
pub fn run(options: Options) -> Result<Outcome> {
    // A program with reqwest does this when it starts. Ours does not need it.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let runtime = Runtime::new()?;
    let servers = Servers::start();
    let mut subjects = Vec::from(of_postgres(&servers.postgres));
    subjects.push(of_mysql(&servers.mariadb));
    subjects.extend([
        of_redis(&servers.redis),
        of_nats(&servers.nats),
        of_amqp(&servers.amqp),
        of_smtp(&servers.smtp),
    ]);
    subjects.extend([of_https(&servers.https), of_s3(&servers.s3)]);

    let rounds = options.rounds(ROUNDS);
    let mut ours = vec![Vec::with_capacity(rounds); subjects.len()];
    let mut bare = ours.clone();
    for round in 0..=rounds {
        for (i, subject) in subjects.iter().enumerate() {
            let without = runtime
                .block_on((subject.bare)(subject.port))
                .map_err(|error| format!("{}: {error}", subject.name))?;
            let with = runtime.block_on((subject.ours)(subject.port))?;
            if round > 0 {
                bare[i].push(without);
                ours[i].push(with);
            }
        }
    }

    let mut outcome = Outcome::new(
        "attach",
        "Until one resource is attached, and until its own driver, with full verification of the \
         same certificate, has answered the first statement.",
    );
    let of = |taken: &[Taken], what: fn(&Taken) -> f64| taken.iter().map(what).collect::<Vec<_>>();
    for (i, subject) in subjects.iter().enumerate() {
        let what = format!("{}: attach / the bare driver", subject.name);
        outcome.targets.push(Target::ratio(
            what,
            &of(&ours[i], |t| t.wall),
            &of(&bare[i], |t| t.wall),
            1.10,
        ));
    }
    for (i, subject) in subjects.iter().enumerate() {
        let [with, without] =
            [trips(&runtime, subject, &subject.ours)?, trips(&runtime, subject, &subject.bare)?];
        let more = Summary::exactly((with.median - without.median).round() + 0.0);
        outcome.targets.push(Target::figure(
            format!("{}: round trips beside the driver's", subject.name),
            more,
            1.0,
            "more",
        ));
        for (kind, unit, found) in [
            (
                "time",
                "ms",
                [Summary::of(&of(&ours[i], |t| t.wall)), Summary::of(&of(&bare[i], |t| t.wall))],
            ),
            (
                "processor time of the client",
                "ms",
                [Summary::of(&of(&ours[i], |t| t.cpu)), Summary::of(&of(&bare[i], |t| t.cpu))],
            ),
            ("round trips", "", [with, without]),
        ] {
            let [ours, bare] = found;
            outcome.figures.push(Figure::new(kind, unit, &format!("ours, {}", subject.name), ours));
            outcome.figures.push(Figure::new(kind, unit, &format!("bare, {}", subject.name), bare));
        }
    }
    // Figures of one kind are adjacent, regardless of the order of the measurements.
    let order = ["time", "processor time of the client", "round trips"];
    outcome.figures.sort_by_key(|figure| order.iter().position(|kind| *kind == figure.kind));
    outcome.remarks = REMARKS.iter().map(|remark| (*remark).to_owned()).collect();
    Ok(outcome)
}

const REMARKS: [&str; 5] = [
    "sqlx opens its own connections, and answers whatever a server asks for. So `Postgres` and \
     `MySql` make a connection of their own first, which sends no password: that is the \
     round trips that they take more, and it has to end before sqlx gets the password. \
     `TokioPostgres` takes our connection.",
    "sqlx does not set TCP_NODELAY. With PostgreSQL before 18, which asks for another group of \
     key exchange, it then waits twice for the server's delayed acknowledgement: 80 ms of its \
     time are that, in both columns, and hide what we add. Our own connection begins with the \
     group that PostgreSQL has.",
    "What the account may do is read from PostgreSQL's catalogs by a new connection, which has \
     none of them in its caches: parsing and planning the one statement take most of its \
     time.",
    "Round trips are those of the clock: what a way of 80 ms to and fro makes longer, divided by \
     that. A TCP connection is one.",
    "The servers of HTTPS and S3 are in this process, so that their processor time counts in both \
     columns.",
];

/// The number of round trips: the difference between a long delay and none.
fn trips<'a>(
    runtime: &Runtime,
    subject: &Subject<'a>,
    connect: &(dyn Fn(u16) -> Connecting<'a> + 'a),
) -> Result<Summary> {
    let far = Far::to(subject.port)?;
    let mut trips = Vec::with_capacity(TRIPS);
    for _ in 0..TRIPS {
        far.set(Duration::ZERO);
        let near = runtime.block_on(connect(far.port))?.wall;
        far.set(WAY);
        let away = runtime.block_on(connect(far.port))?.wall;
        trips.push((away - near) / (2.0 * WAY.as_secs_f64() * 1e3));
    }
    Ok(Summary::of(&trips))
}

/// Runs the benchmark `attach_many`.
///
/// # Errors
/// If a connection fails.
pub fn run_many(options: Options) -> Result<Outcome> {
    let runtime = Runtime::new()?;
    let (database, cache) = (postgres::Postgres::start(), redis::Redis::start());
    let variables = (1..=8).flat_map(|i| {
        [
            (format!("P{i}_URL"), database.locator()),
            (format!("P{i}_PASSWORD"), PASSWORD.to_owned()),
            (format!("P{i}_CA"), database.authority.pem()),
            (format!("R{i}_URL"), cache.locator()),
            (format!("R{i}_PASSWORD"), PASSWORD.to_owned()),
            (format!("R{i}_CA"), cache.authority.pem()),
        ]
    });
    let source = Source::from_iter(variables);
    let [with_sqlx, _] = of_postgres(&database);
    let with_redis = of_redis(&cache);
    // The bare drivers connect one after the other, as in a `main` without us: PostgreSQL and Redis
    // alternate.
    let one_by_one = |count: usize| -> Result<Taken> {
        let mut sum = Taken { wall: 0.0, cpu: 0.0 };
        for i in 0..count {
            let subject = if i % 2 == 0 { &with_sqlx } else { &with_redis };
            let taken = runtime.block_on((subject.bare)(subject.port))?;
            sum = Taken { wall: sum.wall + taken.wall, cpu: sum.cpu + taken.cpu };
        }
        Ok(sum)
    };
    const COUNTS: [usize; 5] = [1, 2, 4, 8, 16];
    let rounds = options.rounds(ROUNDS / 2);
    let mut ours = vec![Vec::with_capacity(rounds); COUNTS.len()];
    let mut bare = ours.clone();
    for round in 0..=rounds {
        for (i, count) in COUNTS.into_iter().enumerate() {
            let without = one_by_one(count)?;
            let with = runtime.block_on(async {
                match count {
                    1 => attach::<One>(&source).await,
                    2 => attach::<Two>(&source).await,
                    4 => attach::<Four>(&source).await,
                    8 => attach::<Eight>(&source).await,
                    _ => attach::<Sixteen>(&source).await,
                }
            })?;
            if round > 0 {
                bare[i].push(without);
                ours[i].push(with);
            }
        }
    }
    let mut outcome = Outcome::new(
        "attach_many",
        "Until all resources of a struct are attached: PostgreSQL and Redis by turns, against \
         their drivers one after the other, and against the slowest one alone.",
    );
    let wall = |taken: &[Taken]| taken.iter().map(|taken| taken.wall).collect::<Vec<_>>();
    let cpu = |taken: &[Taken]| taken.iter().map(|taken| taken.cpu).collect::<Vec<_>>();
    for (i, count) in COUNTS.into_iter().enumerate() {
        if count > 1 {
            let what = format!("{count} attached / the slowest one alone");
            outcome.targets.push(Target::ratio(what, &wall(&ours[i]), &wall(&ours[0]), 1.2));
        }
        for (kind, ours, bare) in [
            ("time", wall(&ours[i]), wall(&bare[i])),
            ("processor time of the client", cpu(&ours[i]), cpu(&bare[i])),
        ] {
            outcome.figures.push(
                Figure::new(kind, "ms", "ours", Summary::of(&ours)).at(count as f64, "resources"),
            );
            outcome.figures.push(
                Figure::new(kind, "ms", "bare, one by one", Summary::of(&bare))
                    .at(count as f64, "resources"),
            );
        }
        if count == 16 {
            let found = ratio(&wall(&ours[i]), &wall(&bare[i]));
            outcome.targets.push(Target {
                what: "16 attached / their drivers one by one".to_owned(),
                found,
                at_most: 1.0,
                unit: String::new(),
            });
        }
    }
    outcome.figures.sort_by_key(|figure| figure.kind != "time");
    outcome.remarks = vec![format!(
        "All resources are connected to at once, so time is that of the slowest as long as there \
         are processors for it; here there are {}, for the clients and for the servers. Each \
         PostgreSQL takes a process of the server's, two handshakes and a probe: from there on \
         time grows with the processor time, which is linear in the resources.",
        std::thread::available_parallelism().map_or(1, std::num::NonZero::get),
    )];
    Ok(outcome)
}
