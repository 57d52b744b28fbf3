mod bytesize;
mod digest;
mod error;
mod memory;
mod names;
mod ranges;
mod sealed;
mod words;
