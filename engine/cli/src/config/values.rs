//! Values of fields as TOML spells them.

use jiff::Timestamp;
use jiff::civil::Date;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use windlass_core::{Availability, Error, Kind, Result, Value};

/// When assets may be used.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(untagged, deny_unknown_fields)]
#[serde(expecting = "true, false, or a table with `from` and `to`")]
pub(crate) enum AvailabilityConfig {
    /// On or off.
    Direct(bool),
    /// Within a span of time; both ends as instants such as `2026-03-01T00:00:00Z`.
    Dated {
        /// First instant.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        #[schemars(with = "Option<String>")]
        from: Option<Timestamp>,
        /// Last instant, inclusive.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        #[schemars(with = "Option<String>")]
        to: Option<Timestamp>,
    },
}

impl From<&AvailabilityConfig> for Availability {
    fn from(config: &AvailabilityConfig) -> Self {
        match config {
            AvailabilityConfig::Direct(available) => Availability::Direct {
                available: *available,
            },
            AvailabilityConfig::Dated { from, to } => Availability::Dated {
                from: *from,
                to: *to,
            },
        }
    }
}

/// The value of a field as the configuration spells it; `key` names it in messages.
pub(crate) fn field_value(key: &str, value: &toml::Value) -> Result<Value> {
    let refuse = |why: &str| {
        Error::new(Kind::Config, format!("{key}: {why}")).with_hint(
            "write a text, a number, a date, true or false, a list of texts, or a table of texts by language",
        )
    };
    let text = |value: &toml::Value| value.as_str().map(str::to_owned);
    Ok(match value {
        toml::Value::String(text) => Value::Text(text.clone()),
        toml::Value::Integer(number) => Value::Number(*number),
        toml::Value::Float(number) if number.is_finite() => Value::Decimal(*number),
        toml::Value::Float(_) => return Err(refuse("a number must be finite")),
        toml::Value::Boolean(yes) => Value::Boolean(*yes),
        toml::Value::Datetime(at) => {
            let date = at.date.filter(|_| at.time.is_none());
            let date = date.ok_or_else(|| refuse("a date has no time, such as 2026-03-01"))?;
            let [year, month, day] = [
                i16::try_from(date.year),
                i8::try_from(date.month).map(i16::from),
                i8::try_from(date.day).map(i16::from),
            ]
            .map(|part| part.unwrap_or(-1));
            let date = Date::new(year, month as i8, day as i8)
                .map_err(|_| refuse("there is no such day"))?;
            Value::Date(date)
        }
        toml::Value::Array(list) => Value::Keywords(
            list.iter()
                .map(text)
                .collect::<Option<_>>()
                .ok_or_else(|| refuse("a list holds texts only"))?,
        ),
        toml::Value::Table(table) => Value::LocalizedText(
            table
                .iter()
                .map(|(locale, value)| Some((locale.clone(), text(value)?)))
                .collect::<Option<_>>()
                .ok_or_else(|| refuse("a table holds texts by language only"))?,
        ),
    })
}
