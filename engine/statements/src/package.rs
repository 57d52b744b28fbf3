//! The links and fonts that InDesign documents name, read from the few parts of a file that hold them.
//!
//! An `.indd` says them in its XMP packet: placed files in the manifest of `xmpMM`, fonts with their files in `xmpTPg`. An
//! `.idml` is a zip in which every placed file is a `Link` of a spread or story; it names fonts by family and style, which is
//! no file, so only the other one speaks of fonts. A document that breaks off is held, because it is perhaps still being
//! written.

use std::collections::BTreeSet;
use std::ops::Range;

use async_trait::async_trait;
use windlass_core::{Asset, Error, Kind, Named, PackageReader, Result, Source, Verdict};

mod idml;
mod indd;
mod names;
#[cfg(test)]
mod tests;

/// Reads InDesign documents for the names in them.
#[derive(Clone, Copy, Debug, Default)]
pub struct PackageNames;

#[async_trait]
impl PackageReader for PackageNames {
    async fn named(&self, source: &dyn Source, document: &Asset) -> Result<Verdict<Named>> {
        let parts = Parts { source, document };
        let read = match document.path.extension().as_str() {
            "indd" => indd::read(&parts).await,
            "idml" => idml::read(&parts).await,
            _ => Ok(Found::default()),
        };
        match read {
            Ok(found) => Ok(Verdict::Ready(Named {
                links: found.links.into_iter().collect(),
                fonts: found.fonts.into_iter().collect(),
            })),
            Err(Trouble::Document(reason)) => Ok(Verdict::Held {
                reason,
                rule: "package".to_owned(),
            }),
            Err(Trouble::Source(error)) => Err(error.with_context("asset", &document.path)),
        }
    }
}

/// File names.
#[derive(Debug, Default)]
struct Found {
    links: BTreeSet<String>,
    fonts: BTreeSet<String>,
}

/// Why the names of a document are not known.
#[derive(Debug)]
enum Trouble {
    /// It is not whole, or not what its name says.
    Document(String),
    /// Nothing can be read now.
    Source(Error),
}

impl From<&str> for Trouble {
    fn from(reason: &str) -> Self {
        Trouble::Document(reason.to_owned())
    }
}

impl From<Error> for Trouble {
    fn from(error: Error) -> Self {
        let is_about_the_file = matches!(
            error.kind(),
            Kind::SourceChanged
                | Kind::Restricted
                | Kind::NotFound
                | Kind::Denied
                | Kind::Integrity
                | Kind::Unexpected
        );
        match is_about_the_file {
            true => Trouble::Document(error.message().to_owned()),
            false => Trouble::Source(error),
        }
    }
}

/// A document, read part by part.
struct Parts<'a> {
    source: &'a dyn Source,
    document: &'a Asset,
}

impl Parts<'_> {
    fn len(&self) -> u64 {
        self.document.size
    }

    /// The bytes of a range that is all within the document.
    async fn read(&self, range: Range<u64>) -> std::result::Result<Vec<u8>, Trouble> {
        if range.end > self.len() || range.start > range.end {
            return Err("it ends before what it says that it holds".into());
        }
        let mut bytes = Vec::new();
        if !range.is_empty() {
            self.source.read(self.document, range, &mut bytes).await?;
        }
        Ok(bytes)
    }
}

/// The little-endian number of `N` bytes at an offset, if it is there.
fn number<const N: usize>(bytes: &[u8], at: usize) -> Option<u64> {
    let bytes = bytes.get(at..at.checked_add(N)?)?;
    Some(
        bytes
            .iter()
            .rev()
            .fold(0, |number, byte| number << 8 | u64::from(*byte)),
    )
}
