//! Between the guest's words and the core's: views in, verdicts out.
//!
//! A guest's answer is checked here, value by value. What is nonsense about one asset (a thirtieth of
//! February, NaN, a field assigned twice, a market that there is not) holds that asset and no other.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use windlass_core::{
    Appearance, AssetPath, AssetView, Assigned, Availability, Decision, Finding, Mapping, Market,
    Origin, Release, Routing, Ruling, Statement, Value, Verdict, preflight_name,
};

use super::bindings::exports::windlass::hooks::{localization, metadata, rights};
use super::bindings::windlass::hooks::types as wit;
use crate::guest::{Granted, is_failure, one_line};

/// Bytes of a reason, rule, subject or message that are kept. A sentence has 200.
const TEXT_BYTES_MAX: usize = 1_000;

/// UTF-16 units of a file name, as most file systems and services have it.
const FILE_NAME_UNITS_MAX: usize = 255;

/// Findings on one asset that are kept; one more says how many were not.
const FINDINGS_MAX: usize = 64;

/// A core view in the guest's words, with the statements that it is granted.
pub(crate) fn view(asset: &AssetView, is_granted: Granted) -> wit::AssetView {
    let granted = asset.statements.iter();
    let granted = granted.filter(|statement| is_granted.has(statement.origin));
    wit::AssetView {
        id: asset.id.as_str().to_owned(),
        path: asset.path.as_str().to_owned(),
        revision: asset.revision.as_str().to_owned(),
        size: asset.size,
        modified: asset.modified.map(|instant| instant.to_string()),
        tags: asset.tags.clone(),
        content_hash: asset.content_hash.map(|hash| hash.to_string()),
        asset_type: asset.asset_type.clone(),
        statements: granted.map(statement).collect(),
    }
}

fn statement(stated: &Statement) -> wit::Statement {
    wit::Statement {
        origin: granted(stated.origin),
        name: stated.name.clone(),
        value: shown(&stated.value),
    }
}

fn shown(value: &Value) -> wit::Value {
    match value {
        Value::Text(text) => wit::Value::Text(text.clone()),
        Value::LocalizedText(all) => {
            let all = all.iter().map(|(locale, text)| wit::Localized {
                locale: locale.clone(),
                text: text.clone(),
            });
            wit::Value::LocalizedText(all.collect())
        }
        Value::Number(number) => wit::Value::Number(*number),
        Value::Decimal(number) => wit::Value::Decimal(*number),
        Value::Date(day) => wit::Value::Date(wit::Date {
            year: day.year().into(),
            month: day.month().unsigned_abs(),
            day: day.day().unsigned_abs(),
        }),
        Value::Boolean(yes) => wit::Value::Boolean(*yes),
        Value::Keywords(list) => wit::Value::Keywords(list.clone()),
        Value::References(list) => wit::Value::References(list.clone()),
    }
}

pub(crate) fn granted(origin: Origin) -> wit::Origin {
    match origin {
        Origin::Source => wit::Origin::Source,
        Origin::Sheet => wit::Origin::Sheet,
        Origin::Sidecar => wit::Origin::Sidecar,
        Origin::Embedded => wit::Origin::Embedded,
    }
}

pub(crate) fn asked(origin: wit::Origin) -> Origin {
    match origin {
        wit::Origin::Source => Origin::Source,
        wit::Origin::Sheet => Origin::Sheet,
        wit::Origin::Sidecar => Origin::Sidecar,
        wit::Origin::Embedded => Origin::Embedded,
    }
}

pub(crate) fn release(release: &Release, is_granted: Granted) -> rights::Release {
    rights::Release {
        asset: view(&release.asset, is_granted),
        audience: release.audience.clone(),
        market: release.market.clone(),
        channel: release.channel.clone(),
        at: release.at.to_string(),
    }
}

pub(crate) fn market(market: &Market) -> localization::Market {
    localization::Market {
        code: market.code.clone(),
        languages: market.languages.clone(),
        channels: market.channels.clone(),
    }
}

/// A guest's verdict in the core's words; a hold that names the nonsense if there is any.
pub(crate) fn verdict(given: metadata::Verdict) -> Verdict<Mapping> {
    match given {
        metadata::Verdict::Ready(given) => mapping(given).map_or_else(nonsense, Verdict::Ready),
        metadata::Verdict::Hold(given) => hold(&given),
    }
}

/// As [`verdict`]. Whatever is not an `allow` in so many words is none.
pub(crate) fn ruling(given: rights::Ruling, at: Timestamp) -> Ruling {
    let until = given.until.map(|text| instant(&text)).transpose();
    let until = until.and_then(|until| match until {
        Some(until) if until <= at => Err(format!("it stands until {until}, which is over")),
        until => Ok(until),
    });
    let until = match until {
        Ok(until) => until,
        Err(problem) => return Ruling::held(said_nonsense(&problem), VALUES_RULE),
    };
    let (reason, rule) = in_own_words(&given.reason, &given.rule);
    Ruling {
        decision: match given.decision {
            rights::Decision::Allow => Decision::Allow,
            rights::Decision::Hold => Decision::Hold,
            rights::Decision::Deny => Decision::Deny,
        },
        until,
        reason,
        rule,
        findings: findings(given.findings),
    }
}

/// As [`verdict`], against the market table that the guest was given.
pub(crate) fn routed(given: localization::Routed, markets: &[Market]) -> Verdict<Routing> {
    match given {
        localization::Routed::Ready(given) => {
            routing(given, markets).map_or_else(nonsense, Verdict::Ready)
        }
        localization::Routed::Hold(given) => hold(&given),
    }
}

const VALUES_RULE: &str = "contract: values";

fn said_nonsense(problem: &str) -> String {
    format!("the plugin answered nonsense: {problem}")
}

fn nonsense<T>(problem: String) -> Verdict<T> {
    Verdict::Held {
        reason: said_nonsense(&problem),
        rule: VALUES_RULE.to_owned(),
    }
}

fn hold<T>(given: &wit::Hold) -> Verdict<T> {
    let (reason, rule) = in_own_words(&given.reason, &given.rule);
    Verdict::Held { reason, rule }
}

/// A reason and a rule as they are shown: never without a reason, and never in the host's own words.
fn in_own_words(reason: &str, rule: &str) -> (String, String) {
    let rule = one_line(rule, TEXT_BYTES_MAX);
    let reason = match reason.trim() {
        "" => "the plugin gave no reason",
        reason => reason,
    };
    let rule = match is_failure(&rule) {
        true => format!("rule {rule}"),
        false => rule,
    };
    (one_line(reason, TEXT_BYTES_MAX), rule)
}

fn instant(text: &str) -> Result<Timestamp, String> {
    let parsed = text.parse().ok().filter(|_| text.ends_with('Z'));
    parsed.ok_or_else(|| format!("{text:?} is no moment in UTC, such as 2026-11-23T10:46:13Z"))
}

fn routing(given: localization::Routing, markets: &[Market]) -> Result<Routing, String> {
    let mut appearances = Vec::with_capacity(given.placements.len());
    for placement in given.placements {
        appearances.push(appearance(placement, markets)?);
    }
    Ok(Routing {
        appearances,
        findings: findings(given.findings),
    })
}

fn appearance(given: localization::Placement, markets: &[Market]) -> Result<Appearance, String> {
    let (code, language, channel) = (&given.market, &given.language, &given.channel);
    let market = markets.iter().find(|market| market.code == *code);
    let market = market.ok_or_else(|| format!("there is no market {code:?}"))?;
    if !market.languages.contains(language) {
        return Err(format!("market {code:?} has no language {language:?}"));
    }
    if !market.channels.contains(channel) {
        return Err(format!("market {code:?} has no channel {channel:?}"));
    }
    preflight_name(&given.file_name, FILE_NAME_UNITS_MAX)
        .map_err(|problem| format!("the file name {:?}: {problem}", given.file_name))?;
    if given.piece.trim().is_empty() {
        return Err("a placement of no piece".to_owned());
    }
    Ok(Appearance {
        folder: folder(&given.folder)?,
        rendition: name("rendition", given.rendition)?,
        market: given.market,
        language: given.language,
        channel: given.channel,
        file_name: given.file_name,
        piece: given.piece,
        fallback: given.fallback,
        rule: one_line(&given.rule, TEXT_BYTES_MAX),
    })
}

fn folder(text: &str) -> Result<AssetPath, String> {
    match text {
        "/" => Ok(AssetPath::new("/")),
        below => absolute("folder", below),
    }
}

fn mapping(given: metadata::Mapping) -> Result<Mapping, String> {
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
        collection: given
            .collection
            .map(|path| absolute("collection", &path))
            .transpose()?,
        name: name("name", given.name)?,
        // A source knows what its files are called.
        file_name: None,
        availability: given.availability.map(availability).transpose()?,
        findings: findings(given.findings),
    })
}

fn availability(given: metadata::Availability) -> Result<Availability, String> {
    let span = match given {
        metadata::Availability::Direct(available) => {
            return Ok(Availability::Direct { available });
        }
        metadata::Availability::Dated(span) => span,
    };
    let side = |text: Option<String>| text.map(|text| instant(&text)).transpose();
    let (from, to) = (side(span.from)?, side(span.until)?);
    if let (Some(from), Some(to)) = (from, to)
        && from > to
    {
        return Err(format!("an availability that ends at {to}, before {from}"));
    }
    Ok(Availability::Dated { from, to })
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

fn absolute(what: &str, text: &str) -> Result<AssetPath, String> {
    let bad = |segment: &str| {
        segment.trim().is_empty()
            || matches!(segment, "." | "..")
            || segment.chars().any(char::is_control)
    };
    let Some(names) = text.strip_prefix('/') else {
        return Err(format!("the {what} {text:?} is not absolute"));
    };
    match names.split('/').find(|segment| bad(segment)) {
        Some(segment) => Err(format!("the {what} {text:?} has a part {segment:?}")),
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
        assert_eq!(verdict(metadata::Verdict::Hold(hold)), held);
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
            assert_eq!(verdict(metadata::Verdict::Hold(hold)), held);
        }
    }
}
