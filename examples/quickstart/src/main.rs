//! The first ten minutes, on a machine with nothing but Rust: `cargo run -p quickstart`.
//!
//! It attaches an SQLite database (in this process, so there is no server to install), a secret, a
//! few settings and a nested struct. It uses them, prints the posture, and then shows the report on
//! two mistakes.

use backing_services::secrecy::{ExposeSecret, SecretString};
use backing_services::{AttachError, BackingServices, Environment, Resource, Sqlite, sqlx};

/// Everything that this program attaches to.
#[derive(BackingServices)]
#[services(prefix = "SHOP")]
struct Services {
    /// Orders. Read from SHOP_ORDERS_URL.
    orders: Resource<Sqlite>,

    /// Card payments. Read from SHOP_PAYMENTS_KEY.
    payments_key: SecretString,

    /// The number of orders on a page. Read from SHOP_PAGE_SIZE, if it is set.
    #[setting(default = 2)]
    page_size: u32,

    /// A nested struct: its variables begin with SHOP_REPORTS_.
    reports: Reports,
}

#[derive(BackingServices)]
struct Reports {
    /// Read from SHOP_REPORTS_ARCHIVE_URL. Optional: only some deploys have one.
    archive: Option<Resource<Sqlite>>,

    /// Read from SHOP_REPORTS_RECIPIENTS: a list, separated by commas.
    #[setting]
    recipients: Vec<String>,
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    tracing_subscriber::fmt().with_writer(std::io::stderr).init();
    let folder = tempfile::tempdir()?;
    let orders = format!("sqlite://{}/orders.db", folder.path().display());

    // A real program calls `Services::attach()`, which reads the environment of the process. This
    // one brings its own variables, so that it runs anywhere.
    let variables = [
        ("SHOP_ORDERS_URL", orders.as_str()),
        ("SHOP_PAYMENTS_KEY", "not-a-real-key-but-it-is-never-printed"),
        ("SHOP_REPORTS_RECIPIENTS", "ada@example.com, grace@example.com"),
    ];
    let services = Services::attach_from(&Environment::from_iter(variables)).await?;

    work(&services).await?;

    println!("\nPosture:");
    for resource in services.resources() {
        println!("  {}: {}", resource.name(), resource.posture());
    }
    services.detach().await;

    println!("\nA locator without TLS, and a variable that is missing, get this:\n");
    let mistaken = variables.into_iter().filter(|(name, _)| *name != "SHOP_PAYMENTS_KEY");
    let mistaken = Environment::from_iter(
        mistaken.chain([("SHOP_REPORTS_ARCHIVE_URL", "redis://reports.internal:6379")]),
    );
    match Services::check(&mistaken) {
        Err(report) => println!("{report}"),
        Ok(()) => unreachable!("both mistakes are found"),
    }
    Ok(())
}

/// Uses the services. The handle returns the native client, here `sqlx::SqlitePool`.
async fn work(services: &Services) -> Result<(), sqlx::Error> {
    let orders = services.orders.client();
    sqlx::query("CREATE TABLE orders (id INTEGER PRIMARY KEY, item TEXT NOT NULL)")
        .execute(&orders)
        .await?;
    for item in ["lamp", "chair", "table"] {
        sqlx::query("INSERT INTO orders (item) VALUES (?)").bind(item).execute(&orders).await?;
    }
    let page: Vec<(i64, String)> =
        sqlx::query_as("SELECT id, item FROM orders ORDER BY id LIMIT ?")
            .bind(services.page_size)
            .fetch_all(&orders)
            .await?;
    for (id, item) in page {
        println!("order {id}: {item}");
    }
    println!(
        "the payments key has {} characters, and prints as {:?}",
        services.payments_key.expose_secret().len(),
        services.payments_key
    );
    println!(
        "reports go to {}; there is {} archive",
        services.reports.recipients.join(" and "),
        if services.reports.archive.is_some() { "an" } else { "no" }
    );
    Ok(())
}

/// `main` may return [`AttachError`] as it is: its `Debug` output is the report.
#[allow(dead_code)]
async fn shortest_main() -> Result<(), AttachError> {
    let services = Services::attach().await?;
    services.detach().await;
    Ok(())
}
