//! The command line of `yelb load`.

use std::time::Duration;

use clap::builder::RangedU64ValueParser;
use clap::value_parser;
use hyper::Uri;
use url::Url;
use yelb_service::settings::SettingError;

use super::schedule::{MOST_PER_SECOND, Schedule, Shape};

/// The peak of a shape in multiples of the rate, unless `--peak` is given.
const PEAK: f64 = 4.0;
const LONGEST: Duration = Duration::from_hours(7 * 24);
/// An app server keeps a key for a day, and the first key must still be known when the last request is answered.
const LONGEST_VERIFIED: Duration = Duration::from_hours(23);

const TERMS: &str = include_str!("terms.txt");

/// The options of `yelb load`.
#[derive(Debug, clap::Args)]
#[command(after_help = TERMS)]
#[expect(clippy::struct_excessive_bools, reason = "each is a flag of its own")]
pub(crate) struct LoadOptions {
    /// Where the Yelb is: the http:// or https:// URL of its page or its API
    #[arg(default_value = "http://127.0.0.1:8080", value_parser = url)]
    pub(crate) url: Url,
    /// Requests per second, sent on schedule however long the responses take
    #[arg(long, value_name = "N", default_value = "100", value_parser = rate)]
    pub(crate) rate: f64,
    /// How long to send, such as 500ms, 30s, 5m
    #[arg(long, value_name = "TIME", default_value = "30s", value_parser = time)]
    pub(crate) duration: Duration,
    /// How the rate changes: not at all, evenly up to the peak, or at the peak in the middle third
    #[arg(long, default_value = "constant")]
    pub(crate) shape: Shape,
    /// Requests per second at the peak of ramp and spike [default: four times the rate]
    #[arg(long, value_name = "N", value_parser = rate)]
    pub(crate) peak: Option<f64>,
    /// How many requests may be on their way at a time, each on its own connection
    #[arg(long, value_name = "MAX", default_value = "256", value_parser = RangedU64ValueParser::<usize>::new().range(1..=20_000))]
    pub(crate) connections: usize,
    /// How the votes are shared out, such as ihop=4,chipotle=1 [default: evenly]
    #[arg(long, value_name = "LIST", value_delimiter = ',', value_parser = weight)]
    pub(crate) weights: Vec<(String, u32)>,
    /// How many of a hundred requests read the counts instead of voting
    #[arg(long, value_name = "PERCENT", default_value = "0", value_parser = value_parser!(u8).range(0..=100))]
    pub(crate) reads: u8,
    /// Send an Idempotency-Key with each vote (the default)
    #[arg(long, overrides_with = "no_keys")]
    keys: bool,
    /// Send no Idempotency-Key
    #[arg(long, overrides_with = "keys")]
    pub(crate) no_keys: bool,
    /// Send a vote that was not confirmed again, with the same key, until it is
    #[arg(long, conflicts_with = "no_keys")]
    pub(crate) retry: bool,
    /// Check afterwards that each confirmed vote was counted, and once, by asking again with its key. This costs one more
    /// request and some 50 bytes of memory for each vote, and counts a vote that was lost. With --no-keys, which the
    /// original needs, only the counts before and after are compared
    #[arg(long)]
    pub(crate) verify: bool,
    /// The same seed makes the same choice of restaurants and reads
    #[arg(long, value_name = "N", default_value = "1")]
    pub(crate) seed: u64,
    /// How long one attempt may take, connecting included
    #[arg(long, value_name = "TIME", default_value = "6s", value_parser = time)]
    pub(crate) timeout: Duration,
    /// How long to wait, after the last request was due, for those that are not answered yet
    #[arg(long, value_name = "TIME", default_value = "10s", value_parser = time)]
    pub(crate) grace: Duration,
    /// Print the report as JSON
    #[arg(long)]
    pub(crate) json: bool,
}

impl LoadOptions {
    /// The schedule that the options ask for; options that contradict each other are the error.
    pub(crate) fn schedule(&self) -> Result<Schedule, SettingError> {
        if self.peak.is_some() && self.shape == Shape::Constant {
            return Err(SettingError::new("--peak", "is for the shapes ramp and spike"));
        }
        if self.peak() < self.rate {
            return Err(SettingError::new("--peak", "must be at least --rate"));
        }
        if self.verify && !self.no_keys && self.duration > LONGEST_VERIFIED {
            let problem = "is at most 23h with --verify: the target forgets keys after a day";
            return Err(SettingError::new("--duration", problem));
        }
        let schedule = Schedule::new(self.shape, self.rate, self.peak(), self.duration);
        if schedule.total == 0 {
            return Err(SettingError::new("--duration", "is too short for a single request"));
        }
        Ok(schedule)
    }

    /// The URI of a restaurant or of `getvotes`.
    pub(crate) fn api(&self, name: &str) -> Uri {
        let uri = format!("{}/api/{name}", self.target());
        uri.parse().expect("a URL and a name of letters make a URI")
    }

    /// The URL without a slash at its end.
    pub(crate) fn target(&self) -> &str {
        self.url.as_str().trim_end_matches('/')
    }

    fn peak(&self) -> f64 {
        self.peak.unwrap_or((self.rate * PEAK).min(MOST_PER_SECOND))
    }

    /// The schedule in words.
    pub(crate) fn description(&self) -> String {
        let peak = match self.shape {
            Shape::Constant => String::new(),
            Shape::Ramp | Shape::Spike => format!(" to {}/s", self.peak()),
        };
        let duration = humantime::format_duration(self.duration);
        format!("{:?} {}/s{peak} for {duration}", self.shape, self.rate).to_lowercase()
    }
}

fn url(text: &str) -> Result<Url, &'static str> {
    let known = |url: &Url| matches!(url.scheme(), "http" | "https");
    let bare = |url: &Url| url.query().or(url.fragment()).or(url.password()).is_none();
    let usable = |url: &Url| known(url) && bare(url) && url.username().is_empty();
    let url = Url::parse(text).ok().filter(usable);
    url.ok_or("expected http:// or https://, a host, and maybe a port and a path")
}

fn weight(text: &str) -> Result<(String, u32), &'static str> {
    let usable = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
    // The name becomes a part of a path, in which these two have a meaning of their own.
    let named = |name: &str| !matches!(name, "" | "." | "..") && name.bytes().all(usable);
    let (name, weight) = text.split_once('=').unwrap_or_default();
    let (name, weight) = (name.trim(), weight.trim().parse());
    let weight = weight.ok().filter(|_| named(name)).map(|weight| (name.to_owned(), weight));
    weight.ok_or("expected a list such as ihop=4,chipotle=1, the weights whole numbers")
}

fn rate(text: &str) -> Result<f64, String> {
    let usable = |rate: &f64| *rate > 0.0 && *rate <= MOST_PER_SECOND;
    let rate = text.parse().ok().filter(usable);
    rate.ok_or_else(|| format!("expected a number above 0 and at most {MOST_PER_SECOND}"))
}

fn time(text: &str) -> Result<Duration, String> {
    let usable = |time: &Duration| !time.is_zero() && *time <= LONGEST;
    let time = humantime::parse_duration(text).ok().filter(usable);
    time.ok_or_else(|| "expected a time such as 500ms, 30s or 5m, at most 7 days".to_owned())
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Debug, Parser)]
    struct Cli {
        #[command(flatten)]
        options: LoadOptions,
    }

    fn options(arguments: &str) -> Result<LoadOptions, String> {
        let words = std::iter::once("load").chain(arguments.split_whitespace());
        let options = Cli::try_parse_from(words).map_err(|error| error.to_string())?.options;
        options.schedule().map_err(|error| error.to_string())?;
        Ok(options)
    }

    #[test]
    fn nothing_has_to_be_said() {
        let options = options("").unwrap();
        assert_eq!(options.description(), "constant 100/s for 30s");
        assert!(!options.no_keys && !options.retry && !options.verify);
        assert_eq!(options.schedule().unwrap().total, 3000);
    }

    #[test]
    fn a_url_has_a_host_and_maybe_a_port_and_a_path() {
        let plain = options("http://yelb").unwrap();
        assert_eq!(plain.api("ihop"), "http://yelb/api/ihop");
        let nested = options("https://[::1]:8443/green/").unwrap();
        assert_eq!(nested.api("getvotes"), "https://[::1]:8443/green/api/getvotes");

        for url in "yelb:8080 ftp://yelb http:// http://a@b http://:secret@b http://yelb:99999 http://yelb/?a \
            http://yelb/#a /yelb"
            .split(' ')
        {
            assert!(options(url).is_err(), "{url}");
        }
    }

    #[test]
    fn a_list_of_weights_has_names_and_whole_numbers() {
        let weights = options("--weights ihop=4,chipotle=0").unwrap().weights;
        assert_eq!(weights, [("ihop".to_owned(), 4), ("chipotle".to_owned(), 0)]);
        for list in ["", "ihop", "ihop=", "ihop=-1", "ihop=1.5", "=1", "a/b=1", "..=1", "ihop=1,"] {
            assert!(options(&format!("--weights={list}")).is_err(), "{list}");
        }
    }

    #[test]
    fn a_peak_is_four_times_the_rate() {
        let spike = options("--shape spike --rate 50").unwrap();
        assert_eq!(spike.description(), "spike 50/s to 200/s for 30s");
        let ramp = options("--shape ramp --rate 50 --peak 60 --duration 90s").unwrap();
        assert_eq!(ramp.description(), "ramp 50/s to 60/s for 1m 30s");
    }

    #[test]
    fn what_cannot_be_used_is_named_with_what_was_expected() {
        let mistakes = [
            ("--rate 0", ["'0' for '--rate <N>'", "a number above 0 and at most 1000000"]),
            ("--rate=-5", ["'-5' for '--rate <N>'", "above 0"]),
            ("--rate NaN", ["'NaN' for '--rate <N>'", "above 0"]),
            ("--duration 5", ["'5' for '--duration <TIME>'", "a time such as"]),
            ("--duration 0s", ["'0s' for '--duration <TIME>'", "a time such as"]),
            ("--rate 1 --duration 1ms", ["--duration", "is too short"]),
            ("--shape step", ["'step' for '--shape <SHAPE>'", "constant, ramp, spike"]),
            ("--shape soak", ["'soak' for '--shape <SHAPE>'", "constant, ramp, spike"]),
            ("--peak 5", ["--peak", "is for the shapes ramp and spike"]),
            ("--shape ramp --rate 50 --peak 5", ["--peak", "must be at least --rate"]),
            ("--connections 0", ["'0' for '--connections <MAX>'", "1..=20000"]),
            ("--reads 101", ["'101' for '--reads <PERCENT>'", "0..=100"]),
            ("--weights ihop=-1", ["'ihop=-1' for '--weights <LIST>'", "a list such as"]),
            ("--retry --no-keys", ["'--retry'", "'--no-keys'"]),
            ("--timeout soon", ["'soon' for '--timeout <TIME>'", "a time such as"]),
            ("--verify --duration 24h", ["--duration", "at most 23h with --verify"]),
            ("ftp://yelb", ["'ftp://yelb' for '[URL]'", "http://"]),
        ];
        for (arguments, parts) in mistakes {
            let error = options(arguments).unwrap_err();
            for part in parts {
                assert!(error.contains(part), "{arguments}: {error}");
            }
        }
    }

    #[test]
    fn the_last_word_on_keys_counts() {
        assert!(options("--keys --no-keys").unwrap().no_keys);
        assert!(!options("--no-keys --keys --retry").unwrap().no_keys);
    }
}
