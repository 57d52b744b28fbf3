//! The configuration, checked: all that can be found wrong without an asset is found here, with its key.

use std::collections::{BTreeMap, BTreeSet};

use windlass_sdk::{Decision, Origin};

use crate::area::Area;
use crate::calendar::{Calendar, check_format};
use crate::config::{
    AudiencesConfig, Bound, ChannelsConfig, Config, ConsentConfig, Names, Otherwise, StatusConfig,
    TerritoriesConfig, ValidConfig,
};
use crate::facts::fold;
use crate::standing::{Audiences, Consent, Standing};
use crate::trust::trust;

/// Entries of `consent`, and names of one field: bounds on what one asset can cost.
const CONSENTS_MAX: usize = 16;
const NAMES_MAX: usize = 8;

/// What the gate works with.
#[derive(Debug)]
pub(crate) struct Checked {
    pub(crate) trust: Vec<Origin>,
    /// There if any field holds days.
    pub(crate) calendar: Option<Calendar>,
    pub(crate) warn_days: u16,
    pub(crate) valid: Option<Valid>,
    pub(crate) areas: Vec<(Area, Of)>,
    pub(crate) audiences: Option<Audiences>,
    pub(crate) consents: Vec<Consent>,
    pub(crate) status: Option<Standing>,
}

/// What of a release an area is about.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Of {
    Market,
    Channel,
}

/// From when until when.
#[derive(Debug)]
pub(crate) struct Valid {
    pub(crate) from: Option<Names>,
    pub(crate) until: Option<Names>,
    pub(crate) embargo: Option<Names>,
    pub(crate) required: Vec<Bound>,
}

impl Config {
    /// Checks and folds. The error is one sentence that names the key at fault.
    pub(crate) fn check(self, granted: &[Origin]) -> Result<Checked, String> {
        let trust = trust(self.trust.as_deref(), granted)?;
        for format in &self.date_formats {
            check_format(format).map_err(|why| format!("key \"date_formats\": {why}"))?;
        }
        if self.consent.len() > CONSENTS_MAX {
            return Err(format!("key \"consent\": at most {CONSENTS_MAX} are taken"));
        }
        let has_days =
            self.valid.is_some() || self.consent.iter().any(|consent| consent.expires.is_some());
        let calendar = calendar(self.time_zone.as_deref(), &self.date_formats, has_days)?;
        if self.warn_days > 0 && !has_days {
            return Err(
                "key \"warn_days\": no field is configured whose days could end".to_owned(),
            );
        }
        let separators = self.separators;
        let mut areas = Vec::new();
        if let Some(config) = self.territories {
            areas.push((territories(config, &separators)?, Of::Market));
        }
        if let Some(config) = self.channels {
            areas.push((channels(config, &separators)?, Of::Channel));
        }
        let audiences = self.audiences.map(|config| audiences(config, &separators));
        let checked = Checked {
            trust,
            calendar,
            warn_days: self.warn_days,
            valid: self.valid.map(valid).transpose()?,
            areas,
            audiences: audiences.transpose()?,
            consents: consents(self.consent)?,
            status: self.status.map(status).transpose()?,
        };
        match checked.checks_anything() {
            true => Ok(checked),
            false => Err(
                "nothing would be checked, so everything would leave: configure \"valid\", \
                          \"territories\", \"channels\", \"audiences\", \"consent\" or \"status\""
                    .to_owned(),
            ),
        }
    }
}

impl Checked {
    fn checks_anything(&self) -> bool {
        self.valid.is_some()
            || !self.areas.is_empty()
            || self.audiences.is_some()
            || !self.consents.is_empty()
            || self.status.is_some()
    }
}

fn calendar(
    zone: Option<&str>,
    formats: &[String],
    has_days: bool,
) -> Result<Option<Calendar>, String> {
    match zone {
        Some(zone) => {
            let calendar = Calendar::new(zone, formats);
            let calendar = calendar.map_err(|why| format!("key \"time_zone\": {why}"))?;
            Ok(Some(calendar))
        }
        None if has_days => Err(
            "key \"time_zone\": days begin and end somewhere; write where, such as \"Europe/Berlin\""
                .to_owned(),
        ),
        None => Ok(None),
    }
}

fn valid(config: ValidConfig) -> Result<Valid, String> {
    let named = [
        (Bound::From, "from", &config.from),
        (Bound::Until, "until", &config.until),
        (Bound::Embargo, "embargo", &config.embargo),
    ];
    for (_, key, names) in named {
        if let Some(names) = names {
            check_names(&format!("valid.{key}"), names)?;
        }
    }
    if named.iter().all(|(_, _, names)| names.is_none()) {
        return Err(
            "key \"valid\": it names none of \"from\", \"until\" and \"embargo\"".to_owned(),
        );
    }
    let required = config.required.unwrap_or_else(|| {
        let until = config.until.iter().map(|_| Bound::Until);
        until.collect()
    });
    for bound in &required {
        let missing = named
            .iter()
            .find(|(b, _, names)| b == bound && names.is_none());
        if let Some((_, key, _)) = missing {
            return Err(format!(
                "key \"valid.required\": {key:?} is required, but \"valid.{key}\" names no field"
            ));
        }
    }
    Ok(Valid {
        from: config.from,
        until: config.until,
        embargo: config.embargo,
        required,
    })
}

fn territories(config: TerritoriesConfig, separators: &str) -> Result<Area, String> {
    let area = Area {
        key: "territories",
        noun: "market",
        field: config.field,
        except: config.except,
        all: words("territories.worldwide", &config.worldwide)?,
        otherwise: decision(config.all_markets),
        known: words("territories.known", &config.known)?,
        groups: groups("territories", &config.groups)?,
        separators: separators.to_owned(),
    };
    check_area(area)
}

fn channels(config: ChannelsConfig, separators: &str) -> Result<Area, String> {
    let area = Area {
        key: "channels",
        noun: "channel",
        field: config.field,
        except: config.except,
        all: words("channels.any", &config.any)?,
        otherwise: decision(config.all_channels),
        known: words("channels.known", &config.known)?,
        groups: groups("channels", &config.groups)?,
        separators: separators.to_owned(),
    };
    check_area(area)
}

fn decision(otherwise: Otherwise) -> Decision {
    match otherwise {
        Otherwise::Hold => Decision::Hold,
        Otherwise::Deny => Decision::Deny,
    }
}

fn groups(
    key: &str,
    written: &BTreeMap<String, Vec<String>>,
) -> Result<BTreeMap<String, BTreeSet<String>>, String> {
    let mut groups = BTreeMap::new();
    for (name, members) in written {
        let key = format!("{key}.groups.{name}");
        let members = words(&key, members)?;
        if members.is_empty() || name.trim().is_empty() {
            return Err(format!("key {key:?}: a group has a name and members"));
        }
        if groups.insert(fold(name), members).is_some() {
            return Err(format!("key {key:?}: it is there twice"));
        }
    }
    Ok(groups)
}

fn check_area(area: Area) -> Result<Area, String> {
    let key = area.key;
    check_names(&format!("{key}.field"), &area.field)?;
    if let Some(except) = &area.except {
        check_names(&format!("{key}.except"), except)?;
        if area.known.is_empty() && area.groups.is_empty() {
            return Err(format!(
                "key \"{key}.except\": write \"{key}.known\", the list of all {}s, too: an exclusion with a typing \
                 error would exclude nothing",
                area.noun
            ));
        }
    }
    let members = || area.groups.values().flatten();
    let names = area.groups.keys();
    if let Some(nested) = names.clone().find(|name| members().any(|m| m == *name)) {
        return Err(format!(
            "key \"{key}.groups\": {nested:?} is a group and a member of one; groups are flat"
        ));
    }
    let codes = area.known.iter().chain(names).chain(members());
    if let Some(word) = codes.into_iter().find(|word| area.all.contains(*word)) {
        return Err(format!(
            "key {key:?}: {word:?} means every {} and cannot be one or a group",
            area.noun
        ));
    }
    Ok(area)
}

fn audiences(config: AudiencesConfig, separators: &str) -> Result<Audiences, String> {
    check_names("audiences.field", &config.field)?;
    let mut allowed = BTreeMap::new();
    for (audience, classes) in &config.allowed {
        let key = format!("audiences.allowed.{audience}");
        let classes = words(&key, classes)?;
        if allowed.insert(fold(audience), classes).is_some() {
            return Err(format!("key {key:?}: it is there twice"));
        }
    }
    Ok(Audiences {
        field: config.field,
        allowed,
        separators: separators.to_owned(),
    })
}

fn consents(written: Vec<ConsentConfig>) -> Result<Vec<Consent>, String> {
    let mut consents: Vec<Consent> = Vec::new();
    for config in written {
        let name = config.name.trim().to_owned();
        let key = format!("consent.{name}");
        if name.is_empty() || consents.iter().any(|other| other.name == name) {
            return Err(format!(
                "key \"consent\": {name:?} is no name, or one that another has"
            ));
        }
        let optional = [
            ("required_when", &config.required_when),
            ("expires", &config.expires),
        ];
        for (part, names) in optional {
            if let Some(names) = names {
                check_names(&format!("{key}.{part}"), names)?;
            }
        }
        let (yes, no) = apart(&key, ("yes", &config.yes), ("no", &config.no))?;
        let (allowed, denied) = apart(
            &key,
            ("granted", &config.granted),
            ("refused", &config.refused),
        )?;
        let state_key = format!("{key}.state");
        check_names(&state_key, &config.state)?;
        consents.push(Consent {
            state: Standing {
                key: state_key,
                noun: name.clone(),
                field: config.state,
                allowed,
                denied,
            },
            key,
            name,
            required_when: config.required_when,
            yes,
            no,
            expires: config.expires,
        });
    }
    Ok(consents)
}

fn status(config: StatusConfig) -> Result<Standing, String> {
    check_names("status.field", &config.field)?;
    let (allowed, denied) = apart(
        "status",
        ("allowed", &config.allowed),
        ("restricted", &config.restricted),
    )?;
    Ok(Standing {
        key: "status.field".to_owned(),
        noun: "status".to_owned(),
        field: config.field,
        allowed,
        denied,
    })
}

/// Two lists of words that have none in common, the first not empty.
fn apart(
    key: &str,
    (first, these): (&str, &[String]),
    (second, those): (&str, &[String]),
) -> Result<(BTreeSet<String>, BTreeSet<String>), String> {
    let these = words(&format!("{key}.{first}"), these)?;
    let those = words(&format!("{key}.{second}"), those)?;
    if these.is_empty() {
        return Err(format!("key {:?}: it is empty", format!("{key}.{first}")));
    }
    match these.intersection(&those).next() {
        Some(word) => Err(format!(
            "key {key:?}: {word:?} is in {first:?} and in {second:?}"
        )),
        None => Ok((these, those)),
    }
}

fn words(key: &str, list: &[String]) -> Result<BTreeSet<String>, String> {
    match list.iter().any(|word| word.trim().is_empty()) {
        true => Err(format!("key {key:?}: an entry is empty")),
        false => Ok(list.iter().map(|word| fold(word)).collect()),
    }
}

fn check_names(key: &str, names: &Names) -> Result<(), String> {
    let all = names.all();
    match all.is_empty() || all.len() > NAMES_MAX || all.iter().any(|n| n.trim().is_empty()) {
        true => Err(format!("key {key:?}: name 1 to {NAMES_MAX} fields")),
        false => Ok(()),
    }
}
