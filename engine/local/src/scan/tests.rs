//! A file that changes between the two looks at it. Each step of hashing is called here by hand, so that the change
//! happens exactly in between.

use std::fs::{self, File};
use std::io::Write;
use std::path::PathBuf;

use super::*;

struct Tree {
    dir: tempfile::TempDir,
    root: Root,
    go: AtomicBool,
}

impl Tree {
    fn new(bytes: &[u8]) -> Self {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("a"), bytes).unwrap();
        let root = Root::open(dir.path()).unwrap();
        let go = AtomicBool::new(false);
        Tree { dir, root, go }
    }

    fn file(&self) -> PathBuf {
        self.dir.path().join("a")
    }

    fn scan(&self) -> Scan<'_> {
        Scan {
            root: &self.root,
            content_hash: true,
            mapped: false,
            threads: 2,
            stop: &self.go,
            halted: AtomicBool::new(false),
            folders: AtomicU64::new(0),
            left_out: AtomicU64::new(0),
        }
    }

    /// Opens and looks, lets `change` happen, hashes, and looks again.
    fn hash_around(&self, change: impl Fn(&Tree), after_hashing: bool) -> Scanned {
        struct First<'a>(&'a Scan<'a>, Option<Result<Option<Opened>, Failed>>);
        impl Visit for First<'_> {
            fn file(&mut self, folder: &Arc<TreeFolder>, name: &CStr) -> ControlFlow<()> {
                self.1 = Some(self.0.open(folder, name));
                ControlFlow::Break(())
            }
            fn left_out(&mut self) {}
            fn folder(&mut self) {}
            fn failed(&mut self, _: AssetPath, error: Error) -> ControlFlow<()> {
                panic!("{error}")
            }
            fn pause(&mut self) -> ControlFlow<()> {
                ControlFlow::Continue(())
            }
        }
        let scan = self.scan();
        let mut first = First(&scan, None);
        walk(&self.root, &AssetPath::new(""), &mut first).unwrap();
        let opened = first.1.unwrap().ok().unwrap().unwrap();
        if !after_hashing {
            change(self);
        }
        let mut buffer = vec![0; PIECE_BYTES];
        let size = opened.before.size;
        let digests = hash_sized(&opened.file, size, true, &mut buffer, &|| true);
        if after_hashing {
            change(self);
        }
        scan.judge(opened, digests).unwrap()
    }
}

fn append(tree: &Tree) {
    let mut file = File::options().append(true).open(tree.file()).unwrap();
    file.write_all(b"more").unwrap();
}

fn truncate(tree: &Tree) {
    let file = File::options().write(true).open(tree.file()).unwrap();
    file.set_len(3).unwrap();
}

/// As a copying program does that keeps times: the bytes are others, size and modification time are not.
fn rewrite_and_set_the_time_back(tree: &Tree) {
    let file = File::options().write(true).open(tree.file()).unwrap();
    let modified = file.metadata().unwrap().modified().unwrap();
    let size = file.metadata().unwrap().len();
    fs::write(tree.file(), vec![b'!'; size as usize]).unwrap();
    file.set_modified(modified).unwrap();
}

fn replace(tree: &Tree) {
    let other = tree.dir.path().join("other");
    fs::write(&other, b"0123456789").unwrap();
    fs::rename(other, tree.file()).unwrap();
}

#[test]
fn a_file_that_changes_while_it_is_hashed_is_reported_and_never_hashed_wrong() {
    type Change = fn(&Tree);
    let changes: [(&str, Change); 5] = [
        ("grew", append),
        ("shrank", truncate),
        ("changed", rewrite_and_set_the_time_back),
        ("vanished", replace),
        ("vanished", |tree| fs::remove_file(tree.file()).unwrap()),
    ];
    for (word, change) in changes {
        for after_hashing in [false, true] {
            for bytes in [&b"0123456789"[..], &vec![7; PIECE_BYTES + 5]] {
                let tree = Tree::new(bytes);
                match tree.hash_around(change, after_hashing) {
                    Scanned::Failed { path, error } => {
                        assert_eq!(path.as_str(), "/a");
                        assert_eq!(error.kind(), Kind::SourceChanged);
                        assert!(error.message().contains(word), "{word}: {error}");
                    }
                    hashed => panic!("{word}, {after_hashing}: {hashed:?}"),
                }
            }
        }
    }
}

#[test]
fn a_file_that_stays_is_hashed() {
    let tree = Tree::new(b"0123456789");
    match tree.hash_around(|_| {}, false) {
        Scanned::Asset { asset, digests } => {
            assert_eq!(asset.size, 10);
            assert_eq!(digests.blake3, windlass_core::Blake3::of(b"0123456789"));
        }
        failed => panic!("{failed:?}"),
    }
}

#[test]
fn a_large_file_of_another_size_than_it_had_has_no_digests() {
    let file = tempfile::tempfile().unwrap();
    file.set_len(40 << 20).unwrap();
    let pool = ThreadPoolBuilder::new().num_threads(2).build().unwrap();
    for claimed in [(40 << 20) - 1, (40 << 20) + 1, 0, 64 << 20] {
        let digests = hash_parallel(&file, claimed, true, &pool, false, &|| true);
        assert!(matches!(digests, Err(Unhashed::OtherSize)), "{claimed}");
    }
    let stopped = hash_parallel(&file, 40 << 20, true, &pool, false, &|| false);
    assert!(matches!(stopped, Err(Unhashed::Stopped)));
}
