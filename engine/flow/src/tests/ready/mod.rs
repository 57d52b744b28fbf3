//! What is still arriving waits, and goes by itself once it is ready.

mod rules;
