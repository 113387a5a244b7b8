//! Any order in which callers come and go and batches end: well, badly, in a panic, or with the loss of their session.

use std::collections::HashMap;

use proptest::prelude::*;

use super::*;

/// What happens next.
#[derive(Debug, Clone, Copy)]
enum Step {
    /// Another caller comes, with a key or without.
    Come(bool),
    /// The caller of this number goes away, if it still waits.
    Leave(usize),
    /// The batch in flight ends, if there is one.
    End(End),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum End {
    Well,
    Badly,
    InPanic,
    Lost,
}

/// A store that notes who is in each batch, and ends it when and as it is told.
#[derive(Clone)]
struct Noting {
    batches: Arc<Mutex<Vec<Noted>>>,
    ends: Arc<tokio::sync::Mutex<mpsc::UnboundedReceiver<End>>>,
    in_flight: Arc<AtomicBool>,
}

/// The callers of a batch, and how it ended.
type Noted = (Vec<usize>, Option<End>);

#[derive(Debug, Clone, Copy)]
struct Caller {
    number: usize,
    key: bool,
}

impl Input for Caller {
    fn is_repeatable(&self) -> bool {
        self.key
    }
}

struct NotingSession {
    store: Noting,
    lost: bool,
}

impl Session for NotingSession {
    type Store = Noting;
    type Input = Caller;
    type Output = usize;

    async fn connect(store: &Noting) -> Result<Self, StoreError> {
        Ok(Self { store: store.clone(), lost: false })
    }

    async fn run(&mut self, batch: &[Caller]) -> Outputs<usize> {
        let callers: Vec<usize> = batch.iter().map(|caller| caller.number).collect();
        let in_flight = &self.store.in_flight;
        assert!(!in_flight.swap(true, Ordering::SeqCst), "one batch at a time");
        self.store.batches.lock().unwrap().push((callers.clone(), None));
        let end = self.store.ends.lock().await.recv().await.expect("the test goes on");
        self.store.batches.lock().unwrap().last_mut().unwrap().1 = Some(end);
        in_flight.store(false, Ordering::SeqCst);
        match end {
            End::Well => Ok(callers.into_iter().map(Ok).collect()),
            End::Badly => Err(refused()),
            End::InPanic => std::panic::resume_unwind(Box::new("as the schedule says")),
            End::Lost => {
                self.lost = true;
                Err(refused())
            }
        }
    }

    async fn ping(&mut self) -> Result<(), StoreError> {
        if self.lost { Err(refused()) } else { Ok(()) }
    }
}

/// What became of a schedule: each batch with its callers and its end, and the answers of those that stayed.
struct Course {
    batches: Vec<Noted>,
    answers: HashMap<usize, Result<usize, StoreError>>,
    keys: Vec<bool>,
}

async fn run(steps: &[Step]) -> Course {
    let (end, ends) = mpsc::unbounded_channel();
    let in_flight = Arc::<AtomicBool>::default();
    let store = Noting {
        batches: Arc::default(),
        ends: Arc::new(tokio::sync::Mutex::new(ends)),
        in_flight: Arc::clone(&in_flight),
    };
    let batches = Arc::clone(&store.batches);
    let batcher =
        Batcher::start::<NotingSession>(store, StatusSender::new(&KIND), None, &Workers::default());
    let (mut callers, mut keys) = (Vec::new(), Vec::new());
    let finish = |how| {
        if in_flight.load(Ordering::SeqCst) {
            end.send(how).unwrap();
        }
    };
    for step in steps {
        match *step {
            Step::Come(key) => {
                let (batcher, number) = (batcher.clone(), callers.len());
                keys.push(key);
                let submitting = async move { batcher.submit(Caller { number, key }).await };
                callers.push(tokio::spawn(submitting));
            }
            Step::Leave(caller) => {
                if let Some(waiting) = callers.get(caller) {
                    waiting.abort();
                }
            }
            Step::End(how) => finish(how),
        }
        settle().await;
    }
    // Two ends are enough for whatever still waits: its own batch and the one before it.
    for _ in 0..2 {
        finish(End::Well);
        settle().await;
    }
    let mut answers = HashMap::new();
    for (caller, handle) in callers.into_iter().enumerate() {
        assert!(handle.is_finished(), "{caller} waits for ever");
        if let Ok(answer) = handle.await {
            answers.insert(caller, answer);
        }
    }
    let batches = batches.lock().unwrap().clone();
    Course { batches, answers, keys }
}

fn any_step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => any::<bool>().prop_map(Step::Come),
        1 => (0..8_usize).prop_map(Step::Leave),
        3 => prop_oneof![
            4 => Just(End::Well),
            1 => Just(End::Badly),
            1 => Just(End::InPanic),
            1 => Just(End::Lost),
        ].prop_map(Step::End),
    ]
}

proptest! {
    #[test]
    fn every_caller_is_in_one_batch_and_told_its_end(steps in prop::collection::vec(any_step(), 0..24)) {
        let mut runtime = tokio::runtime::Builder::new_current_thread();
        let runtime = runtime.enable_time().start_paused(true).build().unwrap();
        let course = runtime.block_on(run(&steps));

        for (caller, has_key) in course.keys.iter().enumerate() {
            let ends: Vec<Option<End>> = course
                .batches
                .iter()
                .filter(|(callers, _)| callers.contains(&caller))
                .map(|(_, end)| *end)
                .collect();
            // A second time only with a key, and only after its session was lost.
            let sent_again = ends.len() == 2 && *has_key && ends[0] == Some(End::Lost);
            prop_assert!(ends.len() <= 1 || sent_again, "{caller} was in {ends:?}");
            // A caller that has gone is in a batch or not, by when that was.
            let Some(answer) = course.answers.get(&caller) else { continue };
            let end = ends.last().copied().flatten();
            let is_so = match answer {
                Ok(number) => *number == caller && end == Some(End::Well),
                Err(StoreError::Failed { .. }) => {
                    matches!(end, Some(End::Badly | End::InPanic | End::Lost))
                }
                Err(_) => false,
            };
            prop_assert!(is_so, "{caller}: {answer:?} after {ends:?}");
        }
    }
}
