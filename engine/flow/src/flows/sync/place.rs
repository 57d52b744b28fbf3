//! Where the two of a pair are: the folder of a file below the flow's root is the collection of its asset below the flow's
//! collection, and the file's name is what the asset is called.

use windlass_core::{Asset, AssetPath, Holding, fold_key};

use super::pair::Pair;

/// Who moved or renamed something.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Mover {
    /// Whoever has the file.
    File,
    /// Whoever governs the asset.
    Asset,
}

/// Where an asset's file would be if it were where its asset is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Places {
    root: AssetPath,
    collection: AssetPath,
    /// One for each collection of the flow that holds the asset.
    folders: Vec<AssetPath>,
    title: String,
}

impl Places {
    pub(super) fn of(root: &AssetPath, collection: &AssetPath, held: &Holding) -> Self {
        let folders = held.collections.iter();
        Places {
            root: root.clone(),
            collection: collection.clone(),
            folders: folders
                .filter_map(|one| moved_below(one, collection, root))
                .collect(),
            title: held.title.clone(),
        }
    }

    /// Who moved what, if the two are in different places now. An asset that people put into further collections of the
    /// flow is where its file is as long as one of them is.
    pub(super) fn mover(&self, pair: &Pair, file: &Asset) -> Option<Mover> {
        if self.folders.is_empty() || self.is_there(&file.path) {
            return None;
        }
        let before = self.before(pair);
        let file_stayed = before.iter().any(|place| place.key() == file.path.key());
        match file_stayed {
            // Nobody touched the file, so the asset went away from it.
            true => Some(Mover::Asset),
            // The asset is where the file was: the file went away from it.
            false if before.iter().any(|place| self.is_there(place)) => Some(Mover::File),
            // Both went elsewhere: the system of record knows better.
            false => Some(Mover::Asset),
        }
    }

    /// Where the file was when both were in one place; of several such places the one that tells who moved since.
    pub(super) fn agreed(&self, pair: &Pair, file: &Asset) -> Option<AssetPath> {
        let before = self.before(pair);
        let stayed = before.iter().find(|place| place.key() == file.path.key());
        let at_asset = || before.iter().find(|place| self.is_there(place));
        stayed.or_else(at_asset).or(before.first()).cloned()
    }

    fn before(&self, pair: &Pair) -> Vec<AssetPath> {
        pair.file_places(|folder, asset| {
            let at = moved_below(&asset.parent(), &self.collection, &self.root);
            at.is_some_and(|at| at.key() == folder.key())
        })
    }

    /// Whether a file at this path is where its asset is.
    fn is_there(&self, path: &AssetPath) -> bool {
        let mut folders = self.folders.iter();
        folders.any(|folder| folder.key() == path.parent().key()) && self.is_called(path.name())
    }

    /// Where the file belongs by its asset: the folder, and the name.
    pub(super) fn target(&self, file: Option<&Asset>, original: &Asset) -> (AssetPath, String) {
        let now = file.map(|file| file.path.parent());
        let stays = self
            .folders
            .iter()
            .find(|folder| now.as_ref().is_some_and(|now| now.key() == folder.key()));
        let folder = stays.or(self.folders.first());
        let extension = file.unwrap_or(original).path.extension();
        let name = match file.filter(|file| self.is_called(file.path.name())) {
            Some(file) => file.path.name().to_owned(),
            None => with_extension(&self.title, &extension),
        };
        (folder.unwrap_or(&self.root).clone(), name)
    }

    /// Whether a file's name is what the asset is called, with or without its extension.
    fn is_called(&self, name: &str) -> bool {
        let stem = name.rsplit_once('.').map_or(name, |(stem, _)| stem);
        let (title, safe) = (fold_key(&self.title), fold_key(&safe_name(&self.title)));
        [name, stem]
            .into_iter()
            .map(fold_key)
            .any(|one| one == title || one == safe)
    }
}

/// What no file may be called becomes `-`.
fn safe_name(title: &str) -> String {
    title.trim().replace(['/', '\\'], "-")
}

fn with_extension(title: &str, extension: &str) -> String {
    let title = safe_name(title);
    let has_it = title
        .rsplit_once('.')
        .is_some_and(|(_, own)| own.eq_ignore_ascii_case(extension));
    match has_it || extension.is_empty() {
        true => title,
        false => format!("{title}.{extension}"),
    }
}

/// A path below one folder, below another one. By number, not by text: spellings may differ.
pub(super) fn moved_below(path: &AssetPath, from: &AssetPath, to: &AssetPath) -> Option<AssetPath> {
    let below = format!("{}/", from.key());
    let is_inside = from.as_str().is_empty() || format!("{}/", path.key()).starts_with(&below);
    is_inside.then(|| {
        let rest = path.segments().skip(from.segments().count());
        rest.fold(to.clone(), |at, name| at.join(name))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_is_a_collection_in_another_place() {
        let (root, collection) = (AssetPath::new("/Work"), AssetPath::new("/Brand/Live"));
        let at = |path: &str| moved_below(&AssetPath::new(path), &collection, &root);
        assert_eq!(
            at("/brand/LIVE/Spring"),
            Some(AssetPath::new("/Work/Spring"))
        );
        assert_eq!(at("/Brand/Live"), Some(AssetPath::new("/Work")));
        assert_eq!(at("/Brand/Lively"), None);
    }

    #[test]
    fn a_title_gets_the_extension_that_it_lacks() {
        assert_eq!(with_extension("Hero", "jpg"), "Hero.jpg");
        assert_eq!(with_extension("hero.JPG", "jpg"), "hero.JPG");
        assert_eq!(with_extension("a/b", "tif"), "a-b.tif");
        assert_eq!(with_extension("README", ""), "README");
    }
}
