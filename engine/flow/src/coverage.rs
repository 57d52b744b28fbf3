//! The coverage map: for each piece of a campaign, each market, language and channel, whether there is something for it,
//! and where not, why.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use windlass_core::{
    AssetId, AssetPath, Cursor, Error, Finding, Kind, Ledger, Market, Result, RunId,
};

/// How many rows a map has at most; what comes after is only counted.
const ROWS_MAX: usize = 100_000;

/// How one place is filled.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Filled {
    /// By an asset that was made for it.
    Present,
    /// By one that stands in for it.
    Fallback,
    /// Not, because rights do not allow what would fill it.
    Blocked,
    /// Not, because a person has to settle something first.
    Held,
    /// Not, because there is nothing for it.
    Missing,
}

impl Filled {
    /// All of them, from the best to the worst.
    pub const ALL: [Filled; 5] = [
        Filled::Present,
        Filled::Fallback,
        Filled::Blocked,
        Filled::Held,
        Filled::Missing,
    ];

    /// The word in text and JSON.
    pub fn word(self) -> &'static str {
        match self {
            Filled::Present => "present",
            Filled::Fallback => "fallback",
            Filled::Blocked => "blocked",
            Filled::Held => "held",
            Filled::Missing => "missing",
        }
    }
}

/// One place for one piece.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct CoverageRow {
    /// What is needed, whatever its language.
    pub piece: String,
    /// The market's code.
    pub market: String,
    /// The language.
    pub language: String,
    /// The channel.
    pub channel: String,
    /// How it is filled.
    pub filled: Filled,
    /// The file at the sink, where there is to be one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub file: Option<AssetPath>,
    /// The asset's path at its library, where there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub asset: Option<AssetPath>,
    /// Why, in one sentence without a full stop.
    pub why: String,
    /// The delivery that fills it.
    #[serde(skip)]
    pub(crate) delivery: Option<AssetId>,
}

/// How many places are filled in each way.
pub type Coverages = BTreeMap<Filled, u64>;

/// Who gets what of a campaign.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct CoverageMap {
    /// Places by piece, market, language and channel.
    pub rows: Vec<CoverageRow>,
    /// Places that are not among the rows.
    pub more_rows: u64,
    /// How each market stands.
    pub by_market: BTreeMap<String, Coverages>,
    /// How all of it stands.
    pub total: Coverages,
}

impl CoverageMap {
    pub(crate) fn of(markets: &[Market]) -> Self {
        let by_market = markets.iter();
        CoverageMap {
            by_market: by_market
                .map(|market| (market.code.clone(), Coverages::new()))
                .collect(),
            ..CoverageMap::default()
        }
    }

    pub(crate) fn add(&mut self, row: CoverageRow) {
        *self.total.entry(row.filled).or_default() += 1;
        let market = self.by_market.entry(row.market.clone()).or_default();
        *market.entry(row.filled).or_default() += 1;
        match self.rows.len() < ROWS_MAX {
            true => self.rows.push(row),
            false => self.more_rows += 1,
        }
    }

    /// Markets for which there is nothing at all.
    pub(crate) fn findings(&self) -> Vec<Finding> {
        let empty = self.by_market.iter().filter(|(_, filled)| {
            let has = [
                Filled::Present,
                Filled::Fallback,
                Filled::Blocked,
                Filled::Held,
            ];
            !has.iter().any(|one| filled.contains_key(one))
        });
        empty
            .map(|(market, _)| Finding {
                subject: format!("market {market}"),
                message: "no asset is routed to it: it has no folder in the routing rules, or nothing is made for it"
                    .to_owned(),
            })
            .collect()
    }
}

/// The map of a flow's last run, as the ledger keeps it: the last one only, because that is what stands.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct CoverageOfRun {
    run: Option<RunId>,
    map: CoverageMap,
}

impl CoverageOfRun {
    pub(crate) async fn note(
        ledger: &dyn Ledger,
        flow: &str,
        run: Option<RunId>,
        map: &CoverageMap,
    ) -> Result<()> {
        let noted = CoverageOfRun {
            run,
            map: map.clone(),
        };
        let text = serde_json::to_string(&noted).map_err(|error| {
            Error::new(Kind::Unexpected, "a coverage map cannot be noted").with_source(error)
        })?;
        ledger
            .set_cursor(&key(flow), Some(&Cursor::new(text)))
            .await
    }

    /// The map of a run, if it is the flow's last one.
    pub(crate) async fn read(
        ledger: &dyn Ledger,
        flow: &str,
        run: RunId,
    ) -> Result<Option<CoverageMap>> {
        let Some(noted) = ledger.cursor(&key(flow)).await? else {
            return Ok(None);
        };
        let noted: CoverageOfRun = serde_json::from_str(noted.as_str()).map_err(|error| {
            Error::new(
                Kind::Corrupt,
                "what the ledger notes of coverage cannot be read",
            )
            .with_source(error)
        })?;
        Ok((noted.run == Some(run)).then_some(noted.map))
    }
}

fn key(flow: &str) -> String {
    format!("coverage of {flow}")
}
