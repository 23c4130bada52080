//! The generations of a resource: which one is current, how the next one replaces it, and how one
//! ends when its last user is gone.

use std::any::TypeId;
use std::collections::VecDeque;
use std::fmt;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

use arc_swap::{ArcSwap, Guard};
use tokio::sync::{Notify, watch};
use tokio::time::{Instant, sleep, timeout_at};

use crate::declare::manifest::{Declaration, Manifest};
use crate::live::detach::ForcedClose;
use crate::live::reattach::ImmutableFields;
use crate::load::Fingerprint;
use crate::load::spec::ConnectionSpec;
use crate::net::tasks;
use crate::net::time::{
    CLOSE_DEADLINE, CUT_DEADLINE, DETACH_DEADLINE, DRAIN_DEADLINE, Limit, panicked_in,
    run_until_cancelled,
};
use crate::report::posture::Posture;
use crate::report::redact::Guarded;
use crate::report::refusal::Refusal;
use crate::service::Service;
use crate::service::erased::{Closing, Connected, ServiceEntry, closing};
use crate::service::relay::Relay;
use crate::service::target::Target;

/// A struct that was attached at once. Its reattaches run one after the other.
pub(crate) struct AttachedStruct {
    /// The struct's type.
    pub(crate) of: TypeId,
    pub(crate) manifest: &'static Manifest,
    /// The runtime that attached. It runs the tasks that outlive a call.
    pub(crate) runtime: tokio::runtime::Handle,
    /// A reattach or a renewal takes this while it runs: it then has the turn. There is one turn
    /// for the whole struct, so no task waits for a second one while it has one.
    immutable: Mutex<Option<ImmutableFields>>,
    /// Wakes the tasks that wait for the turn.
    passed: Notify,
}

impl AttachedStruct {
    pub(crate) fn new(
        of: TypeId,
        manifest: &'static Manifest,
        runtime: tokio::runtime::Handle,
        immutable: ImmutableFields,
    ) -> Self {
        Self {
            of,
            manifest,
            runtime,
            immutable: Mutex::new(Some(immutable)),
            passed: Notify::new(),
        }
    }

    /// Waits for the turn. A waiter that is not polled does not block the others: the turn goes to
    /// the first task that asks for it.
    ///
    /// A turn belongs to a task of the runtime, which is polled whatever its caller does.
    pub(crate) async fn turn(self: &Arc<Self>) -> Turn {
        loop {
            let passed = self.passed.notified();
            if let Some(immutable) = self.slot().take() {
                return Turn { immutable: Some(immutable), owner: Arc::clone(self) };
            }
            passed.await;
        }
    }

    fn slot(&self) -> std::sync::MutexGuard<'_, Option<ImmutableFields>> {
        self.immutable.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The turn to change resources of one struct. Dropping it passes the turn on.
pub(crate) struct Turn {
    /// `None` only during the drop.
    immutable: Option<ImmutableFields>,
    owner: Arc<AttachedStruct>,
}

impl Turn {
    pub(crate) const fn immutable(&mut self) -> Option<&mut ImmutableFields> {
        self.immutable.as_mut()
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        *self.owner.slot() = self.immutable.take();
        self.owner.passed.notify_waiters();
    }
}

/// The field that a resource belongs to.
pub(crate) struct FieldContext {
    /// Its path.
    pub(crate) field: String,
    pub(crate) service: &'static ServiceEntry,
    pub(crate) declaration: &'static Declaration,
    pub(crate) owner: Arc<AttachedStruct>,
    /// The secrets that its current and former targets log in with.
    guarded: Mutex<VecDeque<Guarded>>,
}

/// The number of secrets of former targets that a resource remembers: 64. With tokens of one hour,
/// which are renewed after about 40 minutes, that is more than a day and a half. With passwords
/// that people rotate, it is years.
const MOST_GUARDED: usize = 64;

impl FieldContext {
    pub(crate) const fn new(
        field: String,
        service: &'static ServiceEntry,
        declaration: &'static Declaration,
        owner: Arc<AttachedStruct>,
    ) -> Self {
        Self { field, service, declaration, owner, guarded: Mutex::new(VecDeque::new()) }
    }

    /// Remembers the target's secrets. A server that has received a secret may repeat it for as
    /// long as the resource lives, even after another password has replaced it.
    pub(crate) fn guard(&self, target: &Target) {
        let mut guarded = self.guarded.lock().unwrap_or_else(PoisonError::into_inner);
        for secret in target.guarded() {
            if !guarded.iter().any(|known| known.is(secret)) {
                guarded.push_back(secret.clone());
            }
        }
        while guarded.len() > MOST_GUARDED {
            guarded.pop_front();
        }
    }

    /// The time limit for another attempt to connect, from now on.
    pub(crate) fn limit(&self) -> Limit {
        Limit::new(self.owner.manifest.deadline())
    }
}

/// A resource, whichever generation of it is current.
pub(crate) struct ResourceInner<S: Service> {
    current: ArcSwap<Generation<S>>,
    common: Common,
}

/// The state of a resource that does not depend on its service.
pub(crate) struct Common {
    context: Arc<FieldContext>,
    control: watch::Sender<Control>,
    /// The number of generations that are being closed.
    leaving: watch::Sender<DrainCounts>,
    /// True if the last attempt to take the posture again failed.
    refresh_fails: AtomicBool,
}

/// Orders to the tasks of a resource.
#[derive(Clone, Copy)]
pub(crate) struct Control {
    /// The interval at which the posture is taken again; `None` for never.
    pub(crate) interval: Option<Duration>,
    /// No new generation starts.
    pub(crate) detached: bool,
    /// Former generations are closed even if they are in use.
    force_close: bool,
}

/// A client, from when it was attached until its last user is done with it.
pub(crate) struct Generation<S: Service> {
    /// Shared with the task that closes it after the last user is gone.
    client: Arc<S::Client>,
    /// The relay of the client's connections. It ends with the last generation of the client.
    relay: Option<Arc<Relay>>,
    /// Replaced each time the posture is taken again.
    posture: ArcSwap<Posture>,
    /// Replaced each time the credentials are renewed.
    spec: ArcSwap<ConnectionSpec>,
    /// Dropped with the generation; receivers see that as "the last user is gone".
    in_use: watch::Sender<()>,
}

impl<S: Service> Generation<S> {
    fn new(
        client: Arc<S::Client>,
        relay: Option<Arc<Relay>>,
        posture: Arc<Posture>,
        spec: ConnectionSpec,
    ) -> Arc<Self> {
        Arc::new(Self {
            client,
            relay,
            posture: ArcSwap::new(posture),
            spec: ArcSwap::from_pointee(spec),
            in_use: watch::Sender::new(()),
        })
    }

    fn of(connected: Connected, spec: ConnectionSpec) -> Arc<Self> {
        let (client, relay, posture) = connected.into_parts::<S>();
        Self::new(Arc::new(client), relay.map(Arc::new), Arc::new(posture), spec)
    }

    pub(crate) fn client(&self) -> &S::Client {
        &self.client
    }
}

/// A generation of any service.
pub(crate) trait DynGeneration: Send + Sync {
    fn posture(&self) -> Arc<Posture>;

    fn set_posture(&self, posture: Arc<Posture>);

    fn spec(&self) -> Arc<ConnectionSpec>;

    /// Makes the client adopt the target's credentials, by [`Service::renew`]. Returns true if it
    /// has.
    fn renew<'a>(
        &'a self,
        target: &'a Target,
    ) -> Pin<Box<dyn Future<Output = Result<bool, Refusal>> + Send + 'a>>;

    /// Stores the renewed target, and the posture of the connection that tested it.
    fn renewed(&self, spec: ConnectionSpec, posture: Arc<Posture>);

    /// Its sender is dropped when the last user is gone.
    fn in_use(&self) -> watch::Receiver<()>;

    /// Closes the client when polled. It does not keep the generation alive.
    fn closing(&self) -> Closing;
}

impl<S: Service> DynGeneration for Generation<S> {
    fn posture(&self) -> Arc<Posture> {
        self.posture.load_full()
    }

    fn set_posture(&self, posture: Arc<Posture>) {
        self.posture.store(posture);
    }

    fn spec(&self) -> Arc<ConnectionSpec> {
        self.spec.load_full()
    }

    fn renew<'a>(
        &'a self,
        target: &'a Target,
    ) -> Pin<Box<dyn Future<Output = Result<bool, Refusal>> + Send + 'a>> {
        if let Some(relay) = &self.relay {
            // The driver has no credentials.
            relay.renew(target);
            return Box::pin(std::future::ready(Ok(true)));
        }
        // A service's own code: its panic becomes a refusal, and the renewing task goes on.
        let renewing = tasks::caught(async { S::renew(&self.client, target).await });
        Box::pin(async move { renewing.await.unwrap_or_else(|| Err(panicked_in("renew").into())) })
    }

    fn renewed(&self, spec: ConnectionSpec, posture: Arc<Posture>) {
        self.spec.store(Arc::new(spec));
        self.posture.store(posture);
    }

    fn in_use(&self) -> watch::Receiver<()> {
        self.in_use.subscribe()
    }

    fn closing(&self) -> Closing {
        let client = Arc::clone(&self.client);
        closing(self.relay.clone(), Box::pin(async move { S::close(&client).await }))
    }
}

/// A user of a generation. The generation does not end before it is dropped.
pub(crate) struct Lease<S: Service>(Guard<Arc<Generation<S>>>);

impl<S: Service> Lease<S> {
    pub(crate) fn client(&self) -> &S::Client {
        self.0.client()
    }
}

impl<S: Service> ResourceInner<S> {
    pub(crate) fn new(
        connected: Connected,
        spec: ConnectionSpec,
        context: Arc<FieldContext>,
    ) -> Arc<Self> {
        context.guard(&spec.target);
        let generation = Generation::of(connected, spec);
        Arc::new(Self { current: ArcSwap::new(generation), common: Common::new(context) })
    }

    /// Returns a user of the current generation, without a lock and without an allocation.
    pub(crate) fn user(&self) -> Lease<S> {
        Lease(self.current.load())
    }

    pub(crate) fn current(&self) -> Arc<Generation<S>> {
        self.current.load_full()
    }

    pub(crate) fn posture(&self) -> Arc<Posture> {
        self.current.load().posture()
    }

    pub(crate) fn field(&self) -> &str {
        &self.common.context.field
    }
}

/// Keeps a resource from being detached while this lives: detaching waits for the end of the
/// borrow.
///
/// It is not `Send`, so no task can hold it across an await.
pub(crate) struct Held<'a> {
    _orders: watch::Ref<'a, Control>,
}

/// The one step that puts a new generation in place. Returns the former one.
pub(crate) type Step<'a> = Box<dyn FnOnce(&Held<'_>) -> Arc<dyn DynGeneration> + 'a>;

/// Publishes all of them, or none. Returns them if one of the resources is detached.
///
/// All resources are held before the first generation is published. Everything that may fail or
/// panic comes before that as well; then only one pointer swap is left for each.
pub(crate) fn publish(
    each: Vec<(&Handle, Connected, ConnectionSpec)>,
) -> Result<(), Vec<Connected>> {
    let common: Vec<_> = each.iter().map(|(resource, ..)| resource.0.common()).collect();
    let Some(held) = common.iter().map(|common| common.hold()).collect::<Option<Vec<_>>>() else {
        return Err(each.into_iter().map(|(_, connected, _)| connected).collect());
    };
    let ready: Vec<_> = each
        .into_iter()
        .map(|(resource, connected, spec)| resource.0.next(connected, spec))
        .collect();
    let mut previous = Vec::with_capacity(ready.len());
    previous.extend(ready.into_iter().zip(&held).map(|(publish, held)| publish(held)));
    // Counted while the resources are held, so that a following detach waits for them.
    let previous: Vec<_> = common
        .iter()
        .zip(previous)
        .map(|(common, previous)| common.leaving(previous, DrainCounts::previous))
        .collect();
    drop(held);
    common.iter().zip(previous).for_each(|(common, previous)| common.succeeded(previous));
    Ok(())
}

/// The number of generations that are being closed.
#[derive(Clone, Copy, Default)]
struct DrainCounts {
    previous: usize,
    /// The generation that was current when the resource was detached.
    last: usize,
}

impl DrainCounts {
    const fn previous(&mut self) -> &mut usize {
        &mut self.previous
    }

    const fn last(&mut self) -> &mut usize {
        &mut self.last
    }

    const fn is_none(&self) -> bool {
        self.previous == 0 && self.last == 0
    }
}

impl Common {
    fn new(context: Arc<FieldContext>) -> Self {
        let control = Control {
            interval: Some(crate::net::backoff::INTERVAL),
            detached: false,
            force_close: false,
        };
        let leaving = watch::Sender::new(DrainCounts::default());
        Self {
            context,
            control: watch::Sender::new(control),
            leaving,
            refresh_fails: AtomicBool::new(false),
        }
    }

    /// Keeps the resource from being detached; `None` if it is detached.
    fn hold(&self) -> Option<Held<'_>> {
        let control = self.control.borrow();
        (!control.detached).then_some(Held { _orders: control })
    }

    /// Takes a generation that was just swapped out. The swap has turned every guard into an owner,
    /// so the last owner is the last user.
    fn leaving(
        &self,
        generation: Arc<dyn DynGeneration>,
        which: fn(&mut DrainCounts) -> &mut usize,
    ) -> Draining {
        self.leaving.send_modify(|leavers| *which(leavers) += 1);
        Draining {
            closing: generation.closing(),
            in_use: generation.in_use(),
            users: Arc::downgrade(&generation),
            force_close: self.control.subscribe(),
            _counted: DrainGuard(self.leaving.clone(), which),
        }
    }

    /// Another generation has replaced this one, which is now drained and closed.
    fn succeeded(&self, previous: Draining) {
        // Wake the renew and re-check tasks so they re-read the current generation.
        self.control.send_modify(|_| ());
        self.refresh_fails.store(false, Ordering::Release);

        let field = self.context.field.clone();
        tasks::spawn(&self.context.owner.runtime, async move {
            let ended = previous.end(Instant::now() + DRAIN_DEADLINE).await;
            ended.warn(&field);
        });
    }

    /// Lets all users finish, and closes: `last` returns the generation that is handed out no more.
    /// A second caller waits for the first.
    ///
    /// The users have all of the time but the last second. Then all generations are closed, and
    /// that also ends by the deadline.
    async fn detach(&self, last: impl FnOnce() -> Arc<dyn DynGeneration>) -> Option<ForcedClose> {
        let deadline = Instant::now() + DETACH_DEADLINE;
        let patience = deadline - CLOSE_DEADLINE;
        let is_first = self
            .control
            .send_if_modified(|control| !std::mem::replace(&mut control.detached, true));
        // At the same time as the former ones, which have no more time than this one.
        let last = is_first.then(|| {
            let leaving = self.leaving(last(), DrainCounts::last);
            tasks::spawn(&self.context.owner.runtime, leaving.end(patience))
        });
        let mut leaving = self.leaving.subscribe();
        let mut previous = 0;
        if timeout_at(patience, leaving.wait_for(DrainCounts::is_none)).await.is_err() {
            previous = leaving.borrow().previous;
            self.control.send_modify(|control| control.force_close = true);
            let _ = timeout_at(deadline, leaving.wait_for(DrainCounts::is_none)).await;
        }
        let ended = match last {
            // A task that panicked has not finished.
            Some(last) => {
                last.join().await.unwrap_or(DrainResult { users: 0, previous: 0, unfinished: true })
            }
            None => DrainResult::default(),
        };
        let ended = DrainResult { previous, ..ended };
        ended.warn(&self.context.field);
        ended.cut(&self.context.field)
    }
}

/// A generation that is handed out no more.
struct Draining {
    closing: Closing,
    users: Weak<dyn DynGeneration>,
    in_use: watch::Receiver<()>,
    force_close: watch::Receiver<Control>,
    _counted: DrainGuard,
}

/// One unit of a counter, until it is dropped.
struct DrainGuard(watch::Sender<DrainCounts>, fn(&mut DrainCounts) -> &mut usize);

impl Drop for DrainGuard {
    fn drop(&mut self) {
        self.0.send_modify(|leavers| {
            let count = (self.1)(leavers);
            *count = count.saturating_sub(1);
        });
    }
}

impl Draining {
    /// Waits for the last user until `patience` ends or a forced close is ordered. Then closes:
    /// within the rest of the patience, and at most `CUT_DEADLINE` after its end or after that
    /// order.
    async fn end(mut self, patience: Instant) -> DrainResult {
        let last_user = async { while self.in_use.changed().await.is_ok() {} };
        let in_time =
            timeout_at(patience, run_until_cancelled(forced(self.force_close.clone()), last_user))
                .await;
        let users = if matches!(in_time, Ok(Some(()))) { 0 } else { self.users.strong_count() };
        let out_of_time = async {
            let _ = timeout_at(patience, forced(self.force_close)).await;
            sleep(CUT_DEADLINE).await;
        };
        // A service's own code: if it panics, it has not finished.
        let closed = run_until_cancelled(out_of_time, tasks::caught(self.closing)).await;
        DrainResult { users, previous: 0, unfinished: closed != Some(Some(())) }
    }
}

/// Completes when former generations have to be closed.
async fn forced(mut control: watch::Receiver<Control>) {
    if control.wait_for(|control| control.force_close).await.is_err() {
        // All handles were dropped; outstanding guards may still finish normally.
        std::future::pending::<()>().await;
    }
}

/// The result of closing a generation.
#[derive(Clone, Copy, Default)]
struct DrainResult {
    /// The number of users that still held it.
    users: usize,
    /// The number of earlier generations that were still in use.
    previous: usize,
    /// Closing took too long.
    unfinished: bool,
}

impl DrainResult {
    fn cut(self, field: &str) -> Option<ForcedClose> {
        let Self { users, previous, unfinished } = self;
        (users > 0 || previous > 0 || unfinished).then(|| ForcedClose {
            field: field.to_owned(),
            users,
            previous,
            unfinished,
        })
    }

    fn warn(self, field: &str) {
        if let Some(ForcedClose { users, previous, unfinished, .. }) = self.cut(field) {
            tracing::warn!(
                field,
                users,
                previous,
                unfinished,
                "closed before all users were done with it"
            );
        }
    }
}

/// A resource of any service.
pub(crate) trait DynResource: Send + Sync {
    fn common(&self) -> &Common;

    /// The current generation.
    fn generation(&self) -> Arc<dyn DynGeneration>;

    /// Prepares a new connection before it is published.
    fn make_ready<'a>(
        &'a self,
        connected: &'a Connected,
    ) -> Pin<Box<dyn Future<Output = ()> + Send + 'a>>;

    /// The next generation, ready to be published by [`publish`].
    fn next(&self, connected: Connected, spec: ConnectionSpec) -> Step<'_>;

    /// Replaces the current generation by one with the same client, so that the current one can
    /// end, and returns the former. A later caller gets a client that is about to be closed, and
    /// detaching does not wait for it.
    fn retire(&self) -> Arc<dyn DynGeneration>;
}

impl<S: Service> DynResource for ResourceInner<S> {
    fn common(&self) -> &Common {
        &self.common
    }

    fn generation(&self) -> Arc<dyn DynGeneration> {
        self.current()
    }

    fn make_ready<'a>(
        &'a self,
        connected: &'a Connected,
    ) -> Pin<Box<dyn Future<Output = ()> + Send + 'a>> {
        Box::pin(async move {
            let previous = self.current();
            // A service's own code: whatever it leaves undone, the client does on demand.
            if let Some(client) = connected.client::<S>()
                && tasks::caught(async { S::make_ready(client, previous.client()).await })
                    .await
                    .is_none()
            {
                let field = self.field();
                tracing::warn!(
                    field,
                    "`make_ready` of its service panicked, \
                     and its next client takes its place as it is"
                );
            }
        })
    }

    fn next(&self, connected: Connected, spec: ConnectionSpec) -> Step<'_> {
        let next = Generation::of(connected, spec);
        Box::new(|_| self.current.swap(next))
    }

    fn retire(&self) -> Arc<dyn DynGeneration> {
        let current = self.current();
        let last = Generation::new(
            Arc::clone(&current.client),
            current.relay.clone(),
            current.posture(),
            (*current.spec()).clone(),
        );
        drop(current);
        self.current.swap(last)
    }
}

impl dyn DynResource + '_ {
    pub(crate) fn context(&self) -> &Arc<FieldContext> {
        &self.common().context
    }

    /// Returns true if no other generation has replaced it.
    pub(crate) fn is_current(&self, generation: &Arc<dyn DynGeneration>) -> bool {
        std::ptr::addr_eq(Arc::as_ptr(&self.generation()), Arc::as_ptr(generation))
    }

    /// True if the last attempt to take the posture again failed.
    pub(crate) fn refresh_fails(&self) -> &AtomicBool {
        &self.common().refresh_fails
    }

    /// The fingerprint of the values of the current generation.
    pub(crate) fn fingerprint(&self) -> Fingerprint {
        self.generation().spec().fingerprint
    }

    pub(crate) fn is_detached(&self) -> bool {
        self.common().control.borrow().detached
    }

    pub(crate) fn control(&self) -> watch::Receiver<Control> {
        self.common().control.subscribe()
    }

    /// Sets how often the posture is taken again.
    pub(crate) fn set_interval(&self, interval: Option<Duration>) {
        self.common().control.send_modify(|control| control.interval = interval);
    }
}

/// A resource of any service, for this crate's own functions.
#[derive(Clone)]
pub struct Handle(pub(crate) Arc<dyn DynResource>);

impl Handle {
    /// Like [`AnyResource::close`](crate::live::resource::AnyResource::close), but without a
    /// report.
    pub(crate) async fn close(self) -> Option<ForcedClose> {
        let context = Arc::clone(self.0.context());
        // A task of its own: dropping this future does not stop the closing.
        let detaching = tasks::spawn(&context.owner.runtime, async move {
            self.0.common().detach(|| self.0.retire()).await
        });
        detaching.join().await.unwrap_or_else(|| {
            Some(ForcedClose {
                field: context.field.clone(),
                users: 0,
                previous: 0,
                unfinished: true,
            })
        })
    }
}

impl fmt::Debug for Handle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Handle({})", self.0.context().field)
    }
}
