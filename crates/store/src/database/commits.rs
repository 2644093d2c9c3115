//! How do writes that come at the same time share one commit?
//!
//! A commit waits for the disk, and hardly longer for many changes than for one. So a write behind which others stand
//! in line leaves its changes to their commit, and waits for that: none returns before its changes are synced. A write
//! that fails takes back its own changes alone.

use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, OnceLock, PoisonError};

use rusqlite::Connection;

use super::trouble::{Answer, Trouble};

/// The connection, and who waits for it.
#[derive(Debug)]
pub(super) struct Commits {
    state: Mutex<State>,
    over: Condvar,
    /// Writes that wait for their turn.
    in_line: AtomicUsize,
}

#[derive(Debug)]
struct State {
    connection: Connection,
    /// The transaction that is open.
    batch: Option<Batch>,
}

/// Changes that wait for one commit.
#[derive(Debug)]
struct Batch {
    writes: usize,
    outcome: Arc<OnceLock<Answer<()>>>,
}

impl Commits {
    pub(super) fn new(connection: Connection) -> Self {
        Self {
            state: Mutex::new(State {
                connection,
                batch: None,
            }),
            over: Condvar::new(),
            in_line: AtomicUsize::new(0),
        }
    }

    /// Reads.
    pub(super) fn read<T>(&self, read: impl FnOnce(&Connection) -> Answer<T>) -> Answer<T> {
        read(&self.turn().connection)
    }

    /// Writes, and returns when that is synced. When it fails nothing of it is written.
    pub(super) fn write<T>(&self, write: impl FnOnce(&Connection) -> Answer<T>) -> Answer<T> {
        self.in_line.fetch_add(1, Ordering::SeqCst);
        let mut state = self.turn();
        // Whoever is in line now gets the next turn, and with it the duty to commit.
        let last = self.in_line.fetch_sub(1, Ordering::SeqCst) == 1;
        let outcome = state.join()?;
        let alone = last && state.has_one_write();
        let answer = catch_unwind(AssertUnwindSafe(|| state.change(alone, write)));
        if alone && !matches!(answer, Ok(Ok(_))) {
            state.roll_back();
        }
        if last || state.is_full() {
            state.commit();
            self.over.notify_all();
        }
        let committed = self
            .over
            .wait_while(state, |_| outcome.get().is_none())
            .unwrap_or_else(PoisonError::into_inner);
        drop(committed);
        let answer = answer.unwrap_or_else(|panic| resume_unwind(panic))?;
        match outcome.get() {
            Some(Err(trouble)) => Err(trouble.clone()),
            Some(Ok(())) | None => Ok(answer),
        }
    }

    fn turn(&self) -> MutexGuard<'_, State> {
        // What panics is caught while it has the turn.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// Takes part in the open transaction; opens one when there is none.
    fn join(&mut self) -> Answer<Arc<OnceLock<Answer<()>>>> {
        if self.batch.is_none() {
            self.connection
                .prepare_cached("BEGIN IMMEDIATE")?
                .execute([])?;
        }
        let batch = self.batch.get_or_insert_with(|| Batch {
            writes: 0,
            outcome: Arc::default(),
        });
        batch.writes += 1;
        Ok(Arc::clone(&batch.outcome))
    }

    /// Makes the changes of one write, or none of them; one that is alone is rolled back with its transaction.
    fn change<T>(
        &mut self,
        alone: bool,
        write: impl FnOnce(&Connection) -> Answer<T>,
    ) -> Answer<T> {
        if alone {
            return write(&self.connection);
        }
        // Dropped on an error or a panic, it takes the changes back.
        let part = self.connection.savepoint()?;
        let answer = write(&part)?;
        part.commit()?;
        Ok(answer)
    }

    fn has_one_write(&self) -> bool {
        self.batch.as_ref().is_some_and(|batch| batch.writes == 1)
    }

    fn is_full(&self) -> bool {
        self.batch
            .as_ref()
            .is_some_and(|batch| batch.writes >= WRITES_MAX)
    }

    /// Ends the transaction, and tells all whose changes are in it how it went.
    fn commit(&mut self) {
        let Some(batch) = self.batch.take() else {
            return;
        };
        let outcome = if self.connection.is_autocommit() {
            // Taken back already, by a write that was alone or by SQLite itself.
            Err(Trouble("the transaction was rolled back".to_owned(), None))
        } else {
            let commit = self.connection.prepare_cached("COMMIT");
            commit
                .and_then(|mut commit| commit.execute([]))
                .map(|_| ())
                .map_err(Trouble::from)
        };
        if outcome.is_err() {
            self.roll_back();
        }
        let _ = batch.outcome.set(outcome);
    }

    fn roll_back(&self) {
        if !self.connection.is_autocommit() {
            // What cannot be rolled back is so when the connection is closed.
            let _ = self.connection.execute_batch("ROLLBACK");
        }
    }
}

/// No write waits for more others than this.
const WRITES_MAX: usize = 64;

#[cfg(test)]
mod tests {
    use super::Commits;
    use crate::database::trouble::{Answer, Trouble};
    use rusqlite::Connection;
    use std::sync::Barrier;

    fn commits() -> Commits {
        let connection = Connection::open_in_memory().unwrap();
        connection
            .execute_batch("CREATE TABLE kept (number INTEGER PRIMARY KEY)")
            .unwrap();
        Commits::new(connection)
    }

    fn insert(connection: &Connection, number: u32) -> Answer<()> {
        connection.execute("INSERT INTO kept VALUES (?1)", [number])?;
        Ok(())
    }

    fn kept(commits: &Commits) -> Vec<u32> {
        let read = |connection: &Connection| -> Answer<Vec<u32>> {
            assert!(connection.is_autocommit(), "no transaction stays open");
            let mut numbers = connection.prepare("SELECT number FROM kept ORDER BY number")?;
            let numbers = numbers.query_map([], |row| row.get(0))?;
            Ok(numbers.collect::<Result<_, _>>()?)
        };
        commits.read(read).unwrap()
    }

    #[test]
    fn writes_that_come_together_share_commits_and_each_fails_alone() {
        let commits = commits();
        let begin = Barrier::new(32);
        let batches = std::sync::Mutex::new(std::collections::HashSet::new());
        std::thread::scope(|scope| {
            for number in 0..32 {
                let (commits, begin, batches) = (&commits, &begin, &batches);
                scope.spawn(move || {
                    begin.wait();
                    let answer = commits.write(|connection| {
                        insert(connection, number)?;
                        // Long enough that the others stand in line.
                        std::thread::sleep(std::time::Duration::from_millis(2));
                        if number % 4 == 0 {
                            return Err(Trouble("no".to_owned(), None));
                        }
                        Ok(())
                    });
                    assert_eq!(answer.is_err(), number % 4 == 0, "{number}: {answer:?}");
                    let changes = commits.read(|connection| Ok(connection.total_changes()));
                    batches.lock().unwrap().insert(changes.unwrap());
                });
            }
        });
        let expected: Vec<u32> = (0..32).filter(|number| number % 4 != 0).collect();
        assert_eq!(kept(&commits), expected);
        assert!(batches.lock().unwrap().len() < 32, "commits were shared");
    }

    #[test]
    fn a_write_that_fails_alone_leaves_nothing() {
        let commits = commits();
        let failed = commits.write(|connection| {
            insert(connection, 1)?;
            insert(connection, 1)
        });
        assert!(failed.unwrap_err().0.contains("UNIQUE"));
        commits.write(|connection| insert(connection, 2)).unwrap();
        assert_eq!(kept(&commits), [2]);
    }

    #[test]
    fn a_panic_is_the_writers_own() {
        let commits = commits();
        let panicked = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            commits.write(|connection| -> Answer<()> {
                insert(connection, 1)?;
                panic!("a defect")
            })
        }));
        assert!(panicked.is_err());
        commits.write(|connection| insert(connection, 2)).unwrap();
        assert_eq!(kept(&commits), [2]);
    }
}
