use std::error::Error as _;
use std::time::Duration;

use crate::{Error, Kind, Secret, Status};

fn refused() -> Error {
    let reset = std::io::Error::other("connection reset");
    Error::new(Kind::Unavailable, "the service did not answer")
        .with_context("endpoint", "archive")
        .with_context("path", "/a/b.tif")
        .with_source(reset)
        .with_hint("try again later")
}

#[test]
fn an_error_shows_its_sentence_then_its_circumstances_in_order() {
    let error = refused();
    assert_eq!(
        error.to_string(),
        "the service did not answer (endpoint: archive, path: /a/b.tif)"
    );
    assert_eq!(error.message(), "the service did not answer");
    assert_eq!(Error::new(Kind::Denied, "no").to_string(), "no");
}

#[test]
fn the_chain_names_every_cause_once_and_leaves_the_hint_out() {
    assert_eq!(
        refused().chain(),
        "the service did not answer (endpoint: archive, path: /a/b.tif): connection reset"
    );
    let outer = Error::new(Kind::Unexpected, "the step failed").with_source(refused());
    assert_eq!(
        outer.chain(),
        "the step failed: the service did not answer (endpoint: archive, path: /a/b.tif): \
         connection reset"
    );
    let repeating = Error::new(Kind::Unexpected, "it broke: connection reset")
        .with_source(std::io::Error::other("connection reset"));
    assert_eq!(repeating.chain(), "it broke: connection reset");
    assert!(outer.source().is_some_and(|cause| cause.source().is_some()));
}

#[test]
fn debug_shows_kind_status_and_hint() {
    assert_eq!(
        format!("{:?}", refused()),
        "unavailable[Temporary]: the service did not answer (endpoint: archive, path: /a/b.tif): \
         connection reset (hint: try again later)"
    );
}

#[test]
fn a_kind_says_whether_trying_again_can_help_unless_the_raiser_knows_better() {
    assert!(Error::new(Kind::Limited, "slow down").is_temporary());
    assert!(!Error::new(Kind::Denied, "no").is_temporary());
    let told = Error::new(Kind::Denied, "no").with_status(Status::Temporary);
    assert!(told.is_temporary());
    assert_eq!(told.persistent().status(), Status::Persistent);
    let permanent = Error::new(Kind::Denied, "no").persistent();
    assert_eq!(permanent.status(), Status::Permanent);
}

#[test]
fn retry_after_is_kept() {
    let error = Error::new(Kind::Limited, "slow down").with_retry_after(Duration::from_secs(7));
    assert_eq!(error.retry_after(), Some(Duration::from_secs(7)));
    assert_eq!(refused().retry_after(), None);
}

#[test]
fn an_error_is_one_pointer_wide() {
    assert_eq!(size_of::<Error>(), size_of::<usize>());
}

#[test]
fn a_secret_cannot_show_itself() {
    let secret = Secret::new("sl.very-secret");
    assert_eq!(format!("{secret:?}"), "***");
    assert_eq!(secret.expose(), "sl.very-secret");
}
