//! The port of a system of record: assets with what is governed about them, the renditions that it makes of them, what
//! belongs to them, and where they are used.

use async_trait::async_trait;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::asset::{Asset, AssetId, AssetPath, Cursor};
use crate::error::Result;
use crate::hooks::Finding;
use crate::metadata::{Availability, Value};
use crate::ports::Source;
use crate::stated::Statement;

/// An asset as its system of record describes it.
#[derive(Clone, Debug, PartialEq)]
pub struct Holding {
    /// The original of its current version. Its path is below one of [`Holding::collections`], within what was asked for
    /// where that is known.
    pub asset: Asset,
    /// The name that people gave it; not the file's.
    pub title: String,
    /// The technical name of its type, where it has one.
    pub asset_type: Option<String>,
    /// Whether and until when it may be used.
    pub usable: Usable,
    /// All collections that hold it.
    pub collections: Vec<AssetPath>,
    /// The values of its fields, by technical name, of origin [`Origin::Source`](crate::Origin::Source).
    pub statements: Vec<Statement>,
    /// What could not be read of it.
    pub findings: Vec<Finding>,
    /// Why somebody has locked it.
    pub locked: Option<String>,
    /// Whether it is validly filed, and not in somebody's basket.
    pub is_released: bool,
    /// Whether anybody has uploaded a file yet.
    pub has_file: bool,
    /// When anything about it changed last, by the library's clock, where it says so.
    pub changed: Option<Timestamp>,
}

/// Whether an asset may be used, as its system of record says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Usable {
    /// Nothing is said about it.
    Unstated,
    /// This is said.
    Stated(Availability),
    /// Something is said that nobody here understands: as good as no.
    Unreadable(String),
}

impl Holding {
    /// The value of a field.
    pub fn value(&self, field: &str) -> Option<&Value> {
        let mut statements = self.statements.iter();
        let found = statements.find(|statement| statement.name == field);
        found.map(|statement| &statement.value)
    }
}

/// Which assets are asked for. All of it must hold.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Query {
    /// The collection, with everything below it; the root is all of them.
    pub collection: AssetPath,
    /// The technical names of types; none is all.
    pub asset_types: Vec<String>,
    /// Fields and what they must be, by technical name.
    pub fields: Vec<(String, Value)>,
}

impl Query {
    /// Why an asset is not asked for, in one sentence without a full stop; `None` for one that is.
    ///
    /// A list or a set of references is as wanted if it has every entry that is wanted. Case counts nothing.
    pub fn objection(&self, holding: &Holding) -> Option<String> {
        let below = format!("{}/", self.collection.key());
        let mut collections = holding.collections.iter();
        let is_inside = self.collection.as_str().is_empty()
            || collections.any(|path| format!("{}/", path.key()).starts_with(&below));
        if !is_inside {
            return Some(format!("it is not in {} any more", self.collection));
        }
        if !self.asset_types.is_empty() {
            let asset_type = holding.asset_type.as_deref().unwrap_or("none");
            if !self.asset_types.iter().any(|wanted| wanted == asset_type) {
                return Some(format!("its type is {asset_type}"));
            }
        }
        self.fields.iter().find_map(|(field, wanted)| {
            let is = holding.value(field);
            match is {
                Some(is) if agrees(is, wanted) => None,
                Some(is) => Some(format!("its {field} is {}, not {}", said(is), said(wanted))),
                None => Some(format!("its {field} is empty, not {}", said(wanted))),
            }
        })
    }
}

/// Whether a field has what is wanted of it.
fn agrees(is: &Value, wanted: &Value) -> bool {
    match (is, wanted) {
        (Value::Number(is), Value::Decimal(wanted)) => *is as f64 == *wanted,
        (Value::Decimal(is), Value::Number(wanted)) => *is == *wanted as f64,
        (Value::Boolean(_) | Value::Date(_) | Value::Number(_) | Value::Decimal(_), _) => {
            is == wanted || said(is) == said(wanted)
        }
        _ => {
            let is = entries(is);
            entries(wanted).iter().all(|entry| is.contains(entry))
        }
    }
}

/// The texts of a value, folded.
fn entries(value: &Value) -> Vec<String> {
    let texts: Vec<String> = match value {
        Value::Text(text) => vec![text.clone()],
        Value::LocalizedText(texts) => texts.values().cloned().collect(),
        Value::Keywords(entries) | Value::References(entries) => entries.clone(),
        other => vec![said(other)],
    };
    texts
        .iter()
        .map(|text| crate::names::fold_key(text.trim()))
        .collect()
}

/// A value as people read it.
pub fn said(value: &Value) -> String {
    match value {
        Value::Text(text) => format!("{text:?}"),
        Value::LocalizedText(texts) => {
            let texts: Vec<String> = texts.iter().map(|(k, v)| format!("{k}: {v:?}")).collect();
            texts.join(", ")
        }
        Value::Number(number) => number.to_string(),
        Value::Decimal(number) => number.to_string(),
        Value::Date(date) => date.to_string(),
        Value::Boolean(true) => "yes".to_owned(),
        Value::Boolean(false) => "no".to_owned(),
        Value::Keywords(entries) | Value::References(entries) => {
            let entries: Vec<String> = entries.iter().map(|entry| format!("{entry:?}")).collect();
            entries.join(", ")
        }
    }
}

/// One page of what a library holds.
#[derive(Clone, Debug, PartialEq)]
pub struct HoldingsPage {
    /// Some of it.
    pub holdings: Vec<Holding>,
    /// Where to go on; `None` at the end.
    pub next: Option<Cursor>,
}

/// One page of what changed in a library.
#[derive(Clone, Debug, PartialEq)]
pub struct ChangedPage {
    /// Some of it, each asset as it is now.
    pub holdings: Vec<Holding>,
    /// Where to go on; `None` at the end.
    pub next: Option<Cursor>,
}

/// A form in which a library hands out its assets, besides the original.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rendition {
    /// Its technical name.
    pub name: String,
    /// What people call it.
    pub label: String,
}

/// An asset that another one is related to.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Related {
    /// The other asset.
    pub asset: AssetId,
    /// The technical name of the relation's type.
    pub kind: String,
    /// The relation leads from the asset that was asked about to the other one.
    pub is_outgoing: bool,
}

/// Where a copy of an asset is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Usage {
    /// Which copy: equal for the same copy at any time, different for any other.
    pub instance: String,
    /// Where people find it; says which version it is, since when and how strongly that is proved.
    pub url: String,
}

/// What becomes of an asset that is archived.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Retirement {
    /// It stays and may not be used any more.
    Unavailable,
    /// It leaves a collection, if it is in another one as well.
    Unlink(AssetPath),
    /// It is deleted.
    Delete,
}

/// A source that governs its assets.
#[async_trait]
pub trait Library: Source {
    /// One page of the assets that are asked for. May lag behind, and may have some that are not asked for: callers look
    /// themselves ([`Query::objection`]), and believe [`Library::consult`] where it matters.
    ///
    /// Errors: `NotFound` where the collection is not there, `InvalidInput` where a type or a field is not.
    async fn holdings(&self, query: &Query, cursor: Option<&Cursor>) -> Result<HoldingsPage>;

    /// One page of the assets that are asked for and that were made, got another version or were changed at `since` or
    /// later, by the library's clock ([`Holding::changed`]). May lag behind like [`Library::holdings`], so callers look
    /// some minutes further back than the latest time that they have seen. Neither what was deleted nor what left the
    /// query is found by time: [`Library::holdings`] as a whole finds that. This one walks all of it and leaves out what is
    /// older.
    ///
    /// Errors: those of [`Library::holdings`].
    async fn changed(
        &self,
        query: &Query,
        since: Timestamp,
        cursor: Option<&Cursor>,
    ) -> Result<ChangedPage> {
        let page = self.holdings(query, cursor).await?;
        let is_new = |held: &Holding| held.changed.is_none_or(|changed| changed >= since);
        Ok(ChangedPage {
            holdings: page.holdings.into_iter().filter(is_new).collect(),
            next: page.next,
        })
    }

    /// Whether there are fields of these technical names, of these types or of any where none is named.
    ///
    /// Errors: `InvalidInput` for one that there is not, with the one that is closest to it.
    async fn check_fields(&self, asset_types: &[String], fields: &[String]) -> Result<()> {
        let (_, _) = (asset_types, fields);
        Ok(())
    }

    /// Each asset as it is at this moment, in the same order: never from an index that may lag. `None` for one that is
    /// gone or hidden.
    async fn consult(&self, assets: &[AssetId]) -> Result<Vec<Option<Holding>>>;

    /// What it can make of assets.
    async fn renditions(&self) -> Result<Vec<Rendition>>;

    /// A rendition of the revision that `asset` names, made ready to be read: the answer's revision names it, and its size
    /// is what will be read. Waits while it is being made.
    ///
    /// Errors: `NotFound` for a rendition that there is not, `InvalidInput` where it cannot be made of this asset,
    /// `SourceChanged` where the revision is gone.
    async fn render(&self, asset: &Asset, rendition: &str) -> Result<Asset>;

    /// What the asset is related to, both ways, each once. `NotFound` where it is gone.
    async fn related(&self, asset: &AssetId) -> Result<Vec<Related>>;

    /// The originals of all its versions, the newest first. `NotFound` where it is gone.
    async fn versions(&self, asset: &AssetId) -> Result<Vec<Asset>>;

    /// Writes down beside the asset where a copy of it is; replaces what was said of the same copy. To say it twice is to
    /// say it once. Nothing happens where the asset is gone.
    async fn note_usage(&self, asset: &AssetId, usage: &Usage) -> Result<()>;

    /// Takes back what was said of a copy. Not an error where nothing was.
    async fn forget_usage(&self, asset: &AssetId, instance: &str) -> Result<()>;

    /// Ends the asset's use. To do it twice is to do it once. Answers whether it is so now: an asset that would be nowhere
    /// else is not unlinked.
    async fn retire(&self, asset: &AssetId, how: &Retirement) -> Result<bool>;
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::asset::{Readable, Revision};
    use crate::stated::Origin;

    fn holding(fields: &[(&str, Value)]) -> Holding {
        let statements = fields.iter().map(|(name, value)| Statement {
            origin: Origin::Source,
            name: (*name).to_owned(),
            value: value.clone(),
        });
        Holding {
            asset: Asset {
                id: AssetId::new("1"),
                path: AssetPath::new("/Brand/Spring/hero.jpg"),
                revision: Revision::new("1"),
                size: 3,
                modified: None,
                content_hash: None,
                tags: Vec::new(),
                readable: Readable::Yes,
            },
            title: "Hero".to_owned(),
            asset_type: Some("campaignAsset".to_owned()),
            usable: Usable::Unstated,
            collections: vec![AssetPath::new("/Brand/Spring")],
            statements: statements.collect(),
            findings: Vec::new(),
            locked: None,
            is_released: true,
            has_file: true,
            changed: None,
        }
    }

    #[test]
    fn a_query_says_why_an_asset_is_not_asked_for() {
        let approved = ("approval", Value::References(vec!["Approved".to_owned()]));
        let held = holding(&[approved, ("year", Value::Number(2026))]);
        let text = |text: &str| Value::Text(text.to_owned());
        let objection = |collection: &str, field: &str, wanted: Value| {
            let query = Query {
                collection: AssetPath::new(collection),
                asset_types: vec!["campaignAsset".to_owned()],
                fields: vec![(field.to_owned(), wanted)],
            };
            query.objection(&held)
        };
        assert_eq!(objection("/brand", "approval", text("approved")), None);
        assert_eq!(objection("", "year", Value::Decimal(2026.0)), None);
        assert_eq!(
            objection("/Brand", "approval", text("Rejected")).unwrap(),
            "its approval is \"Approved\", not \"Rejected\""
        );
        assert_eq!(
            objection("/Brand", "market", text("DE")).unwrap(),
            "its market is empty, not \"DE\""
        );
        assert_eq!(
            objection("/Bra", "year", Value::Number(2026)).unwrap(),
            "it is not in /Bra any more"
        );
        let other = Query {
            asset_types: vec!["contract".to_owned()],
            ..Query::default()
        };
        assert_eq!(other.objection(&held).unwrap(), "its type is campaignAsset");
    }
}
