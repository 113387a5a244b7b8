//! The viewers: connections that read.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering::SeqCst};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::runtime::{Builder, Runtime};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::time::timeout;

use super::PROBE;

/// Far more than a vote may take to the last viewer: 1 s is the budget.
const LIMIT: Duration = Duration::from_secs(20);
/// How many connect at a time: the kernel's queue of a listener is no longer than some thousands.
const AT_A_TIME: usize = 500;

/// Viewers of one server, who leave when this is dropped.
pub(super) struct Crowd {
    runtime: Runtime,
    viewers: usize,
    /// The count that is waited for.
    awaited: Arc<AtomicI64>,
    seen: UnboundedReceiver<io::Result<Sight>>,
    since: Instant,
}

/// A viewer has seen the count that is waited for, or a higher one.
struct Sight {
    count: i64,
    at: Instant,
}

impl Crowd {
    /// Lets so many viewers in, and waits until each has seen an event.
    pub(super) fn open(server: SocketAddr, viewers: usize) -> Result<Self> {
        // One thread, besides the one that asks: the servers need theirs.
        let runtime = Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
        let (tell, seen) = unbounded_channel();
        let awaited = Arc::new(AtomicI64::new(0));
        let mut crowd = Self { runtime, viewers: 0, awaited, seen, since: Instant::now() };
        let mut count = 0;
        while crowd.viewers < viewers {
            let more = AT_A_TIME.min(viewers - crowd.viewers);
            for _ in 0..more {
                let (awaited, tell) = (Arc::clone(&crowd.awaited), tell.clone());
                crowd.runtime.spawn(async move {
                    if let Err(error) = view(server, &awaited, &tell).await {
                        drop(tell.send(Err(error)));
                    }
                });
            }
            let seen = crowd.receive(more).context("not every viewer is let in; see ulimit -Hn")?;
            count = seen.iter().map(|sight| sight.count).fold(count, i64::max);
            crowd.viewers += more;
        }
        crowd.awaited.store(count, SeqCst);
        Ok(crowd)
    }

    /// The next vote is one that all have to see.
    pub(super) fn expect_one_more(&mut self) {
        self.awaited.fetch_add(1, SeqCst);
        self.since = Instant::now();
    }

    /// How long it took to each viewer, in milliseconds.
    pub(super) fn reached(&mut self) -> Result<Vec<f64>> {
        let seen = self.receive(self.viewers)?;
        Ok(seen.iter().map(|sight| (sight.at - self.since).as_secs_f64() * 1000.0).collect())
    }

    fn receive(&mut self, viewers: usize) -> Result<Vec<Sight>> {
        let seen = &mut self.seen;
        let all = async {
            let mut sights = Vec::with_capacity(viewers);
            while sights.len() < viewers {
                sights.push(seen.recv().await.context("no viewer is left")??);
            }
            anyhow::Ok(sights)
        };
        let sights = self.runtime.block_on(async { timeout(LIMIT, all).await });
        sights.with_context(|| format!("not all {viewers} were reached within {LIMIT:?}"))?
    }
}

/// Reads a stream until it ends, which is an error.
async fn view(
    server: SocketAddr,
    awaited: &AtomicI64,
    tell: &UnboundedSender<io::Result<Sight>>,
) -> io::Result<()> {
    let mut stream = TcpStream::connect(server).await?;
    stream.write_all(b"GET /api/stream HTTP/1.1\r\nHost: yelb\r\n\r\n").await?;
    let (mut text, mut told) = (Vec::new(), -1);
    while stream.read_buf(&mut text).await? > 0 {
        let Some(count) = last_count(&text) else { continue };
        text.clear();
        if count > told && count >= awaited.load(SeqCst) {
            told = count;
            drop(tell.send(Ok(Sight { count, at: Instant::now() })));
        }
    }
    Err(io::ErrorKind::UnexpectedEof.into())
}

/// The count in the newest event of a text, if that is whole.
fn last_count(text: &[u8]) -> Option<i64> {
    let text = std::str::from_utf8(text).ok()?;
    let (_, after) = text.rsplit_once(&format!("\"{PROBE}\", \"value\": "))?;
    after.split_once('}')?.0.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::last_count;

    #[test]
    fn the_newest_count_is_read() {
        let text = b"data: [{\"name\": \"ihop\", \"value\": 1}]\n\ndata: [{\"name\": \"ihop\", \"value\": 23}";
        assert_eq!(last_count(text), Some(23));
        assert_eq!(last_count(&text[..text.len() - 1]), None);
        assert_eq!(last_count(b":\n\n"), None);
    }
}
