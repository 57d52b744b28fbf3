//! The flows. Each discovers, decides and plans in its own way; all are run by the same runner.

pub(crate) mod ingest;
pub(crate) mod shadow;
mod stated;
