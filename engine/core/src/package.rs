//! The port through which a flow learns what a layout document needs beside it: links and fonts by name.

use async_trait::async_trait;

use crate::asset::Asset;
use crate::error::Result;
use crate::hooks::Verdict;
use crate::ports::Source;

/// What a document names, as file names without folders. Each once, sorted.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Named {
    /// Pictures and texts that are placed in it.
    pub links: Vec<String>,
    /// The files of its fonts. A document may name fonts by family and style alone; those are not here.
    pub fonts: Vec<String>,
}

/// Who reads documents for the names in them.
#[async_trait]
pub trait PackageReader: Send + Sync + std::fmt::Debug {
    /// What the document's revision names; nothing where it says nothing of links and fonts.
    ///
    /// A document that cannot be read as it is now is held, with the reason. An error means that nothing can be said
    /// now.
    async fn named(&self, source: &dyn Source, document: &Asset) -> Result<Verdict<Named>>;
}
