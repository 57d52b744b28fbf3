//! One text for both sides: wire fixtures, written from the vendors' documentation, that the sandbox must
//! answer and that the client must send and understand.
//!
//! A fixture is one call: the request, the answer, and what the answer means for whoever called. Sandbox and
//! client share no wire types, so a field that both spell wrong does not pass here. `fixtures/README.md` has
//! the format.

mod celum;
mod client;
mod dropbox;
mod fixture;
mod oracle;
mod pattern;
mod sandbox;
