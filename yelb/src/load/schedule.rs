//! When requests are due: a rate that changes over time, and the moments at which its integral passes ½, 1½, 2½, …

use std::time::Duration;

/// The most arrivals per second: more than any one machine sends.
pub(crate) const MOST_PER_SECOND: f64 = 1_000_000.0;

/// How the rate changes over time.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Shape {
    /// The same rate all the time.
    Constant,
    /// Evenly to the peak.
    Ramp { peak: f64 },
    /// To the peak in this many equal steps, each of them held.
    Step { peak: f64, steps: u32 },
    /// At the peak in the middle third.
    Spike { peak: f64 },
    /// Up from nothing in the first tenth, then held.
    Soak,
}

/// What is due when. Every arrival is known before the first one: answers change nothing.
#[derive(Debug, Clone)]
pub(crate) struct Schedule {
    legs: Vec<Leg>,
}

/// A stretch over which the rate changes evenly, or not at all. In seconds and arrivals per second.
#[derive(Debug, Clone, Copy)]
struct Leg {
    begins: f64,
    lasts: f64,
    from: f64,
    to: f64,
    /// Arrivals in the legs before.
    before: f64,
}

impl Leg {
    fn ends(&self) -> f64 {
        self.begins + self.lasts
    }

    /// Arrivals up to the moment `time` after its beginning.
    fn arrivals(&self, time: f64) -> f64 {
        let slope = (self.to - self.from) / self.lasts;
        (self.from + slope * time / 2.0) * time
    }

    /// The time after its beginning at which so many have arrived.
    fn time(&self, arrivals: f64) -> f64 {
        let slope = (self.to - self.from) / self.lasts;
        // The root of a quadratic, in the form that a slope of 0 does not divide by.
        let rate_then = (self.from * self.from + 2.0 * slope * arrivals).max(0.0).sqrt();
        (2.0 * arrivals / (self.from + rate_then)).min(self.lasts)
    }
}

impl Schedule {
    /// `rate` arrivals per second in this shape. Rates and durations are above 0.
    pub(crate) fn new(shape: Shape, rate: f64, duration: Duration) -> Self {
        let all = duration.as_secs_f64();
        let mut schedule = Self { legs: Vec::new() };
        match shape {
            Shape::Constant => schedule.push(all, rate, rate),
            Shape::Ramp { peak } => schedule.push(all, rate, peak),
            Shape::Step { peak, steps } => {
                for step in 0..steps {
                    let level = rate + (peak - rate) * f64::from(step) / f64::from(steps - 1);
                    schedule.push(all / f64::from(steps), level, level);
                }
            }
            Shape::Spike { peak } => {
                for level in [rate, peak, rate] {
                    schedule.push(all / 3.0, level, level);
                }
            }
            Shape::Soak => {
                schedule.push(all * 0.1, 0.0, rate);
                schedule.push(all * 0.9, rate, rate);
            }
        }
        schedule
    }

    fn push(&mut self, lasts: f64, from: f64, to: f64) {
        let begins = self.seconds();
        let before = self.arrivals();
        self.legs.push(Leg { begins, lasts, from, to, before });
    }

    /// How long all of it takes.
    pub(crate) fn duration(&self) -> Duration {
        Duration::from_secs_f64(self.seconds())
    }

    fn seconds(&self) -> f64 {
        self.legs.last().map_or(0.0, Leg::ends)
    }

    fn arrivals(&self) -> f64 {
        self.legs.last().map_or(0.0, |leg| leg.before + leg.arrivals(leg.lasts))
    }

    /// How many there are in all.
    pub(crate) fn total(&self) -> u64 {
        nearest(self.arrivals())
    }

    /// How many are due by this time.
    pub(crate) fn due_by(&self, time: Duration) -> u64 {
        let time = time.as_secs_f64();
        let next = self.legs.partition_point(|leg| leg.ends() < time);
        match self.legs.get(next) {
            Some(leg) => nearest(leg.before + leg.arrivals(time - leg.begins)).min(self.total()),
            None => self.total(),
        }
    }

    /// When the arrival of this number, counted from 0, is due; none after the last one.
    pub(crate) fn due(&self, number: u64) -> Option<Duration> {
        if number >= self.total() {
            return None;
        }
        let passed = real(number) + 0.5;
        let leg = self.legs.partition_point(|leg| leg.before < passed).checked_sub(1)?;
        let leg = &self.legs[leg];
        Some(Duration::from_secs_f64(leg.begins + leg.time(passed - leg.before)))
    }
}

/// The nearest whole number.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "arrivals are not negative, and there are not 2^53 of them"
)]
fn nearest(arrivals: f64) -> u64 {
    // Sums of fractions end up a little below the half that they would be.
    (arrivals + 0.5 + 1e-6).floor() as u64
}

/// The number as a real one.
#[expect(clippy::cast_precision_loss, reason = "nobody sends 2^53 requests")]
pub(crate) fn real(number: u64) -> f64 {
    number as f64
}

#[cfg(test)]
mod tests;
