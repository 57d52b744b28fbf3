//! The engine against endpoints that misbehave, and models of its parts.

mod budget;
mod cancel;
mod faulty;
mod hash;
mod options;
mod parts;
mod resume;
mod support;
mod transfer;
