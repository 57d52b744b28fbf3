//! What cases ask, what came, and values as cases write them.

use windlass_core::{
    AssetView, Availability, Hooks, Mapping, Market, Release, Result, Routing, Ruling, Value,
    Verdict,
};

use crate::Plugin;

/// What all cases of a file ask, in order.
pub(crate) enum Questions {
    Describe(Vec<AssetView>),
    Decide(Vec<Release>),
    Route(Vec<AssetView>, Vec<Market>),
}

/// What came for one case.
pub(super) enum Answer {
    Mapping(Verdict<Mapping>),
    Ruling(Ruling),
    Routing(Verdict<Routing>),
}

/// Asks a plugin.
pub(super) async fn ask(plugin: &Plugin, questions: &Questions) -> Result<Vec<Answer>> {
    Ok(match questions {
        Questions::Describe(assets) => {
            let verdicts = plugin.describe(assets).await?;
            verdicts.into_iter().map(Answer::Mapping).collect()
        }
        Questions::Decide(releases) => {
            let rulings = plugin.decide(releases).await?;
            rulings.into_iter().map(Answer::Ruling).collect()
        }
        Questions::Route(assets, markets) => {
            let routed = plugin.route(assets, markets).await?;
            routed.into_iter().map(Answer::Routing).collect()
        }
    })
}

impl Answer {
    /// Whether it is a plugin's failure, and not its opinion.
    pub(super) fn is_failure(&self) -> bool {
        crate::guest::is_failure(match self {
            Answer::Mapping(Verdict::Held { rule, .. })
            | Answer::Routing(Verdict::Held { rule, .. }) => rule,
            Answer::Ruling(ruling) => &ruling.rule,
            Answer::Mapping(Verdict::Ready(_)) | Answer::Routing(Verdict::Ready(_)) => "",
        })
    }
}

/// A value as a case writes it.
pub(super) fn plain(value: &Value) -> toml::Value {
    let texts = |list: &[String]| list.iter().cloned().map(toml::Value::String).collect();
    match value {
        Value::Text(text) => toml::Value::String(text.clone()),
        Value::LocalizedText(all) => {
            let texts = all.iter();
            let texts = texts.map(|(locale, text)| (locale.clone(), text.clone().into()));
            named("localized", toml::Value::Table(texts.collect()))
        }
        Value::Number(number) => toml::Value::Integer(*number),
        Value::Decimal(number) => toml::Value::Float(*number),
        Value::Date(date) => toml::Value::String(date.to_string()),
        Value::Boolean(yes) => toml::Value::Boolean(*yes),
        Value::Keywords(list) => named("keywords", toml::Value::Array(texts(list))),
        Value::References(list) => named("references", toml::Value::Array(texts(list))),
    }
}

/// A value that a case states about an asset. A day is one of TOML's own: text may look like one.
pub(super) fn read_value(written: &toml::Value) -> Result<Value, String> {
    let no_value = || {
        "is no value: write a text, a number, a day, true or false, or one of { keywords = […] }, \
         { references = […] }, { localized = { de = \"…\" } }"
            .to_owned()
    };
    Ok(match written {
        toml::Value::String(text) => Value::Text(text.clone()),
        toml::Value::Integer(number) => Value::Number(*number),
        toml::Value::Float(number) if number.is_finite() => Value::Decimal(*number),
        toml::Value::Boolean(yes) => Value::Boolean(*yes),
        toml::Value::Datetime(day) => Value::Date(day.to_string().parse().map_err(|_| no_value())?),
        toml::Value::Table(table) if table.len() == 1 => {
            let (kind, inner) = table.iter().next().ok_or_else(no_value)?;
            let inner = inner.clone();
            match kind.as_str() {
                "keywords" => Value::Keywords(inner.try_into().map_err(|_| no_value())?),
                "references" => Value::References(inner.try_into().map_err(|_| no_value())?),
                "localized" => Value::LocalizedText(inner.try_into().map_err(|_| no_value())?),
                _ => return Err(no_value()),
            }
        }
        _ => return Err(no_value()),
    })
}

/// An availability as a case writes it.
pub(super) fn plain_availability(availability: &Availability) -> toml::Value {
    match availability {
        Availability::Direct { available } => toml::Value::Boolean(*available),
        Availability::Dated { from, to } => {
            let sides = [("from", from), ("until", to)].into_iter();
            let sides = sides.filter_map(|(side, moment)| {
                let moment = moment.as_ref()?.to_string();
                Some((side.to_owned(), toml::Value::String(moment)))
            });
            toml::Value::Table(sides.collect())
        }
    }
}

fn named(name: &str, value: toml::Value) -> toml::Value {
    toml::Value::Table(toml::Table::from_iter([(name.to_owned(), value)]))
}
