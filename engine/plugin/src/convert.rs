//! Between the guest's words and the core's: views in, verdicts out.
//!
//! A guest's answer is checked here, value by value. What is nonsense about one asset (a thirtieth of
//! February, NaN, a field assigned twice) holds that asset and no other.

use std::collections::{BTreeMap, BTreeSet};

use windlass_core::{AssetPath, AssetView, Assigned, Finding, Mapping, Value, Verdict};

use crate::bindings::exports::windlass::hooks::metadata as answer;
use crate::bindings::windlass::hooks::types as wit;
use crate::guest::{is_failure, one_line};

/// Bytes of a reason, rule, subject or message that are kept. A sentence has 200.
const TEXT_BYTES_MAX: usize = 1_000;

/// Findings on one asset that are kept; one more says how many were not.
const FINDINGS_MAX: usize = 64;

/// A core view in the guest's words.
pub(crate) fn view(asset: &AssetView) -> wit::AssetView {
    wit::AssetView {
        id: asset.id.as_str().to_owned(),
        path: asset.path.as_str().to_owned(),
        revision: asset.revision.as_str().to_owned(),
        size: asset.size,
        modified: asset.modified.map(|instant| instant.to_string()),
        tags: asset.tags.clone(),
        content_hash: asset.content_hash.map(|hash| hash.to_string()),
    }
}

/// A guest's verdict in the core's words; a hold that names the nonsense if there is any.
pub(crate) fn verdict(given: answer::Verdict) -> Verdict<Mapping> {
    match given {
        answer::Verdict::Ready(given) => mapping(given).map_or_else(
            |problem| Verdict::Held {
                reason: format!("the plugin answered nonsense: {problem}"),
                rule: "contract: values".to_owned(),
            },
            Verdict::Ready,
        ),
        answer::Verdict::Hold(hold) => {
            let rule = one_line(&hold.rule, TEXT_BYTES_MAX);
            let reason = match hold.reason.trim() {
                "" => "the plugin gave no reason",
                reason => reason,
            };
            Verdict::Held {
                reason: one_line(reason, TEXT_BYTES_MAX),
                // A guest does not speak in the host's words.
                rule: match is_failure(&rule) {
                    true => format!("rule {rule}"),
                    false => rule,
                },
            }
        }
    }
}

fn mapping(given: answer::Mapping) -> Result<Mapping, String> {
    let mut seen = BTreeSet::new();
    let mut fields = Vec::with_capacity(given.fields.len());
    for field in given.fields {
        if field.field.trim().is_empty() {
            return Err("a field without a name".to_owned());
        }
        if !seen.insert(field.field.clone()) {
            return Err(format!("field {:?} assigned twice", field.field));
        }
        let value = value(field.value).map_err(|why| format!("field {:?} {why}", field.field))?;
        let rule = one_line(&field.rule, TEXT_BYTES_MAX);
        fields.push(Assigned {
            field: field.field,
            value,
            rule,
        });
    }
    Ok(Mapping {
        fields,
        asset_type: name("asset type", given.asset_type)?,
        collection: given.collection.map(|path| collection(&path)).transpose()?,
        name: name("name", given.name)?,
        findings: findings(given.findings),
    })
}

fn value(given: wit::Value) -> Result<Value, String> {
    Ok(match given {
        wit::Value::Text(text) => Value::Text(text),
        wit::Value::LocalizedText(all) => {
            let mut texts = BTreeMap::new();
            for wit::Localized { locale, text } in all {
                if locale.trim().is_empty() {
                    return Err("has a text without a locale".to_owned());
                }
                if texts.insert(locale.clone(), text).is_some() {
                    return Err(format!("has two texts for the locale {locale:?}"));
                }
            }
            Value::LocalizedText(texts)
        }
        wit::Value::Number(number) => Value::Number(number),
        wit::Value::Decimal(number) if number.is_finite() => Value::Decimal(number),
        wit::Value::Decimal(number) => return Err(format!("is {number}, which is no number")),
        wit::Value::Date(date) => Value::Date(day(date)?),
        wit::Value::Boolean(yes) => Value::Boolean(yes),
        wit::Value::Keywords(list) => Value::Keywords(entries(list)?),
        wit::Value::References(list) => Value::References(entries(list)?),
    })
}

fn day(date: wit::Date) -> Result<jiff::civil::Date, String> {
    let wit::Date { year, month, day } = date;
    let checked = || {
        let year = i16::try_from(year)
            .ok()
            .filter(|year| (1..=9999).contains(year))?;
        let (month, day) = (i8::try_from(month).ok()?, i8::try_from(day).ok()?);
        jiff::civil::Date::new(year, month, day).ok()
    };
    checked().ok_or_else(|| format!("is {year}-{month:02}-{day:02}, which is no day"))
}

fn entries(list: Vec<String>) -> Result<Vec<String>, String> {
    match list.iter().any(|entry| entry.trim().is_empty()) {
        true => Err("has an empty entry".to_owned()),
        false => Ok(list),
    }
}

fn name(what: &str, given: Option<String>) -> Result<Option<String>, String> {
    match given {
        Some(text) if text.trim().is_empty() => Err(format!("an empty {what}")),
        Some(text) if text.chars().any(char::is_control) => {
            Err(format!("a control character in the {what} {text:?}"))
        }
        other => Ok(other),
    }
}

fn collection(text: &str) -> Result<AssetPath, String> {
    let bad = |segment: &str| {
        segment.trim().is_empty()
            || matches!(segment, "." | "..")
            || segment.chars().any(char::is_control)
    };
    let Some(names) = text.strip_prefix('/') else {
        return Err(format!("the collection {text:?} is not absolute"));
    };
    match names.split('/').find(|segment| bad(segment)) {
        Some(segment) => Err(format!("the collection {text:?} has a part {segment:?}")),
        None => Ok(AssetPath::new(text)),
    }
}

fn findings(given: Vec<wit::Finding>) -> Vec<Finding> {
    let surplus = given.len().saturating_sub(FINDINGS_MAX);
    let keep = |finding: wit::Finding| Finding {
        subject: one_line(&finding.subject, TEXT_BYTES_MAX),
        message: one_line(&finding.message, TEXT_BYTES_MAX),
    };
    let mut findings: Vec<Finding> = given.into_iter().take(FINDINGS_MAX).map(keep).collect();
    if surplus > 0 {
        findings.push(Finding {
            subject: "plugin".to_owned(),
            message: format!("{surplus} further findings on this asset were left out"),
        });
    }
    findings
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_guest_holds_with_a_reason_and_not_in_the_words_of_the_host() {
        let hold = wit::Hold {
            reason: " ".to_owned(),
            rule: "codes".to_owned(),
        };
        let held = Verdict::Held {
            reason: "the plugin gave no reason".to_owned(),
            rule: "codes".to_owned(),
        };
        assert_eq!(verdict(answer::Verdict::Hold(hold)), held);
        for (stated, kept) in [
            ("codes", "codes"),
            ("limit: work", "rule limit: work"),
            ("contract: values", "rule contract: values"),
            ("plugin trapped", "rule plugin trapped"),
        ] {
            let hold = wit::Hold {
                reason: "why".to_owned(),
                rule: stated.to_owned(),
            };
            let held = Verdict::Held {
                reason: "why".to_owned(),
                rule: kept.to_owned(),
            };
            assert_eq!(verdict(answer::Verdict::Hold(hold)), held);
        }
    }
}
