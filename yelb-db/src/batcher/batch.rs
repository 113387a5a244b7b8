//! The inputs that go to a store together.

use tokio::sync::oneshot;

use crate::error::StoreError;

/// What one caller wants done.
pub trait Input: Send + Sync + 'static {
    /// Whether it may be sent again, though it may have been done already.
    fn is_repeatable(&self) -> bool;
}

/// The input of a read, which has no data.
impl Input for () {
    fn is_repeatable(&self) -> bool {
        true
    }
}

/// An input, and where its output goes.
#[derive(Debug)]
pub(super) struct Request<I, O> {
    pub(super) input: I,
    pub(super) reply: Reply<O>,
}

/// Where the output of one input goes.
pub(super) type Reply<O> = oneshot::Sender<Result<O, StoreError>>;

/// Inputs that go to the store together, and where their outputs go.
pub(super) struct Batch<I, O> {
    pub(super) inputs: Vec<I>,
    replies: Vec<Reply<O>>,
    /// Why the session was lost on which it was sent, if it is to be sent once more: it may have been done already.
    lost: Option<StoreError>,
}

impl<I: Input, O> Batch<I, O> {
    pub(super) fn push(&mut self, request: Request<I, O>) {
        self.inputs.push(request.input);
        self.replies.push(request.reply);
    }

    pub(super) fn extend(&mut self, requests: Vec<Request<I, O>>) {
        for request in requests {
            self.push(request);
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.inputs.is_empty()
    }

    pub(super) fn clear(&mut self) {
        *self = Self::default();
    }

    /// Sends each caller its output. If a caller has disconnected, its output is dropped; the work stays done.
    pub(super) fn reply(&mut self, outputs: impl IntoIterator<Item = Result<O, StoreError>>) {
        let lost = self.lost.take();
        for (reply, output) in self.replies.drain(..).zip(outputs) {
            let _ = reply.send(output.map_err(|error| of_both_tries(lost.as_ref(), error)));
        }
        self.inputs.clear();
    }

    pub(super) fn fail(&mut self, error: &StoreError) {
        self.reply(std::iter::repeat_with(|| Err(error.clone())));
    }

    /// Fails what waits for a session. Only what was never sent is known not to have been done.
    pub(super) fn give_up(&mut self) {
        let reason = self.lost.take().unwrap_or(StoreError::Down);
        self.fail(&reason);
    }

    /// Keeps what may be sent once more after its session was lost, and fails the rest.
    pub(super) fn fail_unless_repeatable(&mut self, error: &StoreError) {
        if self.lost.is_some() {
            return self.fail(error);
        }
        let requests = self.inputs.drain(..).zip(self.replies.drain(..));
        let (kept, lost): (Vec<_>, Vec<_>) = requests.partition(|(input, _)| input.is_repeatable());
        for (_, reply) in lost {
            let _ = reply.send(Err(error.clone()));
        }
        self.lost = (!kept.is_empty()).then(|| error.clone());
        (self.inputs, self.replies) = kept.into_iter().unzip();
    }
}

/// What is known after `error`: that the store refused the second try says nothing of the first, which was lost.
fn of_both_tries(lost: Option<&StoreError>, error: StoreError) -> StoreError {
    match (lost, error) {
        (Some(lost), StoreError::Refused { .. }) => lost.clone(),
        (_, error) => error,
    }
}

impl<I, O> Default for Batch<I, O> {
    fn default() -> Self {
        Self { inputs: Vec::new(), replies: Vec::new(), lost: None }
    }
}
