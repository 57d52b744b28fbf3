//! Which languages stand in for others, and in which order.

use std::cell::RefCell;
use std::collections::{BTreeMap, HashMap};
use std::rc::Rc;

use crate::config::FallbackConfig;
use crate::names::fold;

/// Stands for all languages for which nothing is written.
const OTHERS: &str = "*";

/// Parts of a language's code that are dropped one after the other, at most.
const PARENTS_MAX: usize = 4;

/// The checked chains. Codes are folded.
#[derive(Debug)]
pub struct Fallback {
    implicit: bool,
    written: BTreeMap<String, Rc<[String]>>,
    others: Rc<[String]>,
    /// Chains that were asked for; a market table has a few dozen languages.
    known: RefCell<HashMap<String, Rc<[String]>>>,
}

impl Fallback {
    /// Checks. The error is half a sentence that names the language.
    pub fn new(config: &FallbackConfig) -> Result<Self, String> {
        let mut written = BTreeMap::new();
        for (wanted, chain) in &config.chains {
            let folded: Rc<[String]> = chain.iter().map(|code| fold(code)).collect();
            let wanted_code = fold(wanted);
            for (index, code) in folded.iter().enumerate() {
                if code.is_empty() || *code == wanted_code || folded[..index].contains(code) {
                    return Err(format!(
                        "{:?} cannot stand in for {wanted:?}: it is empty, itself, or there before",
                        chain[index]
                    ));
                }
            }
            if written.insert(wanted_code, folded).is_some() {
                return Err(format!("{wanted:?} is there twice"));
            }
        }
        let others = written.remove(OTHERS).unwrap_or_default();
        Ok(Fallback {
            implicit: config.implicit,
            written,
            others,
            known: RefCell::default(),
        })
    }

    /// The highest number that a stand-in can have.
    pub fn number_max(&self) -> usize {
        let written = self.written.values().map(|chain| chain.len()).max();
        let implicit = if self.implicit { PARENTS_MAX } else { 0 };
        written.unwrap_or(0).max(implicit + self.others.len())
    }

    /// How far a language is from the one wanted, both folded: 0 is the same, 1 the best stand-in. `None`: it does
    /// not stand in.
    pub fn number(&self, wanted: &str, own: &str) -> Option<u32> {
        if wanted == own {
            return Some(0);
        }
        let chain = self.chain(wanted);
        let place = chain.iter().position(|code| code == own)?;
        u32::try_from(place + 1).ok()
    }

    fn chain(&self, wanted: &str) -> Rc<[String]> {
        if let Some(chain) = self.written.get(wanted) {
            return Rc::clone(chain);
        }
        if let Some(chain) = self.known.borrow().get(wanted) {
            return Rc::clone(chain);
        }
        let mut chain = Vec::new();
        let mut parent = wanted;
        while let (true, Some((shorter, _))) = (self.implicit, parent.rsplit_once('-')) {
            parent = shorter;
            chain.push(parent.to_owned());
        }
        chain.truncate(PARENTS_MAX);
        let others = self.others.iter().filter(|code| *code != wanted);
        let fresh: Vec<String> = others
            .filter(|code| !chain.contains(code))
            .cloned()
            .collect();
        chain.extend(fresh);
        let chain: Rc<[String]> = chain.into();
        let mut known = self.known.borrow_mut();
        known.insert(wanted.to_owned(), Rc::clone(&chain));
        chain
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fallback(implicit: bool, chains: &[(&str, &[&str])]) -> Result<Fallback, String> {
        let chains = chains.iter().map(|(wanted, chain)| {
            let chain = chain.iter().map(|code| (*code).to_owned());
            ((*wanted).to_owned(), chain.collect())
        });
        Fallback::new(&FallbackConfig {
            implicit,
            chains: chains.collect(),
        })
    }

    #[test]
    fn a_language_stands_in_for_its_regions_unless_switched_off() {
        let on = fallback(true, &[]).unwrap();
        assert_eq!(on.number("de-at", "de-at"), Some(0));
        assert_eq!(on.number("de-at", "de"), Some(1));
        assert_eq!(on.number("zh-hant-tw", "zh-hant"), Some(1));
        assert_eq!(on.number("zh-hant-tw", "zh"), Some(2));
        assert_eq!(on.number("de", "de-at"), None);
        let off = fallback(false, &[]).unwrap();
        assert_eq!(off.number("de-at", "de"), None);
    }

    #[test]
    fn what_is_written_counts_alone_and_a_star_is_for_the_others() {
        let chains: &[(&str, &[&str])] = &[
            ("fr-CA", &["fr", "en_CA"]),
            ("ja", &[]),
            ("*", &["en", "de"]),
        ];
        let fallback = fallback(true, chains).unwrap();
        assert_eq!(fallback.number("fr-ca", "en-ca"), Some(2));
        assert_eq!(fallback.number("fr-ca", "en"), None);
        assert_eq!(fallback.number("ja", "en"), None);
        assert_eq!(fallback.number("de-at", "de"), Some(1));
        assert_eq!(fallback.number("de-at", "en"), Some(2));
        assert_eq!(fallback.number("en", "de"), Some(1));
        assert_eq!(fallback.number_max(), 6);
    }

    #[test]
    fn a_chain_that_repeats_or_is_about_itself_is_refused() {
        for chain in [&["de"][..], &["en", "EN"], &[" "]] {
            let error = fallback(true, &[("de", chain)]).unwrap_err();
            assert!(error.contains("for \"de\""), "{error}");
        }
        let error = fallback(true, &[("de", &[]), ("DE", &[])]).unwrap_err();
        assert!(error.contains("is there twice"), "{error}");
    }
}
