//! Reads a fault profile from the line of text that people write.

use std::str::FromStr;
use std::time::Duration;

use windlass_core::ByteSize;

use super::{FaultKind, FaultProfile, FaultRule, Limit};

/// Why a text is not a fault profile.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("fault profile: {message} (in {clause:?})")]
pub struct ParseFaultError {
    clause: String,
    message: String,
}

impl FromStr for FaultProfile {
    type Err = ParseFaultError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let mut profile = FaultProfile::default();
        for clause in text.split(';').map(str::trim).filter(|c| !c.is_empty()) {
            let refuse = |message| ParseFaultError {
                clause: clause.to_owned(),
                message,
            };
            let pairs = pairs(clause).map_err(refuse)?;
            if pairs.iter().any(|(key, _)| *key == "do") {
                profile.rules.push(rule(&pairs).map_err(refuse)?);
            } else {
                settings(&mut profile, &pairs).map_err(refuse)?;
            }
        }
        Ok(profile)
    }
}

fn pairs(clause: &str) -> Result<Vec<(&str, &str)>, String> {
    clause
        .split(',')
        .map(|pair| {
            pair.split_once('=')
                .map(|(key, value)| (key.trim(), value.trim()))
                .ok_or_else(|| format!("{pair:?} is not KEY=VALUE"))
        })
        .collect()
}

fn settings(profile: &mut FaultProfile, pairs: &[(&str, &str)]) -> Result<(), String> {
    for (key, value) in pairs {
        match *key {
            "latency" => profile.latency_ms = number(key, value)?,
            "jitter" => profile.jitter_ms = number(key, value)?,
            "rate" => profile.bytes_per_second = Some(speed(key, value)?),
            "path" => profile.path_bytes_per_second = Some(speed(key, value)?),
            _ => {
                return Err(format!(
                    "unknown key {key:?}: without do= there are latency, jitter, rate and path"
                ));
            }
        }
    }
    Ok(())
}

fn speed(key: &str, value: &str) -> Result<u64, String> {
    let rate: ByteSize = value.parse().map_err(|error| format!("{key}: {error}"))?;
    match rate.bytes() {
        0 => Err(format!("{key} must be at least one byte a second")),
        bytes => Ok(bytes),
    }
}

fn rule(pairs: &[(&str, &str)]) -> Result<FaultRule, String> {
    let mut rule = FaultRule {
        route: None,
        nth: None,
        every: None,
        probability: None,
        times: None,
        kind: FaultKind::Expired,
    };
    for (key, value) in pairs {
        match *key {
            "route" => rule.route = Some((*value).to_owned()),
            "nth" => rule.nth = Some(positive(key, value)?),
            "every" => rule.every = Some(positive(key, value)?),
            "times" => rule.times = Some(positive(key, value)?),
            "p" => rule.probability = Some(probability(value)?),
            "do" => rule.kind = kind(value)?,
            _ => {
                return Err(format!(
                    "unknown key {key:?}: a rule has route, nth, every, p, times and do"
                ));
            }
        }
    }
    Ok(rule)
}

fn kind(text: &str) -> Result<FaultKind, String> {
    let (name, value) = match text.split_once(':') {
        Some((name, value)) => (name, Some(value)),
        None => (text, None),
    };
    let plain = |kind| match value {
        None => Ok(kind),
        Some(_) => Err(format!("{name:?} takes no value")),
    };
    let limit = |json| {
        let seconds = value.map_or(Ok(1), |value| number(name, value))?;
        Ok(FaultKind::Limited(Limit { seconds, json }))
    };
    match name {
        "401" => plain(FaultKind::Expired),
        "429" => limit(true),
        "429-text" => limit(false),
        "reset-before" => plain(FaultKind::ResetBefore),
        "reset-after" => plain(FaultKind::ResetAfter),
        "corrupt" => plain(FaultKind::Corrupt),
        "wrong-range" => plain(FaultKind::WrongRange),
        "unknown-member" => plain(FaultKind::UnknownMember),
        "truncate" => Ok(FaultKind::Truncate(
            value.map(|value| number(name, value)).transpose()?,
        )),
        "stall" => {
            let ms = value.ok_or("stall needs milliseconds, as in stall:500")?;
            Ok(FaultKind::Stall(Duration::from_millis(number(name, ms)?)))
        }
        "lost" => plain(FaultKind::Lost),
        "twice" => plain(FaultKind::Twice),
        "late" => {
            let ms = value.ok_or("late needs milliseconds, as in late:500")?;
            Ok(FaultKind::Late(Duration::from_millis(number(name, ms)?)))
        }
        "service" => match value {
            Some(name) if !name.is_empty() => Ok(FaultKind::Service(name.into())),
            _ => Err("service needs a name, as in service:cursor-reset".into()),
        },
        _ => plain(status(name).ok_or_else(|| format!("unknown fault {text:?}"))?),
    }
}

fn status(name: &str) -> Option<FaultKind> {
    let (digits, how) = name.split_once('-').unwrap_or((name, ""));
    let code: u16 = digits
        .parse()
        .ok()
        .filter(|code| (500..600).contains(code))?;
    match how {
        "" => Some(FaultKind::Status { code, html: false }),
        "html" => Some(FaultKind::Status { code, html: true }),
        "after" => Some(FaultKind::StatusAfter(code)),
        _ => None,
    }
}

fn number(key: &str, value: &str) -> Result<u64, String> {
    value
        .parse()
        .map_err(|_| format!("{key} needs a whole number, not {value:?}"))
}

fn positive(key: &str, value: &str) -> Result<u64, String> {
    match number(key, value)? {
        0 => Err(format!("{key} is counted from 1")),
        n => Ok(n),
    }
}

fn probability(value: &str) -> Result<f64, String> {
    match value.parse() {
        Ok(p) if (0.0..=1.0).contains(&p) => Ok(p),
        _ => Err(format!("p needs a number from 0 to 1, not {value:?}")),
    }
}
