//! The engine against endpoints that misbehave, and models of its parts.

mod budget;
mod cancel;
mod crash;
mod faulty;
mod hash;
mod lessons;
mod memory;
mod options;
mod parts;
mod resume;
mod stall;
mod support;
mod throttle;
mod transfer;
