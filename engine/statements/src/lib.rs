//! What files and sheets state about assets, as [`Statement`](windlass_core::Statement)s for plugins.
//!
//! [`embedded()`] reads XMP, EXIF and IPTC-IIM out of both ends of a file, [`sidecar`] an XMP file beside one, and
//! [`Sheet`] a CSV or XLSX file whose rows are joined to assets by path or name: bytes come in and statements go
//! out, and only [`Sheet::read`] opens a file. [`Survey`] asks all of them about the assets of a source, and
//! [`PackageNames`] reads which links and fonts a layout names.
//!
//! Whoever wrote the bytes is not trusted: every list, text and depth is bounded, and nothing that cannot be read
//! for certain is guessed. It is left out, and a finding says so.

#![deny(unsafe_code)]

mod embedded;
mod package;
mod sheet;
mod stated;
mod survey;
mod twice;

pub use embedded::{END_BYTES, Ends, embedded, sidecar};
pub use package::PackageNames;
pub use sheet::{
    JoinBy, JoinReport, LISTED_MAX, Listed, OrphanRow, SHEET_BYTES_MAX, SharedRow, Sheet,
    SheetOptions,
};
pub use stated::{FINDINGS_MAX, ITEMS_MAX, STATEMENTS_MAX, TEXT_BYTES_MAX};
pub use survey::Survey;

#[cfg(test)]
mod tests;
