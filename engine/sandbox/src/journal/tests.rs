use super::*;

fn replayed(path: &Path) -> Result<Vec<u32>, JournalError> {
    let mut events = Vec::new();
    Journal::<u32>::open(path, "numbers-1", |event| events.push(event)).map(|_| events)
}

#[test]
fn events_come_back_in_order_and_more_can_be_appended() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("journal");
    for round in 0..3u32 {
        let mut seen = Vec::new();
        let journal = Journal::<u32>::open(&path, "numbers-1", |event| seen.push(event)).unwrap();
        assert_eq!(seen, (0..round).collect::<Vec<_>>());
        journal.append(&round).unwrap();
    }
}

#[test]
fn a_torn_last_line_is_cut_off_and_the_next_event_is_whole() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("journal");
    std::fs::write(&path, b"{\"journal\":\"numbers-1\"}\n1\n22").unwrap();
    let journal = Journal::<u32>::open(&path, "numbers-1", |_| ()).unwrap();
    journal.append(&3).unwrap();
    drop(journal);
    assert_eq!(replayed(&path).unwrap(), [1, 3]);
}

#[test]
fn a_torn_heading_starts_over() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("journal");
    std::fs::write(&path, b"{\"journ").unwrap();
    assert!(replayed(&path).unwrap().is_empty());
    assert_eq!(
        std::fs::read(&path).unwrap(),
        b"{\"journal\":\"numbers-1\"}\n"
    );
}

#[test]
fn damage_in_the_middle_is_refused_with_its_line_and_the_file_is_left_alone() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("journal");
    let text = b"{\"journal\":\"numbers-1\"}\n1\nx\n3\n";
    std::fs::write(&path, text).unwrap();
    let error = replayed(&path).unwrap_err();
    assert!(
        matches!(error, JournalError::Damaged { line: 3, .. }),
        "{error}"
    );
    assert_eq!(std::fs::read(&path).unwrap(), text);
}

#[test]
fn a_journal_of_something_else_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("journal");
    std::fs::write(&path, b"{\"journal\":\"letters-1\"}\n").unwrap();
    let error = replayed(&path).unwrap_err();
    assert!(error.to_string().contains("letters-1"), "{error}");
}
