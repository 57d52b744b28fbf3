//! Days and moments: how they are read, when a day begins and ends.
//!
//! A day without a zone is one of the operator's zone. It begins at its first moment there, which need not be 00:00
//! where clocks change at midnight, and ends where the next one begins.

use jiff::Timestamp;
use jiff::civil::{Date, Time};
use jiff::tz::{TimeZone, TimeZoneDatabase};
use windlass_sdk::Value;

/// A zone, and how days are written.
#[derive(Debug)]
pub struct Calendar {
    zone: TimeZone,
    formats: Vec<String>,
}

/// What a field says about time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum When {
    /// A day in the operator's zone.
    Day(Date),
    /// A moment.
    Moment(Timestamp),
}

impl Calendar {
    /// A calendar by the zone's IANA name. The error is half a sentence: "there is no …".
    pub fn new(zone: &str, formats: &[String]) -> Result<Self, String> {
        let found = TimeZoneDatabase::bundled().get(zone);
        let zone = found.map_err(|_| {
            format!("there is no time zone {zone:?}; write an IANA name such as \"Europe/Berlin\"")
        })?;
        let formats = formats.to_vec();
        Ok(Calendar { zone, formats })
    }

    /// Reads a value. `None`: it is neither a day nor a moment with its offset.
    pub fn read(&self, value: &Value) -> Option<When> {
        match value {
            Value::Date(day) => {
                let year = i16::try_from(day.year).ok().filter(|year| *year >= 1)?;
                let (month, day) = (i8::try_from(day.month).ok()?, i8::try_from(day.day).ok()?);
                Date::new(year, month, day).ok().map(When::Day)
            }
            Value::Text(text) => self.read_text(text),
            // Several languages may write the day each in its own way, but must mean the same.
            Value::LocalizedText(texts) => {
                let texts = texts.iter().map(|localized| localized.text.trim());
                let mut days = texts
                    .filter(|text| !text.is_empty())
                    .map(|text| self.read_text(text));
                let first = days.next()??;
                days.all(|day| day == Some(first)).then_some(first)
            }
            _ => None,
        }
    }

    fn read_text(&self, text: &str) -> Option<When> {
        let text = text.trim();
        let day = self
            .formats
            .iter()
            .find_map(|format| day_along(text, format));
        day.map(When::Day)
            .or_else(|| moment(text).map(When::Moment))
    }

    /// The first moment of it; `None` if that is beyond all time, which ends with the year 9999.
    pub fn begin(&self, when: When) -> Option<Timestamp> {
        match when {
            When::Day(day) => self.first_moment(day),
            When::Moment(moment) => Some(moment),
        }
    }

    /// The first moment after it; `None` as for [`Calendar::begin`].
    pub fn end(&self, when: When) -> Option<Timestamp> {
        match when {
            When::Day(day) => day.tomorrow().ok().and_then(|next| self.first_moment(next)),
            When::Moment(moment) => Some(moment),
        }
    }

    fn first_moment(&self, day: Date) -> Option<Timestamp> {
        self.zone
            .to_timestamp(day.to_datetime(Time::midnight()))
            .ok()
    }
}

impl std::fmt::Display for When {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            When::Day(day) => day.fmt(f),
            When::Moment(moment) => moment.fmt(f),
        }
    }
}

/// Half a sentence if a format does not say the whole day.
pub(crate) fn check_format(format: &str) -> Result<(), String> {
    for token in ["YYYY", "MM", "DD"] {
        if format.matches(token).count() != 1 {
            return Err(format!("the format {format:?} needs {token} once"));
        }
    }
    Ok(())
}

fn day_along(text: &str, format: &str) -> Option<Date> {
    let (mut year, mut month, mut day) = (0i16, 0i8, 0i8);
    let (mut text, mut format) = (text, format);
    while let Some(first) = format.chars().next() {
        let token = ["YYYY", "MM", "DD"]
            .into_iter()
            .find(|token| format.starts_with(token));
        let Some(token) = token else {
            text = text.strip_prefix(first)?;
            format = &format[first.len_utf8()..];
            continue;
        };
        let digits = text.get(..token.len())?;
        if !digits.bytes().all(|byte| byte.is_ascii_digit()) {
            return None;
        }
        match token {
            "YYYY" => year = digits.parse().ok()?,
            "MM" => month = digits.parse().ok()?,
            _ => day = digits.parse().ok()?,
        }
        (text, format) = (&text[token.len()..], &format[token.len()..]);
    }
    let date = Date::new(year, month, day).ok()?;
    (text.is_empty() && year >= 1).then_some(date)
}

/// An RFC 3339 moment. jiff reads more than that, such as years with a sign and zones in brackets.
fn moment(text: &str) -> Option<Timestamp> {
    let plain = text.len() <= 40
        && text
            .get(..10)
            .is_some_and(|day| day_along(day, "YYYY-MM-DD").is_some())
        && matches!(text.as_bytes().get(10), Some(b'T' | b't'))
        && !text.contains('[');
    text.parse().ok().filter(|_| plain)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn berlin() -> Calendar {
        let formats = ["YYYY-MM-DD", "DD.MM.YYYY"].map(str::to_owned);
        Calendar::new("Europe/Berlin", &formats).unwrap()
    }

    fn text(text: &str) -> Value {
        Value::Text(text.to_owned())
    }

    fn edges(zone: &str, day: &str) -> (Option<String>, Option<String>) {
        let calendar = Calendar::new(zone, &["YYYY-MM-DD".to_owned()]).unwrap();
        let day = calendar.read(&text(day)).unwrap();
        let shown = |edge: Option<Timestamp>| edge.map(|edge| edge.to_string());
        (shown(calendar.begin(day)), shown(calendar.end(day)))
    }

    fn between(begin: &str, end: &str) -> (Option<String>, Option<String>) {
        (Some(begin.to_owned()), Some(end.to_owned()))
    }

    #[test]
    fn a_day_lasts_from_midnight_to_midnight_of_its_zone() {
        let winter = between("2026-12-30T23:00:00Z", "2026-12-31T23:00:00Z");
        assert_eq!(edges("Europe/Berlin", "2026-12-31"), winter);
        let summer = between("2026-06-30T22:00:00Z", "2026-07-01T22:00:00Z");
        assert_eq!(edges("Europe/Berlin", "2026-07-01"), summer);
    }

    #[test]
    fn a_day_on_which_clocks_change_has_23_or_25_hours() {
        let short = between("2026-03-28T23:00:00Z", "2026-03-29T22:00:00Z");
        assert_eq!(edges("Europe/Berlin", "2026-03-29"), short);
        let long = between("2026-10-24T22:00:00Z", "2026-10-25T23:00:00Z");
        assert_eq!(edges("Europe/Berlin", "2026-10-25"), long);
    }

    #[test]
    fn a_day_without_a_midnight_begins_with_its_first_moment() {
        // Cairo's clocks go from 00:00 to 01:00, Havana's from 01:00 back to 00:00.
        let missing = between("2024-04-25T22:00:00Z", "2024-04-26T21:00:00Z");
        assert_eq!(edges("Africa/Cairo", "2024-04-26"), missing);
        let twice = between("2024-11-03T04:00:00Z", "2024-11-04T05:00:00Z");
        assert_eq!(edges("America/Havana", "2024-11-03"), twice);
    }

    #[test]
    fn a_day_that_a_zone_skipped_is_empty() {
        let skipped = between("2011-12-30T10:00:00Z", "2011-12-30T10:00:00Z");
        let (begin, _) = edges("Pacific/Apia", "2011-12-30");
        let (_, before) = edges("Pacific/Apia", "2011-12-29");
        assert_eq!((begin, before), skipped);
    }

    #[test]
    fn the_first_and_the_last_year_have_days() {
        let first = between("0001-01-01T00:00:00Z", "0001-01-02T00:00:00Z");
        assert_eq!(edges("UTC", "0001-01-01"), first);
        assert_eq!(edges("UTC", "9999-12-31"), (None, None));
        let (begin, end) = edges("UTC", "9999-12-30");
        assert_eq!(begin.as_deref(), Some("9999-12-30T00:00:00Z"));
        assert_eq!(end, None);
    }

    #[test]
    fn days_are_read_along_the_formats_and_must_exist() {
        let day = |year, month, day| Some(When::Day(Date::constant(year, month, day)));
        let read = |written: &str| berlin().read(&text(written));
        assert_eq!(read(" 2024-02-29 "), day(2024, 2, 29));
        assert_eq!(read("31.12.2026"), day(2026, 12, 31));
        for none in [
            "2025-02-29",
            "2026",
            "0000-01-01",
            "2026-1-1",
            "2026-01-01x",
            "20é6-01-01",
        ] {
            assert_eq!(read(none), None, "{none}");
        }
    }

    #[test]
    fn a_moment_needs_its_offset_and_no_more() {
        let read = |written: &str| berlin().read(&text(written));
        let noon = When::Moment("2026-12-31T11:00:00Z".parse().unwrap());
        assert_eq!(read("2026-12-31T12:00:00+01:00"), Some(noon));
        assert_eq!(read("2026-12-31T11:00:00Z"), Some(noon));
        for none in [
            "2026-12-31T12:00:00",
            "2026-12-31T11:00:00Z[Europe/Berlin]",
            "-000001-12-31T11:00:00Z",
            "12:00",
        ] {
            assert_eq!(read(none), None, "{none}");
        }
    }

    #[test]
    fn languages_must_mean_the_same_day_and_other_values_are_none() {
        let localized = |texts: &[(&str, &str)]| {
            let texts = texts.iter().map(|(locale, text)| windlass_sdk::Localized {
                locale: (*locale).to_owned(),
                text: (*text).to_owned(),
            });
            berlin().read(&Value::LocalizedText(texts.collect()))
        };
        let day = Some(When::Day(Date::constant(2026, 12, 31)));
        assert_eq!(
            localized(&[("en", "2026-12-31"), ("de", "31.12.2026"), ("fr", "")]),
            day
        );
        assert_eq!(
            localized(&[("en", "2026-12-31"), ("de", "30.12.2026")]),
            None
        );
        assert_eq!(localized(&[]), None);
        assert_eq!(berlin().read(&Value::Number(2026)), None);
        assert_eq!(berlin().read(&Value::Boolean(true)), None);
    }

    #[test]
    fn an_unknown_zone_is_refused_with_an_example() {
        let error = Calendar::new("Europe/Berlm", &[]).unwrap_err();
        assert!(
            error.contains("\"Europe/Berlm\"") && error.contains("Europe/Berlin"),
            "{error}"
        );
    }
}
