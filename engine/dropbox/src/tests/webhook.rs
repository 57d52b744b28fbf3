//! The emulated service rings, and we understand it: the challenge, the signature and the account.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::http::Response;
use bytes::Bytes;
use futures_util::FutureExt;
use windlass_core::Secret;
use windlass_sandbox::bell::Deliver;
use windlass_sandbox::dropbox::{Dropbox, DropboxOptions as Account};

use crate::webhook::{Notice, SIGNATURE_HEADER, challenge, verify};

#[tokio::test(start_paused = true)]
async fn a_notice_of_the_emulated_service_is_verified_and_names_the_account() {
    let service = Dropbox::open(Account::default()).unwrap();
    let secret = Secret::new(service.app_secret().expose());
    let notices: Arc<Mutex<Vec<Notice>>> = Arc::default();
    let kept = Arc::clone(&notices);
    let deliver: Deliver = Arc::new(move |request| {
        let response = Response::builder()
            .header("content-type", "text/plain")
            .header("x-content-type-options", "nosniff");
        let query = request.uri().query().unwrap_or_default();
        let echo = match challenge(query) {
            Some(echo) => echo,
            None => {
                let signature = request.headers()[SIGNATURE_HEADER].to_str().unwrap();
                let notice = verify(&secret, request.body(), signature).unwrap();
                kept.lock().unwrap().push(notice);
                String::new()
            }
        };
        let response = response.body(Bytes::from(echo)).unwrap();
        async { Ok(response) }.boxed()
    });
    let url = "http://hooks.invalid/dropbox".parse().unwrap();
    service.register_webhook(url, deliver).await.unwrap();
    service.put_file("/a", "x".into(), None).unwrap();
    tokio::time::sleep(Duration::from_secs(1)).await;
    let accounts = vec![service.account_id()];
    assert_eq!(*notices.lock().unwrap(), [Notice { accounts }]);
}
