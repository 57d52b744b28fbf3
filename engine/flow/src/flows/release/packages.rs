//! Manifests of regional packages: one in each market's folder, with what is there and what is not, and why.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;
use windlass_core::{
    AssetId, AssetPath, Blake3, ContentHash, Cursor, Error, Kind, Placement, Result,
};

use super::{BATCH, Closed, ReleaseFlow};
use crate::coverage::{CoverageMap, CoverageRow, Filled};
use crate::delivery::asset_of;

/// The manifest of one market's package. It says nothing that changes by itself, so that it is written only when the
/// package changed.
#[derive(Debug, Serialize)]
struct PackageManifest<'a> {
    format: &'static str,
    flow: &'a str,
    market: &'a str,
    files: Vec<PackagedFile<'a>>,
    not_here: Vec<NotHere<'a>>,
}

#[derive(Debug, Serialize)]
struct PackagedFile<'a> {
    /// Relative to the manifest's folder.
    path: String,
    piece: &'a str,
    language: &'a str,
    channel: &'a str,
    stands_in: bool,
    asset: AssetId,
    version: &'a str,
    size: u64,
    blake3: Blake3,
    #[serde(skip_serializing_if = "Option::is_none")]
    content_hash: Option<ContentHash>,
}

#[derive(Debug, Serialize)]
struct NotHere<'a> {
    piece: &'a str,
    language: &'a str,
    channel: &'a str,
    state: &'static str,
    why: &'a str,
}

impl ReleaseFlow {
    pub(super) async fn write_packages(
        &self,
        coverage: &CoverageMap,
        closed: &mut Closed,
    ) -> Result<()> {
        let mut by_market: BTreeMap<&str, Vec<&CoverageRow>> = BTreeMap::new();
        for row in &coverage.rows {
            by_market.entry(&row.market).or_default().push(row);
        }
        let mut paths = BTreeSet::new();
        for (market, rows) in by_market {
            let placements = self.placements_of(&rows).await?;
            let Some(folder) = common_folder(&rows) else {
                continue;
            };
            let manifest = manifest(&self.options.flow, market, &folder, &rows, &placements);
            let text = serde_json::to_vec_pretty(&manifest).map_err(|error| {
                Error::new(Kind::Unexpected, "a manifest cannot be written").with_source(error)
            })?;
            let path = folder.join(&format!("package-{market}.json"));
            self.write(&path, &text, closed).await?;
            paths.insert(path);
        }
        self.forget_packages(paths).await
    }

    /// Takes manifests away whose package is nowhere, or elsewhere by now.
    async fn forget_packages(&self, now: BTreeSet<AssetPath>) -> Result<()> {
        let before = self.packages().await?;
        for path in before.difference(&now) {
            self.documents().remove(path).await?;
        }
        let text = serde_json::to_string(&now).map_err(|error| {
            Error::new(Kind::Unexpected, "a list cannot be written").with_source(error)
        })?;
        let key = self.packages_key();
        self.ledger.set_cursor(&key, Some(&Cursor::new(text))).await
    }

    /// The manifests of packages that were written last.
    pub(super) async fn packages(&self) -> Result<BTreeSet<AssetPath>> {
        let noted = self.ledger.cursor(&self.packages_key()).await?;
        Ok(noted
            .and_then(|noted| serde_json::from_str(noted.as_str()).ok())
            .unwrap_or_default())
    }

    fn packages_key(&self) -> String {
        format!("packages of {}", self.options.flow)
    }

    async fn placements_of(&self, rows: &[&CoverageRow]) -> Result<BTreeMap<AssetId, Placement>> {
        let (flow, source) = (&self.options.flow, self.gate.library.name());
        let ids: BTreeSet<AssetId> = rows.iter().filter_map(|row| row.delivery.clone()).collect();
        let ids: Vec<AssetId> = ids.into_iter().collect();
        let mut found = BTreeMap::new();
        for batch in ids.chunks(BATCH) {
            let placements = self.ledger.placements(flow, source, batch).await?;
            let there = batch.iter().zip(placements);
            found.extend(there.filter_map(|(id, one)| Some((id.clone(), one?))));
        }
        Ok(found)
    }
}

/// The deepest folder that holds all files of some rows; `None` without any.
fn common_folder(rows: &[&CoverageRow]) -> Option<AssetPath> {
    let mut folders = rows
        .iter()
        .filter_map(|row| Some(row.file.as_ref()?.parent()));
    let first = folders.next()?;
    let mut common: Vec<String> = first.segments().map(str::to_owned).collect();
    for folder in folders {
        let same = common.iter().zip(folder.segments());
        let same =
            same.take_while(|(a, b)| windlass_core::fold_key(a) == windlass_core::fold_key(b));
        let same = same.count();
        common.truncate(same);
    }
    Some(
        common
            .iter()
            .fold(AssetPath::new(""), |at, name| at.join(name)),
    )
}

fn manifest<'a>(
    flow: &'a str,
    market: &'a str,
    folder: &AssetPath,
    rows: &[&'a CoverageRow],
    placements: &'a BTreeMap<AssetId, Placement>,
) -> PackageManifest<'a> {
    let mut manifest = PackageManifest {
        format: "windlass package 1",
        flow,
        market,
        files: Vec::new(),
        not_here: Vec::new(),
    };
    for row in rows {
        let placement = row.delivery.as_ref().and_then(|id| placements.get(id));
        match (&row.file, placement) {
            (Some(file), Some(placement)) => {
                let below = file.segments().skip(folder.segments().count());
                manifest.files.push(PackagedFile {
                    path: below.collect::<Vec<_>>().join("/"),
                    piece: &row.piece,
                    language: &row.language,
                    channel: &row.channel,
                    stands_in: row.filled == Filled::Fallback,
                    asset: asset_of(&placement.source_asset),
                    version: placement.source_revision.as_str(),
                    size: placement.digests.size,
                    blake3: placement.digests.blake3,
                    content_hash: placement.digests.content_hash,
                });
            }
            (file, _) => manifest.not_here.push(NotHere {
                piece: &row.piece,
                language: &row.language,
                channel: &row.channel,
                state: row.filled.word(),
                why: match file {
                    None => &row.why,
                    Some(_) => "it is not placed yet",
                },
            }),
        }
    }
    manifest
}
