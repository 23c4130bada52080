//! A key-value bucket of NATS JetStream: one put reconfigures a whole fleet.
//!
//! Values are keys of the bucket, named as the variables: `SHOP_ORDERS_URL`. They are read once,
//! and then watched. Reads are served from a snapshot, so attaching does not wait for the store,
//! and works while the store is away.
//!
//! - **Connection.** As for [`Nats`](crate), by the same rules: its module lists
//!   the limits of the driver. The account needs `$JS.API.STREAM.>`, `$JS.API.CONSUMER.>`,
//!   `$JS.FC.>` and the inboxes. It is checked as an application's account is.
//! - **Watch.** The whole bucket, by an ordered consumer: the driver resumes after the last message
//!   it saw. If that is not possible, everything is read again. A snapshot is published when the
//!   server has no more messages at the moment. NATS puts keys one by one. So a follower of the
//!   source may see half of a change, which is refused, and the whole of it a moment later.
//! - **Outages.** The last snapshot stays. The driver reconnects as for a resource. Beyond that,
//!   attempts to watch back off from 0.1 s to 10 s, with up to as much again at random.
//! - **The driver's log.** The driver logs every message that arrives, and so every value, at the
//!   level `trace` of the target `async_nats::connection`. While a subscriber of `tracing`, or the
//!   logger of the crate `log`, is enabled for that, this source reads nothing. It refuses to
//!   connect. It also stops the watch, within a quarter of a second, if the level is raised later.
//!   The last values stay, and the watch goes on when the level is lowered. Changes in that quarter
//!   of a second may be in the log: leave the target at `debug`.
//! - **Bounds.** 1,000 values of 1 MiB each; 10 s until all of them have arrived.

use std::borrow::Cow;
use std::fmt;
use std::future::poll_fn;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use async_nats::Client;
use async_nats::jetstream::kv::{Operation, Store, Watch};
use backing_services_rules::rule::RAW_SECRET;
use backing_services_runtime::posture::printable;
use backing_services_runtime::problem::FailureKind;
use backing_services_runtime::service::reconnect::ReconnectBackoff;
use backing_services_runtime::service::tasks::Tasks;
use backing_services_runtime::service::time::with_timeout;
use backing_services_runtime::service::{Refusal, tasks};
use backing_services_runtime::source::{Changes, Unreadable, Value};
use backing_services_runtime::store::{Owned, Published, Snapshot};
use backing_services_runtime::{AttachError, Failure, Finding, Service as _, Source, store};
use futures_core::Stream as _;
use tokio::runtime::Handle;

use crate::{Nats, gate};

/// The values in a key-value bucket of NATS. See [the module](self) for how it is read and watched.
///
/// The server's locator and the credentials are read from another source, as for any resource:
/// `SHOP_CONFIG_URL` is `tls://nats.example`, and beside it are `SHOP_CONFIG_USER`, `_PASSWORD` and
/// `_CA`.
///
/// ```no_run
/// # async fn example() -> Result<(), backing_services::AttachError> {
/// use backing_services::source::{Environment, Sources};
/// use backing_services::stores::NatsKv;
///
/// let environment = Environment::process();
/// let bucket = NatsKv::connect(&environment, "SHOP_CONFIG", "shop").await?;
/// let sources = Sources::new().then(environment).then(bucket);
/// # Ok(()) }
/// ```
#[derive(Clone)]
pub struct NatsKv {
    bucket: String,
    published: Published,
    _open: Arc<Open>,
    _watch: Arc<Owned>,
}

/// The client. It ends with the last clone of the source, or with an attempt that is dropped.
struct Open(Client);

/// The time limit for connecting and reading everything: the same as for attaching a struct.
const DEADLINE: Duration = Duration::from_secs(30);

/// The interval at which a watch that waits for a value checks whether the driver's log is enabled:
/// 250 ms, less than a person takes to raise a level and then to change a value.
const LISTENING_INTERVAL: Duration = Duration::from_millis(250);

/// The time limit for the values that the bucket holds already.
const RESPONSE_TIMEOUT: Duration = Duration::from_secs(10);

impl NatsKv {
    /// Connects, reads every value of a bucket, and begins to watch. It needs a tokio runtime, and
    /// the watch ends with this source.
    ///
    /// # Errors
    /// [`AttachError`], with the problem in the server's locator and credentials, the server, or
    /// the bucket.
    pub async fn connect(
        source: &(impl Source + Clone + 'static),
        base: &str,
        bucket: &str,
    ) -> Result<Self, AttachError> {
        let store =
            store::load::<Nats>("nats_kv", Arc::new(source.clone()), base, DEADLINE).await?;
        let client = store.connect().await?;
        let open = Open(client.clone());
        let opening = async {
            match logged_in_tasks().await {
                Some(finding) => Err(finding.into()),
                None => Bucket::open(&client, bucket).await,
            }
        };
        let begun = store.finish(opening).await?;
        let published = Published::new(begun.snapshot.clone());
        let watch =
            Owned::spawn(watch(client.clone(), bucket.to_owned(), begun, published.clone()));
        Ok(Self {
            bucket: bucket.to_owned(),
            published,
            _open: Arc::new(open),
            _watch: Arc::new(watch),
        })
    }
}

impl Source for NatsKv {
    fn name(&self) -> Cow<'_, str> {
        format!("the bucket `{}` of NATS", printable(&self.bucket)).into()
    }

    fn get(&self, variable: &str) -> Result<Option<Value>, Unreadable> {
        let value = self.published.get(variable)?;
        Ok(value.map(|value| Value::new(value, self.name().into_owned())))
    }

    fn changes(&self) -> Changes {
        self.published.changes()
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        // At once: there may be no runtime here, and the driver would connect again for ever.
        gate::shut(&self.0);
        // The driver's own task goes on until the client is closed.
        if let Ok(runtime) = Handle::try_current() {
            let client = self.0.clone();
            tasks::spawn(&runtime, async move {
                with_timeout(RESPONSE_TIMEOUT, Nats::close(&client)).await
            });
        }
    }
}

impl fmt::Debug for NatsKv {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("NatsKv").field("bucket", &self.bucket).finish_non_exhaustive()
    }
}

/// A bucket that is being watched, and its values.
struct Bucket {
    watch: Watch,
    snapshot: Snapshot,
}

/// A finding if anything listens to the driver's log of each message. A level can be raised at any
/// time, so this is checked before each read.
fn logged() -> Option<Finding> {
    const DRIVER: &str = "async_nats::connection";
    // A filter may decide differently for an event than for `enabled!`. Without a subscriber,
    // events can go to `log`.
    let is_logged = tracing::enabled!(target: DRIVER, tracing::Level::TRACE)
        || tracing::event_enabled!(target: DRIVER, tracing::Level::TRACE)
        || log::log_enabled!(target: DRIVER, log::Level::Trace);
    is_logged.then(|| {
        Finding::new(
            &RAW_SECRET,
            "the driver would write every value into the log, at the level `trace`",
        )
        .with_help(
            "set the level of `async_nats::connection` to `debug` or less: \
             `RUST_LOG=trace,async_nats::connection=debug`",
        )
    })
}

/// The same check, for the caller and for the tasks of the runtime. The driver's task is one of
/// those, and has another subscriber if the caller has one of its own.
async fn logged_in_tasks() -> Option<Finding> {
    match logged() {
        Some(finding) => Some(finding),
        None => tasks::spawn(&Handle::current(), async { logged() }).join().await.flatten(),
    }
}

/// Waits until anything listens to the driver's log.
async fn overheard() -> Refusal {
    loop {
        if let Some(finding) = logged() {
            return finding.into();
        }
        tokio::time::sleep(LISTENING_INTERVAL).await;
    }
}

fn no_bucket() -> Refusal {
    let help = "check the bucket's name, whether JetStream is on, and whether the account may \
                use `$JS.API.STREAM.>` and `$JS.API.CONSUMER.>`";
    Failure::new(
        FailureKind::Unavailable,
        "there is no such bucket, or the account may not read it",
        help,
    )
    .into()
}

fn ended() -> Refusal {
    Failure::new(
        FailureKind::Unavailable,
        "the watch ended",
        "read the server's log: it may be restarting",
    )
    .into()
}

impl Bucket {
    /// Begins to watch, and reads all values that are there.
    async fn open(client: &Client, bucket: &str) -> Result<Self, Refusal> {
        if let Some(finding) = logged() {
            return Err(finding.into());
        }
        let context = async_nats::jetstream::new(client.clone());
        let store: Store = context.get_key_value(bucket).await.map_err(|_| no_bucket())?;
        // The number of messages: if there are none, nothing will arrive, and there is nothing to
        // wait for.
        let is_empty = store.stream.cached_info().state.messages == 0;
        let watch = store.watch_with_history(">").await.map_err(|_| no_bucket())?;
        let mut bucket = Self { watch, snapshot: Snapshot::default() };
        if !is_empty {
            with_timeout(RESPONSE_TIMEOUT, bucket.catch_up()).await??;
        }
        Ok(bucket)
    }

    /// Reads entries until the server has no more at the moment. Fails if anything listens to the
    /// driver's log.
    async fn catch_up(&mut self) -> Result<(), Refusal> {
        tokio::select! {
            biased;
            refusal = overheard() => Err(refusal),
            done = self.take() => done,
        }
    }

    async fn take(&mut self) -> Result<(), Refusal> {
        loop {
            if let Some(finding) = logged() {
                return Err(finding.into());
            }
            let entry = poll_fn(|context| Pin::new(&mut self.watch).poll_next(context)).await;
            let entry = entry.ok_or_else(ended)?.map_err(|_| ended())?;
            match entry.operation {
                Operation::Put => self.snapshot.insert(&entry.key, &entry.value)?,
                Operation::Delete | Operation::Purge => self.snapshot.remove(&entry.key),
            }
            if entry.delta == 0 {
                return Ok(());
            }
        }
    }
}

/// Watches until the source is dropped.
async fn watch(client: Client, name: String, begun: Bucket, published: Published) {
    let mut begun = Some(begun);
    let mut again = ReconnectBackoff::new();
    let mut is_told = false;
    loop {
        // A task of its own: the driver panics at a message that does not belong to the bucket.
        let mut round = Tasks::new();
        let (client, name, publishing, first) =
            (client.clone(), name.clone(), published.clone(), begun.take());
        round.spawn(async move {
            let mut bucket = match first {
                Some(bucket) => bucket,
                None => match Bucket::open(&client, &name).await {
                    Ok(bucket) => bucket,
                    Err(refusal) => return (false, refusal),
                },
            };
            loop {
                publishing.replace(bucket.snapshot.clone());
                if let Err(refusal) = bucket.catch_up().await {
                    return (true, refusal);
                }
            }
        });
        let foreign = || {
            Finding::new(
                &backing_services_rules::rule::MALFORMED_VALUE,
                "what the server sent is not the bucket's",
            )
            .into()
        };
        let (was_open, refusal) =
            round.join_next().await.and_then(Result::ok).unwrap_or_else(|| (false, foreign()));
        if was_open {
            (again, is_told) = (ReconnectBackoff::new(), false);
        }
        again.postpone();
        if !is_told {
            is_told = true;
            tracing::warn!(
                "the bucket is not watched for now, and the last values stay: {refusal}"
            );
        }
        again.wait().await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Everything;

    impl log::Log for Everything {
        fn enabled(&self, metadata: &log::Metadata<'_>) -> bool {
            metadata.target() == "async_nats::connection"
        }

        fn log(&self, _: &log::Record<'_>) {}

        fn flush(&self) {}
    }

    /// Without a subscriber of `tracing`, events can go to the crate `log`, whose level changes
    /// too.
    #[tokio::test]
    async fn a_logger_of_the_crate_log_is_noticed_as_soon_as_its_level_is_raised() {
        log::set_logger(&Everything).unwrap();
        log::set_max_level(log::LevelFilter::Debug);
        assert!(logged().is_none() && logged_in_tasks().await.is_none());
        let mut waiting = std::pin::pin!(overheard());
        assert!(tokio::time::timeout(2 * LISTENING_INTERVAL, waiting.as_mut()).await.is_err());
        log::set_max_level(log::LevelFilter::Trace);
        assert!(logged().is_some() && logged_in_tasks().await.is_some());
        let noticed = tokio::time::timeout(Duration::from_secs(5), waiting).await.unwrap();
        assert!(noticed.to_string().contains("raw_secret"), "{noticed}");
        log::set_max_level(log::LevelFilter::Off);
    }
}
