//! One error told to many: a call that carried a batch fails for each of its entries.

use windlass_core::Error;

/// The same error again, with its cause as text.
pub(crate) fn copy_of(error: &Error) -> Error {
    let mut copy = Error::new(error.kind(), error.message()).with_status(error.status());
    for (name, value) in error.context() {
        copy = copy.with_context(name, value);
    }
    if let Some(hint) = error.hint() {
        copy = copy.with_hint(hint);
    }
    if let Some(wait) = error.retry_after() {
        copy = copy.with_retry_after(wait);
    }
    match std::error::Error::source(error) {
        Some(source) => copy.with_source(source.to_string()),
        None => copy,
    }
}
