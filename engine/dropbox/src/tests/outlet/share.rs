//! Shared folders: made, found, lost, and people who are invited to them.

use std::sync::Arc;

use windlass_core::{AssetPath, Kind, Member, Outlet, SharedFolder, Taken};
use windlass_sandbox::dropbox::DropboxOptions as Account;

use super::super::sandbox::{connect, listen, serve};
use super::{faulty, files, placed, take_back};
use crate::DropboxOptions;

fn member(email: &str) -> Member {
    Member {
        email: email.to_owned(),
        may_edit: false,
    }
}

fn members() -> [Member; 2] {
    let editor = Member {
        may_edit: true,
        ..member("bert@example.com")
    };
    [member("anna@example.com"), editor]
}

fn folder() -> AssetPath {
    AssetPath::new("/Out/DE")
}

#[tokio::test]
async fn a_folder_is_made_and_shared_once_and_each_is_invited_once() {
    for share_jobs in [false, true] {
        let (service, dropbox) = serve(Account {
            share_jobs,
            ..Account::default()
        })
        .await;
        let shared = dropbox.share(&folder(), &members()).await.unwrap();
        assert!(shared.is_new);
        assert_eq!(shared.invited, ["anna@example.com", "bert@example.com"]);
        let there = service.members_of("/Out/DE").unwrap();
        let levels = there.iter().map(|member| member.level.as_str());
        assert_eq!(levels.collect::<Vec<_>>(), ["viewer", "editor"]);
        assert_eq!(service.invitation_mails().len(), 2);
        let again = [member("Anna@Example.com"), member("sandbox@example.com")];
        let again = dropbox.share(&AssetPath::new("/out/de"), &again).await;
        assert_eq!(again.unwrap(), SharedFolder::default());
        let namespace: Arc<str> = Arc::from("/out/de");
        let inside = AssetPath::new("/Out/DE/a.jpg");
        assert_eq!(dropbox.namespace_of(&inside), namespace);
        let beside = AssetPath::new("/Out/DE 2/a.jpg");
        assert_eq!(dropbox.namespace_of(&beside), Arc::from(""));
    }
}

#[tokio::test]
async fn a_folder_that_is_there_is_shared_and_files_go_in_and_out_of_it() {
    let (service, dropbox) = serve(Account::default()).await;
    let before = placed(&dropbox, "/Out/DE/before.jpg").await;
    let shared = dropbox.share(&folder(), &members()).await.unwrap();
    assert!(shared.is_new);
    let after = placed(&dropbox, "/Out/DE/after.jpg").await;
    for placed in [&before, &after] {
        let taken = take_back(&dropbox, placed, "/Kept/a.jpg").await;
        let Taken::Back { recipients, .. } = taken else {
            panic!("{taken:?}");
        };
        let expected = ["anna@example.com", "bert@example.com"];
        assert_eq!(recipients, expected);
    }
    assert_eq!(files(&service), ["/Kept/a (2).jpg", "/Kept/a.jpg"]);
}

#[tokio::test]
async fn nobody_is_mailed_where_invitations_are_quiet() {
    let (service, options) = listen(Account::default()).await;
    let dropbox = connect(DropboxOptions {
        quiet_invitations: true,
        ..options
    })
    .await;
    let shared = dropbox.share(&folder(), &members()).await.unwrap();
    assert_eq!(shared.invited.len(), 2);
    assert_eq!(service.invitation_mails(), [""; 0]);
}

#[tokio::test]
async fn one_who_is_refused_holds_up_nobody() {
    let refusals = [
        ("banned_member", "Dropbox has blocked the address"),
        ("bad_member", "Dropbox does not accept the address"),
        (
            "insufficient_plan",
            "the Dropbox plan does not include members of this kind",
        ),
        (
            "too_many_pending_invites",
            "too many invitations to the folder wait for an answer",
        ),
    ];
    for (tag, why) in refusals {
        let (service, dropbox) = serve(Account::default()).await;
        service.refuse_member("anna@example.com", tag);
        let shared = dropbox.share(&folder(), &members()).await.unwrap();
        assert_eq!(shared.invited, ["bert@example.com"]);
        let refused = ("anna@example.com".to_owned(), why.to_owned());
        assert_eq!(shared.refused, [refused]);
    }
    let (service, dropbox) = serve(Account::default()).await;
    service.refuse_member("anna@example.com", "no_permission");
    let refused = dropbox.share(&folder(), &members()).await.unwrap_err();
    assert_eq!(refused.kind(), Kind::Denied, "that is about the folder");
}

#[tokio::test]
async fn lost_answers_share_and_invite_once() {
    let lost = "route=sharing/share_folder,nth=1,do=reset-after;\
                route=sharing/add_folder_member,nth=1,do=reset-after";
    let (service, dropbox) = faulty(lost).await;
    let shared = dropbox.share(&folder(), &members()).await.unwrap();
    assert!(shared.is_new);
    assert_eq!(shared.invited, ["anna@example.com", "bert@example.com"]);
    assert_eq!(service.members_of("/Out/DE").unwrap().len(), 2);
    assert_eq!(service.invitation_mails().len(), 2);
}

#[tokio::test]
async fn folders_that_cannot_be_shared_say_why() {
    let (service, dropbox) = serve(Account::default()).await;
    dropbox.share(&folder(), &[]).await.unwrap();
    let inside = dropbox.share(&AssetPath::new("/Out/DE/Spring"), &[]).await;
    let inside = inside.unwrap_err();
    assert_eq!(inside.kind(), Kind::Conflict);
    assert!(inside.message().contains("shared as part of that"));
    assert!(inside.hint().is_some());
    let around = dropbox.share(&AssetPath::new("/Out"), &[]).await;
    assert_eq!(around.unwrap_err().kind(), Kind::Conflict);
    let bytes = bytes::Bytes::from_static(b"x");
    service.put_file("/file", bytes, None).unwrap();
    let file = dropbox.share(&AssetPath::new("/file"), &[]).await;
    assert_eq!(file.unwrap_err().kind(), Kind::Conflict);
}

#[tokio::test]
async fn a_folder_that_the_account_took_out_is_not_made_a_second_time() {
    let (service, dropbox) = serve(Account::default()).await;
    dropbox.share(&folder(), &members()).await.unwrap();
    let placed = placed(&dropbox, "/Out/DE/a.jpg").await;
    let namespace = service.unmount("/Out/DE").unwrap();
    let lost = dropbox.share(&folder(), &members()).await.unwrap_err();
    assert_eq!(lost.kind(), Kind::NotFound);
    assert!(lost.message().contains("taken out"), "{lost:?}");
    // What lies in it is still taken back, though nobody says any more who has it.
    let taken = take_back(&dropbox, &placed, "/Kept/a.jpg").await;
    assert!(matches!(taken, Taken::Back { .. }), "{taken:?}");
    service.mount_again(namespace).unwrap();
    let back = dropbox.share(&AssetPath::new("/DE"), &members()).await;
    assert_eq!(back.unwrap(), SharedFolder::default());
}

#[tokio::test]
async fn a_folder_whose_sharing_somebody_ended_is_shared_again() {
    let (service, dropbox) = serve(Account::default()).await;
    dropbox.share(&folder(), &members()).await.unwrap();
    service.unshare("/Out/DE").unwrap();
    let again = dropbox.share(&folder(), &members()).await.unwrap();
    assert!(again.is_new);
    assert_eq!(again.invited.len(), 2);
}

#[tokio::test]
async fn in_a_folder_of_others_nobody_is_invited_by_those_who_may_only_look() {
    let (service, dropbox) = serve(Account::default()).await;
    service.put_folder("/Partner").unwrap();
    service.share_as("/Partner", "viewer").unwrap();
    let folder = AssetPath::new("/Partner");
    let refused = dropbox.share(&folder, &members()).await.unwrap_err();
    assert_eq!(refused.kind(), Kind::Denied);
    assert!(refused.hint().is_some());
}
