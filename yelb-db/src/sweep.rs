use std::sync::Arc;
use std::time::Duration;

use tokio::task::AbortHandle;
use tokio::time::sleep;

/// How often keys that are too old are looked for.
const INTERVAL: Duration = Duration::from_mins(10);
/// The pause between two parts of one sweep, in which votes go first.
const PAUSE: Duration = Duration::from_millis(50);

/// A task that clears away the keys of old votes, a few at a time. It ends with its last handle.
#[derive(Debug, Clone)]
pub(crate) struct Sweep {
    _task: Arc<AbortOnDrop>,
}

#[derive(Debug)]
struct AbortOnDrop(AbortHandle);

impl Drop for AbortOnDrop {
    fn drop(&mut self) {
        self.0.abort();
    }
}

impl Sweep {
    /// Starts to sweep `place`. `part` clears a part away and says how many keys it had, 0 being the end of one sweep.
    pub(crate) fn start<P, F>(place: P, part: impl Fn(P) -> F + Send + Sync + 'static) -> Self
    where
        P: Clone + Send + Sync + 'static,
        F: Future<Output = Result<u64, sqlx::Error>> + Send,
    {
        let task = tokio::spawn(async move {
            loop {
                let pause = match part(place.clone()).await {
                    Ok(0) => INTERVAL,
                    Ok(keys) => {
                        tracing::debug!(keys, "old vote keys forgotten");
                        PAUSE
                    }
                    // The keeper tells of a store that is away; the next sweep finds what this one left.
                    Err(error) => {
                        tracing::debug!(%error, "old vote keys could not be looked for");
                        INTERVAL
                    }
                };
                sleep(pause).await;
            }
        });
        Self { _task: Arc::new(AbortOnDrop(task.abort_handle())) }
    }
}
