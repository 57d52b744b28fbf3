//! Integration tests of the whole: one binary, one module a subject.

mod contract;
mod duplicates;
mod end_to_end;
mod endpoints;
mod forecast;
mod rebuild;
mod release;
mod support;
mod tidy;
