//! The generations of a resource: which one is current, how the next one takes its place, and how one ends when its last user is gone.

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
use crate::live::detach::Cut;
use crate::live::reattach::Fixed;
use crate::load::facts::Facts;
use crate::load::{self, Fingerprint, waiver};
use crate::net::tasks;
use crate::net::time::{
    CLOSE_DEADLINE, CUT_DEADLINE, DETACH_DEADLINE, DRAIN_DEADLINE, panicked_in, unless,
};
use crate::report::posture::Posture;
use crate::report::redact::Guarded;
use crate::report::refusal::Refusal;
use crate::service::Service;
use crate::service::erased::{Closing, Connected, ServiceEntry};
use crate::service::target::Target;

/// What was attached at once, and is reattached by turns.
pub(crate) struct Whole {
    /// The struct's type.
    pub(crate) of: TypeId,
    pub(crate) manifest: &'static Manifest,
    /// Where what outlives a call goes on: the runtime that attached.
    pub(crate) runtime: tokio::runtime::Handle,
    /// What a reattach or a renewal takes out while it goes on: then it is their turn. There is one
    /// for the whole struct, so a turn never waits for a second one.
    fixed: Mutex<Option<Fixed>>,
    /// Wakes those who wait for their turn.
    passed: Notify,
}

impl Whole {
    pub(crate) fn new(
        of: TypeId,
        manifest: &'static Manifest,
        runtime: tokio::runtime::Handle,
        fixed: Fixed,
    ) -> Self {
        Self { of, manifest, runtime, fixed: Mutex::new(Some(fixed)), passed: Notify::new() }
    }

    /// Waits for the turn. A waiter that is not polled holds up no other one: the turn goes to the
    /// first that asks for it.
    ///
    /// A turn is for a task of the runtime, which is polled whatever its caller does.
    pub(crate) async fn turn(self: &Arc<Self>) -> Turn {
        loop {
            let passed = self.passed.notified();
            if let Some(fixed) = self.slot().take() {
                return Turn { fixed: Some(fixed), whole: Arc::clone(self) };
            }
            passed.await;
        }
    }

    fn slot(&self) -> std::sync::MutexGuard<'_, Option<Fixed>> {
        self.fixed.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The turn to change resources of one struct. It passes on when this is dropped.
pub(crate) struct Turn {
    /// `None` only while it is dropped.
    fixed: Option<Fixed>,
    whole: Arc<Whole>,
}

impl Turn {
    pub(crate) const fn fixed(&mut self) -> Option<&mut Fixed> {
        self.fixed.as_mut()
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        *self.whole.slot() = self.fixed.take();
        self.whole.passed.notify_waiters();
    }
}

/// The field that a resource belongs to.
pub(crate) struct Seat {
    /// Its path.
    pub(crate) field: String,
    pub(crate) service: &'static ServiceEntry,
    pub(crate) declaration: &'static Declaration,
    pub(crate) whole: Arc<Whole>,
    /// What its targets log in with, and have logged in with.
    guarded: Mutex<VecDeque<Guarded>>,
}

/// How many secrets of former targets a resource remembers: 64. A token of an hour is one of two and a
/// half days, and a password that people rotate is one of years.
const MOST_GUARDED: usize = 64;

impl Seat {
    pub(crate) const fn new(
        field: String,
        service: &'static ServiceEntry,
        declaration: &'static Declaration,
        whole: Arc<Whole>,
    ) -> Self {
        Self { field, service, declaration, whole, guarded: Mutex::new(VecDeque::new()) }
    }

    /// What a server was sent once, it can say for as long as the resource lives, also after another
    /// password has taken its place.
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

    /// What is to be connected to when that is done again, and until when.
    pub(crate) fn again(&self, target: &Target) -> (Target, Duration) {
        let limit = self.whole.manifest.deadline();
        // A waiver may have ended since.
        let waived = waiver::in_force(self.declaration.waived_rules(), load::today())
            .map(|waiver| waiver.rule().name);
        (
            Target {
                deadline: std::time::Instant::now() + limit,
                waived: waived.collect(),
                ..target.clone()
            },
            limit,
        )
    }
}

/// A resource, whatever generation of it is current.
pub(crate) struct Shared<S: Service> {
    current: ArcSwap<Generation<S>>,
    common: Common,
}

/// What a resource has whatever its service is.
pub(crate) struct Common {
    seat: Arc<Seat>,
    orders: watch::Sender<Orders>,
    /// How many generations are on their way out.
    leaving: watch::Sender<Leavers>,
    /// Whether the last attempt to take the posture again failed.
    retaking_fails: AtomicBool,
}

/// What the tasks of a resource obey.
#[derive(Clone, Copy)]
pub(crate) struct Orders {
    /// How often the posture is taken again; `None` for never.
    pub(crate) interval: Option<Duration>,
    /// No generation begins any more.
    pub(crate) detached: bool,
    /// Former generations are closed, whoever still uses them.
    hurry: bool,
}

/// A client, from when it was attached until its last user is done with it.
pub(crate) struct Generation<S: Service> {
    /// Shared with whoever will close it when everybody else is gone.
    client: Arc<S::Client>,
    /// It is taken again while the client stays.
    posture: ArcSwap<Posture>,
    /// Its credentials are renewed while the client stays.
    facts: ArcSwap<Facts>,
    /// It goes with the generation: whoever waits for the last user waits for that.
    in_use: watch::Sender<()>,
}

impl<S: Service> Generation<S> {
    fn new(client: Arc<S::Client>, posture: Arc<Posture>, facts: Facts) -> Arc<Self> {
        Arc::new(Self {
            client,
            posture: ArcSwap::new(posture),
            facts: ArcSwap::from_pointee(facts),
            in_use: watch::Sender::new(()),
        })
    }

    pub(crate) fn client(&self) -> &S::Client {
        &self.client
    }
}

/// A generation whose service's type is forgotten.
pub(crate) trait AnyGeneration: Send + Sync {
    fn posture(&self) -> Arc<Posture>;

    fn set_posture(&self, posture: Arc<Posture>);

    fn facts(&self) -> Arc<Facts>;

    /// Has the client take on the target's credentials, by [`Service::renew`]: whether it has.
    fn renew<'a>(
        &'a self,
        target: &'a Target,
    ) -> Pin<Box<dyn Future<Output = Result<bool, Refusal>> + Send + 'a>>;

    /// The target that was renewed, and what was learnt when it was tried.
    fn renewed(&self, facts: Facts, posture: Arc<Posture>);

    /// Told when the last user is gone.
    fn in_use(&self) -> watch::Receiver<()>;

    /// Closes the client, once it is waited for. It does not keep the generation from its end.
    fn closing(&self) -> Closing;
}

impl<S: Service> AnyGeneration for Generation<S> {
    fn posture(&self) -> Arc<Posture> {
        self.posture.load_full()
    }

    fn set_posture(&self, posture: Arc<Posture>) {
        self.posture.store(posture);
    }

    fn facts(&self) -> Arc<Facts> {
        self.facts.load_full()
    }

    fn renew<'a>(
        &'a self,
        target: &'a Target,
    ) -> Pin<Box<dyn Future<Output = Result<bool, Refusal>> + Send + 'a>> {
        // A service's own code: its panic is a refusal, and what renews goes on.
        let renewing = tasks::caught(async { S::renew(&self.client, target).await });
        Box::pin(async move { renewing.await.unwrap_or_else(|| Err(panicked_in("renew").into())) })
    }

    fn renewed(&self, facts: Facts, posture: Arc<Posture>) {
        self.facts.store(Arc::new(facts));
        self.posture.store(posture);
    }

    fn in_use(&self) -> watch::Receiver<()> {
        self.in_use.subscribe()
    }

    fn closing(&self) -> Closing {
        let client = Arc::clone(&self.client);
        Box::pin(async move { S::close(&client).await })
    }
}

/// Somebody who uses a generation, which does not end before.
pub(crate) struct User<S: Service>(Guard<Arc<Generation<S>>>);

impl<S: Service> User<S> {
    pub(crate) fn client(&self) -> &S::Client {
        self.0.client()
    }
}

impl<S: Service> Shared<S> {
    pub(crate) fn new(
        client: S::Client,
        posture: Posture,
        facts: Facts,
        seat: Arc<Seat>,
    ) -> Arc<Self> {
        seat.guard(&facts.target);
        Arc::new(Self {
            current: ArcSwap::new(Generation::new(Arc::new(client), Arc::new(posture), facts)),
            common: Common::new(seat),
        })
    }

    /// A user of the current generation, with neither a lock nor an allocation.
    pub(crate) fn user(&self) -> User<S> {
        User(self.current.load())
    }

    pub(crate) fn current(&self) -> Arc<Generation<S>> {
        self.current.load_full()
    }

    pub(crate) fn posture(&self) -> Arc<Posture> {
        self.current.load().posture()
    }

    pub(crate) fn field(&self) -> &str {
        &self.common.seat.field
    }
}

/// That a resource is not detached, for as long as this lives: detaching waits for the end of the
/// borrow.
///
/// It is not `Send`, so no task waits for anything while it has one.
pub(crate) struct Held<'a> {
    _orders: watch::Ref<'a, Orders>,
}

/// The one step that puts a generation that is ready in its place. Gives the former one.
pub(crate) type Step<'a> = Box<dyn FnOnce(&Held<'_>) -> Arc<dyn AnyGeneration> + 'a>;

/// Publishes all of them, or none. Gives them back if one of the resources is detached.
///
/// All resources are held before the first generation is published. What may fail or panic comes
/// before that as well; what is left is one swap of a pointer for each.
pub(crate) fn publish(each: Vec<(&Handle, Connected, Facts)>) -> Result<(), Vec<Connected>> {
    let common: Vec<_> = each.iter().map(|(resource, ..)| resource.0.common()).collect();
    let Some(held) = common.iter().map(|common| common.hold()).collect::<Option<Vec<_>>>() else {
        return Err(each.into_iter().map(|(_, connected, _)| connected).collect());
    };
    let ready: Vec<_> = each
        .into_iter()
        .map(|(resource, connected, facts)| resource.0.next(connected, facts))
        .collect();
    let mut former = Vec::with_capacity(ready.len());
    former.extend(ready.into_iter().zip(&held).map(|(publish, held)| publish(held)));
    // Counted while they are held, so that a detach that comes next waits for them.
    let former: Vec<_> = common
        .iter()
        .zip(former)
        .map(|(common, former)| common.leaving(former, Leavers::former))
        .collect();
    drop(held);
    common.iter().zip(former).for_each(|(common, former)| common.succeeded(former));
    Ok(())
}

/// How many generations are on their way out.
#[derive(Clone, Copy, Default)]
struct Leavers {
    former: usize,
    /// The one that was current when the resource was detached.
    last: usize,
}

impl Leavers {
    const fn former(&mut self) -> &mut usize {
        &mut self.former
    }

    const fn last(&mut self) -> &mut usize {
        &mut self.last
    }

    const fn is_none(&self) -> bool {
        self.former == 0 && self.last == 0
    }
}

impl Common {
    fn new(seat: Arc<Seat>) -> Self {
        let orders =
            Orders { interval: Some(crate::net::backoff::INTERVAL), detached: false, hurry: false };
        let leaving = watch::Sender::new(Leavers::default());
        Self {
            seat,
            orders: watch::Sender::new(orders),
            leaving,
            retaking_fails: AtomicBool::new(false),
        }
    }

    /// Keeps the resource from being detached; `None` if it is.
    fn hold(&self) -> Option<Held<'_>> {
        let orders = self.orders.borrow();
        (!orders.detached).then_some(Held { _orders: orders })
    }

    /// What has just been swapped out: the swap has turned every guard into an owner, so the last owner is the last user.
    fn leaving(
        &self,
        generation: Arc<dyn AnyGeneration>,
        which: fn(&mut Leavers) -> &mut usize,
    ) -> Leaving {
        self.leaving.send_modify(|leavers| *which(leavers) += 1);
        Leaving {
            closing: generation.closing(),
            in_use: generation.in_use(),
            users: Arc::downgrade(&generation),
            hurry: self.orders.subscribe(),
            _counted: Counted(self.leaving.clone(), which),
        }
    }

    /// Another generation has taken the place of this one, which now comes to its end.
    fn succeeded(&self, former: Leaving) {
        // Whoever waits for something to be due looks at what is current.
        self.orders.send_modify(|_| ());
        self.retaking_fails.store(false, Ordering::Release);

        let field = self.seat.field.clone();
        tasks::spawn(&self.seat.whole.runtime, async move {
            let ended = former.end(Instant::now() + DRAIN_DEADLINE).await;
            ended.warn(&field);
        });
    }

    /// Lets everybody finish, and closes: `last` gives the generation that nobody gets any more. Whoever comes second waits for the first.
    ///
    /// Those who use it have all of the time but the last second. Then all of its generations are
    /// closed, and that has ended by the deadline, too.
    async fn detach(&self, last: impl FnOnce() -> Arc<dyn AnyGeneration>) -> Option<Cut> {
        let deadline = Instant::now() + DETACH_DEADLINE;
        let patience = deadline - CLOSE_DEADLINE;
        let is_first =
            self.orders.send_if_modified(|orders| !std::mem::replace(&mut orders.detached, true));
        // At the same time as the former ones, which have no more time than this one.
        let last = is_first.then(|| {
            let leaving = self.leaving(last(), Leavers::last);
            tasks::spawn(&self.seat.whole.runtime, leaving.end(patience))
        });
        let mut leaving = self.leaving.subscribe();
        let mut former = 0;
        if timeout_at(patience, leaving.wait_for(Leavers::is_none)).await.is_err() {
            former = leaving.borrow().former;
            self.orders.send_modify(|orders| orders.hurry = true);
            let _ = timeout_at(deadline, leaving.wait_for(Leavers::is_none)).await;
        }
        let ended = match last {
            // What panicked has not finished.
            Some(last) => {
                last.join().await.unwrap_or(Ended { users: 0, former: 0, unfinished: true })
            }
            None => Ended::default(),
        };
        let ended = Ended { former, ..ended };
        ended.warn(&self.seat.field);
        ended.cut(&self.seat.field)
    }
}

/// A generation that nobody gets any more.
struct Leaving {
    closing: Closing,
    users: Weak<dyn AnyGeneration>,
    in_use: watch::Receiver<()>,
    hurry: watch::Receiver<Orders>,
    _counted: Counted,
}

/// One of those that are counted, until it is dropped.
struct Counted(watch::Sender<Leavers>, fn(&mut Leavers) -> &mut usize);

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.send_modify(|leavers| {
            let count = (self.1)(leavers);
            *count = count.saturating_sub(1);
        });
    }
}

impl Leaving {
    /// Waits for the last user until `patience` ends or there is a hurry. Then closes: in what is
    /// left of the patience, and at most `CUT_DEADLINE` after it or after a hurry has begun.
    async fn end(mut self, patience: Instant) -> Ended {
        let last_user = async { while self.in_use.changed().await.is_ok() {} };
        let in_time = timeout_at(patience, unless(hurried(self.hurry.clone()), last_user)).await;
        let users = if matches!(in_time, Ok(Some(()))) { 0 } else { self.users.strong_count() };
        let out_of_time = async {
            let _ = timeout_at(patience, hurried(self.hurry)).await;
            sleep(CUT_DEADLINE).await;
        };
        // A service's own code: what panics there has not finished.
        let closed = unless(out_of_time, tasks::caught(self.closing)).await;
        Ended { users, former: 0, unfinished: closed != Some(Some(())) }
    }
}

/// Comes when former generations are to be closed.
async fn hurried(mut orders: watch::Receiver<Orders>) {
    if orders.wait_for(|orders| orders.hurry).await.is_err() {
        // Every handle is gone. That is no hurry for those who use the client.
        std::future::pending::<()>().await;
    }
}

/// How a generation ended.
#[derive(Clone, Copy, Default)]
struct Ended {
    /// Those who still held it.
    users: usize,
    /// Generations before it that were still in use.
    former: usize,
    /// Closing took too long.
    unfinished: bool,
}

impl Ended {
    fn cut(self, field: &str) -> Option<Cut> {
        let Self { users, former, unfinished } = self;
        (users > 0 || former > 0 || unfinished).then(|| Cut {
            field: field.to_owned(),
            users,
            former,
            unfinished,
        })
    }

    fn warn(self, field: &str) {
        if let Some(Cut { users, former, unfinished, .. }) = self.cut(field) {
            tracing::warn!(
                field,
                users,
                former,
                unfinished,
                "closed before everybody was done with it"
            );
        }
    }
}

/// A resource whose service's type is forgotten.
pub(crate) trait Life: Send + Sync {
    fn common(&self) -> &Common;

    /// The current one.
    fn generation(&self) -> Arc<dyn AnyGeneration>;

    /// Makes what was connected ready to be published.
    fn make_ready<'a>(
        &'a self,
        connected: &'a Connected,
    ) -> Pin<Box<dyn Future<Output = ()> + Send + 'a>>;

    /// The next generation, ready to be published by [`publish`].
    fn next(&self, connected: Connected, facts: Facts) -> Step<'_>;

    /// Puts a generation with the same client in the place of the current one, which then has an end: gives that. Who comes now finds a client that is about to be
    /// closed, and is not waited for.
    fn retire(&self) -> Arc<dyn AnyGeneration>;
}

impl<S: Service> Life for Shared<S> {
    fn common(&self) -> &Common {
        &self.common
    }

    fn generation(&self) -> Arc<dyn AnyGeneration> {
        self.current()
    }

    fn make_ready<'a>(
        &'a self,
        connected: &'a Connected,
    ) -> Pin<Box<dyn Future<Output = ()> + Send + 'a>> {
        Box::pin(async move {
            let former = self.current();
            // A service's own code: what it does not do, the client does when it is asked for it.
            if let Some(client) = connected.client::<S>()
                && tasks::caught(async { S::make_ready(client, former.client()).await })
                    .await
                    .is_none()
            {
                let field = self.field();
                tracing::warn!(
                    field,
                    "`make_ready` of its service panicked, and its next client takes its place as it is"
                );
            }
        })
    }

    fn next(&self, connected: Connected, facts: Facts) -> Step<'_> {
        let (client, posture) = connected.into_parts::<S>();
        let next = Generation::new(Arc::new(client), Arc::new(posture), facts);
        Box::new(|_| self.current.swap(next))
    }

    fn retire(&self) -> Arc<dyn AnyGeneration> {
        let current = self.current();
        let last = Generation::new(
            Arc::clone(&current.client),
            current.posture(),
            (*current.facts()).clone(),
        );
        drop(current);
        self.current.swap(last)
    }
}

impl dyn Life + '_ {
    pub(crate) fn seat(&self) -> &Arc<Seat> {
        &self.common().seat
    }

    /// Whether nothing has taken its place.
    pub(crate) fn is_current(&self, generation: &Arc<dyn AnyGeneration>) -> bool {
        std::ptr::addr_eq(Arc::as_ptr(&self.generation()), Arc::as_ptr(generation))
    }

    /// Whether the last attempt to take the posture again failed.
    pub(crate) fn retaking_fails(&self) -> &AtomicBool {
        &self.common().retaking_fails
    }

    /// Of the values that the current generation was made of.
    pub(crate) fn fingerprint(&self) -> Fingerprint {
        self.generation().facts().fingerprint
    }

    pub(crate) fn is_detached(&self) -> bool {
        self.common().orders.borrow().detached
    }

    pub(crate) fn orders(&self) -> watch::Receiver<Orders> {
        self.common().orders.subscribe()
    }

    /// How often the posture is taken again from now on.
    pub(crate) fn set_interval(&self, interval: Option<Duration>) {
        self.common().orders.send_modify(|orders| orders.interval = interval);
    }
}

/// A resource of any service, as this crate's own functions see it.
#[derive(Clone)]
pub struct Handle(pub(crate) Arc<dyn Life>);

impl Handle {
    /// As [`AnyResource::close`](crate::live::resource::AnyResource::close), but for the report.
    pub(crate) async fn close(self) -> Option<Cut> {
        let seat = Arc::clone(self.0.seat());
        // A task of its own: who does not wait for the end does not keep it from being closed.
        let detaching = tasks::spawn(&seat.whole.runtime, async move {
            self.0.common().detach(|| self.0.retire()).await
        });
        detaching.join().await.unwrap_or_else(|| {
            Some(Cut { field: seat.field.clone(), users: 0, former: 0, unfinished: true })
        })
    }
}

impl fmt::Debug for Handle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Handle({})", self.0.seat().field)
    }
}
