//! What was asked for on the command line, all of it usable.

use std::fmt::Display;
use std::str::FromStr;
use std::time::Duration;

use yelb_service::settings::SettingError;

use super::ballot::Weights;
use super::schedule::{MOST_PER_SECOND, Schedule, Shape};
use super::target::Target;

/// How often the peak of a shape is the rate, unless told otherwise.
const PEAK: f64 = 4.0;
const STEPS: u32 = 5;
const DURATION: Duration = Duration::from_secs(30);
/// Leaks and slow decay take their time to show.
const SOAK_DURATION: Duration = Duration::from_mins(30);
const LONGEST: Duration = Duration::from_hours(7 * 24);
const MOST_CONNECTIONS: usize = 20_000;

/// The flags of `yelb load`. They are read here and not by their parser, so that each mistake is one line.
#[derive(Debug, clap::Args)]
#[expect(clippy::struct_excessive_bools, reason = "each is a flag of its own")]
pub(crate) struct LoadFlags {
    /// Where the Yelb is: its page or its API, this one or the original
    #[arg(default_value = "http://127.0.0.1:8080")]
    url: String,
    /// Requests per second, sent by the clock whatever the answers take
    #[arg(long, value_name = "N", default_value = "100", allow_hyphen_values = true)]
    rate: String,
    /// How long to send, such as 500ms, 30s, 5m [default: 30s, soak: 30m]
    #[arg(long, value_name = "TIME", allow_hyphen_values = true)]
    duration: Option<String>,
    /// How the rate changes: constant, ramp (evenly to the peak), step (to the peak in steps), spike (peak in the middle
    /// third), soak (up in the first tenth, then held)
    #[arg(long, default_value = "constant")]
    shape: String,
    /// Requests per second at the peak of ramp, step and spike [default: four times the rate]
    #[arg(long, value_name = "N", allow_hyphen_values = true)]
    peak: Option<String>,
    /// How many steps the shape `step` has, first and last included [default: 5]
    #[arg(long, value_name = "N", allow_hyphen_values = true)]
    steps: Option<String>,
    /// The most connections at a time; what is due while all are busy waits, and its waiting counts
    #[arg(long, value_name = "MAX", default_value = "256", allow_hyphen_values = true)]
    connections: String,
    /// Who gets how many of the votes, such as ihop=4,chipotle=1 [default: all the same]
    #[arg(long, value_name = "LIST")]
    weights: Option<String>,
    /// How many of a hundred requests read the counts instead of voting
    #[arg(long, value_name = "PERCENT", default_value = "0", allow_hyphen_values = true)]
    reads: String,
    /// An Idempotency-Key on every vote, which is the default
    #[arg(long, overrides_with = "no_keys")]
    keys: bool,
    /// No Idempotency-Key
    #[arg(long, overrides_with = "keys")]
    no_keys: bool,
    /// Sends a vote that was not confirmed again, with the same key, until it is
    #[arg(long)]
    retry: bool,
    /// Reads the counts before and after, and says which votes were lost or counted twice. Nobody else may vote meanwhile
    #[arg(long)]
    verify: bool,
    /// The same seed makes the same choice of restaurants and reads
    #[arg(long, value_name = "N", default_value = "1", allow_hyphen_values = true)]
    seed: String,
    /// How long one attempt may take, connecting included
    #[arg(long, value_name = "TIME", default_value = "6s", allow_hyphen_values = true)]
    timeout: String,
    /// How long to wait, after the last request was due, for what is still on its way
    #[arg(long, value_name = "TIME", default_value = "10s", allow_hyphen_values = true)]
    grace: String,
    /// The report as JSON
    #[arg(long)]
    json: bool,
}

/// Whether votes have an `Idempotency-Key`, and what it is used for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Keys {
    /// As the original's page votes.
    None,
    /// Each vote has one and goes out once.
    Once,
    /// Each vote has one and goes out until it is confirmed.
    Retried,
}

impl Keys {
    pub(crate) fn are_sent(self) -> bool {
        self != Self::None
    }
}

/// What to do.
#[derive(Debug)]
pub(crate) struct Plan {
    pub(crate) target: Target,
    /// The shape in words, for the report.
    pub(crate) shape: String,
    pub(crate) schedule: Schedule,
    pub(crate) connections: usize,
    /// `None`: everybody on the list of the target, all the same.
    pub(crate) weights: Option<Weights>,
    pub(crate) reads: u8,
    pub(crate) keys: Keys,
    pub(crate) verify: bool,
    pub(crate) seed: u64,
    pub(crate) timeout: Duration,
    pub(crate) grace: Duration,
    pub(crate) json: bool,
}

impl Plan {
    /// Reads the flags; the first that cannot be used is the error.
    pub(crate) fn from_flags(flags: &LoadFlags) -> Result<Self, SettingError> {
        let rate = rate("--rate", &flags.rate)?;
        let shape = shape(flags, rate)?;
        let duration = match &flags.duration {
            Some(text) => time("--duration", text)?,
            None if shape == Shape::Soak => SOAK_DURATION,
            None => DURATION,
        };
        let plan = Self {
            target: flags.url.parse()?,
            shape: describe(shape, rate, duration),
            schedule: Schedule::new(shape, rate, duration),
            connections: within("--connections", &flags.connections, 1, MOST_CONNECTIONS)?,
            weights: flags.weights.as_deref().map(str::parse).transpose()?,
            reads: within("--reads", &flags.reads, 0, 100)?,
            keys: keys(flags)?,
            verify: flags.verify,
            seed: within("--seed", &flags.seed, 0, u64::MAX)?,
            timeout: time("--timeout", &flags.timeout)?,
            grace: time("--grace", &flags.grace)?,
            json: flags.json,
        };
        if plan.schedule.total() == 0 {
            let problem = "is too short for a single request at this rate";
            return Err(SettingError::new("--duration", problem));
        }
        Ok(plan)
    }
}

fn keys(flags: &LoadFlags) -> Result<Keys, SettingError> {
    match (flags.no_keys, flags.retry) {
        (false, false) => Ok(Keys::Once),
        (false, true) => Ok(Keys::Retried),
        (true, false) => Ok(Keys::None),
        (true, true) => {
            let problem = "needs keys: a vote without one counts each time it is sent";
            Err(SettingError::new("--retry", problem))
        }
    }
}

fn shape(flags: &LoadFlags, base: f64) -> Result<Shape, SettingError> {
    let asked = flags.peak.as_deref().map(|text| rate("--peak", text)).transpose()?;
    let peak = asked.unwrap_or((base * PEAK).min(MOST_PER_SECOND));
    let steps = flags.steps.as_deref().map(|text| within("--steps", text, 2, 1000)).transpose()?;
    let shape = match flags.shape.as_str() {
        "constant" => Shape::Constant,
        "ramp" => Shape::Ramp { peak },
        "step" => Shape::Step { peak, steps: steps.unwrap_or(STEPS) },
        "spike" => Shape::Spike { peak },
        "soak" => Shape::Soak,
        _ => {
            return Err(SettingError::new(
                "--shape",
                "must be constant, ramp, step, spike or soak",
            ));
        }
    };
    if asked.is_some() && matches!(shape, Shape::Constant | Shape::Soak) {
        return Err(SettingError::new("--peak", "is for the shapes ramp, step and spike"));
    }
    if steps.is_some() && !matches!(shape, Shape::Step { .. }) {
        return Err(SettingError::new("--steps", "is for the shape step"));
    }
    Ok(shape)
}

fn describe(shape: Shape, rate: f64, duration: Duration) -> String {
    let rates = match shape {
        Shape::Constant => format!("constant, {rate}/s"),
        Shape::Ramp { peak } => format!("ramp from {rate}/s to {peak}/s"),
        Shape::Step { peak, steps } => format!("{steps} steps from {rate}/s to {peak}/s"),
        Shape::Spike { peak } => format!("{rate}/s with a spike to {peak}/s"),
        Shape::Soak => format!("soak, {rate}/s"),
    };
    format!("{rates} for {}", humantime::format_duration(duration))
}

fn rate(flag: &str, text: &str) -> Result<f64, SettingError> {
    let usable = |rate: &f64| *rate > 0.0 && *rate <= MOST_PER_SECOND;
    text.parse().ok().filter(usable).ok_or_else(|| {
        SettingError::new(flag, format!("must be above 0 and at most {MOST_PER_SECOND} per second"))
    })
}

fn time(flag: &str, text: &str) -> Result<Duration, SettingError> {
    let usable = |time: &Duration| !time.is_zero() && *time <= LONGEST;
    humantime::parse_duration(text).ok().filter(usable).ok_or_else(|| {
        SettingError::new(flag, "must be a time such as 500ms, 30s or 5m, at most 7 days")
    })
}

fn within<T>(flag: &str, text: &str, least: T, most: T) -> Result<T, SettingError>
where
    T: FromStr + PartialOrd + Display + Copy,
{
    let usable = |number: &T| (&least..=&most).contains(&number);
    text.parse().ok().filter(usable).ok_or_else(|| {
        SettingError::new(flag, format!("must be a whole number from {least} to {most}"))
    })
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Cli {
        #[command(flatten)]
        flags: LoadFlags,
    }

    fn plan(arguments: &str) -> Result<Plan, String> {
        let words = std::iter::once("load").chain(arguments.split_whitespace());
        let cli = Cli::try_parse_from(words).map_err(|error| error.to_string())?;
        Plan::from_flags(&cli.flags).map_err(|error| error.to_string())
    }

    #[test]
    fn nothing_has_to_be_said() {
        let plan = plan("").unwrap();
        assert_eq!(plan.shape, "constant, 100/s for 30s");
        assert!(plan.keys == Keys::Once && !plan.verify);
        assert_eq!(plan.schedule.total(), 3000);
    }

    #[test]
    fn a_soak_is_long_and_a_peak_is_four_times_the_rate() {
        assert_eq!(plan("--shape soak").unwrap().shape, "soak, 100/s for 30m");
        let spike = plan("--shape spike --rate 50").unwrap();
        assert_eq!(spike.shape, "50/s with a spike to 200/s for 30s");
    }

    #[test]
    fn what_cannot_be_used_is_named_in_one_line() {
        let mistakes = [
            ("--rate 0", "--rate: must be above 0 and at most 1000000 per second"),
            ("--rate -5", "--rate: must be above 0"),
            ("--rate NaN", "--rate: must be above 0"),
            ("--duration 5", "--duration: must be a time such as"),
            ("--duration 0s", "--duration: must be a time such as"),
            ("--rate 1 --duration 1ms", "--duration: is too short"),
            ("--shape square", "--shape: must be constant, ramp, step, spike or soak"),
            ("--peak 5", "--peak: is for the shapes"),
            ("--shape spike --steps 3", "--steps: is for the shape step"),
            ("--shape step --steps 1", "--steps: must be a whole number from 2"),
            ("--connections 0", "--connections: must be a whole number from 1"),
            ("--reads 101", "--reads: must be a whole number from 0 to 100"),
            ("--weights ihop=-1", "--weights: must be a list"),
            ("--retry --no-keys", "--retry: needs keys"),
            ("--timeout soon", "--timeout: must be a time"),
            ("https://yelb", "URL: must begin with http://"),
        ];
        for (arguments, line) in mistakes {
            let error = plan(arguments).unwrap_err();
            assert!(error.starts_with(line) && error.lines().count() == 1, "{arguments}: {error}");
        }
    }

    #[test]
    fn the_last_word_on_keys_counts() {
        assert_eq!(plan("--keys --no-keys").unwrap().keys, Keys::None);
        assert_eq!(plan("--no-keys --keys --retry").unwrap().keys, Keys::Retried);
    }
}
