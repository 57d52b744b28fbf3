//! Times at which a flow runs, in cron's syntax and in a time zone: `0 20 * * 1-5 Europe/Vienna`.

use std::fmt;

use croner::Cron;
use croner::parser::{CronParser, Seconds, Year};
use jiff::Timestamp;
use jiff::tz::TimeZone;
use windlass_core::{Error, Kind, Result};

/// How many fields cron has: minute, hour, day, month, day of the week.
const FIELDS: usize = 5;

/// Times that come again and again.
#[derive(Clone)]
pub struct Schedule {
    text: String,
    cron: Cron,
    zone: TimeZone,
}

impl fmt::Debug for Schedule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Schedule({:?})", self.text)
    }
}

impl fmt::Display for Schedule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl Schedule {
    /// Reads five fields of cron and, behind them, the name of a time zone; `zone` where none is named.
    ///
    /// Errors: `Config` where it is no schedule, where there is no such zone, or where the time never comes.
    pub fn parse(text: &str, zone: &TimeZone) -> Result<Self> {
        let refuse = |why: String| {
            Err(Error::new(Kind::Config, format!("{text:?} is no schedule: {why}")).with_hint(
                "minute, hour, day, month, day of the week, then a time zone, such as \"0 20 * * 1-5 Europe/Vienna\"",
            ))
        };
        let words: Vec<&str> = text.split_whitespace().collect();
        let zone = match words.len() {
            FIELDS => zone.clone(),
            more if more == FIELDS + 1 => match TimeZone::get(words[FIELDS]) {
                Ok(zone) => zone,
                Err(_) => {
                    return refuse(format!("there is no time zone {:?}", words[FIELDS]));
                }
            },
            other => {
                return refuse(format!("it has {other} words, and five fields make a time"));
            }
        };
        let parser = CronParser::builder()
            .seconds(Seconds::Disallowed)
            .year(Year::Disallowed)
            .build();
        let cron = match parser.parse(&words[..FIELDS].join(" ")) {
            Ok(cron) => cron,
            Err(error) => return refuse(error.to_string()),
        };
        let schedule = Schedule {
            text: text.to_owned(),
            cron,
            zone,
        };
        match schedule.after(Timestamp::UNIX_EPOCH) {
            Some(_) => Ok(schedule),
            None => refuse("such a time never comes".to_owned()),
        }
    }

    /// The first such time after `now`; `None` when there is none any more.
    ///
    /// A time that a day does not have, because clocks are put forward, is the moment after the gap; one that a day
    /// has twice comes once.
    pub fn after(&self, now: Timestamp) -> Option<Timestamp> {
        let now = now.to_zoned(self.zone.clone());
        let next = self.cron.find_next_occurrence(&now, false).ok()?;
        Some(next.timestamp())
    }
}
