//! Market, language and channel become folders and file names, stand-ins for other languages included.
//!
//! What an asset is made for is read from fields of the source, columns of a sheet, or its path. Against the market table
//! that gives placements: each market, language and channel in which the asset could be served, and how far it is from
//! the language wanted there. The host, which sees all assets, takes the nearest of a piece. An asset that serves
//! nowhere is a finding; two placements of it at one place are a hold, since one would overwrite the other.
//!
//! [`config`] has the configuration, [`pattern`] the grammar of folders and file names, [`fallback`] which language
//! stands in for which, [`names`] what a name may be. `example.toml` shows all.

pub mod config;
pub mod fallback;
pub mod names;
pub mod pattern;

mod asset;
mod check;
mod codes;
mod gaps;
mod router;
mod trust;

pub use router::MarketRouter;

windlass_sdk::plugin!(MarketRouter: localization);
