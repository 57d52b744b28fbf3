//! InDesign packages: documents with their links and fonts in folders beside them.
//!
//! What makes a folder one is a folder `Links` or `Document fonts` in it; `Instructions.txt` beside a document does as
//! well. Where the folders are there and no document is, the document has not arrived: nothing else names folders so.

use windlass_core::{Asset, AssetPath, Named, fold_key};

/// The folder for pictures and texts.
pub(super) const LINKS: &str = "Links";

/// The folder for fonts.
pub(super) const FONTS: &str = "Document fonts";

/// What InDesign writes beside the documents.
const INSTRUCTIONS: &str = "instructions.txt";

/// Whether a file is a document that names links and fonts.
pub(super) fn is_document(path: &AssetPath) -> bool {
    matches!(path.extension().as_str(), "indd" | "idml")
}

/// Whether a file is InDesign's list of what it packed. Others name files so too.
pub(super) fn is_instructions(path: &AssetPath) -> bool {
    path.name().eq_ignore_ascii_case(INSTRUCTIONS)
}

/// The folders that are packages because of where a file is: each holds a folder of a package that the file is in.
pub(super) fn packages_of(path: &AssetPath) -> impl Iterator<Item = AssetPath> {
    let folder = path.parent();
    let above = std::iter::successors(Some(folder), |at| {
        (!at.as_str().is_empty()).then(|| at.parent())
    });
    above
        .filter(|at| {
            let name = fold_key(at.name());
            name == fold_key(LINKS) || name == fold_key(FONTS)
        })
        .map(|at| at.parent())
}

/// What of a package is missing, by name. `is_there` says whether something is at a path.
pub(super) fn missing(
    package: &AssetPath,
    named: &Named,
    is_there: impl Fn(&AssetPath) -> bool,
) -> Vec<String> {
    let found = |name: &str, folder: &str| {
        is_there(&package.join(folder).join(name)) || is_there(&package.join(name))
    };
    let links = named.links.iter().filter(|name| !found(name, LINKS));
    let fonts = named.fonts.iter().filter(|name| !is_activated(name));
    let fonts = fonts.filter(|name| !found(name, FONTS));
    links.chain(fonts).cloned().collect()
}

/// Whether a font is one that Adobe lends: it has a hidden file with a number for a name, and is never packed.
fn is_activated(font: &str) -> bool {
    font.starts_with('.')
}

/// Which document goes by which name, in reasons.
pub(super) fn name_of(document: &Asset) -> &str {
    document.path.name()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_makes_the_folder_above_its_links_a_package() {
        let of = |path: &str| -> Vec<String> {
            let path = AssetPath::new(path);
            packages_of(&path).map(|at| at.to_string()).collect()
        };
        assert_eq!(of("/In/Pack/Links/hero.tif"), ["/In/Pack"]);
        assert_eq!(of("/In/Pack/links/old/hero.tif"), ["/In/Pack"]);
        assert_eq!(of("/In/Pack/Document Fonts/a.otf"), ["/In/Pack"]);
        assert_eq!(of("/Links/a.tif"), ["/"]);
        assert!(of("/In/Pack/Links.tif").is_empty());
    }

    #[test]
    fn every_link_and_font_that_is_named_must_be_there() {
        let named = Named {
            links: vec!["a.tif".into(), "b.tif".into(), "c.tif".into()],
            fonts: vec!["F.otf".into(), "G.otf".into(), ".19575.otf".into()],
        };
        let there = ["/P/Links/a.tif", "/P/b.tif", "/P/Document fonts/F.otf"];
        let missing = missing(&AssetPath::new("/P"), &named, |path| {
            there.contains(&path.as_str())
        });
        assert_eq!(missing, ["c.tif", "G.otf"]);
    }

    #[test]
    fn documents_and_instructions_are_known_by_name() {
        let is = |path: &str| is_document(&AssetPath::new(path));
        assert!(is("/P/a.INDD") && is("/P/a.idml") && !is("/P/a.pdf"));
        assert!(is_instructions(&AssetPath::new("/P/Instructions.txt")));
    }
}
