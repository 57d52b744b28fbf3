//! Values that sheets and files state, beside those that the path gives: who is believed first.

use serde::Deserialize;
use windlass_sdk::{AssetView, Localized, Origin, Value};

use crate::config::{FieldConfig, Kind};
use crate::values;

/// Who may give a field its value.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
pub enum Trusted {
    /// A row of the flow's sheet.
    Sheet,
    /// The path: the field's `value`.
    Path,
    /// The XMP file beside the asset.
    Sidecar,
    /// XMP, IPTC or EXIF in the file.
    Embedded,
}

/// Who is believed first if nothing else is configured.
pub const TRUST: [Trusted; 4] = [
    Trusted::Sheet,
    Trusted::Path,
    Trusted::Sidecar,
    Trusted::Embedded,
];

impl Trusted {
    /// The origin of its statements; the path has none.
    pub fn origin(self) -> Option<Origin> {
        match self {
            Trusted::Sheet => Some(Origin::Sheet),
            Trusted::Path => None,
            Trusted::Sidecar => Some(Origin::Sidecar),
            Trusted::Embedded => Some(Origin::Embedded),
        }
    }

    /// The property that it states for a field, and how a rule names it.
    pub fn property(self, field: &FieldConfig) -> Option<(&str, String)> {
        let (name, what) = match self {
            Trusted::Sheet => (field.sheet.as_deref()?, "sheet, column"),
            Trusted::Path => return None,
            Trusted::Sidecar => (field.sidecar.as_deref()?, "XMP beside it,"),
            Trusted::Embedded => (field.embedded.as_deref()?, "embedded"),
        };
        Some((name, format!("{what} {name}")))
    }
}

/// What is stated as the value of a field: `None` if nothing is, an error that ends "… is no date" if it is of
/// no use.
pub fn value(
    field: &FieldConfig,
    asset: &AssetView,
    origin: Origin,
    name: &str,
) -> Result<Option<Value>, String> {
    let Some(stated) = asset.stated(origin, name) else {
        return Ok(None);
    };
    match (field.kind, stated) {
        (Kind::Number, Value::Number(_))
        | (Kind::Decimal, Value::Decimal(_))
        | (Kind::Date, Value::Date(_))
        | (Kind::Boolean, Value::Boolean(_)) => return Ok(Some(stated.clone())),
        (Kind::LocalizedText, Value::LocalizedText(all)) => {
            let locale = field.locale.as_deref().unwrap_or_default();
            return Ok(in_language(all, locale).map(|text| {
                Value::LocalizedText(vec![Localized {
                    locale: locale.to_owned(),
                    text: text.to_owned(),
                }])
            }));
        }
        _ => {}
    }
    let texts = texts(stated, field);
    values::value(field, &texts).map_err(|wanted| format!("{:?} is not {wanted}", texts.concat()))
}

/// A stated value as the texts that a pattern would give.
fn texts(stated: &Value, field: &FieldConfig) -> Vec<String> {
    let is_list = matches!(field.kind, Kind::Keywords | Kind::References);
    match stated {
        Value::Text(text) => vec![text.clone()],
        Value::Number(number) => vec![number.to_string()],
        Value::Decimal(number) => vec![number.to_string()],
        Value::Boolean(yes) => vec![yes.to_string()],
        Value::Date(day) => {
            let (year, month, day) = (day.year, day.month, day.day);
            vec![format!("{year:04}-{month:02}-{day:02}")]
        }
        Value::Keywords(list) | Value::References(list) if is_list => list.clone(),
        Value::Keywords(list) | Value::References(list) => vec![list.join(", ")],
        Value::LocalizedText(all) => in_language(all, "")
            .map(str::to_owned)
            .into_iter()
            .collect(),
    }
}

/// The text in a language, else the one that is meant for all, else the first.
fn in_language<'a>(all: &'a [Localized], locale: &str) -> Option<&'a str> {
    let is = |wanted: &str| {
        let mut texts = all.iter();
        texts.find(|text| text.locale.eq_ignore_ascii_case(wanted))
    };
    let found = is(locale).or_else(|| is("x-default")).or(all.first());
    found.map(|text| text.text.as_str())
}
