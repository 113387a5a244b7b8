//! What a child process has written so far, line by line.

use std::fmt;
use std::io::{BufRead, BufReader, Read};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

/// Which of its two outputs a process wrote to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stream {
    Stdout,
    Stderr,
}

/// The lines of a process, in the order of their arrival. Cloning it clones a handle.
#[derive(Clone, Debug, Default)]
pub(crate) struct Lines(Arc<(Mutex<Written>, Condvar)>);

#[derive(Debug, Default)]
struct Written {
    lines: Vec<(Stream, String)>,
    /// Outputs which have not ended yet.
    open: usize,
}

impl Lines {
    /// Reads `output` to its end in a thread of its own.
    pub(crate) fn follow(&self, stream: Stream, output: impl Read + Send + 'static) {
        self.written().open += 1;
        let lines = self.clone();
        thread::spawn(move || {
            let mut output = BufReader::new(output);
            let mut line = Vec::new();
            while matches!(output.read_until(b'\n', &mut line), Ok(1..)) {
                let text = String::from_utf8_lossy(&line).trim_end_matches(['\r', '\n']).to_owned();
                lines.written().lines.push((stream, text));
                lines.0.1.notify_all();
                line.clear();
            }
            lines.written().open -= 1;
            lines.0.1.notify_all();
        });
    }

    /// The first line for which `pick` has an answer, already written or still to come; or why it did not come.
    pub(crate) fn find<T>(
        &self,
        limit: Duration,
        mut pick: impl FnMut(Stream, &str) -> Option<T>,
    ) -> Result<T, String> {
        let deadline = Instant::now() + limit;
        let mut seen = 0;
        let mut written = self.written();
        loop {
            for (stream, line) in &written.lines[seen..] {
                if let Some(found) = pick(*stream, line) {
                    return Ok(found);
                }
            }
            seen = written.lines.len();
            if written.open == 0 {
                return Err("it ended without".to_owned());
            }
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Err(format!("not within {limit:?}"));
            }
            written =
                self.0.1.wait_timeout(written, left).unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    /// Waits until every output has ended, so that [`Self::text`] is all there will be.
    pub(crate) fn wait_for_end(&self, limit: Duration) {
        let is_open = |written: &mut Written| written.open > 0;
        drop(self.0.1.wait_timeout_while(self.written(), limit, is_open));
    }

    /// What one of the outputs has carried so far.
    pub(crate) fn text(&self, stream: Stream) -> String {
        let written = self.written();
        let lines = written.lines.iter().filter(|(from, _)| *from == stream);
        lines.fold(String::new(), |text, (_, line)| text + line + "\n")
    }

    fn written(&self) -> MutexGuard<'_, Written> {
        // A predicate of a test may panic while it holds the lock; the lines are still valid.
        self.0.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Display for Lines {
    /// All the output so far, for a panic's message.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (stdout, stderr) = (self.text(Stream::Stdout), self.text(Stream::Stderr));
        write!(f, "its stdout:\n{stdout}\nits stderr:\n{stderr}")
    }
}
