use proptest::prelude::*;

use crate::{Action, Correlation, Outcome, RunState, StepState};

#[test]
fn a_correlation_is_the_same_for_the_same_revision_and_another_for_anything_else() {
    let mark = Correlation::derive("ingest", "agency", "id:1", "rev-1");
    assert_eq!(
        mark,
        Correlation::derive("ingest", "agency", "id:1", "rev-1")
    );
    assert_eq!(mark.as_str().len(), 32);
    assert!(mark.as_str().bytes().all(|byte| byte.is_ascii_hexdigit()));
    for other in [
        Correlation::derive("ingest2", "agency", "id:1", "rev-1"),
        Correlation::derive("ingest", "agency2", "id:1", "rev-1"),
        Correlation::derive("ingest", "agency", "id:2", "rev-1"),
        Correlation::derive("ingest", "agency", "id:1", "rev-2"),
        // The same letters, cut differently.
        Correlation::derive("ingestd", "ropbox", "id:1", "rev-1"),
        Correlation::derive("ingest", "agencyid:1", "", "rev-1"),
    ] {
        assert_ne!(mark, other);
    }
}

#[test]
fn a_correlation_does_not_change_between_versions() {
    // Marks are stored at sinks: another derivation would no longer find what was placed before.
    assert_eq!(
        Correlation::derive("ingest", "agency", "id:1", "rev-1").as_str(),
        expected_mark()
    );
}

/// The first half of BLAKE3 over each part behind its length, computed step by step.
fn expected_mark() -> String {
    let mut hasher = blake3::Hasher::new();
    for part in ["ingest", "agency", "id:1", "rev-1"] {
        hasher.update(&(part.len() as u64).to_le_bytes());
        hasher.update(part.as_bytes());
    }
    hasher.finalize().to_hex()[..32].to_owned()
}

proptest! {
    #[test]
    fn no_two_lists_of_parts_share_a_correlation(
        a in prop::array::uniform4("[a-c/]{0,3}"),
        b in prop::array::uniform4("[a-c/]{0,3}"),
    ) {
        let mark = |p: &[String; 4]| Correlation::derive(&p[0], &p[1], &p[2], &p[3]);
        prop_assert_eq!(mark(&a) == mark(&b), a == b);
    }
}

#[test]
fn every_word_is_read_back_and_equals_its_json() {
    for state in [
        StepState::Open,
        StepState::Leased,
        StepState::Done,
        StepState::Skipped,
        StepState::Held,
        StepState::Failed,
    ] {
        assert_eq!(StepState::from_word(state.word()), Some(state));
        assert_eq!(serde_json::to_value(state).unwrap(), state.word());
    }
    for state in [
        RunState::Planning,
        RunState::Running,
        RunState::Finished,
        RunState::Stopped,
        RunState::Abandoned,
    ] {
        assert_eq!(RunState::from_word(state.word()), Some(state));
        assert_eq!(serde_json::to_value(state).unwrap(), state.word());
    }
    assert_eq!(StepState::from_word("Open"), None);
    assert_eq!(RunState::from_word(""), None);
    assert_eq!(Action::from_word("create"), Some(Action::Create));
    assert_eq!(
        serde_json::to_value(Action::NewVersion).unwrap(),
        "new-version"
    );
}

#[test]
fn a_step_that_keeps_losing_its_worker_fails_with_the_number_and_a_hint() {
    let Outcome::Failed { message, hint, .. } = Outcome::lost(5) else {
        panic!("it must fail");
    };
    assert_eq!(
        message,
        "given up: 5 times a worker took it and vanished before it ended"
    );
    assert!(hint.is_some_and(|hint| hint.contains("log")));
}
