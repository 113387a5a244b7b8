//! Whether the database that answers is still the one whose votes were acknowledged.
//!
//! The host name may resolve to another database, a backup may be restored, or a promoted standby may lack the last votes. Then
//! votes are still counted, and the log and `/readyz` say so.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::session::BatchSession;
use crate::status::StatusSender;
use crate::votes::{Recorded, Tally, Vote};

/// What this process knows of where it counts. Cloning it clones a handle.
#[derive(Debug, Clone)]
pub(super) struct Source {
    known: Arc<Mutex<Option<Place>>>,
    status: StatusSender,
}

/// A table of votes.
#[derive(Debug)]
struct Place {
    database: String,
    /// The number that the server has given it; `None` before it is made.
    table: Option<i64>,
    /// The highest count of each choice that was acknowledged, or that a new session found.
    counts: Vec<i64>,
}

impl Source {
    pub(super) fn new(status: StatusSender) -> Self {
        Self { known: Arc::default(), status }
    }

    /// Compares a new session's database with the earlier one, and logs a difference once.
    pub(super) async fn compare(
        &self,
        session: &mut BatchSession,
        names: &[&str],
    ) -> Result<(), sqlx::Error> {
        // At first there is nothing to compare with, and a migration may have locked the table.
        let is_first = self.known().is_none();
        let found = find(session, if is_first { &[] } else { names }).await?;
        let mut known = self.known();
        let difference = known.as_ref().and_then(|before| before.difference(&found, names));
        *known = Some(found);
        if let Some(difference) = difference {
            self.status.changed(difference);
        }
        Ok(())
    }

    /// Remembers the counts that were sent to clients.
    pub(super) fn acknowledge(&self, votes: &[Vote], outputs: &[Result<Recorded, impl Sized>]) {
        let mut known = self.known();
        let Some(Place { counts, .. }) = known.as_mut() else { return };
        for (vote, output) in votes.iter().zip(outputs) {
            if let Ok(Ok(count)) = output {
                let place = vote.choice.index();
                counts.resize(counts.len().max(place + 1), 0);
                counts[place] = counts[place].max(*count);
            }
        }
    }

    fn known(&self) -> MutexGuard<'_, Option<Place>> {
        // A poisoned lock can be used: no code can panic within a change.
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

async fn find(session: &mut BatchSession, names: &[&str]) -> Result<Place, sqlx::Error> {
    let mut attempt = session.attempt(None).await?;
    let query = "select current_database()::text, to_regclass('restaurants')::oid::bigint";
    let query = sqlx::query_as(query).persistent(attempt.keeps_statements());
    let found = query.fetch_one(attempt.connection()).await;
    let (database, table): (String, Option<i64>) = attempt.end(found).await?;
    let is_asked = table.is_some() && !names.is_empty();
    let rows = if is_asked { super::read(session, names).await? } else { Vec::new() };
    Ok(Place { database, table, counts: Tally::new(names, &rows).counts().to_vec() })
}

impl Place {
    /// What of `now` is not as it was, in words.
    fn difference(&self, now: &Self, names: &[&str]) -> Option<String> {
        if self.database != now.database {
            return Some(format!("the database was {} and is {}", self.database, now.database));
        }
        let fewer = names.iter().zip(self.counts.iter().zip(&now.counts));
        let mut fewer = fewer.filter(|(_, (before, now))| now < before);
        if let Some((name, (before, now))) = fewer.next() {
            return Some(format!("{name} has {now} votes, and {before} were acknowledged"));
        }
        let is_another = self.table.is_some() && self.table != now.table;
        is_another.then(|| "the table of the votes is another one".to_owned())
    }
}
