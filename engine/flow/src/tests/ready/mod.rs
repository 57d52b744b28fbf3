//! What is still arriving waits, and goes by itself once it is ready.

mod race;
mod rules;
mod stage;
mod writers;
