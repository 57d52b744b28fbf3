//! Sealing an archive: every file is read back and digested, what is known of each asset is written beside it, and the
//! manifest that names all of it is sealed. Only then the assets are retired, as the operator says.
//!
//! What a crash leaves is an archive without a manifest, which is none yet; the next run reads and writes again, and
//! documents that are as they shall be are left alone. The moment is noted first, so that all tries make the same archive.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use windlass_archive::{
    Approval, Archived, ArchivedAsset, ArchivedFile, ArchivedRelation, ArchivedRendition,
    ArchivedRuling, ArchivedVersion, CHAIN_PATH, Digesting, Entry, FORMAT, FileDigests,
    MANIFEST_PATH, ManifestHeader, ManifestWriter, MhlInfo, MhlWriter, README_PATH, Receipt, Role,
    archive_id, metadata_json, metadata_path, mhl_chain, mhl_path, readme, sidecar_path, xmp,
};
use windlass_core::{
    Asset, AssetId, AssetPath, Blake3, Cursor, Decision, Error, Finding, Holding, Kind, Placement,
    Result, Revision,
};

use super::archive::{ArchiveOptions, DOCUMENT, ORIGINAL, RENDITION, version_of};
use super::standing::Stands;
use super::{Closed, ReleaseFlow, Scene, any_use};
use crate::delivery::{asset_of, delivered_revision};
use crate::observe::Event;
use crate::plan::PlanSummary;
use crate::rights::{Asked, Passage};

/// How many bytes are read back at once. Outside of the budget, which is at rest once a run is over.
const PIECE: u64 = 8 << 20;

/// How many files are named that keep an archive from being sealed.
const NAMED: usize = 3;

/// What is noted of an archive.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Noted {
    /// When it was begun to be sealed.
    created: Timestamp,
    /// The digest of its manifest, once it is sealed.
    #[serde(default)]
    sealed: Option<Blake3>,
    /// Whether everything is done that follows.
    #[serde(default)]
    retired: bool,
}

/// A file of the archive that was read back.
struct File {
    entry: Entry,
    placement: Placement,
    slot: String,
}

impl File {
    fn archived(&self) -> ArchivedFile {
        ArchivedFile {
            path: self.entry.path.clone(),
            size: self.entry.digests.size,
            blake3: self.entry.digests.blake3,
        }
    }
}

impl ReleaseFlow {
    /// That the archive is sealed and nothing is to be done, if so.
    pub(super) async fn sealed(&self) -> Result<Option<Finding>> {
        let noted = self.noted().await?;
        let sealed = noted.and_then(|noted| Some((noted.created, noted.sealed?)));
        Ok(sealed.map(|(created, digest)| Finding {
            subject: self.options.root.to_string(),
            message: format!(
                "the archive of {created} is sealed as {digest}; it does not change any more"
            ),
        }))
    }

    pub(super) async fn seal(
        &self,
        options: &ArchiveOptions,
        plan: &PlanSummary,
        closed: &mut Closed,
    ) -> Result<()> {
        let mut noted = match self.noted().await? {
            Some(noted) => noted,
            None => Noted {
                created: self
                    .gate
                    .clock
                    .now()
                    .round(jiff::Unit::Second)
                    .map_err(|error| {
                        Error::new(Kind::Unexpected, "the clock cannot be read").with_source(error)
                    })?,
                sealed: None,
                retired: false,
            },
        };
        let mut summary = PlanSummary::new(plan.flow.clone(), plan.origin.clone());
        let mut scene = self.look(&mut summary).await?;
        let chosen: Vec<AssetId> = scene.selected.keys().cloned().collect();
        if noted.sealed.is_none() {
            let Some(files) = self.all_there(options, &mut scene, closed).await? else {
                return Ok(());
            };
            self.note(&noted).await?;
            noted.sealed = self
                .write_papers(options, &scene, files, noted.created, closed)
                .await?;
            if noted.sealed.is_none() {
                return Ok(());
            }
            closed.sealed = noted.sealed;
            self.note(&noted).await?;
        }
        if !noted.retired {
            noted.retired = self.retire(options, &chosen, closed).await?;
            self.note(&noted).await?;
        }
        Ok(())
    }

    /// Every file of the archive with its digests, read back; `None` where some are missing.
    async fn all_there(
        &self,
        options: &ArchiveOptions,
        scene: &mut Scene,
        closed: &mut Closed,
    ) -> Result<Option<Vec<File>>> {
        let routed = self.archive(options, scene).await?;
        let mut missing = Vec::new();
        let mut there = Vec::new();
        for delivery in &routed.deliveries {
            let id = delivery.id();
            let wanted = super::original(scene, delivery)
                .map(|asset| delivered_revision(&asset.revision, delivery.rendition.as_deref()));
            let placement = scene.placed.get(&id).filter(|placement| {
                Some(&placement.source_revision) == wanted.as_ref()
                    && matches!(scene.standing.of(placement), Stands::AsPlaced { .. })
            });
            match placement {
                Some(placement) => there.push((delivery, placement.clone())),
                // What could not be made is no loss: the original is there.
                None if delivery.rendition.is_some() => closed.findings.push(Finding {
                    subject: delivery.path().to_string(),
                    message: "the rendition is not in the archive".to_owned(),
                }),
                None => missing.push(delivery.path()),
            }
        }
        if !missing.is_empty() || there.is_empty() {
            closed
                .findings
                .push(not_sealed(&self.options.root, &missing));
            return Ok(None);
        }
        let of = there.len() as u64;
        let mut files = Vec::with_capacity(there.len());
        for (delivery, placement) in there {
            let done = files.len() as u64;
            self.observer.observe(Event::Sealing { files: done, of });
            let Some(digests) = self.read_back(&placement, closed).await? else {
                return Ok(None);
            };
            files.push(self.file(&delivery.slot, &delivery.path(), placement, digests));
        }
        Ok(Some(files))
    }

    fn file(
        &self,
        slot: &str,
        path: &AssetPath,
        placement: Placement,
        digests: FileDigests,
    ) -> File {
        let below = path.segments().skip(self.options.root.segments().count());
        let rendition = slot.strip_prefix(RENDITION).map(str::to_owned);
        let role = match slot {
            ORIGINAL => Role::Original,
            DOCUMENT => Role::Document,
            _ if rendition.is_some() => Role::Rendition,
            _ => Role::Version,
        };
        let revision = placement.source_revision.as_str();
        let version = match &rendition {
            Some(name) => revision
                .strip_suffix(&format!("+{name}"))
                .unwrap_or(revision),
            None => revision,
        };
        File {
            entry: Entry {
                path: below.collect::<Vec<_>>().join("/"),
                role,
                asset: Some(asset_of(&placement.source_asset)),
                version: Some(Revision::new(version)),
                rendition,
                digests,
            },
            placement,
            slot: slot.to_owned(),
        }
    }

    /// Reads a file back from the sink and digests it; `None` where it is not what was placed.
    async fn read_back(
        &self,
        placement: &Placement,
        closed: &mut Closed,
    ) -> Result<Option<FileDigests>> {
        let Some(asset) = self.reader.stat(&placement.placed.asset).await? else {
            let gone = AssetPath::new(placement.placed.asset.as_str());
            closed
                .findings
                .push(not_sealed(&self.options.root, &[gone]));
            return Ok(None);
        };
        let digests = self.digest(&asset).await?;
        if digests.blake3 == placement.digests.blake3 {
            return Ok(Some(digests));
        }
        closed.findings.push(Finding {
            subject: asset.path.to_string(),
            message: "the archive is not sealed: read back, it has other bytes than were placed"
                .to_owned(),
        });
        Ok(None)
    }

    async fn digest(&self, asset: &Asset) -> Result<FileDigests> {
        let mut digesting = Digesting::default();
        let mut piece = Vec::new();
        if self.reader.capabilities().range_reads {
            let mut at = 0;
            while at < asset.size {
                let end = asset.size.min(at + PIECE);
                piece.clear();
                self.reader.read(asset, at..end, &mut piece).await?;
                (digesting, piece) = update(digesting, piece).await?;
                at = end;
            }
            return Ok(digesting.finish());
        }
        let mut stream = self.reader.open(asset).await?;
        let mut left = asset.size;
        while left > 0 {
            let next = left.min(PIECE);
            piece.clear();
            stream.next(next, &mut piece).await?;
            (digesting, piece) = update(digesting, piece).await?;
            left -= next;
        }
        stream.end().await?;
        Ok(digesting.finish())
    }

    /// Writes everything that is said about the files; the digest of the manifest, unless a document could not be written.
    async fn write_papers(
        &self,
        options: &ArchiveOptions,
        scene: &Scene,
        files: Vec<File>,
        created: Timestamp,
        closed: &mut Closed,
    ) -> Result<Option<Blake3>> {
        let header = ManifestHeader {
            format: FORMAT,
            archive: archive_id(&self.options.flow, &options.campaign, created),
            campaign: options.campaign.clone(),
            source: self.gate.library.name().to_owned(),
            query: self.options.query.clone(),
            created,
            windlass: env!("CARGO_PKG_VERSION").to_owned(),
        };
        let archived = Archived {
            archive: header.archive.clone(),
            source: header.source.clone(),
            at: created,
            windlass: header.windlass.clone(),
        };
        let mut papers: Vec<(String, Role, Option<AssetId>, Vec<u8>)> = Vec::new();
        let mut by_asset: BTreeMap<AssetId, Vec<&File>> = BTreeMap::new();
        for file in &files {
            by_asset
                .entry(asset_of(&file.placement.source_asset))
                .or_default()
                .push(file);
        }
        for (id, own) in &by_asset {
            let Some(held) = scene.selected.get(id) else {
                continue;
            };
            let asset = self
                .described(options, held, own, &by_asset, &archived)
                .await?;
            papers.push((
                metadata_path(id),
                Role::Metadata,
                Some(id.clone()),
                metadata_json(&asset)?,
            ));
            papers.push((
                sidecar_path(id),
                Role::Sidecar,
                Some(id.clone()),
                xmp(&asset, &options.xmp)?,
            ));
        }
        papers.push((
            README_PATH.to_owned(),
            Role::Readme,
            None,
            readme(&header).into_bytes(),
        ));
        let mut entries: Vec<Entry> = files.into_iter().map(|file| file.entry).collect();
        for (path, role, asset, bytes) in papers {
            if !self.write(&self.at(&path), &bytes, closed).await? {
                return Ok(None);
            }
            entries.push(paper(path, role, asset, &bytes));
        }
        entries.sort_by(|a, b| a.path.cmp(&b.path));
        if options.mhl {
            let Some(lists) = self.write_mhl(&entries, created, closed).await? else {
                return Ok(None);
            };
            entries.extend(lists);
        }
        let mut manifest = ManifestWriter::begin(Vec::new(), &header)?;
        for entry in &entries {
            manifest.file(entry)?;
        }
        let (bytes, _, seal) = manifest.finish(&options.keys.0)?;
        let is_written = self.write(&self.at(MANIFEST_PATH), &bytes, closed).await?;
        Ok(is_written.then_some(seal.digest))
    }

    async fn write_mhl(
        &self,
        entries: &[Entry],
        created: Timestamp,
        closed: &mut Closed,
    ) -> Result<Option<Vec<Entry>>> {
        let info = MhlInfo {
            created,
            host: self.outlet.name().to_owned(),
            windlass: env!("CARGO_PKG_VERSION").to_owned(),
            comment: None,
        };
        let mut list = MhlWriter::begin(Vec::new(), &info)?;
        for entry in entries {
            list.file(&entry.path, entry.digests.size, entry.digests.xxh64)?;
        }
        let (list, c4) = list.finish()?;
        let path = mhl_path(self.options.root.name(), created);
        let chain = mhl_chain(&path, &c4)?;
        let mut written = Vec::new();
        for (path, bytes) in [(path, list), (CHAIN_PATH.to_owned(), chain)] {
            if !self.write(&self.at(&path), &bytes, closed).await? {
                return Ok(None);
            }
            written.push(paper(path, Role::Mhl, None, &bytes));
        }
        Ok(Some(written))
    }

    /// Everything that is known of an asset at this moment.
    async fn described(
        &self,
        options: &ArchiveOptions,
        held: &Holding,
        own: &[&File],
        all: &BTreeMap<AssetId, Vec<&File>>,
        archived: &Archived,
    ) -> Result<ArchivedAsset> {
        let mut asset = ArchivedAsset::of(held, archived);
        asset.versions = self.archived_versions(options, held, own).await?;
        let renditions = own.iter().filter_map(|file| {
            Some(ArchivedRendition {
                rendition: file.entry.rendition.clone()?,
                file: file.archived(),
            })
        });
        asset.renditions = renditions.collect();
        asset.receipts = own
            .iter()
            .map(|file| Receipt {
                file: file.archived(),
                // It was just read back.
                evidence: windlass_core::Evidence::E3,
                at: archived.at,
                run: None,
            })
            .collect();
        for one in self.gate.library.related(&held.asset.id).await? {
            let files = all.get(&one.asset).into_iter().flatten();
            let mut current = files.filter(|file| matches!(file.entry.role, Role::Document));
            asset.relations.push(ArchivedRelation {
                kind: one.kind,
                is_outgoing: one.is_outgoing,
                file: current.next().map(|file| file.archived()),
                asset: one.asset,
            });
        }
        let uses = any_use();
        let asked = Asked {
            holding: held,
            uses: &uses,
        };
        let (mut passages, findings) = self.gate.judge(&[asked]).await;
        let passage = passages.remove(0);
        asset.rulings = vec![self.ruling(passage, archived.at, findings)];
        asset.approvals = self
            .options
            .query
            .fields
            .iter()
            .map(|(field, _)| Approval {
                field: field.clone(),
                value: held.value(field).cloned(),
                approved: self.options.query.objection(held).is_none(),
                at: archived.at,
            })
            .collect();
        Ok(asset)
    }

    /// The versions of an asset, the oldest first, with the files of those that were archived.
    async fn archived_versions(
        &self,
        options: &ArchiveOptions,
        held: &Holding,
        own: &[&File],
    ) -> Result<Vec<ArchivedVersion>> {
        let mut versions = match options.versions {
            true => self.gate.library.versions(&held.asset.id).await?,
            false => vec![held.asset.clone()],
        };
        versions.reverse();
        let file_of = |version: &Revision| {
            let is_current = *version == held.asset.revision;
            let mut files = own.iter().filter(|file| match is_current {
                true => matches!(file.entry.role, Role::Original | Role::Document),
                false => version_of(&file.slot).as_ref() == Some(version),
            });
            files.next().map(|file| file.archived())
        };
        let archived = versions.into_iter().map(|version| ArchivedVersion {
            file: file_of(&version.revision),
            file_name: version.path.name().to_owned(),
            size: version.size,
            modified: version.modified,
            version: version.revision,
        });
        Ok(archived.collect())
    }

    fn ruling(&self, passage: Passage, at: Timestamp, findings: Vec<Finding>) -> ArchivedRuling {
        let until = passage.until();
        let (decision, reason) = match passage {
            Passage::Open { by, .. } => (Decision::Allow, by),
            Passage::Shut {
                reason,
                is_denied: true,
                ..
            } => (Decision::Deny, reason),
            Passage::Shut { reason, .. } => (Decision::Hold, reason),
        };
        ArchivedRuling {
            at,
            audience: Some(self.options.rights.audience.clone()),
            market: self.options.rights.market.clone(),
            channel: self.options.rights.channel.clone(),
            decision,
            until,
            reason,
            rule: String::new(),
            findings,
        }
    }

    /// Retires the campaign's own assets; answers whether all are.
    async fn retire(
        &self,
        options: &ArchiveOptions,
        chosen: &[AssetId],
        closed: &mut Closed,
    ) -> Result<bool> {
        let Some(how) = &options.afterwards else {
            return Ok(true);
        };
        let mut all = true;
        for id in chosen {
            let message = match self.gate.library.retire(id, how).await {
                Ok(true) => continue,
                Ok(false) => "it would be in no collection any more, so it stays".to_owned(),
                Err(error) if error.is_temporary() => return Err(error),
                Err(error) => {
                    all = false;
                    format!("it is not retired: {}", error.chain())
                }
            };
            closed.findings.push(Finding {
                subject: format!("asset {id}"),
                message,
            });
        }
        Ok(all)
    }

    fn at(&self, path: &str) -> AssetPath {
        path.split('/')
            .fold(self.options.root.clone(), |at, name| at.join(name))
    }

    /// The papers that an archive has, or will have, with these files.
    pub(super) async fn papers(
        &self,
        options: &ArchiveOptions,
        files: impl Iterator<Item = &AssetId>,
    ) -> Result<Vec<AssetPath>> {
        let assets: BTreeSet<AssetId> = files.map(asset_of).collect();
        let mut papers = vec![self.at(README_PATH), self.at(MANIFEST_PATH)];
        for asset in &assets {
            papers.extend([metadata_path(asset), sidecar_path(asset)].map(|path| self.at(&path)));
        }
        if let Some(noted) = self.noted().await?.filter(|_| options.mhl) {
            let list = mhl_path(self.options.root.name(), noted.created);
            papers.extend([&list, CHAIN_PATH].map(|path| self.at(path)));
        }
        Ok(papers)
    }

    fn noted_key(&self) -> String {
        format!("archive of {}", self.options.flow)
    }

    async fn noted(&self) -> Result<Option<Noted>> {
        let noted = self.ledger.cursor(&self.noted_key()).await?;
        let Some(noted) = noted else {
            return Ok(None);
        };
        let read = serde_json::from_str(noted.as_str()).map_err(|error| {
            Error::new(
                Kind::Corrupt,
                "what the ledger notes of an archive cannot be read",
            )
            .with_source(error)
        })?;
        Ok(Some(read))
    }

    async fn note(&self, noted: &Noted) -> Result<()> {
        let text = serde_json::to_string(noted).map_err(|error| {
            Error::new(Kind::Unexpected, "an archive cannot be noted").with_source(error)
        })?;
        let key = self.noted_key();
        self.ledger.set_cursor(&key, Some(&Cursor::new(text))).await
    }
}

/// Digesting is work for a processor, not for the loop that moves bytes.
async fn update(mut digesting: Digesting, piece: Vec<u8>) -> Result<(Digesting, Vec<u8>)> {
    let work = tokio::task::spawn_blocking(move || {
        digesting.update(&piece);
        (digesting, piece)
    });
    work.await.map_err(|error| {
        Error::new(Kind::Unexpected, "digesting ended abnormally").with_source(error)
    })
}

fn paper(path: String, role: Role, asset: Option<AssetId>, bytes: &[u8]) -> Entry {
    Entry {
        path,
        role,
        asset,
        version: None,
        rendition: None,
        digests: FileDigests::of(bytes),
    }
}

fn not_sealed(root: &AssetPath, missing: &[AssetPath]) -> Finding {
    let named: Vec<String> = missing
        .iter()
        .take(NAMED)
        .map(ToString::to_string)
        .collect();
    let message = match missing.len() {
        0 => "the archive is not sealed: nothing is in it".to_owned(),
        1 => format!("the archive is not sealed: {} is not there yet", named[0]),
        all if all <= NAMED => format!(
            "the archive is not sealed: {} are not there yet",
            named.join(", ")
        ),
        all => format!(
            "the archive is not sealed: {} and {} more are not there yet",
            named.join(", "),
            all - NAMED
        ),
    };
    Finding {
        subject: root.to_string(),
        message,
    }
}
