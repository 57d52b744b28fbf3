//! Archives on the command line: proved from their folder alone, and restored into a library.

use std::fs;
use std::path::Path;

use windlass_archive::{
    Archived, ArchivedAsset, ArchivedFile, ArchivedRelation, ArchivedVersion, Entry, FORMAT,
    FileDigests, LISTED_MAX, MANIFEST_PATH, ManifestHeader, ManifestWriter, Role, archive_id,
    document_path, metadata_json, metadata_path, original_path, version_path,
};
use windlass_core::sign::SigningKey;
use windlass_core::{
    Asset, AssetId, AssetPath, Availability, Holding, Origin, Query, Readable, Revision, Statement,
    Usable, Value,
};

use crate::bad_input::{config, run_on};
use crate::program::{Finished, Served, run};

fn key(seed: u8) -> SigningKey {
    SigningKey::from_seed(&[seed; 32])
}

fn header() -> ManifestHeader {
    let created = "2026-11-29T12:00:00Z".parse().unwrap();
    ManifestHeader {
        format: FORMAT,
        archive: archive_id("close", "Spring", created),
        campaign: "Spring".to_owned(),
        source: "dam".to_owned(),
        query: Query::default(),
        created,
        windlass: "0.1.0".to_owned(),
    }
}

fn holding(id: &str, file: &str, size: usize, fields: &[(&str, Value)]) -> Holding {
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
            modified: None,
            content_hash: None,
            tags: vec![],
            readable: Readable::Yes,
        },
        title: format!("Title {id}"),
        asset_type: Some("document".to_owned()),
        usable: Usable::Stated(Availability::Direct { available: true }),
        collections: vec![AssetPath::new("/Brand/Spring")],
        statements: statements.collect(),
        findings: vec![],
        locked: None,
        is_released: true,
        has_file: true,
        changed: None,
    }
}

/// Writes files of an archive, and their manifest at the end.
struct Making<'a> {
    dir: &'a Path,
    entries: Vec<Entry>,
}

impl Making<'_> {
    fn add(&mut self, role: Role, asset: &str, path: &str, bytes: &[u8]) -> ArchivedFile {
        let at = self.dir.join(path);
        fs::create_dir_all(at.parent().unwrap()).unwrap();
        fs::write(at, bytes).unwrap();
        let digests = FileDigests::of(bytes);
        self.entries.push(Entry {
            path: path.to_owned(),
            role,
            asset: Some(AssetId::new(asset)),
            version: None,
            rendition: None,
            digests,
        });
        ArchivedFile {
            path: path.to_owned(),
            size: digests.size,
            blake3: digests.blake3,
        }
    }

    fn describe(&mut self, holding: &Holding, change: impl FnOnce(&mut ArchivedAsset)) {
        let header = header();
        let archived = Archived {
            archive: header.archive,
            source: header.source,
            at: header.created,
            windlass: header.windlass,
        };
        let mut asset = ArchivedAsset::of(holding, &archived);
        change(&mut asset);
        let json = metadata_json(&asset).unwrap();
        self.add(
            Role::Metadata,
            asset.id.as_str(),
            &metadata_path(&asset.id),
            &json,
        );
    }

    fn seal(&self, keys: &[SigningKey]) {
        let mut writer = ManifestWriter::begin(Vec::new(), &header()).unwrap();
        for entry in &self.entries {
            writer.file(entry).unwrap();
        }
        let (bytes, ..) = writer.finish(keys).unwrap();
        fs::write(self.dir.join(MANIFEST_PATH), bytes).unwrap();
    }
}

fn version(version: &str, file: ArchivedFile) -> ArchivedVersion {
    ArchivedVersion {
        version: Revision::new(version),
        file_name: "hero.tif".to_owned(),
        size: file.size,
        modified: None,
        file: Some(file),
    }
}

/// Two originals of one name, an older version, a related document; with these fields on the first. Signed by key 1.
fn archive(dir: &Path, fields: &[(&str, Value)]) {
    let mut making = Making {
        dir,
        entries: vec![],
    };
    let older = version_path(&AssetId::new("7"), &Revision::new("1"), "hero.tif");
    let older = making.add(Role::Version, "7", &older, b"older");
    let first = making.add(
        Role::Original,
        "7",
        &original_path("hero.tif"),
        b"the first",
    );
    let contract = making.add(
        Role::Document,
        "9",
        &document_path("contract.pdf"),
        b"agreed",
    );
    making.describe(&holding("7", "hero.tif", 9, fields), |asset| {
        asset.versions = vec![version("1", older), version("2", first)];
        asset.relations = vec![ArchivedRelation {
            kind: "supportingDocument".to_owned(),
            is_outgoing: true,
            asset: AssetId::new("9"),
            file: Some(contract),
        }];
    });
    let second = making.add(
        Role::Original,
        "8",
        &original_path("hero (2).tif"),
        b"the second",
    );
    making.describe(&holding("8", "hero.tif", 10, &[]), |asset| {
        asset.versions = vec![version("2", second)];
    });
    making.describe(&holding("9", "contract.pdf", 6, &[]), |_| {});
    making.seal(&[key(1)]);
}

/// A folder with an archive in `spring`.
fn with_archive(fields: &[(&str, Value)]) -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    archive(&dir.path().join("spring"), fields);
    dir
}

/// What is printed when an archive is verified, without the name of this test's folder.
fn told(finished: &Finished, dir: &Path) -> String {
    let text = format!("{}---\n{}", finished.stdout, finished.stderr);
    let here = dir.canonicalize().unwrap();
    text.replace(here.to_str().unwrap(), "DIR")
        .replace(dir.to_str().unwrap(), "DIR")
}

#[test]
fn an_intact_archive_is_proved_without_a_configuration() {
    let dir = with_archive(&[]);
    let verified = run(dir.path(), &["archive", "verify", "spring"]).expect(0);
    insta::assert_snapshot!(told(&verified, dir.path()));
    // Named as text, or by a file that holds the public or the secret half.
    let public = key(1).public().to_string();
    fs::write(dir.path().join("lead.pub"), format!("{public}\n")).unwrap();
    let pem = key(1).to_pem().unwrap();
    fs::write(dir.path().join("lead.pem"), pem.expose()).unwrap();
    for signer in [public.as_str(), "lead.pub", "lead.pem"] {
        let args = ["archive", "verify", "spring", "--signer", signer, "--json"];
        let record = run(dir.path(), &args)
            .expect(0)
            .records("archive")
            .remove(0);
        assert_eq!(record["intact"], true);
        assert_eq!(record["signed_by"][0], public.as_str());
        assert_eq!(record["roles"]["original"]["files"], 2);
    }
}

#[test]
fn what_is_wrong_with_an_archive_is_told_by_kind_and_harmless_things_apart() {
    let dir = with_archive(&[]);
    let spring = dir.path().join("spring");
    fs::write(spring.join("originals/hero.tif"), b"The first").unwrap();
    fs::remove_file(spring.join("documents/contract.pdf")).unwrap();
    fs::write(spring.join("originals/new.tif"), b"new").unwrap();
    fs::write(spring.join("originals/.DS_Store"), b"litter").unwrap();
    let verified = run(dir.path(), &["archive", "verify", "spring"]).expect(1);
    insta::assert_snapshot!(told(&verified, dir.path()));
    let json = run(dir.path(), &["archive", "verify", "spring", "--json"]).expect(1);
    let kinds = json.records("trouble").into_iter();
    let kinds: Vec<_> = kinds
        .map(|trouble| (trouble["kind"].clone(), trouble["harmless"].clone()))
        .collect();
    let expected = [
        ("missing", false),
        ("changed", false),
        ("extra", false),
        ("litter", true),
    ];
    assert_eq!(kinds, expected.map(|(kind, is)| (kind.into(), is.into())));
    assert_eq!(json.records("archive")[0]["intact"], false);
}

#[test]
fn an_archive_that_the_wrong_people_signed_or_nobody_is_in_trouble_where_that_matters() {
    let dir = with_archive(&[]);
    let other = key(2).public().to_string();
    let by_other = ["archive", "verify", "spring", "--signer", &other];
    let wrong = run(dir.path(), &by_other).expect(1);
    insta::assert_snapshot!("wrong_signer", told(&wrong, dir.path()));
    let manifest = dir.path().join("spring").join(MANIFEST_PATH);
    let signed = fs::read_to_string(&manifest).unwrap();
    let lines: Vec<&str> = signed.lines().collect();
    let (_, unsigned) = lines.split_last().unwrap();
    fs::write(&manifest, unsigned.join("\n") + "\n").unwrap();
    let nobody = run(dir.path(), &["archive", "verify", "spring"]).expect(0);
    insta::assert_snapshot!("unsigned", told(&nobody, dir.path()));
    run(dir.path(), &by_other).expect(1);
    let no_key = ["archive", "verify", "spring", "--signer", "nobody.pem"];
    let refused = run(dir.path(), &no_key).expect(2);
    assert!(refused.stderr.contains("nobody.pem"), "{}", refused.stderr);
}

#[test]
fn what_cannot_be_verified_at_all_is_one_sentence() {
    let dir = with_archive(&[]);
    let spring = dir.path().join("spring");
    let mut said = String::new();
    let mut refuse = |of: &str| {
        let refused = run(dir.path(), &["archive", "verify", of]).expect(2);
        said.push_str(&format!("$ {of}\n{}\n", told(&refused, dir.path())));
    };
    refuse("missing");
    fs::create_dir(dir.path().join("empty")).unwrap();
    refuse("empty");
    let newer = ManifestHeader {
        format: FORMAT + 1,
        ..header()
    };
    let writer = ManifestWriter::begin(Vec::new(), &newer).unwrap();
    let (bytes, ..) = writer.finish(&[]).unwrap();
    fs::write(spring.join(MANIFEST_PATH), &bytes).unwrap();
    refuse("spring");
    let cut = &bytes[..bytes.len() / 2];
    fs::write(spring.join(MANIFEST_PATH), cut).unwrap();
    refuse("spring");
    insta::assert_snapshot!(said);
}

/// A served sandbox, its configuration in the folder, and what restores the archive there to it.
fn restore(served: &Served, dir: &Path, more: &[&str]) -> Finished {
    fs::write(dir.join("windlass.toml"), config(served, "")).unwrap();
    let to = [
        "archive",
        "restore",
        "spring",
        "--to",
        "dam",
        "--collection",
        "/Drop Zone/Back",
    ];
    run_on(served, dir, &[&to[..], more].concat())
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let to = to.join(entry.file_name());
        match entry.path().is_dir() {
            true => copy(&entry.path(), &to),
            false => drop(fs::copy(entry.path(), to).unwrap()),
        }
    }
}

fn report_lines(finished: &Finished) -> Vec<(String, String)> {
    let assets = finished.records("asset").into_iter();
    let mut lines: Vec<_> = assets
        .map(|line| {
            let text = |name: &str| line[name].as_str().unwrap_or_default().to_owned();
            (text("path"), text("state"))
        })
        .collect();
    lines.sort();
    lines
}

#[test]
fn an_archive_is_restored_once_under_the_names_that_its_files_had() {
    let fields = [
        ("description", Value::Text("Käse ☀".to_owned())),
        ("year", Value::Number(2026)),
        ("windlassCorrelation", Value::Text("of old".to_owned())),
    ];
    let dir = with_archive(&fields);
    let dir = dir.path();
    let served = Served::start(dir, &[]);
    let planned = restore(&served, dir, &["--plan"]).expect(0);
    for part in [
        "relations: 1 is in the archive and is not restored",
        "older versions: 1 is in the archive and is not restored",
        "windlassCorrelation: this field is not restored",
        "create",
    ] {
        assert!(planned.stdout.contains(part), "{part}\n{}", planned.stdout);
    }
    let none = run_on(&served, dir, &["status"]).expect(0);
    assert_eq!(none.stdout, "no run yet\n");

    let done = restore(&served, dir, &["--json"]).expect(0);
    assert_eq!(
        report_lines(&done),
        [
            ("/documents/contract.pdf", "done"),
            ("/originals/hero (2).tif", "done"),
            ("/originals/hero.tif", "done"),
        ]
        .map(|(path, state)| (path.to_owned(), state.to_owned()))
    );
    let explained = |file: &str| {
        let explained = run_on(&served, dir, &["explain", file, "--json"]).expect(0);
        explained.records("explanation").remove(0)["draft"].clone()
    };
    let second = explained("/originals/hero (2).tif");
    assert_eq!(second["file_name"], "hero.tif");
    assert_eq!(second["name"], "Title 8");
    assert_eq!(second["collection"], "/Drop Zone/Back");
    let first = explained("/originals/hero.tif");
    assert_eq!(first["asset_type"], "document");
    assert_eq!(first["availability"]["available"], true);
    assert_eq!(first["fields"].as_array().unwrap().len(), 2, "{first}");
    let document = explained("/documents/contract.pdf");
    assert_eq!(document["collection"], "/Drop Zone/Back/Documents");

    // Once more there is nothing to do, from any copy of the folder.
    fs::rename(dir.join("spring"), dir.join("first")).unwrap();
    copy(&dir.join("first"), &dir.join("spring"));
    let again = restore(&served, dir, &["--plan", "--json"]).expect(0);
    let again = again.records("plan").remove(0);
    assert_eq!(again["empty"], true, "{again}");
    assert_eq!(again["unchanged"]["assets"], 3, "{again}");
    restore(&served, dir, &[]).expect(0);
    run(dir, &["archive", "verify", "spring"]).expect(0);
    let status = run_on(&served, dir, &["status"]).expect(0);
    assert!(status.stdout.contains("restore of"), "{}", status.stdout);
}

#[test]
fn a_field_that_the_library_lacks_holds_its_asset_until_it_is_left_out() {
    let dir = with_archive(&[("mood", Value::Text("calm".to_owned()))]);
    let dir = dir.path();
    let served = Served::start(dir, &[]);
    let done = restore(&served, dir, &["--json"]).expect(0);
    let states: Vec<String> = report_lines(&done).into_iter().map(|(_, it)| it).collect();
    assert_eq!(states, ["done", "done", "held"]);
    let planned = restore(&served, dir, &["--plan"]).expect(0);
    let reason = "dam would refuse it: field \"mood\": there is no such field";
    assert!(planned.stdout.contains(reason), "{}", planned.stdout);
    restore(&served, dir, &["--without", "mood"]).expect(0);
    let planned = restore(&served, dir, &["--without", "mood", "--plan", "--json"]).expect(0);
    assert_eq!(planned.records("plan")[0]["unchanged"]["assets"], 3);
}

#[test]
fn a_damaged_archive_is_not_restored_unless_what_is_intact_is_asked_for() {
    let dir = with_archive(&[]);
    let dir = dir.path();
    fs::write(dir.join("spring/originals/hero.tif"), b"The first").unwrap();
    fs::remove_file(dir.join("spring/documents/contract.pdf")).unwrap();
    let served = Served::start(dir, &[]);
    let refused = restore(&served, dir, &[]).expect(2);
    for part in ["is not as it was sealed", "--damaged"] {
        assert!(refused.stderr.contains(part), "{part}\n{}", refused.stderr);
    }
    assert!(refused.stdout.contains("changed: 1"), "{}", refused.stdout);
    let planned = restore(&served, dir, &["--damaged", "--plan"]).expect(0);
    for part in [
        "has other content than when it was archived",
        "missing files: 1 of those to restore",
    ] {
        assert!(planned.stdout.contains(part), "{part}\n{}", planned.stdout);
    }
    let done = restore(&served, dir, &["--damaged", "--json"]).expect(0);
    let placed = report_lines(&done).into_iter();
    let placed: Vec<String> = placed
        .filter(|(_, state)| state == "done")
        .map(|(path, _)| path)
        .collect();
    assert_eq!(placed, ["/originals/hero (2).tif"]);
    // Who must sign it counts for damaged ones, too.
    let other = key(2).public().to_string();
    let denied = restore(&served, dir, &["--damaged", "--signer", &other]).expect(2);
    assert!(
        denied.stderr.contains("signed by none"),
        "{}",
        denied.stderr
    );
}

#[test]
fn bytes_that_no_list_of_damage_names_are_refused_before_they_are_placed() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    let spring = dir.join("spring");
    let mut making = Making {
        dir: &spring,
        entries: vec![],
    };
    // One more than verifying lists of a kind.
    let files: Vec<String> = (0..=LISTED_MAX).map(|at| format!("{at:03}.tif")).collect();
    for (id, file) in files.iter().enumerate() {
        let id = id.to_string();
        let original = making.add(Role::Original, &id, &original_path(file), file.as_bytes());
        making.describe(&holding(&id, file, file.len(), &[]), |asset| {
            asset.versions = vec![version("2", original)];
        });
    }
    making.seal(&[]);
    for file in &files {
        fs::write(spring.join(original_path(file)), file.to_uppercase()).unwrap();
    }
    let served = Served::start(dir, &[]);
    let done = restore(&served, dir, &["--damaged", "--json"]).expect(1);
    let last = files.last().unwrap();
    for line in done.records("asset") {
        let is_last = line["path"].as_str().unwrap().ends_with(last.as_str());
        let state = if is_last { "failed" } else { "held" };
        assert_eq!(line["state"], state, "{line}");
    }
    let failed = &done.stderr;
    assert!(failed.contains("but the source states"), "{failed}");
}

#[test]
fn restoring_asks_for_a_library_that_is_there() {
    let dir = with_archive(&[]);
    let served = Served::start(dir.path(), &[]);
    fs::write(dir.path().join("windlass.toml"), config(&served, "")).unwrap();
    let mut said = String::new();
    for to in ["dma", "agencies"] {
        let args = [
            "archive",
            "restore",
            "spring",
            "--to",
            to,
            "--collection",
            "/Back",
        ];
        said.push_str(&run_on(&served, dir.path(), &args).expect(2).stderr);
    }
    insta::assert_snapshot!(said);
}
