//! A small archive with everything in it, the same each time.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use jiff::Timestamp;
use tempfile::TempDir;
use windlass_core::sign::SigningKey;
use windlass_core::{
    Asset, AssetId, AssetPath, Availability, Decision, Evidence, Finding, Holding, Origin, Query,
    Readable, Revision, Statement, Usable, Value,
};

use crate::*;

pub(super) fn at(text: &str) -> Timestamp {
    text.parse().unwrap()
}

pub(super) fn key(seed: u8) -> SigningKey {
    SigningKey::from_seed(&[seed; 32])
}

pub(super) fn header() -> ManifestHeader {
    let created = at("2026-11-29T12:00:00Z");
    ManifestHeader {
        format: FORMAT,
        archive: archive_id("close", "Spring", created),
        campaign: "Spring".to_owned(),
        source: "dam".to_owned(),
        query: Query {
            collection: AssetPath::new("/Brand/Spring"),
            asset_types: vec!["campaignAsset".to_owned()],
            fields: vec![("year".to_owned(), Value::Number(2026))],
        },
        created,
        windlass: "0.1.0".to_owned(),
    }
}

pub(super) fn archived() -> Archived {
    let header = header();
    Archived {
        archive: header.archive,
        source: header.source,
        at: header.created,
        windlass: header.windlass,
    }
}

pub(super) fn holding(id: &str, file: &str, size: usize, fields: &[(&str, Value)]) -> Holding {
    let statements = fields.iter().map(|(name, value)| Statement {
        origin: Origin::Source,
        name: (*name).to_owned(),
        value: value.clone(),
    });
    Holding {
        asset: Asset {
            id: AssetId::new(id),
            path: AssetPath::new("/Brand/Spring").join(file),
            revision: Revision::new("2"),
            size: size as u64,
            modified: Some(at("2026-03-01T08:30:00Z")),
            content_hash: None,
            tags: vec!["hero".to_owned()],
            readable: Readable::Yes,
        },
        title: format!("Title of {file}"),
        asset_type: Some("campaignAsset".to_owned()),
        usable: Usable::Stated(Availability::Dated {
            from: None,
            to: Some(at("2027-01-01T00:00:00Z")),
        }),
        collections: vec![AssetPath::new("/Brand/Spring")],
        statements: statements.collect(),
        findings: vec![],
        locked: None,
        is_released: true,
        has_file: true,
        changed: None,
    }
}

pub(super) fn every_value() -> Vec<(&'static str, Value)> {
    let texts = [("de", "Größe"), ("en", "size"), ("ja", "大きさ")];
    let texts = texts.map(|(language, text)| (language.to_owned(), text.to_owned()));
    let list = |entries: &[&str]| entries.iter().map(|entry| (*entry).to_owned()).collect();
    vec![
        ("description", Value::LocalizedText(BTreeMap::from(texts))),
        (
            "keywords",
            Value::Keywords(list(&["Frühling", "עברית", "🌷"])),
        ),
        (
            "copyright",
            Value::Text("© Müller & Söhne <GmbH>".to_owned()),
        ),
        ("budget", Value::Number(-12)),
        ("ratio", Value::Decimal(1.5)),
        ("shot", Value::Date("2026-02-28".parse().unwrap())),
        ("cleared", Value::Boolean(true)),
        ("market", Value::References(list(&["EU/DE", "EU/AT"]))),
    ]
}

/// An archive in a folder that is removed with it.
pub(super) struct Made {
    pub(super) dir: TempDir,
    entries: Vec<Entry>,
}

impl Made {
    pub(super) fn path(&self) -> &Path {
        self.dir.path()
    }

    pub(super) fn at(&self, path: &str) -> PathBuf {
        self.path().join(path)
    }

    pub(super) fn verified(&self) -> Verified {
        verify(self.path(), &[]).unwrap()
    }

    /// The sentences about it.
    pub(super) fn said(&self) -> Vec<String> {
        self.verified().sentences()
    }

    fn add(&mut self, role: Role, asset: Option<&str>, path: &str, bytes: &[u8]) -> ArchivedFile {
        let digests = FileDigests::of(bytes);
        self.write(path, bytes);
        let version = matches!(role, Role::Original | Role::Version | Role::Rendition);
        self.entries.push(Entry {
            path: path.to_owned(),
            role,
            asset: asset.map(AssetId::new),
            version: version.then(|| Revision::new(if role == Role::Version { "1" } else { "2" })),
            rendition: (role == Role::Rendition).then(|| "preview".to_owned()),
            digests,
        });
        ArchivedFile {
            path: path.to_owned(),
            size: digests.size,
            blake3: digests.blake3,
        }
    }

    pub(super) fn write(&self, path: &str, bytes: &[u8]) {
        let path = self.at(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, bytes).unwrap();
    }

    fn describe(&mut self, asset: &ArchivedAsset) {
        let id = asset.id.as_str().to_owned();
        let json = metadata_json(asset).unwrap();
        self.add(Role::Metadata, Some(&id), &metadata_path(&asset.id), &json);
        let sidecar = xmp(asset, &XmpMap::default()).unwrap();
        self.add(Role::Sidecar, Some(&id), &sidecar_path(&asset.id), &sidecar);
    }

    /// Writes the manifest anew, with the entries changed.
    pub(super) fn seal(&self, keys: &[SigningKey], change: impl Fn(&mut Vec<Entry>)) {
        self.seal_as(&header(), keys, change);
    }

    pub(super) fn seal_as(
        &self,
        header: &ManifestHeader,
        keys: &[SigningKey],
        change: impl Fn(&mut Vec<Entry>),
    ) {
        let mut entries = self.entries.clone();
        change(&mut entries);
        let mut writer = ManifestWriter::begin(Vec::new(), header).unwrap();
        for entry in &entries {
            writer.file(entry).unwrap();
        }
        let (bytes, ..) = writer.finish(keys).unwrap();
        fs::write(self.at(MANIFEST_PATH), bytes).unwrap();
    }
}

/// An archive of two assets of one name, one of which has versions, a rendition and a document; signed by key 1.
pub(super) fn archive() -> Made {
    let mut made = Made {
        dir: TempDir::new().unwrap(),
        entries: vec![],
    };
    let files = [("7", "Größe.jpg"), ("8", "größe.JPG")];
    let files = files.map(|(id, name)| (AssetId::new(id), name.to_owned()));
    let names = unique_names(&files);
    let mut first = ArchivedAsset::of(&holding("7", "Größe.jpg", 13, &every_value()), &archived());
    let version = |version: &str, file: ArchivedFile| ArchivedVersion {
        version: Revision::new(version),
        file_name: "Größe.jpg".to_owned(),
        size: file.size,
        modified: None,
        file: Some(file),
    };
    let older = version_path(&first.id, &Revision::new("1"), "Größe.jpg");
    let older = made.add(Role::Version, Some("7"), &older, b"older");
    let original = original_path(&names[0]);
    let original = made.add(Role::Original, Some("7"), &original, b"the original!");
    first.receipts = vec![Receipt {
        file: original.clone(),
        evidence: Evidence::E2,
        at: at("2026-11-29T12:00:05Z"),
        run: None,
    }];
    first.versions = vec![version("1", older), version("2", original)];
    let rendition = rendition_path("preview", &names[0]);
    let rendition = made.add(Role::Rendition, Some("7"), &rendition, b"small");
    first.renditions = vec![ArchivedRendition {
        rendition: "preview".to_owned(),
        file: rendition,
    }];
    let contract = document_path("contract.txt");
    let contract = made.add(Role::Document, Some("9"), &contract, b"we agree");
    first.relations = vec![ArchivedRelation {
        kind: "contract".to_owned(),
        is_outgoing: true,
        asset: AssetId::new("9"),
        file: Some(contract),
    }];
    first.rulings = vec![ArchivedRuling {
        at: at("2026-11-29T12:00:00Z"),
        audience: Some("archive".to_owned()),
        market: None,
        channel: None,
        decision: Decision::Allow,
        until: Some(at("2027-01-01T00:00:00Z")),
        reason: "the licence is valid".to_owned(),
        rule: "licence".to_owned(),
        findings: vec![Finding {
            subject: "licence".to_owned(),
            message: "it ends soon".to_owned(),
        }],
    }];
    first.approvals = vec![Approval {
        field: "approval".to_owned(),
        value: Some(Value::References(vec!["Approved".to_owned()])),
        approved: true,
        at: at("2026-11-29T12:00:00Z"),
    }];
    made.describe(&first);
    let mut second = ArchivedAsset::of(&holding("8", "größe.JPG", 0, &[]), &archived());
    let empty = made.add(Role::Original, Some("8"), &original_path(&names[1]), b"");
    second.versions = vec![version("2", empty)];
    made.describe(&second);
    let contract = ArchivedAsset::of(&holding("9", "contract.txt", 8, &[]), &archived());
    made.describe(&contract);
    made.add(
        Role::Readme,
        None,
        README_PATH,
        readme(&header()).as_bytes(),
    );
    hash_list(&mut made);
    made.seal(&[key(1)], |_| {});
    made
}

fn hash_list(made: &mut Made) {
    let created = header().created;
    let info = MhlInfo {
        created,
        host: "windlass".to_owned(),
        windlass: "0.1.0".to_owned(),
        comment: Some("Spring & all".to_owned()),
    };
    let path = mhl_path("Spring", created);
    let mut list = MhlWriter::begin(Vec::new(), &info).unwrap();
    for entry in &made.entries {
        let digests = &entry.digests;
        list.file(&entry.path, digests.size, digests.xxh64).unwrap();
    }
    let (bytes, c4) = list.finish().unwrap();
    made.add(Role::Mhl, None, &path, &bytes);
    let chain = mhl_chain(&path, &c4).unwrap();
    made.add(Role::Mhl, None, CHAIN_PATH, &chain);
}

/// All files below a folder, by path.
pub(super) fn files(dir: &Path) -> BTreeMap<String, Vec<u8>> {
    let mut found = BTreeMap::new();
    let mut folders = vec![dir.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
                continue;
            }
            let relative = path.strip_prefix(dir).unwrap().to_str().unwrap().to_owned();
            found.insert(relative, fs::read(path).unwrap());
        }
    }
    found
}
