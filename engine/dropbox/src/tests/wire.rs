//! Arguments and results against the shapes of the Dropbox contract.

use proptest::prelude::*;
use serde_json::{Value, json};
use windlass_core::ContentHash;

use crate::errors::{CorrectOffset, FinishError, SessionError};
use crate::wire::*;

fn encoded(value: &impl serde::Serialize) -> String {
    serde_json::to_string(value).unwrap()
}

#[test]
fn header_json_is_escaped_by_utf16_unit() {
    let header = |path| header_json(&PathArg { path }).unwrap();
    assert_eq!(
        header("/Été😀.jpg"),
        r#"{"path":"/\u00c9t\u00e9\ud83d\ude00.jpg"}"#
    );
    assert_eq!(header("/a\u{7f}b"), r#"{"path":"/a\u007fb"}"#);
    assert_eq!(header("/a\"\\\n"), r#"{"path":"/a\"\\\n"}"#);
}

proptest! {
    #[test]
    fn header_json_is_ascii_and_parses_back(path in any::<String>()) {
        let header = header_json(&PathArg { path: &path }).unwrap();
        let text = header.to_str().unwrap();
        prop_assert!(text.bytes().all(|byte| (0x20..0x7f).contains(&byte)));
        let back: Value = serde_json::from_str(text).unwrap();
        prop_assert_eq!(back["path"].as_str(), Some(path.as_str()));
    }
}

#[test]
fn the_path_root_has_three_modes() {
    let namespace_id = "84528192421".to_owned();
    assert_eq!(encoded(&PathRootHeader::Home), r#"{".tag":"home"}"#);
    assert_eq!(
        encoded(&PathRootHeader::Root { root: "77".into() }),
        r#"{".tag":"root","root":"77"}"#
    );
    assert_eq!(
        encoded(&PathRootHeader::NamespaceId { namespace_id }),
        r#"{".tag":"namespace_id","namespace_id":"84528192421"}"#
    );
}

#[test]
fn arguments_leave_out_defaults() {
    let list = ListFolderArg {
        path: "",
        recursive: true,
        limit: Some(2000),
        include_property_groups: None,
    };
    assert_eq!(
        encoded(&list),
        r#"{"path":"","recursive":true,"limit":2000}"#
    );
    let commit = CommitInfo {
        path: "/Out/a.txt".into(),
        mode: WriteMode::Update("0164aa10c2e3f5000".into()),
        mute: true,
        strict_conflict: true,
        property_groups: Vec::new(),
    };
    assert_eq!(
        encoded(&FinishArg {
            cursor: SessionCursor {
                session_id: "pid_upload_session:A",
                offset: 3
            },
            commit: &commit
        }),
        concat!(
            r#"{"cursor":{"session_id":"pid_upload_session:A","offset":3},"#,
            r#""commit":{"path":"/Out/a.txt","mode":{".tag":"update","update":"0164aa10c2e3f5000"},"#,
            r#""mute":true,"strict_conflict":true}}"#
        )
    );
    let add = CommitInfo {
        mode: WriteMode::Add,
        mute: false,
        strict_conflict: false,
        ..commit
    };
    let empty = ContentHash::of(b"");
    assert_eq!(
        encoded(&UploadArg {
            commit: &add,
            content_hash: empty
        }),
        format!(r#"{{"path":"/Out/a.txt","mode":{{".tag":"add"}},"content_hash":"{empty}"}}"#)
    );
    assert_eq!(
        encoded(&DeleteArg {
            path: "id:1",
            parent_rev: None
        }),
        r#"{"path":"id:1"}"#
    );
    assert_eq!(encoded(&StartArg::default()), "{}");
    assert_eq!(
        encoded(&StartBatchArg {
            session_type: SessionType::Sequential,
            num_sessions: 1000
        }),
        r#"{"num_sessions":1000}"#
    );
    assert_eq!(encoded(&()), "null");
}

#[test]
fn the_three_kinds_of_metadata_decode() {
    let hash = "1cd6ef71e6e0ff46ad2609d403dc3fee244417089aa4461245a4e4fe23a55e42";
    // `.tag` last: clients take any order of keys.
    let text = format!(
        r#"{{"name":"Hero_01.tif","path_lower":"/campaign/hero_01.tif","path_display":"/Campaign/Hero_01.tif",
        "id":"id:AbCdEfGhIjAAAAAAAAAAAQ","client_modified":"2026-03-01T08:30:00Z",
        "server_modified":"2026-03-01T08:31:12Z","rev":"0164aa10c2e3f5000000012ab34cd56","size":73400320,
        "is_downloadable":false,"content_hash":"{hash}","sharing_info":{{"read_only":false}},"new_field":[1],
        ".tag":"file"}}"#
    );
    let Metadata::File(file) = serde_json::from_str(&text).unwrap() else {
        panic!("not a file");
    };
    assert_eq!(file.size, 73_400_320);
    assert_eq!(file.content_hash.unwrap(), ContentHash::of(b"A"));
    assert!(!file.is_downloadable);
    assert_eq!(file.client_modified.to_string(), "2026-03-01T08:30:00Z");

    let folder = json!({".tag":"folder","name":"Campaign","path_lower":"/campaign",
        "path_display":"/Campaign","id":"id:AbCdEfGhIjAAAAAAAAAAAg"});
    assert!(matches!(
        serde_json::from_value(folder).unwrap(),
        Metadata::Folder(folder) if folder.id.ends_with("Ag")
    ));
    let deleted = json!({".tag":"deleted","name":"old.tif","path_lower":"/campaign/old.tif",
        "path_display":"/Campaign/old.tif"});
    assert!(matches!(
        serde_json::from_value(deleted).unwrap(),
        Metadata::Deleted(gone) if gone.path_display.as_deref() == Some("/Campaign/old.tif")
    ));
    let later = json!({".tag":"hologram","name":"x","depth":3});
    assert!(matches!(
        serde_json::from_value(later).unwrap(),
        Metadata::Other
    ));
}

#[test]
fn a_bare_file_has_no_tag_and_is_downloadable_unless_said_otherwise() {
    let file: FileMetadata = serde_json::from_value(json!({"name":"a.txt","id":"id:1","rev":"0165aa10c",
        "size":3,"client_modified":"2026-03-01T08:30:00Z","server_modified":"2026-03-01T08:30:00Z"}))
    .unwrap();
    assert!(file.is_downloadable && file.content_hash.is_none() && file.path_display.is_none());
}

#[test]
fn tags_decode_and_unknown_kinds_are_passed_over() {
    let result: TagsResult = serde_json::from_value(json!({"paths_to_tags":[{"path":"/a","tags":[
        {".tag":"user_generated_tag","tag_text":"hero"}, {".tag":"machine_tag","score":1}]}]}))
    .unwrap();
    let entry = result.paths_to_tags.into_iter().next().unwrap();
    let tags: Vec<_> = entry.tags.into_iter().filter_map(Tag::text).collect();
    assert_eq!((entry.path.as_str(), tags), ("/a", vec!["hero".to_owned()]));
}

#[test]
fn accounts_of_both_kinds_decode() {
    for root_info in [
        json!({".tag":"user","root_namespace_id":"41","home_namespace_id":"41"}),
        json!({".tag":"team","root_namespace_id":"77","home_namespace_id":"41","home_path":"/Ada"}),
    ] {
        let account: Account =
            serde_json::from_value(json!({"account_id":"dbid:1","email":"ada@example.com",
            "root_info": root_info}))
            .unwrap();
        assert_eq!(account.root_info.home_namespace_id, "41");
    }
}

#[test]
fn a_batch_names_its_sessions_and_its_results_come_in_their_order() {
    let entry = |session_id, length| AppendEntry {
        cursor: SessionCursor {
            session_id,
            offset: 0,
        },
        length,
        close: true,
    };
    let empty = ContentHash::of(b"");
    assert_eq!(
        encoded(&AppendBatchArg {
            entries: &[entry("A", 3), entry("B", 5)],
            content_hash: empty,
        }),
        format!(
            r#"{{"entries":[{{"cursor":{{"session_id":"A","offset":0}},"length":3,"close":true}},{{"cursor":{{"session_id":"B","offset":0}},"length":5,"close":true}}],"content_hash":"{empty}"}}"#
        )
    );
    let result: BatchResult = serde_json::from_value(json!({"entries":[{".tag":"success"},
        {".tag":"failure","failure":{".tag":"incorrect_offset","correct_offset":5}},
        {".tag":"postponed"}]}))
    .unwrap();
    let decoded = result
        .entries
        .into_iter()
        .map(|entry| Entry::<Ignored, SessionError>::decode(entry).unwrap());
    let decoded: Vec<_> = decoded.collect();
    assert!(matches!(
        &decoded[..],
        [
            Entry::Success(_),
            Entry::Failure(SessionError::IncorrectOffset(CorrectOffset(Some(5)))),
            Entry::Failure(SessionError::Other(tag)),
        ] if tag == "postponed"
    ));
    let committed = json!({".tag":"success","name":"a.txt","id":"id:1","rev":"0165aa10c","size":3,
        "client_modified":"2026-03-01T08:30:00Z","server_modified":"2026-03-01T08:30:00Z"});
    assert!(matches!(
        Entry::<FileMetadata, FinishError>::decode(committed).unwrap(),
        Entry::Success(file) if file.rev == "0165aa10c"
    ));
}
