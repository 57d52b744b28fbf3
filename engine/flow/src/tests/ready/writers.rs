//! People and programs that write files piece by piece, each in its own way, as scripts that follow from a seed.
//!
//! A pause within a file that nothing else protects is shorter than the quiet period; where a temporary name, a lock, a
//! document or a manifest says that more is to come, it may be longer.

use super::stage::{Act, Dice};

/// The quiet period of the suite.
pub(super) const QUIET_MS: u64 = 30_000;

/// A script under way.
pub(super) struct Script<'a> {
    dice: &'a mut Dice,
    at: u64,
    acts: Vec<(u64, Act)>,
    saves: u64,
}

/// What all writers of a seed do. With manifests everything is in drop folders that have one.
pub(super) fn script(dice: &mut Dice, manifests: bool) -> Vec<(u64, Act)> {
    let writers = dice.within(1, 4);
    let mut all = Vec::new();
    for index in 0..writers {
        let mut script = Script {
            at: dice.within(0, 3 * QUIET_MS),
            dice,
            acts: Vec::new(),
            saves: 0,
        };
        match (manifests, script.dice.within(0, 5)) {
            (true, _) => script.drop_folder(&format!("/In/drop {index}")),
            (false, 0) => script.appended(&format!("/In/appended {index}.tif")),
            (false, 1) => script.rewritten(&format!("/In/rewritten {index}.tif")),
            (false, 2) => script.renamed(&format!("/In/renamed {index}.tif")),
            (false, 3) => script.locked(&format!("/In/locked {index}")),
            (false, _) => script.package(&format!("/In/package {index}")),
        }
        all.extend(script.acts);
    }
    all
}

impl Script<'_> {
    fn act(&mut self, act: Act) {
        self.acts.push((self.at, act));
    }

    fn short(&mut self) {
        self.at += self.dice.within(1, QUIET_MS - 1);
    }

    fn long(&mut self) {
        self.at += match self.dice.within(0, 2) {
            0 => self.dice.within(QUIET_MS, 4 * QUIET_MS),
            _ => self.dice.within(1, QUIET_MS - 1),
        };
    }

    /// What a file has after each piece of its next save; the last one is all of it.
    fn pieces(&mut self, path: &str) -> Vec<Vec<u8>> {
        self.saves += 1;
        let pieces = self.dice.within(2, 4);
        let mut bytes = Vec::new();
        let grown = (0..pieces).map(|piece| {
            bytes
                .extend(format!("{path} save {} piece {piece}/{pieces};", self.saves).into_bytes());
            bytes.clone()
        });
        grown.collect()
    }

    /// Writes all of a file piece by piece.
    fn write(&mut self, path: &str, pieces: Vec<Vec<u8>>, pause: fn(&mut Self)) -> Vec<u8> {
        let mut last = Vec::new();
        for (index, bytes) in pieces.into_iter().enumerate() {
            if index > 0 {
                pause(self);
            }
            last.clone_from(&bytes);
            self.act(Act::Write(path.to_owned(), bytes));
        }
        last
    }

    fn finish(&mut self, path: &str, bytes: Vec<u8>) {
        self.act(Act::Finish(vec![(path.to_owned(), bytes)]));
    }

    fn times(&mut self, mut save: impl FnMut(&mut Self)) {
        for _ in 0..self.dice.within(1, 3) {
            save(self);
            self.long();
        }
    }

    /// Each save writes the file from its first byte on.
    fn appended(&mut self, path: &str) {
        self.times(|script| {
            let pieces = script.pieces(path);
            let bytes = script.write(path, pieces, Self::short);
            script.finish(path, bytes);
        });
    }

    /// Each save empties the file first.
    fn rewritten(&mut self, path: &str) {
        self.times(|script| {
            script.act(Act::Write(path.to_owned(), Vec::new()));
            script.short();
            let pieces = script.pieces(path);
            let bytes = script.write(path, pieces, Self::short);
            script.finish(path, bytes);
        });
    }

    /// Each save has a temporary name, for however long it takes.
    fn renamed(&mut self, path: &str) {
        self.times(|script| {
            let temporary = match script.dice.within(0, 4) {
                0 => format!("{path}.part"),
                1 => format!("{path}.crdownload"),
                2 => format!("{path}.filepart"),
                3 => format!("{path}.wip"),
                _ => "/In/.localized/f00d".to_owned(),
            };
            let pieces = script.pieces(path);
            let bytes = script.write(&temporary, pieces, Self::long);
            script.act(Act::Rename(temporary, path.to_owned()));
            script.finish(path, bytes);
        });
    }

    /// A lock is there for as long as the file is not whole.
    fn locked(&mut self, folder: &str) {
        let (name, lock) = match self.dice.within(0, 3) {
            0 => ("Deck.pptx", "~$Deck.pptx"),
            1 => ("Briefing.docx", "~$iefing.docx"),
            2 => ("Plan.odt", ".~lock.Plan.odt#"),
            _ => ("Poster.indd", "~Poster~3crrb.idlk"),
        };
        let (path, lock) = (format!("{folder}/{name}"), format!("{folder}/{lock}"));
        self.times(|script| {
            script.act(Act::Write(lock.clone(), b"who".to_vec()));
            let pieces = script.pieces(&path);
            let bytes = script.write(&path, pieces, Self::long);
            script.finish(&path, bytes);
            script.long();
            script.act(Act::Delete(lock.clone()));
        });
    }

    /// A document, and links that it names, in any order; later one of them once more.
    fn package(&mut self, folder: &str) {
        let names: Vec<String> = (0..self.dice.within(1, 3))
            .map(|at| format!("{at}.tif"))
            .collect();
        let document = format!("{folder}/page.indd");
        let mut lines = Vec::new();
        for name in &names {
            let mut next: Vec<u8> = lines.last().cloned().unwrap_or_default();
            next.extend(format!("{name}\n").into_bytes());
            lines.push(next);
        }
        let mut whole = lines.last().cloned().unwrap_or_default();
        whole.extend(b"end");
        lines.push(whole);
        let links = names.iter().map(|name| format!("{folder}/Links/{name}"));
        let mut files: Vec<(String, Option<Vec<Vec<u8>>>)> =
            links.map(|path| (path, None)).collect();
        files.push((document.clone(), Some(lines)));
        self.dice.shuffle(&mut files);
        let mut all = Vec::new();
        for (index, (path, pieces)) in files.into_iter().enumerate() {
            match (index, all.first()) {
                (0, _) => {}
                // A document alone is no package yet, and nothing but the quiet period knows.
                (1, Some((first, _))) if *first == document => self.short(),
                _ => self.long(),
            }
            let pieces = match pieces {
                Some(pieces) => pieces,
                None => self.pieces(&path),
            };
            let bytes = self.write(&path, pieces, Self::short);
            all.push((path, bytes));
        }
        self.act(Act::Finish(all));
        if self.dice.within(0, 1) == 0 {
            self.long();
            let path = format!("{folder}/Links/0.tif");
            let pieces = self.pieces(&path);
            let bytes = self.write(&path, pieces, Self::short);
            self.finish(&path, bytes);
        }
    }

    /// Files and a manifest that names them with their sizes, in any order.
    fn drop_folder(&mut self, folder: &str) {
        let mut files = Vec::new();
        let mut manifest = b"path,size\n".to_vec();
        let mut rows = vec![manifest.clone()];
        for index in 0..self.dice.within(1, 3) {
            let path = format!("{folder}/{index}.tif");
            let pieces = self.pieces(&path);
            let size = pieces.last().map_or(0, Vec::len);
            manifest.extend(format!("{index}.tif,{size}\n").into_bytes());
            rows.push(manifest.clone());
            files.push((path, pieces, Self::long as fn(&mut Self)));
        }
        files.push((
            format!("{folder}/manifest.csv"),
            rows,
            Self::short as fn(&mut Self),
        ));
        self.dice.shuffle(&mut files);
        let mut all = Vec::new();
        for (index, (path, pieces, pause)) in files.into_iter().enumerate() {
            if index > 0 {
                self.long();
            }
            let bytes = self.write(&path, pieces, pause);
            all.push((path, bytes));
        }
        self.act(Act::Finish(all));
    }
}
