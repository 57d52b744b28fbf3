//! What is in an archive, asset by asset, for whoever restores it.

use std::fs::File;
use std::io::BufReader;
use std::path::Path;

use windlass_core::sign::PublicKey;
use windlass_core::{Error, Kind, Result};

use crate::digest::FileDigests;
use crate::folder::Folder;
use crate::layout::check_path;
use crate::manifest::{Entry, Manifest, ManifestReader, Role};
use crate::metadata::{METADATA_BYTES_MAX, parse_metadata};
use crate::model::{ArchivedAsset, ArchivedFile};
use crate::verify::Signed;

/// An archive whose manifest is as it was sealed. Of its files nothing is proved yet.
#[derive(Debug)]
pub struct Archive {
    folder: Folder,
    /// Of what it is, what it holds, and who signed it.
    pub manifest: Manifest,
    /// Who signed it, of those who were asked for.
    pub signed: Signed,
}

/// Opens an archive and proves its manifest, but not its files: that is [`verify`](crate::verify())'s work.
///
/// Errors: those of [`verify`](crate::verify()); `Denied` where it is signed by none of `signers` and there are some.
pub fn read(dir: &Path, signers: &[PublicKey]) -> Result<Archive> {
    let folder = Folder::open(dir)?;
    let manifest = ManifestReader::open(folder.manifest()?)?.finish()?;
    let signed = Signed::of(&manifest.seal, signers);
    if !signers.is_empty() && !matches!(signed, Signed::By(_)) {
        return Err(Error::new(
            Kind::Denied,
            "the archive is signed by none of those who may sign archives",
        ));
    }
    Ok(Archive {
        folder,
        manifest,
        signed,
    })
}

impl Archive {
    /// All assets, in the order of the manifest, each as its document has it: versions oldest first, with the files that
    /// they have in the archive. Takes the memory of one.
    pub fn assets(&self) -> Result<Assets<'_>> {
        Ok(Assets {
            archive: self,
            entries: Some(self.entries()?),
        })
    }

    /// All files, one entry each. To be believed once [`ManifestReader::finish`] says so and the seal is still
    /// that of the manifest.
    pub fn entries(&self) -> Result<ManifestReader<BufReader<File>>> {
        ManifestReader::open(self.folder.manifest()?)
    }

    /// Opens a file of the archive to read it; never through a link. Its digest is for the reader to compare.
    ///
    /// Errors: `InvalidInput` for a path that no archive has, `Integrity` for a file that is missing or has another size.
    pub fn open(&self, file: &ArchivedFile) -> Result<File> {
        check_path(&file.path).map_err(|why| {
            Error::new(
                Kind::InvalidInput,
                format!("{:?} is no path of an archive: {why}", file.path),
            )
        })?;
        let unreadable = |error: rustix::io::Errno| {
            Error::new(
                Kind::Integrity,
                format!("{:?} cannot be read from the archive", file.path),
            )
            .with_source(std::io::Error::from(error))
        };
        let (opened, stat) = self.folder.file(&file.path).map_err(unreadable)?;
        match u64::try_from(stat.st_size) == Ok(file.size) {
            true => Ok(opened),
            false => Err(Error::new(
                Kind::Integrity,
                format!("{:?} has another size than when it was archived", file.path),
            )),
        }
    }

    /// The asset whose metadata document an entry names.
    ///
    /// Errors: `Integrity` for a document that is missing, or not as it was archived.
    pub fn asset(&self, entry: &Entry) -> Result<ArchivedAsset> {
        let odd = |how: &str| {
            Error::new(
                Kind::Integrity,
                format!("the metadata in {:?} {how}", entry.path),
            )
            .with_hint("verify the archive to learn what else is wrong")
        };
        let bytes = self.folder.bytes(&entry.path, METADATA_BYTES_MAX);
        let bytes = bytes.map_err(|error| odd("cannot be read").with_source(error))?;
        let bytes = bytes.ok_or_else(|| odd("are too long"))?;
        if FileDigests::of(&bytes) != entry.digests {
            return Err(odd("are not as they were archived"));
        }
        let asset = parse_metadata(&bytes)?;
        match asset.archive == self.manifest.header.archive
            && entry.asset.as_ref() == Some(&asset.id)
        {
            true => Ok(asset),
            false => Err(odd("are of another asset or archive")),
        }
    }
}

/// The assets of an archive. One that cannot be read is an error, and the next ones follow; after an error of the manifest
/// nothing follows.
#[derive(Debug)]
pub struct Assets<'a> {
    archive: &'a Archive,
    entries: Option<ManifestReader<BufReader<File>>>,
}

impl Assets<'_> {
    /// The next entry of a metadata document.
    fn entry(&mut self) -> Result<Option<Entry>> {
        let Some(entries) = &mut self.entries else {
            return Ok(None);
        };
        while let Some(entry) = entries.entry()? {
            if entry.role == Role::Metadata {
                return Ok(Some(entry));
            }
        }
        Ok(None)
    }

    /// Proves that what was read is what was opened.
    fn end(&mut self) -> Result<()> {
        let Some(entries) = self.entries.take() else {
            return Ok(());
        };
        match entries.finish()?.seal == self.archive.manifest.seal {
            true => Ok(()),
            false => Err(Error::new(
                Kind::SourceChanged,
                "the manifest changed while the archive was read",
            )),
        }
    }
}

impl Iterator for Assets<'_> {
    type Item = Result<ArchivedAsset>;

    fn next(&mut self) -> Option<Self::Item> {
        match self.entry() {
            Ok(Some(entry)) => Some(self.archive.asset(&entry)),
            Ok(None) => self.end().err().map(Err),
            Err(error) => {
                self.entries = None;
                Some(Err(error))
            }
        }
    }
}
