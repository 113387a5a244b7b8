//! Sends what is due when it is due, and waits for no answer to do so.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

use bytes::Bytes;
use hyper::Uri;
use tokio::runtime::Handle;
use tokio::sync::watch;
use tokio::time::{Instant, sleep};

use super::ballot::{Ballot, Choice};
use super::counts::Counts;
use super::desk::{Arrival, Desk, Turn};
use super::figures::{Asked, Figures};
use super::line::{Failure, Line};
use super::plan::{Keys, Plan};

/// The shortest nap of the pacer: what is due within it goes out together, at most so much late.
const SHORTEST_NAP: Duration = Duration::from_micros(200);
/// The longest one, so that it notices when it is told to stop.
const LONGEST_NAP: Duration = Duration::from_millis(50);
/// How long it waits for a connection to become free. Whoever becomes free takes what is due without it.
const FULL_NAP: Duration = Duration::from_millis(1);
/// The pauses before a vote goes out again: they double from the first to the last. Short, because the vote's connection
/// waits with it, and because the last one adds to how long an outage seems to be.
const FIRST_PAUSE: Duration = Duration::from_millis(20);
const LAST_PAUSE: Duration = Duration::from_millis(320);
/// The pause between two looks at whether all is done.
const GLANCE: Duration = Duration::from_millis(2);

/// A load under way.
#[derive(Debug)]
pub(crate) struct Load {
    pub(crate) plan: Plan,
    pub(crate) ballot: Ballot,
    began: Instant,
    paths: Vec<Uri>,
    getvotes: Uri,
    desk: Mutex<Desk>,
    figures: Mutex<Figures>,
    /// True once those on their way are to leave off.
    cut: watch::Sender<bool>,
}

/// Why a load ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Ending {
    /// Everything was sent, and everything answered or given up.
    Done,
    /// Something was still on its way or not even sent when the grace was over.
    Late,
    /// Somebody pressed Ctrl-C.
    Interrupted,
}

impl Load {
    /// A load that begins now.
    pub(crate) fn new(plan: Plan, ballot: Ballot) -> Arc<Self> {
        Arc::new(Self {
            began: Instant::now(),
            paths: ballot.names().iter().map(|name| plan.target.path(name)).collect(),
            getvotes: plan.target.path("getvotes"),
            desk: Mutex::new(Desk::new(plan.schedule.clone(), plan.connections)),
            figures: Mutex::new(Figures::new(ballot.names().len())),
            cut: watch::Sender::new(false),
            plan,
            ballot,
        })
    }

    /// Since the beginning.
    pub(crate) fn now(&self) -> Duration {
        self.began.elapsed()
    }

    pub(crate) fn desk(&self) -> MutexGuard<'_, Desk> {
        self.desk.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn figures(&self) -> MutexGuard<'_, Figures> {
        self.figures.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Sends all of it, and returns when nothing is on its way any more.
    pub(crate) async fn run(self: &Arc<Self>) -> Ending {
        let (load, handle) = (Arc::clone(self), Handle::current());
        // A thread of its own, because the runtime's timer counts in milliseconds.
        let pacer = tokio::task::spawn_blocking(move || load.pace(&handle));
        let latest = self.plan.schedule.duration() + self.plan.grace;
        let ending = tokio::select! {
            () = self.done() => Ending::Done,
            () = tokio::time::sleep_until(self.began + latest) => Ending::Late,
            () = interrupt() => Ending::Interrupted,
        };
        self.desk().close();
        if ending == Ending::Interrupted {
            tokio::select! {
                () = self.done() => {}
                () = sleep(self.plan.grace) => {}
                () = interrupt() => {}
            }
        }
        self.cut.send_replace(true);
        self.done().await;
        pacer.await.expect("the pacer does not panic");
        ending
    }

    async fn done(&self) {
        while !self.desk().is_done() {
            sleep(GLANCE).await;
        }
    }

    fn pace(self: &Arc<Self>, runtime: &Handle) {
        loop {
            let turn = self.desk().turn(self.now());
            match turn {
                Turn::Send(arrival, line) => {
                    runtime.spawn(Arc::clone(self).work(arrival, line));
                }
                Turn::Nothing(due) => {
                    let until = due.saturating_sub(self.now());
                    thread::sleep(until.clamp(SHORTEST_NAP, LONGEST_NAP));
                }
                Turn::Full => thread::sleep(FULL_NAP),
                Turn::Over => return,
            }
        }
    }

    /// Does one request after the other, as long as one is due.
    async fn work(self: Arc<Self>, arrival: Arrival, line: Line) {
        let mut cut = self.cut.subscribe();
        tokio::select! {
            () = self.serve(arrival, line) => {}
            _ = cut.wait_for(|cut| *cut) => {}
        }
        self.desk().leave();
    }

    async fn serve(&self, mut arrival: Arrival, mut line: Line) {
        loop {
            match self.ballot.choose(arrival.number) {
                Choice::Vote(index) => self.vote(arrival, index, &mut line).await,
                Choice::Read => self.read(arrival, &mut line).await,
            }
            let next = self.desk().go_on(line, self.now());
            let Some(next) = next else { return };
            (arrival, line) = next;
        }
    }

    async fn vote(&self, arrival: Arrival, index: usize, line: &mut Line) {
        self.figures().votes.taken += 1;
        let key = self.plan.keys.are_sent().then(|| self.ballot.key(arrival.number));
        let (mut unsent, mut pause) = (true, FIRST_PAUSE);
        loop {
            let sending = || {
                if std::mem::take(&mut unsent) {
                    self.figures().fates[index].sent += 1;
                }
            };
            let answer = self.ask(&self.paths[index], key.as_deref(), line, sending).await;
            let failure = match answer.and_then(|answer| Ok((number(&answer.body)?, answer))) {
                Ok((number, answer)) => {
                    let mut figures = self.figures();
                    figures.fates[index].acknowledge(number);
                    return answer.note(&mut figures.votes, arrival);
                }
                Err(failure) => failure,
            };
            self.figures().fail(failure);
            if failure.is_final() {
                self.figures().fates[index].refused += 1;
            }
            if failure.is_final() || self.plan.keys != Keys::Retried {
                return;
            }
            sleep(pause).await;
            pause = (pause * 2).min(LAST_PAUSE);
        }
    }

    async fn read(&self, arrival: Arrival, line: &mut Line) {
        self.figures().reads.taken += 1;
        let answer = self.ask(&self.getvotes, None, line, || ()).await;
        let answer = answer.and_then(|answer| {
            Counts::from_body(&answer.body).map(|_| answer).ok_or(Failure::BadAnswer)
        });
        let mut figures = self.figures();
        match answer {
            Ok(answer) => answer.note(&mut figures.reads, arrival),
            Err(failure) => figures.fail(failure),
        }
    }

    /// One attempt. `sending` is told when there is a connection to send it on.
    async fn ask(
        &self,
        path: &Uri,
        key: Option<&str>,
        line: &mut Line,
        sending: impl FnOnce(),
    ) -> Result<Answer, Failure> {
        let target = &self.plan.target;
        let deadline = Instant::now() + self.plan.timeout;
        let sent = self.now();
        line.connect(target, deadline).await?;
        sending();
        let body = line.ask(target, target.request(path, key), deadline).await?;
        Ok(Answer { body, sent, came: self.now() })
    }
}

/// The body of a success, and when it was asked for and came, since the beginning.
#[derive(Debug)]
struct Answer {
    body: Bytes,
    sent: Duration,
    came: Duration,
}

impl Answer {
    fn note(&self, asked: &mut Asked, arrival: Arrival) {
        asked.succeed(self.came.saturating_sub(arrival.due), self.came.saturating_sub(self.sent));
    }
}

/// The number in a vote's answer.
fn number(body: &[u8]) -> Result<u64, Failure> {
    let text = std::str::from_utf8(body).map_err(|_| Failure::BadAnswer)?;
    text.trim().parse().map_err(|_| Failure::BadAnswer)
}

async fn interrupt() {
    if tokio::signal::ctrl_c().await.is_err() {
        // Nobody can be heard: then nobody interrupts.
        std::future::pending::<()>().await;
    }
}
