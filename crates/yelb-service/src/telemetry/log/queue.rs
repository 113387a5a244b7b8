//! Lines on their way out: what logs never waits for the reader of the log.
//!
//! A thread writes them. If the reader stops reading, lines are kept up to a limit; what comes after it is dropped, counted
//! (`yelb_log_lines_dropped_total`), and reported in the log once the reader goes on.

use std::io::{self, Write};
use std::mem;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

/// How many bytes of lines may wait: some 4,000 lines of requests.
const CAPACITY: usize = 1024 * 1024;
/// How long the writer lets lines gather, so that a busy server makes 100 writes a second rather than one for each line.
const GATHER: Duration = Duration::from_millis(10);

/// Where lines wait to be written. Cloning it clones a handle.
#[derive(Debug, Clone)]
pub(super) struct Queue(Arc<Shared>);

#[derive(Debug, Default)]
struct Shared {
    lines: Mutex<Lines>,
    /// There is a line, or someone waits for the last one.
    filled: Condvar,
    /// All lines have been written.
    written: Condvar,
}

#[derive(Debug, Default)]
struct Lines {
    waiting: Vec<u8>,
    dropped: u64,
    /// The writer has lines in hand.
    is_writing: bool,
    /// The process ends: lines are not to gather any longer.
    is_ending: bool,
}

impl Queue {
    /// Starts the thread that writes to `output`.
    pub(super) fn to(output: impl Write + Send + 'static) -> Self {
        let shared = Arc::new(Shared::default());
        let queue = Self(Arc::clone(&shared));
        let writer = thread::Builder::new().name("log".to_owned());
        // A process that cannot have a thread cannot serve, and fails for that reason soon.
        let _ = writer.spawn(move || shared.write(output));
        queue
    }

    /// Waits until all lines are written, for `limit` at most.
    pub(super) fn flush(&self, limit: Duration) {
        let Shared { filled, written, .. } = &*self.0;
        let mut lines = self.0.lines();
        lines.is_ending = true;
        filled.notify_one();
        let unwritten = |lines: &mut Lines| lines.is_writing || !lines.waiting.is_empty();
        drop(written.wait_timeout_while(lines, limit, unwritten));
    }
}

/// Takes one line at a time, whole.
impl Write for Queue {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        let mut lines = self.0.lines();
        if lines.waiting.len() + line.len() > CAPACITY {
            lines.dropped += 1;
            drop(lines);
            metrics::counter!("yelb_log_lines_dropped_total").increment(1);
        } else {
            let was_empty = lines.waiting.is_empty();
            lines.waiting.extend_from_slice(line);
            drop(lines);
            if was_empty {
                self.0.filled.notify_one();
            }
        }
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Shared {
    fn lines(&self) -> MutexGuard<'_, Lines> {
        // Every change is whole before anything can panic.
        self.lines.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Writes lines for as long as the process lives.
    fn write(&self, mut output: impl Write) {
        let mut in_hand = Vec::new();
        loop {
            let dropped = self.take(&mut in_hand);
            // There is nowhere left to say that the log cannot be written.
            let _ = output.write_all(&in_hand);
            in_hand.clear();
            if dropped > 0 {
                tracing::warn!(
                    dropped,
                    "the log was read too slowly: {dropped} lines were dropped"
                );
            }
            let mut lines = self.lines();
            lines.is_writing = false;
            if lines.waiting.is_empty() {
                self.written.notify_all();
            }
        }
    }

    /// Waits for lines and takes all of them, and how many were dropped before them.
    fn take(&self, in_hand: &mut Vec<u8>) -> u64 {
        let empty = |lines: &mut Lines| lines.waiting.is_empty();
        let lines = self.lines();
        let lines = self.filled.wait_while(lines, empty).unwrap_or_else(PoisonError::into_inner);
        let gather = |lines: &mut Lines| !lines.is_ending;
        let waited = self.filled.wait_timeout_while(lines, GATHER, gather);
        let (mut lines, _) = waited.unwrap_or_else(PoisonError::into_inner);
        mem::swap(&mut lines.waiting, in_hand);
        lines.is_writing = true;
        mem::take(&mut lines.dropped)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::{Receiver, SyncSender, sync_channel};

    use super::*;

    /// A reader that takes what is written when it is asked to.
    struct Pipe(SyncSender<Vec<u8>>);

    impl Write for Pipe {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.send(bytes.to_vec()).map_err(|_| io::ErrorKind::BrokenPipe)?;
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn pipe() -> (Queue, Receiver<Vec<u8>>) {
        let (writer, reader) = sync_channel(0);
        (Queue::to(Pipe(writer)), reader)
    }

    #[test]
    fn lines_are_written_whole_and_in_order() {
        let (mut queue, reader) = pipe();
        let all: Vec<u8> = (0..1000).flat_map(|n| format!("line {n}\n").into_bytes()).collect();
        for n in 0..1000 {
            queue.write_all(format!("line {n}\n").as_bytes()).unwrap();
        }
        let mut read = Vec::new();
        while read.len() < all.len() {
            read.extend(reader.recv().unwrap());
        }
        assert!(read == all);
    }

    #[test]
    fn a_reader_that_stops_holds_up_nobody_and_what_does_not_fit_is_counted() {
        let (mut queue, reader) = pipe();
        let line = [b'x'; 1024];
        for _ in 0..10 * CAPACITY / line.len() {
            queue.write_all(&line).unwrap();
        }
        let lines = queue.0.lines();
        assert!(lines.waiting.len() <= CAPACITY);
        assert!(lines.dropped > 0);
        drop(lines);
        queue.flush(Duration::from_millis(1));
        drop(reader);
    }

    #[test]
    fn the_last_lines_are_written_at_the_end() {
        let (mut queue, reader) = pipe();
        let reading = thread::spawn(move || reader.iter().flatten().collect::<Vec<u8>>());
        queue.write_all(b"the last\n").unwrap();
        queue.flush(Duration::from_secs(30));
        let lines = queue.0.lines();
        assert!(lines.waiting.is_empty() && !lines.is_writing);
        drop((lines, reading));
    }
}
