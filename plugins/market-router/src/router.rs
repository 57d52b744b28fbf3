//! One asset at a time: what it is made for, and where that puts it in the market table.

use std::collections::HashMap;

use unicode_normalization::UnicodeNormalization;
use windlass_sdk::{
    AssetView, Host, LocalizationHook, Market, Origin, Placement, Plugin, Routed, Routing,
};

use crate::asset::Facts;
use crate::check::Checked;
use crate::codes::{Code, Codes, Origins};
use crate::config::{Config, Unknown};
use crate::gaps;
use crate::names::{clean, fold, name};
use crate::pattern::{Pattern, Reference};

/// The plugin: a checked configuration.
#[derive(Debug)]
pub struct MarketRouter {
    config: Checked,
}

/// Characters of a name that a reason shows.
const SHOWN_CHARS_MAX: usize = 80;

/// Why an asset must wait: the reason, then the rule.
type Held = (String, String);

/// What an asset is made for.
pub(crate) struct Made<'a> {
    facts: &'a Facts<'a>,
    /// None: it has no language and serves all.
    pub(crate) languages: Vec<Code>,
    /// Where the languages are from.
    language_from: Option<String>,
    /// `None`: all.
    pub(crate) markets: Option<Codes>,
    pub(crate) channels: Option<Codes>,
    piece: String,
}

/// A place in the market table, and what is served there.
struct Place<'a> {
    market: &'a str,
    language: &'a str,
    channel: &'a str,
    /// The asset's language that is served; `None` if it has none.
    own: Option<&'a Code>,
    /// How far that is from the language of the place; see [`crate::fallback`].
    number: u32,
    extension: Option<&'a str>,
}

impl Plugin for MarketRouter {
    const NAME: &'static str = "market-router";
    const VERSION: &'static str = env!("CARGO_PKG_VERSION");
    const ASKS: &'static [Origin] = &[Origin::Source, Origin::Sheet];

    fn configure(config: &str, granted: &[Origin], host: &dyn Host) -> Result<Self, String> {
        let config: Config = serde_json::from_str(config).map_err(|error| {
            let text = error.to_string();
            // The position is one in JSON that the operator never saw.
            text.split(" at line ").next().unwrap_or(&text).to_owned()
        })?;
        let config = config.check(granted, host)?;
        Ok(MarketRouter { config })
    }
}

impl LocalizationHook for MarketRouter {
    fn route(&self, asset: &AssetView, markets: &[Market], host: &dyn Host) -> Routed {
        match self.routing(asset, markets, host) {
            Ok(routing) => Routed::Ready(routing),
            Err((reason, rule)) => Routed::held(reason, rule),
        }
    }
}

impl MarketRouter {
    fn routing(
        &self,
        asset: &AssetView,
        markets: &[Market],
        host: &dyn Host,
    ) -> Result<Routing, Held> {
        let mut routing = Routing::default();
        // Most paths are ASCII, which is in every normal form, and normalising is slow.
        let composed: String;
        let path = match asset.path.is_ascii() {
            true => &asset.path,
            false => {
                composed = asset.path.nfc().collect();
                &composed
            }
        };
        let config = &self.config;
        let facts = Facts::new(asset, path, &config.trust, &config.expressions);
        let Some(made) = self.made(&facts, path, host, &mut routing)? else {
            return Ok(routing);
        };
        self.place(&made, markets, &mut routing)?;
        gaps::remark(&made, &self.config.fallback, markets, &mut routing);
        Ok(routing)
    }

    /// What the asset is made for; `None` if too little is known of it to appear anywhere, of which the routing has
    /// a remark.
    fn made<'a>(
        &self,
        facts: &'a Facts<'a>,
        path: &str,
        host: &dyn Host,
        routing: &mut Routing,
    ) -> Result<Option<Made<'a>>, Held> {
        let config = &self.config;
        let Some(piece) = self.piece(facts, path, routing)? else {
            return Ok(None);
        };
        let (mut languages, mut language_from) = (Vec::new(), None);
        if let Some(origins) = &config.language {
            let codes = self.codes(origins, facts, host, routing)?;
            if codes.from.is_none() && !config.none_is_neutral {
                let message = "no language is known";
                return missing(origins, message, routing).map(|()| None);
            }
            if codes.codes.is_empty() && !codes.left_out.is_empty() {
                return Ok(None);
            }
            language_from = codes.from;
            languages = codes.codes;
            // A code for no language beside a language says nothing.
            languages.retain(|code| !origins.special.contains(&code.folded));
        }
        let limits = |origins: &Option<Origins>, routing: &mut Routing| -> Result<_, Held> {
            let Some(origins) = origins else {
                return Ok(None);
            };
            let codes = self.codes(origins, facts, host, routing)?;
            let special = &origins.special;
            let all =
                codes.from.is_none() || codes.codes.iter().any(|c| special.contains(&c.folded));
            Ok((!all).then_some(codes))
        };
        let markets = limits(&config.market, routing)?;
        let channels = limits(&config.channel, routing)?;
        Ok(Some(Made {
            facts,
            languages,
            language_from,
            markets,
            channels,
            piece,
        }))
    }

    fn piece(
        &self,
        facts: &Facts<'_>,
        path: &str,
        routing: &mut Routing,
    ) -> Result<Option<String>, Held> {
        let Some(origins) = &self.config.piece else {
            return Ok(Some(facts.path_stem(path).to_owned()));
        };
        let found = origins.found(facts);
        let text = found.map(|found| clean(&found.entries.join(" "), &origins.normalise));
        let text = text.map(|text| text.trim().nfc().collect::<String>());
        match text.filter(|text| !text.is_empty()) {
            Some(text) => Ok(Some(text)),
            None => missing(origins, "no piece is known", routing).map(|()| None),
        }
    }

    fn codes(
        &self,
        origins: &Origins,
        facts: &Facts<'_>,
        host: &dyn Host,
        routing: &mut Routing,
    ) -> Result<Codes, Held> {
        let codes = origins.codes(facts, &self.config.separators, host);
        let codes =
            codes.map_err(|why| (format!("{}: {why}", origins.key), origins.key.to_owned()))?;
        if let Some(table) = &origins.table {
            for code in &codes.left_out {
                let message = format!("the code {code:?} is not in the table {}", table.name);
                routing.remark(origins.key, message);
            }
        }
        Ok(codes)
    }

    fn place(
        &self,
        made: &Made<'_>,
        markets: &[Market],
        routing: &mut Routing,
    ) -> Result<(), Held> {
        // The places of this asset, as a system sees them that ignores case.
        let mut taken: HashMap<String, (&str, &str)> = HashMap::new();
        let (all_markets, all_channels) = self.config.general_fallback;
        let general = [(&made.markets, all_markets), (&made.channels, all_channels)];
        let general = general.iter().filter(|(limits, _)| limits.is_none());
        let general = general.fold(0, |sum: u32, (_, more)| sum.saturating_add(*more));
        for market in markets {
            if !is_in(&made.markets, &market.code) {
                continue;
            }
            for (index, language) in market.languages.iter().enumerate() {
                let Some((own, number)) = self.nearest(made, language) else {
                    continue;
                };
                if market.languages[..index].contains(language) {
                    continue;
                }
                for (index, channel) in market.channels.iter().enumerate() {
                    if market.channels[..index].contains(channel) || !is_in(&made.channels, channel)
                    {
                        continue;
                    }
                    let rendition = self.config.rendition.get(&fold(channel));
                    let place = Place {
                        market: &market.code,
                        language,
                        channel,
                        own,
                        number,
                        extension: rendition.and_then(|(_, extension)| extension.as_deref()),
                    };
                    let folder = self.folder(made, &place)?;
                    let file_name = self.file_name(made, &place)?;
                    claim(&mut taken, &folder, &file_name, (language, channel))?;
                    routing.placements.push(Placement {
                        market: market.code.clone(),
                        language: language.clone(),
                        channel: channel.clone(),
                        folder,
                        file_name,
                        rendition: rendition.map(|(name, _)| name.clone()),
                        piece: made.piece.clone(),
                        fallback: number.saturating_add(general),
                        rule: rule(made, &place),
                    });
                }
            }
        }
        Ok(())
    }

    /// The asset's language that is nearest to the one wanted, and its fallback number.
    fn nearest<'m>(&self, made: &'m Made<'_>, wanted: &str) -> Option<(Option<&'m Code>, u32)> {
        if made.languages.is_empty() {
            return Some((None, self.config.neutral_fallback));
        }
        let wanted = fold(wanted);
        let numbers = made.languages.iter().filter_map(|own| {
            let number = self.config.fallback.number(&wanted, &own.folded)?;
            Some((Some(own), number))
        });
        numbers.min_by_key(|(_, number)| *number)
    }

    fn folder(&self, made: &Made<'_>, place: &Place<'_>) -> Result<String, Held> {
        let mut folder = String::new();
        for pattern in &self.config.folder {
            folder.push('/');
            folder.push_str(&self.name("folder", pattern, made, place)?);
        }
        if folder.is_empty() {
            folder.push('/');
        }
        Ok(folder)
    }

    fn file_name(&self, made: &Made<'_>, place: &Place<'_>) -> Result<String, Held> {
        self.name("file_name", &self.config.file_name, made, place)
    }

    fn name(
        &self,
        key: &str,
        pattern: &Pattern,
        made: &Made<'_>,
        place: &Place<'_>,
    ) -> Result<String, Held> {
        let mut text = String::new();
        let filled = pattern.fill(&mut text, |reference, into| {
            let steps = self.config.normalise.iter().find(|(r, _)| r == reference);
            match steps {
                None => self.resolve(reference, made, place, into),
                Some((_, steps)) => {
                    let mut plain = String::new();
                    let resolved = self.resolve(reference, made, place, &mut plain);
                    into.push_str(&clean(&plain, steps));
                    resolved
                }
            }
        });
        filled.map_err(|r| (format!("{key}: the path gives no {{{r}}}"), key.to_owned()))?;
        name(&text).map_err(|why| {
            let shown: String = text.chars().take(SHOWN_CHARS_MAX).collect();
            (format!("{key}: the name {shown:?} {why}"), key.to_owned())
        })
    }

    fn resolve(
        &self,
        reference: &Reference,
        made: &Made<'_>,
        place: &Place<'_>,
        into: &mut String,
    ) -> bool {
        let text = match (reference, place.extension) {
            (Reference::Market, _) => place.market,
            (Reference::Language, _) => place.language,
            (Reference::Channel, _) => place.channel,
            (Reference::Piece, _) => &made.piece,
            (Reference::AssetLanguage, _) => {
                place.own.map_or(&*self.config.neutral, |own| &own.text)
            }
            (Reference::FileExtension, Some(extension)) => extension,
            // The file's own extension would belie a rendition.
            (Reference::FileName, Some(extension)) => {
                made.facts.resolve(&Reference::FileStem, into);
                into.push('.');
                extension
            }
            (of_file, _) => return made.facts.resolve(of_file, into),
        };
        into.push_str(text);
        true
    }
}

/// Takes a place for a language and a channel, unless the asset would be there for another already.
fn claim<'p>(
    taken: &mut HashMap<String, (&'p str, &'p str)>,
    folder: &str,
    file_name: &str,
    by: (&'p str, &'p str),
) -> Result<(), Held> {
    let path = format!("{}/{file_name}", folder.trim_end_matches('/'));
    let key = match path.is_ascii() {
        true => path.to_ascii_lowercase(),
        false => path.to_lowercase().nfc().collect(),
    };
    let other = *taken.entry(key).or_insert(by);
    if other == by {
        return Ok(());
    }
    let missing = match (other.0 == by.0, other.1 == by.1) {
        (true, _) => "{channel}",
        (_, true) => "{language}",
        _ => "{language} and {channel}",
    };
    let reason = format!(
        "{path:?} would be both {:?} for {:?} and {:?} for {:?}, and one would overwrite the other: put {missing} \
         into \"folder\" or \"file_name\"",
        other.0, other.1, by.0, by.1
    );
    Err((reason, "folder, file_name".to_owned()))
}

fn rule(made: &Made<'_>, place: &Place<'_>) -> String {
    let Some(own) = place.own else {
        return "no language".to_owned();
    };
    let from = made.language_from.as_deref().unwrap_or_default();
    match place.number {
        0 => format!("language {:?} of {from}", own.text),
        number => format!(
            "language {:?} of {from} stands in for {:?}, no. {number}",
            own.text, place.language
        ),
    }
}

/// Holds an asset, or leaves it out with a finding, as the section says.
fn missing(origins: &Origins, message: &str, routing: &mut Routing) -> Result<(), Held> {
    match origins.unknown {
        Unknown::Hold => Err((message.to_owned(), origins.key.to_owned())),
        Unknown::LeaveOut => {
            routing.remark(origins.key, message);
            Ok(())
        }
    }
}

fn is_in(limits: &Option<Codes>, code: &str) -> bool {
    limits.as_ref().is_none_or(|limits| limits.has(&fold(code)))
}
