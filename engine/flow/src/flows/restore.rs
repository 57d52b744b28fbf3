//! Restore: what an archive holds becomes assets of a library again.
//!
//! It is an ingest flow whose source is the archive's folder and whose rules are the archive's own metadata, so that it
//! is idempotent, resumable and explained as any other. Kept in memory are some hundred bytes for each file that is
//! restored; what is known of an asset is read when the plan asks for it.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use async_trait::async_trait;
use windlass_archive::{Archive, ArchivedAsset, Entry, Role};
use windlass_core::digest::ChecksumAlgorithm;
use windlass_core::{
    Asset, AssetId, AssetPath, AssetStream, AssetView, Assigned, Availability, Blake3, Calls,
    Capabilities, Change, ChangePage, CheckItem, ContentHash, Cursor, Described, Digests, Endpoint,
    Error, Finding, HeldBack, HookIdentity, HookKind, Hooks, Informant, Kind, Load, Mapping,
    Origin, Result, Scope, Source, StampedPage, Stated, Usable, Verdict,
};

use super::ingest::Ingest;

/// The rule that every restored field names.
const RULE: &str = "as it was archived";

/// What the operator says about a restoration.
#[derive(Clone, Debug, Default)]
pub struct RestoreOptions {
    /// The collection for related documents.
    pub documents: AssetPath,
    /// What is wrong with files of the archive, by their paths in it: these are held.
    pub damaged: BTreeMap<String, String>,
    /// Fields that are not restored, by technical name.
    pub without: BTreeSet<String>,
}

/// An archive whose assets are to be restored.
#[derive(Clone, Debug)]
pub struct Restore(Arc<Opened>);

#[derive(Debug)]
struct Opened {
    archive: Archive,
    options: RestoreOptions,
    identity: HookIdentity,
    /// What is restored, by folded path.
    files: BTreeMap<String, Filed>,
    /// The entries of the metadata documents.
    documents: BTreeMap<AssetId, Entry>,
    /// What is not restored.
    left: Vec<Finding>,
    /// How many of `files` a listing has shown since this was asked last.
    listed: AtomicU64,
}

/// A file that is restored.
#[derive(Debug)]
struct Filed {
    path: String,
    asset: AssetId,
    is_document: bool,
    size: u64,
    content_hash: ContentHash,
}

/// The name of the flow that restores an archive to an endpoint: two libraries get their assets independently.
pub fn restore_flow(archive: &str, to: &str) -> String {
    format!("restore of {archive} to {to}")
}

impl Restore {
    /// Takes in what the archive names, and looks at all of its metadata. Blocks.
    ///
    /// Errors: those of reading the manifest; `SourceChanged` when it changed since the archive was opened.
    pub fn open(archive: Archive, options: RestoreOptions) -> Result<Self> {
        let mut files = BTreeMap::new();
        let mut documents = BTreeMap::new();
        let mut entries = archive.entries()?;
        while let Some(entry) = entries.entry()? {
            let Some(asset) = entry.asset.clone() else {
                continue;
            };
            match entry.role {
                Role::Metadata => drop(documents.insert(asset, entry)),
                Role::Original | Role::Document => {
                    let key = AssetPath::new(&entry.path).key();
                    files.insert(key, filed(entry, asset));
                }
                _ => {}
            }
        }
        if entries.finish()?.seal != archive.manifest.seal {
            return Err(Error::new(
                Kind::SourceChanged,
                "the manifest changed while the archive was read",
            ));
        }
        let left = left(&archive, &files, &documents)?;
        Ok(Restore(Arc::new(Opened {
            identity: identity(&archive, &options)?,
            archive,
            options,
            files,
            documents,
            left,
            listed: AtomicU64::new(0),
        })))
    }

    /// Makes a flow from the archive's folder one that restores it.
    pub fn rule(&self, ingest: &mut Ingest) {
        ingest.source = Arc::new(RestoreSource {
            capabilities: Capabilities {
                lists_content_hash: true,
                ..ingest.source.capabilities().clone()
            },
            folder: Arc::clone(&ingest.source),
            opened: Arc::clone(&self.0),
        });
        ingest.hooks = Some(Arc::new(ArchiveHooks(Arc::clone(&self.0))));
        ingest.informant = Some(Arc::new(ArchiveHooks(Arc::clone(&self.0))));
    }
}

fn filed(entry: Entry, asset: AssetId) -> Filed {
    Filed {
        path: entry.path,
        asset,
        is_document: entry.role == Role::Document,
        size: entry.digests.size,
        content_hash: entry.digests.content_hash,
    }
}

/// Which archive answers, and with what options.
fn identity(archive: &Archive, options: &RestoreOptions) -> Result<HookIdentity> {
    let told = serde_json::to_vec(&(&options.documents, &options.damaged, &options.without));
    let told = told.map_err(|error| {
        Error::new(
            Kind::Unexpected,
            "the options of a restoration cannot be written",
        )
        .with_source(error)
    })?;
    let manifest = &archive.manifest;
    Ok(HookIdentity {
        name: "archive".to_owned(),
        version: manifest.header.archive.clone(),
        digest: manifest.seal.digest,
        config_digest: Blake3::of(&told),
    })
}

/// What an archive holds and a restoration leaves there.
fn left(
    archive: &Archive,
    files: &BTreeMap<String, Filed>,
    documents: &BTreeMap<AssetId, Entry>,
) -> Result<Vec<Finding>> {
    let with_file: BTreeSet<&AssetId> = files.values().map(|file| &file.asset).collect();
    let mut relations = 0;
    for asset in archive.assets()? {
        match asset {
            // Those between two assets of the archive are in the metadata of both.
            Ok(asset) => {
                let all = asset.relations.iter();
                let counted =
                    all.filter(|one| one.is_outgoing || !documents.contains_key(&one.asset));
                relations += counted.count() as u64;
            }
            // What is wrong with it is said where it is to be restored.
            Err(error) if error.kind() == Kind::SourceChanged => return Err(error),
            Err(_) => {}
        }
    }
    let without = documents.keys().filter(|id| !with_file.contains(id));
    let of_role = |role| {
        let sum = archive.manifest.sums.roles.get(&role);
        sum.map_or(0, |sum| sum.files)
    };
    let counts = [
        ("relations", relations),
        ("older versions", of_role(Role::Version)),
        ("renditions", of_role(Role::Rendition)),
        ("assets without a file", without.count() as u64),
    ];
    let counts = counts.into_iter().filter(|(_, count)| *count > 0);
    let remark = |(what, count): (&str, u64)| Finding {
        subject: what.to_owned(),
        message: match count {
            1 => "1 is in the archive and is not restored".to_owned(),
            n => format!("{n} are in the archive and are not restored"),
        },
    };
    Ok(counts.map(remark).collect())
}

impl Opened {
    fn file(&self, path: &AssetPath) -> Option<&Filed> {
        self.files.get(&path.key())
    }

    /// What a file of the archive becomes, or why it cannot.
    fn mapping(&self, path: &AssetPath, size: u64) -> Verdict<Mapping> {
        let held = |reason: String| Verdict::Held {
            reason,
            rule: String::new(),
        };
        let Some(file) = self.file(path) else {
            return held("the archive does not name it".to_owned());
        };
        let Some(document) = self.documents.get(&file.asset) else {
            return held("the archive has no metadata of it".to_owned());
        };
        for damaged in [&file.path, &document.path] {
            if let Some(why) = self.options.damaged.get(damaged) {
                return held(why.clone());
            }
        }
        if size != file.size {
            let was = file.size;
            return held(format!("it has {size} bytes and was archived with {was}"));
        }
        match self.archive.asset(document) {
            Ok(asset) => Verdict::Ready(self.mapped(asset, file)),
            Err(error) => held(error.chain()),
        }
    }

    fn mapped(&self, asset: ArchivedAsset, file: &Filed) -> Mapping {
        let mut findings = Vec::new();
        let mut fields = Vec::with_capacity(asset.fields.len());
        for (field, value) in asset.fields {
            if self.options.without.contains(&field) {
                findings.push(Finding {
                    subject: field,
                    message: "this field is not restored".to_owned(),
                });
                continue;
            }
            fields.push(Assigned {
                field,
                value,
                rule: RULE.to_owned(),
            });
        }
        Mapping {
            fields,
            asset_type: asset.asset_type,
            collection: file.is_document.then(|| self.options.documents.clone()),
            name: Some(asset.title).filter(|title| !title.is_empty()),
            file_name: Some(asset.file_name),
            availability: availability(&asset.usable, file, &mut findings),
            findings,
        }
    }
}

/// When an asset may be used again. What nobody could read then is as good as no.
fn availability(
    usable: &Usable,
    file: &Filed,
    findings: &mut Vec<Finding>,
) -> Option<Availability> {
    match usable {
        Usable::Unstated => None,
        Usable::Stated(availability) => Some(availability.clone()),
        Usable::Unreadable(_) => {
            findings.push(Finding {
                subject: file.path.clone(),
                message: "nobody could read its availability when it was archived; it is restored \
                          as not available"
                    .to_owned(),
            });
            Some(Availability::Direct { available: false })
        }
    }
}

/// Answers from the archive's metadata, in place of a customer's rules.
#[derive(Debug)]
struct ArchiveHooks(Arc<Opened>);

#[async_trait]
impl Hooks for ArchiveHooks {
    fn identity(&self) -> &HookIdentity {
        &self.0.identity
    }

    fn kinds(&self) -> &[HookKind] {
        &[HookKind::Metadata]
    }

    async fn describe(&self, assets: &[AssetView]) -> Result<Vec<Verdict<Mapping>>> {
        let opened = Arc::clone(&self.0);
        let asked: Vec<_> = assets
            .iter()
            .map(|asset| (asset.path.clone(), asset.size))
            .collect();
        let answer = move || {
            let asked = asked.iter();
            asked
                .map(|(path, size)| opened.mapping(path, *size))
                .collect()
        };
        let answered = tokio::task::spawn_blocking(answer).await;
        answered.map_err(|error| {
            Error::new(Kind::Unexpected, "reading the archive ended abnormally").with_source(error)
        })
    }
}

/// Says after the listing what is not restored. It states nothing about single assets: the rules know all of it.
#[async_trait]
impl Informant for ArchiveHooks {
    fn origins(&self) -> &[Origin] {
        &[]
    }

    fn digest(&self) -> Blake3 {
        self.0.identity.digest
    }

    async fn state(
        &self,
        _source: &dyn Source,
        assets: &[Described],
        _wanted: &[Origin],
    ) -> Result<Vec<Verdict<Stated>>> {
        let nothing = |_| Verdict::Ready(Stated::default());
        Ok(assets.iter().map(nothing).collect())
    }

    fn pass(&self, asset: &Asset) {
        let is_ours = self.0.file(&asset.path).is_some();
        self.0
            .listed
            .fetch_add(u64::from(is_ours), Ordering::Relaxed);
    }

    fn leftovers(&self) -> Vec<Finding> {
        let listed = self.0.listed.swap(0, Ordering::Relaxed);
        let mut found = self.0.left.clone();
        let missing = (self.0.files.len() as u64).saturating_sub(listed);
        if missing > 0 {
            found.push(Finding {
                subject: "missing files".to_owned(),
                message: format!("{missing} of those to restore are not where the manifest says"),
            });
        }
        found
    }
}

/// The archive's folder, of which only what is restored is listed, with the content hashes that the manifest states: a
/// transfer compares them with the bytes before anything is committed.
#[derive(Debug)]
struct RestoreSource {
    folder: Arc<dyn Source>,
    capabilities: Capabilities,
    opened: Arc<Opened>,
}

impl RestoreSource {
    /// As the manifest knows it; `None` for what is not restored.
    fn known(&self, asset: Asset) -> Option<Asset> {
        let file = self.opened.file(&asset.path)?;
        Some(Asset {
            content_hash: Some(file.content_hash),
            ..asset
        })
    }
}

#[async_trait]
impl Endpoint for RestoreSource {
    fn name(&self) -> &str {
        self.folder.name()
    }

    fn capabilities(&self) -> &Capabilities {
        &self.capabilities
    }

    async fn check(&self) -> Result<Vec<CheckItem>> {
        self.folder.check().await
    }

    fn held_back(&self) -> Option<HeldBack> {
        self.folder.held_back()
    }

    fn calls_made(&self) -> u64 {
        self.folder.calls_made()
    }
}

#[async_trait]
impl Source for RestoreSource {
    async fn changes(&self, scope: &Scope, cursor: Option<&Cursor>) -> Result<ChangePage> {
        let page = self.folder.changes(scope, cursor).await?;
        let known = |change| match change {
            Change::Asset(asset) => self.known(asset).map(Change::Asset),
            Change::Folder(_) | Change::Removed(_) => Some(change),
        };
        Ok(ChangePage {
            changes: page.changes.into_iter().filter_map(known).collect(),
            ..page
        })
    }

    async fn stamped(&self, scope: &Scope, cursor: Option<&Cursor>) -> Result<StampedPage> {
        Ok(StampedPage {
            page: self.changes(scope, cursor).await?,
            stamps: BTreeMap::new(),
            collections: BTreeMap::new(),
            touched: BTreeSet::new(),
        })
    }

    async fn stat(&self, asset: &AssetId) -> Result<Option<Asset>> {
        let found = self.folder.stat(asset).await?;
        Ok(found.and_then(|found| self.known(found)))
    }

    async fn tags(&self, assets: &[Asset]) -> Result<Vec<Vec<String>>> {
        self.folder.tags(assets).await
    }

    async fn read(&self, asset: &Asset, range: Range<u64>, into: &mut Vec<u8>) -> Result<()> {
        self.folder.read(asset, range, into).await
    }

    async fn open(&self, asset: &Asset) -> Result<Box<dyn AssetStream>> {
        self.folder.open(asset).await
    }

    async fn digests(&self, assets: &[Asset]) -> Result<Vec<Option<Digests>>> {
        self.folder.digests(assets).await
    }

    async fn fingerprints(&self, assets: &[Asset]) -> Result<Vec<Option<u64>>> {
        self.folder.fingerprints(assets).await
    }

    async fn checksums(
        &self,
        assets: &[Asset],
        algorithm: ChecksumAlgorithm,
    ) -> Result<Vec<Option<Vec<u8>>>> {
        self.folder.checksums(assets, algorithm).await
    }

    fn calls_to_read(&self, load: &Load) -> Calls {
        self.folder.calls_to_read(load)
    }
}
