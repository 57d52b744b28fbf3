//! May this asset leave? Validity days, embargo, territories, channels, audiences, releases, approval status.
//!
//! The operator says which fields of the source system, or which columns of a sheet, hold what. Each configured
//! section gives clauses about one asset and one release; deny beats hold beats allow, and the ruling names all
//! reasons of the decision that won. What is missing or cannot be read is a hold: unknown is not allowed.
//!
//! A clause changes its mind at most once, at its edge: when a day begins or has ended. So it is known exactly until
//! when a ruling stands, see [`clause`]. [`config`] has the configuration, `example.toml` shows it.

pub mod calendar;
pub mod clause;
pub mod config;

mod area;
mod check;
mod facts;
mod gate;
mod standing;
mod trust;

pub use gate::RightsWindow;

windlass_sdk::plugin!(RightsWindow: rights);
