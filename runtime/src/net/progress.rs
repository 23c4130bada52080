//! The current step of an attempt, for progress displays.

use std::sync::Arc;

/// A step of attaching a resource.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(clippy::exhaustive_enums, reason = "each display has to show every step")]
pub enum Step {
    /// Credentials are fetched.
    Fetching,
    /// The host is resolved.
    Resolving,
    /// A TCP connection is opened.
    Connecting,
    /// The server's certificate is verified.
    Handshaking,
    /// The service has the verified connection: it logs in and probes the account.
    LoggingIn,
}

/// Receives the steps of one resource.
pub(crate) trait Progress: Send + Sync {
    fn step(&self, step: Step);
}

tokio::task_local! {
    /// The receiver for this task's resource.
    static PROGRESS: Arc<dyn Progress>;
}

/// Reports this task's current step.
pub fn at(step: Step) {
    // Without a receiver there is nothing to do.
    let _ = PROGRESS.try_with(|progress| progress.step(step));
}

/// The receiver for this task's resource, for a task that works for it.
pub(crate) fn receiver() -> Option<Arc<dyn Progress>> {
    PROGRESS.try_with(Arc::clone).ok()
}

/// Runs the work. Its steps are reported to the receiver, if there is one.
pub(crate) async fn reporting<T>(
    progress: Option<Arc<dyn Progress>>,
    work: impl Future<Output = T>,
) -> T {
    match progress {
        Some(progress) => PROGRESS.scope(progress, work).await,
        None => work.await,
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use super::*;

    #[derive(Default)]
    struct Steps(Mutex<Vec<Step>>);

    impl Progress for Steps {
        fn step(&self, step: Step) {
            self.0.lock().unwrap().push(step);
        }
    }

    #[tokio::test]
    async fn the_receiver_gets_the_steps_of_its_own_resource() {
        let steps = Arc::new(Steps::default());
        let receiver = Arc::<Steps>::clone(&steps);
        at(Step::Fetching);
        reporting(Some(receiver), async {
            at(Step::Resolving);
            reporting(None, async { at(Step::Connecting) }).await;
            let here = super::receiver();
            tokio::spawn(reporting(here, async { at(Step::Handshaking) })).await.unwrap();
        })
        .await;
        assert!(super::receiver().is_none());
        at(Step::LoggingIn);
        let expected = [Step::Resolving, Step::Connecting, Step::Handshaking];
        assert_eq!(*steps.0.lock().unwrap(), expected);
    }
}
