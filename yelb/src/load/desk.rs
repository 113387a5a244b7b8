//! Who takes which request next: the schedule on one side, the connections on the other.

use std::time::Duration;

use super::line::Line;
use super::schedule::Schedule;

/// A request that is due.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Arrival {
    pub(crate) number: u64,
    /// Since the beginning.
    pub(crate) due: Duration,
}

/// What there is to do now.
#[derive(Debug)]
pub(crate) enum Turn {
    /// This, on that connection.
    Send(Arrival, Line),
    /// Nothing before this time.
    Nothing(Duration),
    /// Something, and no connection to do it on.
    Full,
    /// Nothing ever again.
    Over,
}

/// Hands out requests in the order in which they are due.
///
/// What waits for a connection is nowhere kept: how much it is follows from the schedule and the clock.
#[derive(Debug)]
pub(crate) struct Desk {
    schedule: Schedule,
    taken: u64,
    closed: bool,
    /// The last one in is the first one out, so that no more are open than are needed.
    idle: Vec<Line>,
    busy: usize,
    most: usize,
    /// The most that were busy at a time.
    pub(crate) most_busy: usize,
    /// The most that were due and waited for a connection.
    pub(crate) most_waiting: u64,
}

impl Desk {
    /// For this schedule, with at most so many connections.
    pub(crate) fn new(schedule: Schedule, most: usize) -> Self {
        Self {
            schedule,
            taken: 0,
            closed: false,
            idle: Vec::new(),
            busy: 0,
            most,
            most_busy: 0,
            most_waiting: 0,
        }
    }

    /// What there is to do at this time since the beginning.
    pub(crate) fn turn(&mut self, now: Duration) -> Turn {
        let Some(arrival) = self.next() else { return Turn::Over };
        if arrival.due > now {
            return Turn::Nothing(arrival.due);
        }
        if self.busy == self.most {
            self.most_waiting = self.most_waiting.max(self.waiting(now));
            return Turn::Full;
        }
        self.taken += 1;
        self.busy += 1;
        self.most_busy = self.most_busy.max(self.busy);
        Turn::Send(arrival, self.idle.pop().unwrap_or_default())
    }

    /// What somebody who is done does next with the connection; nothing if nothing is due.
    pub(crate) fn go_on(&mut self, line: Line, now: Duration) -> Option<(Arrival, Line)> {
        match self.next() {
            Some(arrival) if arrival.due <= now => {
                self.taken += 1;
                Some((arrival, line))
            }
            _ => {
                self.idle.push(line);
                None
            }
        }
    }

    /// Somebody has left who took a request before.
    pub(crate) fn leave(&mut self) {
        self.busy -= 1;
    }

    /// Hands out nothing any more.
    pub(crate) fn close(&mut self) {
        self.closed = true;
    }

    /// Whether everything was taken and everybody is done.
    pub(crate) fn is_done(&self) -> bool {
        self.busy == 0 && self.next().is_none()
    }

    /// Requests on their way.
    pub(crate) fn busy(&self) -> usize {
        self.busy
    }

    /// How many are due at this time and were not taken.
    pub(crate) fn waiting(&self, now: Duration) -> u64 {
        self.schedule.due_by(now).saturating_sub(self.taken)
    }

    fn next(&self) -> Option<Arrival> {
        if self.closed {
            return None;
        }
        let number = self.taken;
        self.schedule.due(number).map(|due| Arrival { number, due })
    }
}

#[cfg(test)]
mod tests {
    use super::super::schedule::Shape;
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn desk(most: usize) -> Desk {
        Desk::new(Schedule::new(Shape::Constant, 10.0, SECOND), most)
    }

    fn take(desk: &mut Desk, now: Duration) -> (Arrival, Line) {
        match desk.turn(now) {
            Turn::Send(arrival, line) => (arrival, line),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn nothing_is_handed_out_before_it_is_due() {
        let mut desk = desk(4);
        let Turn::Nothing(due) = desk.turn(Duration::ZERO) else { panic!("it is too early") };
        assert_eq!(take(&mut desk, due).0, Arrival { number: 0, due });
        assert!(matches!(desk.turn(due), Turn::Nothing(later) if later > due));
    }

    #[test]
    fn what_is_due_while_all_are_busy_waits_and_is_taken_in_its_order() {
        let mut desk = desk(1);
        let (_, line) = take(&mut desk, SECOND);
        assert!(matches!(desk.turn(SECOND), Turn::Full));
        assert_eq!((desk.most_waiting, desk.waiting(SECOND)), (9, 9));

        let (next, mut line) = desk.go_on(line, SECOND).unwrap();
        assert_eq!((next.number, desk.waiting(SECOND)), (1, 8));
        for number in 2..10 {
            let (next, freed) = desk.go_on(line, SECOND).unwrap();
            assert_eq!(next.number, number);
            line = freed;
        }
        assert!(desk.go_on(line, SECOND).is_none() && !desk.is_done());
        desk.leave();
        assert!(desk.is_done() && matches!(desk.turn(SECOND), Turn::Over));
    }

    #[test]
    fn a_closed_desk_hands_out_nothing_and_knows_what_it_left() {
        let mut desk = desk(4);
        let (_, line) = take(&mut desk, SECOND);
        desk.close();
        assert!(matches!(desk.turn(SECOND), Turn::Over));
        assert!(desk.go_on(line, SECOND).is_none());
        desk.leave();
        assert!(desk.is_done());
        assert_eq!(desk.waiting(SECOND), 9);
    }
}
