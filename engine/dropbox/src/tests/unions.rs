//! Error unions in every shape that the Dropbox contract shows, and what statuses mean.

use std::time::Duration;

use http::{HeaderMap, StatusCode};
use serde_json::{Value, json};
use windlass_core::{Error, Kind, Status};
use windlass_http::{Judge, Judged, Reply};

use crate::errors::*;
use crate::judge::{DropboxJudge, call_error};
use crate::union::Union;

fn decode<E: Union>(value: Value) -> E {
    E::decode(&value)
}

#[test]
fn a_member_without_payload_is_a_string_or_an_object() {
    assert_eq!(
        decode::<LookupError>(json!("not_found")),
        LookupError::NotFound
    );
    assert_eq!(
        decode::<LookupError>(json!({".tag":"not_found"})),
        LookupError::NotFound
    );
}

#[test]
fn an_absent_payload_and_null_are_the_same() {
    for value in [
        json!({".tag":"malformed_path"}),
        json!({".tag":"malformed_path","malformed_path":null}),
    ] {
        assert_eq!(decode::<WriteError>(value), WriteError::MalformedPath(None));
    }
    assert_eq!(
        decode::<WriteError>(json!({".tag":"malformed_path","malformed_path":"/x"})),
        WriteError::MalformedPath(Some("/x".into()))
    );
}

#[test]
fn unions_nest_and_structs_are_flattened() {
    assert_eq!(
        decode::<FinishError>(
            json!({".tag":"path","path":{".tag":"conflict","conflict":{".tag":"file"}}})
        ),
        FinishError::Path(WriteError::Conflict(WriteConflict::File))
    );
    assert_eq!(
        decode::<SessionError>(json!({".tag":"incorrect_offset","correct_offset":8388608})),
        SessionError::IncorrectOffset(CorrectOffset(Some(8_388_608)))
    );
    assert_eq!(
        decode::<FinishError>(json!({".tag":"lookup_failed",
            "lookup_failed":{".tag":"incorrect_offset","correct_offset":5}})),
        FinishError::LookupFailed(SessionError::IncorrectOffset(CorrectOffset(Some(5))))
    );
    let upload: UploadError = decode(json!({".tag":"path",
        "reason":{".tag":"conflict","conflict":{".tag":"file"}},
        "upload_session_id":"pid_upload_session:AAB1"}));
    assert_eq!(
        upload,
        UploadError::Path(UploadWriteFailed {
            reason: WriteError::Conflict(WriteConflict::File),
            upload_session_id: Some("pid_upload_session:AAB1".into()),
        })
    );
    assert_eq!(
        upload.to_string(),
        "path/conflict/file (bytes kept as pid_upload_session:AAB1)"
    );
    assert_eq!(
        decode::<DeleteError>(json!({".tag":"path_lookup","path_lookup":{".tag":"not_found"}})),
        DeleteError::PathLookup(LookupError::NotFound)
    );
    assert_eq!(
        decode::<ListFolderError>(json!({".tag":"template_error",
            "template_error":{".tag":"template_not_found","template_not_found":"ptid:1"}})),
        ListFolderError::TemplateError(TemplateError::TemplateNotFound(Some("ptid:1".into())))
    );
}

#[test]
fn an_unknown_member_is_kept_at_every_depth() {
    assert_eq!(
        decode::<ContinueError>(json!({".tag":"frozen","until":"tomorrow"})),
        ContinueError::Other("frozen".into())
    );
    let deep: FinishError =
        decode(json!({".tag":"path","path":{".tag":"conflict","conflict":{".tag":"portal"}}}));
    assert_eq!(deep.to_string(), "path/conflict/portal");
    for odd in [
        json!(null),
        json!(7),
        json!([]),
        json!({}),
        json!({".tag":3}),
    ] {
        assert_eq!(decode::<PathError>(odd), PathError::Other(String::new()));
    }
}

/// Every documented tag of a union decodes to a member of its own.
fn all_known<E: Union>(tags: &[&str]) {
    for tag in tags {
        let known = E::decode(&json!({".tag": tag}));
        assert!(!format!("{known:?}").starts_with("Other"), "{tag}");
        assert!(known.to_string().starts_with(tag), "{tag} reads {known}");
    }
}

#[test]
fn every_documented_tag_is_known() {
    all_known::<LookupError>(&[
        "malformed_path",
        "not_found",
        "not_file",
        "not_folder",
        "restricted_content",
        "unsupported_content_type",
        "locked",
    ]);
    all_known::<WriteError>(&[
        "malformed_path",
        "conflict",
        "no_write_permission",
        "insufficient_space",
        "disallowed_name",
        "team_folder",
        "operation_suppressed",
        "too_many_write_operations",
        "access_restricted",
    ]);
    all_known::<WriteConflict>(&["file", "folder", "file_ancestor"]);
    all_known::<ListFolderError>(&["path", "template_error"]);
    all_known::<ContinueError>(&["path", "reset"]);
    all_known::<DownloadError>(&["path", "unsupported_file"]);
    all_known::<UploadError>(&[
        "path",
        "properties_error",
        "payload_too_large",
        "content_hash_mismatch",
        "encryption_not_supported",
    ]);
    all_known::<StartError>(&[
        "concurrent_session_data_not_allowed",
        "concurrent_session_close_not_allowed",
        "payload_too_large",
        "content_hash_mismatch",
    ]);
    all_known::<SessionError>(&[
        "not_found",
        "incorrect_offset",
        "closed",
        "not_closed",
        "too_large",
        "concurrent_session_invalid_offset",
        "concurrent_session_invalid_data_size",
        "payload_too_large",
        "content_hash_mismatch",
    ]);
    all_known::<AppendBatchError>(&[
        "payload_too_large",
        "content_hash_mismatch",
        "length_mismatch",
    ]);
    all_known::<FinishError>(&[
        "lookup_failed",
        "path",
        "properties_error",
        "too_many_write_operations",
        "concurrent_session_data_not_allowed",
        "concurrent_session_not_closed",
        "concurrent_session_missing_data",
        "payload_too_large",
        "content_hash_mismatch",
        "encryption_not_supported",
        "too_many_shared_folder_targets",
    ]);
    all_known::<CreateFolderError>(&["path"]);
    all_known::<DeleteError>(&[
        "path_lookup",
        "path_write",
        "too_many_write_operations",
        "too_many_files",
    ]);
    all_known::<RevisionsError>(&["path", "invalid_before_rev", "before_rev_not_supported"]);
    all_known::<RestoreError>(&[
        "path_lookup",
        "path_write",
        "invalid_revision",
        "in_progress",
    ]);
    all_known::<RelocationError>(&[
        "from_lookup",
        "from_write",
        "to",
        "cant_copy_shared_folder",
        "cant_nest_shared_folder",
        "cant_move_folder_into_itself",
        "too_many_files",
        "duplicated_or_nested_paths",
        "cant_transfer_ownership",
        "insufficient_quota",
        "internal_error",
        "cant_move_shared_folder",
        "cant_move_into_vault",
        "cant_move_into_family",
    ]);
}

fn judged(status: u16, body: &str) -> Judged {
    DropboxJudge.judge(
        StatusCode::from_u16(status).unwrap(),
        &HeaderMap::new(),
        body.as_bytes(),
    )
}

#[test]
fn a_rate_stops_the_account_and_a_lock_stops_writers() {
    let seconds = |n| Some(Duration::from_secs(n));
    let table = [
        (
            429,
            r#"{"error_summary":"too_many_requests/..","error":{"reason":{".tag":"too_many_requests"},"retry_after":5}}"#,
            Judged::Wait(seconds(5)),
        ),
        (
            429,
            r#"{"error_summary":"too_many_requests/..","error":{"reason":{".tag":"too_many_requests"},"retry_after":0}}"#,
            Judged::Wait(None),
        ),
        (
            429,
            r#"{"error_summary":"too_many_write_operations/..","error":{"reason":{".tag":"too_many_write_operations"}}}"#,
            Judged::Busy(None),
        ),
        (429, "too_many_requests/.", Judged::Wait(None)),
        (429, "too_many_write_operations/.", Judged::Busy(None)),
        (429, "", Judged::Wait(None)),
        (
            409,
            r#"{"error":{".tag":"path","path":{".tag":"too_many_write_operations"}}}"#,
            Judged::Busy(None),
        ),
        (
            409,
            r#"{"error":{".tag":"path","reason":{".tag":"too_many_write_operations"},"upload_session_id":"u"}}"#,
            Judged::Busy(None),
        ),
        (
            409,
            r#"{"error":{".tag":"too_many_write_operations"}}"#,
            Judged::Busy(None),
        ),
        (
            409,
            r#"{"error":{".tag":"path","path":{".tag":"not_found"}}}"#,
            Judged::Final,
        ),
        (
            409,
            r#"{"error":{".tag":"internal_error"}}"#,
            Judged::Transient,
        ),
        (
            401,
            r#"{"error":{".tag":"expired_access_token"},"error_summary":"expired_access_token/"}"#,
            Judged::RefreshToken,
        ),
        (
            401,
            r#"{"error":{".tag":"missing_scope","required_scope":"files.content.write"}}"#,
            Judged::Final,
        ),
        (401, "<html>", Judged::Final),
        (400, "Error in call", Judged::Final),
        (403, "{}", Judged::Final),
        (408, "", Judged::Transient),
        (500, "", Judged::Transient),
        (502, "<html>", Judged::Transient),
        (503, "", Judged::Transient),
    ];
    for (status, body, expected) in table {
        assert_eq!(judged(status, body), expected, "{status} {body}");
    }
}

fn explained(status: u16, body: &str) -> Error {
    let reply = Reply {
        status: StatusCode::from_u16(status).unwrap(),
        headers: HeaderMap::new(),
        body: bytes::Bytes::copy_from_slice(body.as_bytes()),
        request_id: Some("req-9".into()),
    };
    call_error("studio", "files/upload", &reply).expect("it does not depend on the route")
}

#[test]
fn refusals_of_any_route_have_a_kind_and_name_the_request() {
    let table = [
        (
            400,
            r#"Error in call to API function "files/upload": Bad HTTP "Content-Type" header"#,
            Kind::InvalidInput,
        ),
        (
            401,
            r#"{"error":{".tag":"invalid_access_token"}}"#,
            Kind::Unauthenticated,
        ),
        (
            401,
            r#"{"error":{".tag":"expired_access_token"}}"#,
            Kind::Unauthenticated,
        ),
        (
            401,
            r#"{"error":{".tag":"invalid_select_user"}}"#,
            Kind::Config,
        ),
        (401, r#"{"error":{".tag":"user_suspended"}}"#, Kind::Denied),
        (
            401,
            r#"{"error":{".tag":"from_the_future"}}"#,
            Kind::Unauthenticated,
        ),
        (
            403,
            r#"{"error":{".tag":"invalid_account_type","invalid_account_type":{".tag":"feature"}}}"#,
            Kind::Capacity,
        ),
        (403, r#"{"error":{".tag":"no_permission"}}"#, Kind::Denied),
        (404, "Unknown API function", Kind::Unsupported),
        (409, "not JSON", Kind::Unexpected),
        (413, "<html>", Kind::InvalidInput),
        (422, r#"{"error":{".tag":"no_permission"}}"#, Kind::Config),
        (431, "", Kind::InvalidInput),
        (460, "restricted", Kind::Restricted),
        (418, "", Kind::Unexpected),
    ];
    for (status, body, kind) in table {
        let error = explained(status, body);
        assert_eq!(error.kind(), kind, "{status} {body}");
        assert_eq!(error.status(), Status::Permanent, "{status} {body}");
        assert!(error.to_string().contains("request id: req-9"), "{error}");
    }
}

#[test]
fn a_missing_scope_is_named_whoever_lacks_it() {
    let token = explained(
        401,
        r#"{"error":{".tag":"missing_scope","required_scope":"files.content.write"},"error_summary":"missing_scope/"}"#,
    );
    let app = explained(
        400,
        "Your app (ID: 123) is not permitted to access this endpoint because it does not have the required scope 'files.content.write'. The owner…",
    );
    for error in [token, app] {
        assert_eq!(error.kind(), Kind::Denied);
        assert!(error.hint().unwrap().contains("files.content.write"));
    }
}

#[test]
fn what_people_are_told_by_dropbox_is_passed_on() {
    let body = r#"{"error":{".tag":"invalid_account_type","invalid_account_type":{".tag":"feature"}},
        "error_summary":"invalid_account_type/feature/","user_message":{"locale":"en","text":"Upload limit reached."}}"#;
    let text = explained(403, body).to_string();
    assert!(text.contains("Upload limit reached."), "{text}");
    assert!(text.contains("invalid_account_type/feature"), "{text}");
}

#[test]
fn route_errors_map_to_the_kinds_that_flows_branch_on() {
    fn kind<E: Explain>(value: Value) -> (Kind, Status) {
        let error = Error::from(Failure::Route(E::decode(&value), Circumstances::default()));
        (error.kind(), error.status())
    }
    use Status::*;
    let path = |reason: &str| json!({".tag":"path","path":{".tag":reason}});
    assert_eq!(
        kind::<PathError>(path("not_found")),
        (Kind::NotFound, Permanent)
    );
    assert_eq!(
        kind::<PathError>(path("restricted_content")),
        (Kind::Restricted, Permanent)
    );
    assert_eq!(
        kind::<PathError>(path("malformed_path")),
        (Kind::InvalidInput, Permanent)
    );
    assert_eq!(
        kind::<DownloadError>(path("not_found")),
        (Kind::SourceChanged, Permanent)
    );
    assert_eq!(
        kind::<DownloadError>(path("restricted_content")),
        (Kind::Restricted, Permanent)
    );
    assert_eq!(
        kind::<DownloadError>(json!("unsupported_file")),
        (Kind::Unsupported, Permanent)
    );
    assert_eq!(
        kind::<FinishError>(path("insufficient_space")),
        (Kind::Capacity, Permanent)
    );
    assert_eq!(
        kind::<FinishError>(path("disallowed_name")),
        (Kind::InvalidInput, Permanent)
    );
    assert_eq!(
        kind::<FinishError>(path("no_write_permission")),
        (Kind::Denied, Permanent)
    );
    assert_eq!(
        kind::<FinishError>(path("too_many_write_operations")),
        (Kind::Limited, Temporary)
    );
    assert_eq!(
        kind::<SessionError>(json!("not_found")),
        (Kind::Unavailable, Temporary)
    );
    assert_eq!(
        kind::<SessionError>(json!("content_hash_mismatch")),
        (Kind::Integrity, Temporary)
    );
    assert_eq!(
        kind::<ContinueError>(json!("reset")),
        (Kind::CursorReset, Permanent)
    );
    assert_eq!(
        kind::<ContinueError>(json!("later")),
        (Kind::Unexpected, Permanent)
    );
}
