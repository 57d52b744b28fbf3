//! A licence decides: until when, and for which markets.

use serde::Deserialize;
use windlass_sdk::{Date, Host, Origin, Plugin, Release, RightsHook, Ruling, Value};

/// What the operator writes: which fields of the system that holds the assets say what.
#[derive(Deserialize)]
#[serde(deny_unknown_fields, default)]
struct MyPlugin {
    /// The last day of the licence.
    until: String,
    /// The markets that it covers.
    markets: String,
}

impl Default for MyPlugin {
    fn default() -> Self {
        MyPlugin {
            until: "licenceUntil".to_owned(),
            markets: "licenceMarkets".to_owned(),
        }
    }
}

impl Plugin for MyPlugin {
    const NAME: &'static str = env!("CARGO_PKG_NAME");
    const VERSION: &'static str = env!("CARGO_PKG_VERSION");
    const ASKS: &'static [Origin] = &[Origin::Source];

    fn configure(config: &str, granted: &[Origin], _host: &dyn Host) -> Result<Self, String> {
        if !granted.contains(&Origin::Source) {
            return Err("it reads fields of the source: grants = [\"source\"]".to_owned());
        }
        serde_json::from_str(config).map_err(|error| error.to_string())
    }
}

impl RightsHook for MyPlugin {
    fn decide(&self, release: &Release, _host: &dyn Host) -> Ruling {
        let stated = |field: &str| release.asset.stated(Origin::Source, field);
        // What is not known is not allowed.
        let Some(Value::Date(last)) = stated(&self.until) else {
            return Ruling::hold(format!("no day in {}", self.until), "licence's end");
        };
        let Some(Value::References(markets)) = stated(&self.markets) else {
            return Ruling::hold(
                format!("no markets in {}", self.markets),
                "licence's markets",
            );
        };
        let day = format!("{:04}-{:02}-{:02}", last.year, last.month, last.day);
        // Moments are text that sorts like time.
        if release
            .at
            .get(..10)
            .is_none_or(|today| today > day.as_str())
        {
            return Ruling::deny(format!("the licence ended on {day}"), "licence's end");
        }
        match &release.market {
            Some(market) if markets.contains(market) => {
                let reason = format!("licensed for {market} until {day}");
                Ruling::allow(reason, "licence").until(Some(day_after(*last)))
            }
            Some(market) => Ruling::deny(format!("not licensed for {market}"), "licence's markets"),
            None => Ruling::hold("no market is named", "licence's markets"),
        }
    }
}

/// The first moment of the day after, in UTC.
fn day_after(day: Date) -> String {
    let leap = (day.year % 4 == 0 && day.year % 100 != 0) || day.year % 400 == 0;
    let days = match day.month {
        4 | 6 | 9 | 11 => 30,
        2 if leap => 29,
        2 => 28,
        _ => 31,
    };
    let (year, month, day) = match (day.month, day.day) {
        (12, 31) => (day.year + 1, 1, 1),
        (month, last) if last >= days => (day.year, month + 1, 1),
        (month, other) => (day.year, month, other + 1),
    };
    format!("{year:04}-{month:02}-{day:02}T00:00:00Z")
}

windlass_sdk::plugin!(MyPlugin: rights);
