//! Any order in which callers come and go and rounds end, well or badly.

use std::collections::HashMap;
use std::sync::atomic::AtomicBool;

use proptest::prelude::*;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use super::*;

/// What happens next.
#[derive(Debug, Clone, Copy)]
enum Step {
    /// Another caller comes.
    Come,
    /// A caller goes away, if it still waits: the how manyth of those who came.
    Leave(usize),
    /// The round in flight ends, if there is one.
    End(End),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum End {
    Well,
    Badly,
    InPanic,
}

/// Work that notes who is in each round, and ends when and as it is told.
struct Noting {
    rounds: Arc<Mutex<Vec<Noted>>>,
    ends: tokio::sync::Mutex<mpsc::UnboundedReceiver<End>>,
    in_flight: Arc<AtomicBool>,
}

impl Work for Noting {
    type Load = Vec<usize>;
    type Done = Vec<usize>;
    type Error = Negative;

    async fn run(&self, callers: Vec<usize>) -> Result<Vec<usize>, Negative> {
        assert!(!self.in_flight.swap(true, Ordering::SeqCst), "one round at a time");
        self.rounds.lock().unwrap().push((callers.clone(), None));
        let end = self.ends.lock().await.recv().await.expect("the test goes on");
        self.rounds.lock().unwrap().last_mut().unwrap().1 = Some(end);
        self.in_flight.store(false, Ordering::SeqCst);
        match end {
            End::Well => Ok(callers),
            End::Badly => Err(Negative),
            End::InPanic => std::panic::resume_unwind(Box::new("as the schedule says")),
        }
    }
}

/// Who was in a round, and how it ended.
type Noted = (Vec<usize>, Option<End>);

type Answer = Result<usize, RoundError<Negative>>;

/// What became of a schedule: each round with its callers and its end, and the answers of those who stayed.
struct Course {
    rounds: Vec<Noted>,
    answers: HashMap<usize, Answer>,
    came: usize,
}

async fn run(steps: &[Step]) -> Course {
    let (end, ends) = mpsc::unbounded_channel();
    let (rounds, in_flight) = (Arc::default(), Arc::<AtomicBool>::default());
    let work = Noting {
        rounds: Arc::clone(&rounds),
        ends: tokio::sync::Mutex::new(ends),
        in_flight: Arc::clone(&in_flight),
    };
    let desk = Rounds::new(work);
    let mut callers: Vec<Option<JoinHandle<Answer>>> = Vec::new();
    let finish = |how| {
        if in_flight.load(Ordering::SeqCst) {
            end.send(how).unwrap();
        }
    };
    for step in steps {
        match *step {
            Step::Come => {
                let (desk, caller) = (desk.clone(), callers.len());
                callers.push(Some(tokio::spawn(async move {
                    desk.join(
                        |load| load.push(caller),
                        // The place in the round, found by one's own number.
                        |(), done| done.iter().position(|other| *other == caller).unwrap(),
                    )
                    .await
                })));
            }
            Step::Leave(caller) => {
                if let Some(Some(waiting)) = callers.get(caller) {
                    waiting.abort();
                }
            }
            Step::End(how) => finish(how),
        }
        settle().await;
    }
    // Two ends are enough for whoever still waits: one's own round and the one before it.
    for _ in 0..2 {
        finish(End::Well);
        settle().await;
    }
    let mut answers = HashMap::new();
    for (caller, handle) in callers.iter_mut().enumerate() {
        let handle = handle.take().unwrap();
        assert!(handle.is_finished(), "{caller} waits for ever");
        if let Ok(answer) = handle.await {
            answers.insert(caller, answer);
        }
    }
    let rounds = rounds.lock().unwrap().clone();
    Course { rounds, answers, came: callers.len() }
}

fn any_step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => Just(Step::Come),
        1 => (0..8_usize).prop_map(Step::Leave),
        3 => prop_oneof![
            4 => Just(End::Well),
            1 => Just(End::Badly),
            1 => Just(End::InPanic),
        ].prop_map(Step::End),
    ]
}

proptest! {
    #[test]
    fn everybody_is_in_one_round_and_told_its_end(steps in prop::collection::vec(any_step(), 0..24)) {
        let mut runtime = tokio::runtime::Builder::new_current_thread();
        let runtime = runtime.enable_time().start_paused(true).build().unwrap();
        let course = runtime.block_on(run(&steps));

        for caller in 0..course.came {
            let mut rounds = course.rounds.iter().filter(|(callers, _)| callers.contains(&caller));
            let round = rounds.next();
            prop_assert!(rounds.next().is_none(), "{caller} was in two rounds");
            // Whoever has gone is in a round or not, by when that was.
            let Some(answer) = course.answers.get(&caller) else { continue };
            let is_so = match answer {
                Ok(place) => round.is_some_and(|(callers, end)| {
                    *end == Some(End::Well) && callers[*place] == caller
                }),
                Err(RoundError::Failed(_)) => {
                    round.is_some_and(|(_, end)| *end == Some(End::Badly))
                }
                // Whoever waits for the round after one that panics shares its fate.
                Err(RoundError::Abandoned) => {
                    round.is_none_or(|(_, end)| *end == Some(End::InPanic))
                }
                Err(RoundError::Full) => false,
            };
            prop_assert!(is_so, "{caller}: {answer:?} after {round:?}");
        }
    }
}
