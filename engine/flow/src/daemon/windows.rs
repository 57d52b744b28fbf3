//! When bulk may run, and how fast: `20:00-06:00 at most 200 Mbit/s`, `Mon-Fri 06:00-20:00 off`.
//!
//! A window is what a clock on the wall says: on the day on which clocks are put back, an hour is in it twice, and on
//! the day on which they are put forward a window that would begin within the gap begins behind it. The first window
//! of the list that holds a moment counts; a moment that none holds is not limited.

use jiff::civil::{Date, DateTime, Time, Weekday};
use jiff::tz::TimeZone;
use jiff::{Span, Timestamp};
use serde::{Deserialize, Serialize};
use windlass_core::{ByteSize, Error, Kind, Result};

/// How far ahead a change is looked for: every window comes again within a week.
const DAYS_AHEAD: i64 = 8;

/// How fast bytes may move.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Rate {
    /// As fast as they can.
    Unlimited,
    /// At most so many bytes a second, at least 1.
    AtMost(u64),
    /// Not at all.
    Off,
}

/// What holds for bulk from a moment on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Allowance {
    /// How fast it may move.
    pub rate: Rate,
    /// When something else holds; `None` where that never happens.
    pub until: Option<Timestamp>,
}

/// A part of some days, with the rate that holds in it.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Window {
    /// On which days it begins, from Monday on.
    days: [bool; 7],
    from: Time,
    /// As late as `from` or earlier where it ends on the next day.
    to: Time,
    rate: Rate,
}

/// The windows of a flow.
#[derive(Clone, Debug)]
pub struct Windows {
    windows: Vec<Window>,
    zone: TimeZone,
}

impl Default for Windows {
    /// None: nothing is limited.
    fn default() -> Self {
        Windows {
            windows: Vec::new(),
            zone: TimeZone::UTC,
        }
    }
}

impl Windows {
    /// Reads windows, meant in a time zone.
    ///
    /// Errors: `Config`, with the text and what is wrong with it.
    pub fn parse(texts: &[String], zone: &TimeZone) -> Result<Self> {
        let windows = texts.iter().map(|text| {
            window(text).map_err(|why| {
                Error::new(Kind::Config, format!("{text:?} is no window: {why}")).with_hint(
                    "such as \"20:00-06:00 at most 200 Mbit/s\" or \"Mon-Fri 06:00-20:00 off\"",
                )
            })
        });
        Ok(Windows {
            windows: windows.collect::<Result<_>>()?,
            zone: zone.clone(),
        })
    }

    /// What holds at a moment, and until when.
    pub fn at(&self, now: Timestamp) -> Allowance {
        let rate = self.rate(now);
        let changes = self.boundaries(now);
        Allowance {
            rate,
            until: changes.into_iter().find(|then| self.rate(*then) != rate),
        }
    }

    fn rate(&self, at: Timestamp) -> Rate {
        let wall = self.zone.to_datetime(at);
        let mut holding = self.windows.iter().filter(|window| window.holds(wall));
        holding.next().map_or(Rate::Unlimited, |window| window.rate)
    }

    /// The moments after `now`, ascending, at which something may begin or end.
    fn boundaries(&self, now: Timestamp) -> Vec<Timestamp> {
        let today = self.zone.to_datetime(now).date();
        let mut moments = Vec::new();
        for ahead in 0..=DAYS_AHEAD {
            let Ok(day) = today.checked_add(Span::new().days(ahead)) else {
                break;
            };
            let times = self
                .windows
                .iter()
                .flat_map(|window| [window.from, window.to]);
            moments.extend(times.flat_map(|time| self.moments(day.to_datetime(time))));
        }
        let latest = moments.iter().max().copied().unwrap_or(now);
        // Where clocks are put forward or back, the wall says something else at once.
        let shifts = self.zone.following(now).map(|shift| shift.timestamp());
        moments.extend(shifts.take_while(|shift| *shift <= latest));
        moments.retain(|moment| *moment > now);
        moments.sort_unstable();
        moments
    }

    /// When a clock on the wall says this: once, twice, or behind the gap that swallowed it.
    fn moments(&self, wall: DateTime) -> Vec<Timestamp> {
        let ambiguous = self.zone.to_ambiguous_zoned(wall);
        let both = [ambiguous.clone().earlier(), ambiguous.later()];
        both.into_iter()
            .filter_map(|zoned| zoned.ok())
            .map(|zoned| zoned.timestamp())
            .collect()
    }
}

impl Window {
    fn holds(&self, wall: DateTime) -> bool {
        let (day, time) = (wall.date(), wall.time());
        let begins = |day: Date| self.days[weekday(day.weekday())];
        if self.from < self.to {
            return begins(day) && (self.from..self.to).contains(&time);
        }
        let yesterday = day.yesterday().unwrap_or(day);
        (begins(day) && time >= self.from) || (begins(yesterday) && time < self.to)
    }
}

fn weekday(day: Weekday) -> usize {
    // From 0 to 6, which every `usize` holds.
    day.to_monday_zero_offset() as usize
}

/// Reads one window; the error says what is wrong with it.
fn window(text: &str) -> std::result::Result<Window, String> {
    let text = text.trim();
    let (first, mut rest) = word(text);
    let mut days = [true; 7];
    let mut times = first;
    if !first.starts_with(|c: char| c.is_ascii_digit()) {
        days = self::days(first)?;
        (times, rest) = word(rest);
    }
    let (from, to) = split_range(times)
        .ok_or_else(|| format!("{times:?} is not two times with a hyphen between them"))?;
    let (from, to) = (time(from)?, time(to)?);
    Ok(Window {
        days,
        from,
        to,
        rate: rate(rest)?,
    })
}

/// The first word, and what follows it.
fn word(text: &str) -> (&str, &str) {
    let (first, rest) = text.split_once(char::is_whitespace).unwrap_or((text, ""));
    (first, rest.trim_start())
}

fn split_range(text: &str) -> Option<(&str, &str)> {
    text.split_once('-').or_else(|| text.split_once('–'))
}

fn days(text: &str) -> std::result::Result<[bool; 7], String> {
    let mut days = [false; 7];
    for part in text.split(',') {
        let (from, to) = split_range(part).unwrap_or((part, part));
        let (from, to) = (day(from)?, day(to)?);
        // A range may lead over the end of the week.
        let count = (to + 7 - from) % 7;
        for ahead in 0..=count {
            days[(from + ahead) % 7] = true;
        }
    }
    Ok(days)
}

fn day(text: &str) -> std::result::Result<usize, String> {
    const NAMES: [&str; 7] = ["mon", "tue", "wed", "thu", "fri", "sat", "sun"];
    let lower = text.to_lowercase();
    let found = NAMES.iter().position(|name| *name == lower);
    found.ok_or_else(|| format!("{text:?} is not one of Mon, Tue, Wed, Thu, Fri, Sat, Sun"))
}

fn time(text: &str) -> std::result::Result<Time, String> {
    // The end of a day is the beginning of the next one.
    if text == "24:00" {
        return Ok(Time::midnight());
    }
    let read = text.split_once(':').and_then(|(hour, minute)| {
        let is_minute = minute.len() == 2;
        let (hour, minute) = (hour.parse().ok()?, minute.parse().ok()?);
        Time::new(hour, minute, 0, 0).ok().filter(|_| is_minute)
    });
    read.ok_or_else(|| format!("{text:?} is not a time such as 20:00"))
}

fn rate(text: &str) -> std::result::Result<Rate, String> {
    let text = text.trim();
    let bare = text.strip_prefix("at most").unwrap_or(text).trim();
    match bare {
        "off" => return Ok(Rate::Off),
        "unlimited" => return Ok(Rate::Unlimited),
        "" => return Err("it does not say what holds in it".to_owned()),
        _ => {}
    }
    let refuse = || format!("{bare:?} is not a rate such as 200 Mbit/s, 25 MB/s, off or unlimited");
    let a_second = bare.strip_suffix("/s").ok_or_else(refuse)?.trim();
    if a_second.ends_with('b') {
        // Some mean bits by it and some bytes, and between them is a factor of eight.
        return Err(format!(
            "{bare:?} may mean bits or bytes: write Mbit/s or MB/s"
        ));
    }
    let bits = a_second.strip_suffix("bit");
    let bytes = match bits {
        // Read as a size, a kilobit is a kilobyte that is an eighth.
        Some(size) => format!("{size}B")
            .parse::<ByteSize>()
            .map(|size| size.bytes() / 8),
        None => a_second.parse::<ByteSize>().map(|size| size.bytes()),
    };
    match bytes {
        Ok(0) | Err(_) => Err(refuse()),
        Ok(bytes) => Ok(Rate::AtMost(bytes)),
    }
}
