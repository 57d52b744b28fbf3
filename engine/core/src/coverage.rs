//! Who appears where, once all assets of a flow were routed: the nearest version of each piece for each place of the
//! market table, and the places that nothing fills.
//!
//! A localization hook answers for one asset at a time and ranks where it could stand in. Choosing among ranks needs all of
//! them, and is done here.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use serde::Serialize;

use crate::asset::{AssetId, AssetPath};
use crate::hooks::{Appearance, Market, Routing};

/// A place of the market table.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
struct Place {
    market: String,
    language: String,
    channel: String,
}

/// Collects what assets could serve.
#[derive(Clone, Debug, Default)]
pub struct Coverage {
    places: Vec<Place>,
    by_piece: BTreeMap<String, BTreeMap<Place, Vec<(AssetId, Appearance)>>>,
}

/// A place for which a piece has no version, not even one that stands in.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Gap {
    /// The piece.
    pub piece: String,
    /// The market's code.
    pub market: String,
    /// The language that the market needs.
    pub language: String,
    /// The channel.
    pub channel: String,
}

/// Two files that want one name in one folder: of two assets, or renditions of one.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Clash {
    /// The folder.
    pub folder: AssetPath,
    /// The file's name.
    pub file_name: String,
    /// Both assets.
    pub assets: (AssetId, AssetId),
}

/// Who appears where.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Covered {
    /// The places of each asset, those that others serve better left out; by piece, then as the market table has them.
    pub chosen: Vec<(AssetId, Appearance)>,
    /// What nothing fills, by piece, then as the market table has it.
    pub gaps: Vec<Gap>,
    /// Places that two assets want; each is chosen for both, and neither may simply be placed.
    pub clashes: Vec<Clash>,
}

impl fmt::Display for Gap {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Gap {
            piece,
            market,
            language,
            channel,
        } = self;
        write!(f, "{piece}: {market} {language} {channel}")
    }
}

impl Coverage {
    /// Nothing yet, for a market table.
    pub fn of(markets: &[Market]) -> Self {
        let mut places = Vec::new();
        let mut known = BTreeSet::new();
        for market in markets {
            for language in &market.languages {
                for channel in &market.channels {
                    let place = Place {
                        market: market.code.clone(),
                        language: language.clone(),
                        channel: channel.clone(),
                    };
                    // A table may name one twice.
                    if known.insert(place.clone()) {
                        places.push(place);
                    }
                }
            }
        }
        Coverage {
            places,
            by_piece: BTreeMap::new(),
        }
    }

    /// Adds what an asset could serve.
    pub fn add(&mut self, asset: &AssetId, routing: &Routing) {
        for appearance in &routing.appearances {
            let place = Place {
                market: appearance.market.clone(),
                language: appearance.language.clone(),
                channel: appearance.channel.clone(),
            };
            let of_piece = self.by_piece.entry(appearance.piece.clone()).or_default();
            let candidates = of_piece.entry(place).or_default();
            candidates.push((asset.clone(), appearance.clone()));
        }
    }

    /// Chooses. Of one piece and place all with the lowest rank are taken: a poster and its back may both be made for it.
    pub fn settle(mut self) -> Covered {
        let mut covered = Covered::default();
        for (piece, mut candidates) in std::mem::take(&mut self.by_piece) {
            for place in &self.places {
                let of_place = candidates.remove(place).unwrap_or_default();
                let Some(best) = of_place.iter().map(|(_, a)| a.fallback).min() else {
                    covered.gaps.push(Gap {
                        piece: piece.clone(),
                        market: place.market.clone(),
                        language: place.language.clone(),
                        channel: place.channel.clone(),
                    });
                    continue;
                };
                let nearest = of_place.into_iter().filter(|(_, a)| a.fallback == best);
                covered.chosen.extend(nearest);
            }
        }
        covered.clashes = clashes(&covered.chosen);
        covered
    }
}

/// Places in folders that more than one asset wants; names that differ only in case are one.
fn clashes(chosen: &[(AssetId, Appearance)]) -> Vec<Clash> {
    let mut first: BTreeMap<String, (&AssetId, &Option<String>)> = BTreeMap::new();
    let mut clashes = BTreeSet::new();
    for (asset, appearance) in chosen {
        let path = appearance.folder.join(&appearance.file_name);
        let this = (asset, &appearance.rendition);
        // An original and its rendition are two files as well.
        let (other, rendition) = *first.entry(path.key()).or_insert(this);
        if (other, rendition) != this {
            clashes.insert(Clash {
                folder: appearance.folder.clone(),
                file_name: appearance.file_name.clone(),
                assets: (other.clone(), asset.clone()),
            });
        }
    }
    clashes.into_iter().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn markets() -> Vec<Market> {
        let market = |code: &str, languages: &[&str]| Market {
            code: code.to_owned(),
            languages: languages.iter().map(|l| (*l).to_owned()).collect(),
            channels: vec!["web".to_owned()],
        };
        vec![market("DE", &["de"]), market("CH", &["de", "fr", "it"])]
    }

    fn routing(places: &[(&str, &str, u32)], file_name: &str) -> Routing {
        let appearances = places
            .iter()
            .map(|(market, language, fallback)| Appearance {
                market: (*market).to_owned(),
                language: (*language).to_owned(),
                channel: "web".to_owned(),
                folder: AssetPath::new(&format!("/{market}/{language}")),
                file_name: file_name.to_owned(),
                rendition: None,
                piece: "poster".to_owned(),
                fallback: *fallback,
                rule: String::new(),
            });
        Routing {
            appearances: appearances.collect(),
            findings: Vec::new(),
        }
    }

    fn settled(assets: &[(&str, Routing)]) -> Covered {
        let mut coverage = Coverage::of(&markets());
        for (asset, routing) in assets {
            coverage.add(&AssetId::new(*asset), routing);
        }
        coverage.settle()
    }

    fn shown(covered: &Covered) -> Vec<String> {
        let chosen = covered.chosen.iter();
        chosen
            .map(|(asset, a)| format!("{asset} {} {}", a.market, a.language))
            .collect()
    }

    #[test]
    fn the_nearest_version_is_chosen_and_what_nothing_fills_is_a_gap() {
        let german = routing(&[("DE", "de", 0), ("CH", "de", 0)], "p_de.jpg");
        let english = [("DE", "de", 2), ("CH", "de", 2), ("CH", "fr", 1)];
        let english = routing(&english, "p_en.jpg");
        let forward = settled(&[("de", german.clone()), ("en", english.clone())]);
        assert_eq!(shown(&forward), ["de DE de", "de CH de", "en CH fr"]);
        let gaps: Vec<String> = forward.gaps.iter().map(Gap::to_string).collect();
        assert_eq!(gaps, ["poster: CH it web"]);
        // The order in which assets come decides nothing.
        let backward = settled(&[("en", english), ("de", german)]);
        assert_eq!(backward, forward);
    }

    #[test]
    fn two_of_one_rank_are_both_chosen_and_one_name_for_both_is_a_clash() {
        let one = routing(&[("DE", "de", 0)], "poster.jpg");
        let back = routing(&[("DE", "de", 0)], "back.jpg");
        let same = routing(&[("DE", "de", 0)], "POSTER.jpg");
        let covered = settled(&[("a", one.clone()), ("b", back)]);
        assert_eq!((covered.chosen.len(), covered.clashes.len()), (2, 0));
        let covered = settled(&[("a", one), ("b", same)]);
        assert_eq!(covered.clashes.len(), 1);
        let clash = &covered.clashes[0];
        assert_eq!(clash.assets, (AssetId::new("a"), AssetId::new("b")));
    }
}
