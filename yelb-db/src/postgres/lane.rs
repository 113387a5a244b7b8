//! A connection for one kind of round.

use std::sync::{Arc, Mutex, PoisonError};

use sqlx::pool::PoolConnection;
use sqlx::{PgConnection, PgPool, Postgres};

/// One connection of the pool, kept for rounds of one kind, of which there is one at a time.
///
/// A connection that is given back to the pool is asked whether it still lives, which is a round trip more for each round, as
/// much as many a statement takes.
#[derive(Debug, Clone)]
pub(super) struct Lane {
    pool: PgPool,
    kept: Arc<Mutex<Option<PoolConnection<Postgres>>>>,
}

impl Lane {
    /// Opens it, with a connection that has logged in.
    pub(super) async fn open(pool: &PgPool) -> Result<Self, sqlx::Error> {
        let connection = pool.acquire().await?;
        Ok(Self { pool: pool.clone(), kept: Arc::new(Mutex::new(Some(connection))) })
    }

    /// Does `work` on its connection, or on another one of the pool if that is in use or was lost.
    ///
    /// Work that fails, or that nobody waits for any more, leaves the connection to the pool, which looks what is with it.
    pub(super) async fn run<T>(
        &self,
        work: impl AsyncFnOnce(&mut PgConnection) -> Result<T, sqlx::Error>,
    ) -> Result<T, sqlx::Error> {
        let kept = self.lock().take();
        let mut connection = match kept {
            Some(connection) => connection,
            None => self.pool.acquire().await?,
        };
        let done = work(&mut connection).await?;
        *self.lock() = Some(connection);
        Ok(done)
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Option<PoolConnection<Postgres>>> {
        // A connection is put in or taken out whole.
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
