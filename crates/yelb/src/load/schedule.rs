//! When requests are due: a rate that changes over time, and the moments at which its integral passes ½, 1½, 2½, …

use std::time::Duration;

use clap::ValueEnum;

/// The most arrivals per second: more than any one machine sends.
pub(crate) const MOST_PER_SECOND: f64 = 1_000_000.0;

/// How the rate changes over time: not at all, evenly to the peak, or at the peak in the middle third.
// The help of the option says so: comments on the variants would make clap spread out all of the help.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Shape {
    Constant,
    Ramp,
    Spike,
}

/// All requests that will be due, known before the first one is sent: responses change nothing.
#[derive(Debug, Clone)]
pub(crate) struct Schedule {
    legs: Vec<Leg>,
    /// How long all of it takes.
    pub(crate) duration: Duration,
    /// How many requests there are in all.
    pub(crate) total: u64,
}

/// A stretch over which the rate changes evenly, or not at all. In seconds and arrivals per second.
#[derive(Debug, Clone, Copy)]
struct Leg {
    lasts: f64,
    from: f64,
    to: f64,
}

impl Leg {
    fn arrivals(&self) -> f64 {
        self.from.midpoint(self.to) * self.lasts
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
    /// Arrivals per second between `rate` and `peak`. Rates and durations are above 0.
    pub(crate) fn new(shape: Shape, rate: f64, peak: f64, duration: Duration) -> Self {
        let lasts = duration.as_secs_f64();
        let level = |rate| Leg { lasts: lasts / 3.0, from: rate, to: rate };
        let legs = match shape {
            Shape::Constant => vec![Leg { lasts, from: rate, to: rate }],
            Shape::Ramp => vec![Leg { lasts, from: rate, to: peak }],
            Shape::Spike => vec![level(rate), level(peak), level(rate)],
        };
        let arrivals: f64 = legs.iter().map(Leg::arrivals).sum();
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "it is whole")]
        let total = arrivals.round() as u64;
        Self { legs, duration, total }
    }

    /// When the request of this number, counted from 0, is due.
    pub(crate) fn due(&self, number: u64) -> Duration {
        let (mut arrivals, mut begins) = (real(number) + 0.5, 0.0);
        for leg in &self.legs {
            if arrivals <= leg.arrivals() {
                return Duration::from_secs_f64(begins + leg.time(arrivals));
            }
            arrivals -= leg.arrivals();
            begins += leg.lasts;
        }
        // Sums of fractions end up a little below what they would be.
        self.duration
    }

    /// How many are due by this time.
    pub(crate) fn due_by(&self, time: Duration) -> u64 {
        let (mut least, mut most) = (0, self.total);
        while least < most {
            let middle = least.midpoint(most);
            if self.due(middle) <= time {
                least = middle + 1;
            } else {
                most = middle;
            }
        }
        least
    }
}

/// The number as a real one.
#[expect(clippy::cast_precision_loss, reason = "no load has 2^53 requests")]
pub(crate) fn real(number: u64) -> f64 {
    number as f64
}

#[cfg(test)]
mod tests;
