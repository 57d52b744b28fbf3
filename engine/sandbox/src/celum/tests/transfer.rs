//! The other origin: handles, bodies, links.

use futures_util::stream;

use super::super::transfer::{Unsatisfiable, parse_range};
use super::*;

const RAW: [(&str, &str); 1] = [("content-type", "application/octet-stream")];

fn multipart(name: &str, content: &str) -> (String, Body) {
    let body = format!(
        "--edge\r\ncontent-disposition: form-data; name=\"{name}\"; filename=\"x\"\r\n\r\n\
         {content}\r\n--edge--\r\n"
    );
    (
        "multipart/form-data; boundary=edge".into(),
        Body::from(body),
    )
}

#[tokio::test]
async fn the_upload_url_is_on_another_origin_and_takes_one_body() {
    let bed = Bed::new();
    let (url, handle) = bed.announce("a.txt", 3).await;
    assert!(url.starts_with(TRANSFER));
    let early = bed
        .post("/assets", bed.wish(Some(&handle), Vec::new()))
        .await;
    assert_eq!(early.refused(400)["argument"], "uploadHandle");
    assert_eq!(bed.send(&url, b"abc").await.status, StatusCode::OK);
    bed.send(&url, b"abc").await.refused(409);
    bed.post("/assets", bed.wish(Some(&handle), Vec::new()))
        .await
        .ok();
    let again = bed
        .post("/assets", bed.wish(Some(&handle), Vec::new()))
        .await;
    assert_eq!(again.refused(400)["code"], "HANDLE");
    bed.send(&url, b"abc").await.refused(404);
    assert_eq!(bed.celum.open_handles(), 0);
}

#[tokio::test]
async fn multipart_is_taken_with_one_part_named_file() {
    let bed = Bed::new();
    let (url, handle) = bed.announce("a.txt", 3).await;
    let (kind, body) = multipart("file", "abc");
    bed.outside("POST", &url, &[("content-type", &kind)], body)
        .await
        .ok();
    let made = bed
        .post("/assets", bed.wish(Some(&handle), Vec::new()))
        .await
        .ok();
    assert_eq!(made["currentVersion"]["filesize"], 3);
    let (url, _) = bed.announce("a.txt", 3).await;
    let (kind, body) = multipart("content", "abc");
    bed.outside("POST", &url, &[("content-type", &kind)], body)
        .await
        .refused(400);
}

#[tokio::test]
async fn verbs_and_media_types_are_as_the_profile_says() {
    let bed = Bed::new();
    let (url, _) = bed.announce("a.txt", 3).await;
    let put = bed.outside("PUT", &url, &RAW, Body::from("abc")).await;
    put.refused(405);
    assert_eq!(put.headers["allow"], "POST");
    let plain = [("content-type", "text/plain")];
    bed.outside("POST", &url, &plain, Body::from("abc"))
        .await
        .refused(415);
    bed.send(&url, b"abc").await.ok();

    let put = Bed::with(r#"uploadMode = "put""#);
    let (url, _) = put.announce("a.txt", 3).await;
    put.outside("PUT", &url, &RAW, Body::from("abc")).await.ok();

    let form = Bed::with(r#"uploadMode = "post-multipart""#);
    let (url, _) = form.announce("a.txt", 3).await;
    form.send(&url, b"abc").await.refused(415);
    let (kind, body) = multipart("file", "abc");
    form.outside("POST", &url, &[("content-type", &kind)], body)
        .await
        .ok();
}

#[tokio::test]
async fn a_wrong_length_ends_the_handle() {
    let bed = Bed::new();
    for content in [&b"ab"[..], b"abcd"] {
        for stated in [true, false] {
            let (url, handle) = bed.announce("a.txt", 3).await;
            let mut headers = RAW.to_vec();
            let length = content.len().to_string();
            if stated {
                headers.push(("content-length", &length));
            }
            bed.outside("POST", &url, &headers, Body::from(content))
                .await
                .refused(400);
            bed.send(&url, b"abc").await.refused(404);
            bed.post("/assets", bed.wish(Some(&handle), Vec::new()))
                .await
                .refused(400);
        }
    }
    assert_eq!(bed.celum.open_handles(), 0);

    let lax = Bed::with(r#"sizeMismatch = "accept""#);
    let (url, handle) = lax.announce("a.txt", 3).await;
    lax.send(&url, b"ab").await.ok();
    let made = lax
        .post("/assets", lax.wish(Some(&handle), Vec::new()))
        .await
        .ok();
    assert_eq!(made["currentVersion"]["filesize"], 2);
}

#[tokio::test]
async fn a_body_that_breaks_off_ends_the_handle() {
    let bed = Bed::new();
    let (url, _) = bed.announce("a.txt", 6).await;
    let pieces = [Ok(Bytes::from("abc")), Err(std::io::Error::other("gone"))];
    let body = Body::from_stream(stream::iter(pieces));
    bed.outside("POST", &url, &RAW, body).await.refused(400);
    bed.send(&url, b"abcdef").await.refused(404);
}

#[tokio::test]
async fn a_handle_expires() {
    let bed = Bed::with("handleTtl = 60");
    let (late, _) = bed.announce("a.txt", 1).await;
    let handle = bed.upload("b.txt", b"b").await;
    bed.clock.advance(60);
    bed.send(&late, b"a").await.refused(410);
    bed.post("/assets", bed.wish(Some(&handle), Vec::new()))
        .await
        .refused(400);
    assert_eq!(bed.celum.open_handles(), 2);
    for _ in 0..64 {
        bed.announce("c.txt", 1).await;
    }
    assert_eq!(bed.celum.open_handles(), 64, "expired ones are swept");
}

#[tokio::test]
async fn announcements_are_checked() {
    let bed = Bed::with("maxBytes = 1048576");
    let announce = async |filename: &str, filesize: Value| {
        bed.post(
            "/upload",
            json!({"filename": filename, "filesize": filesize}),
        )
        .await
    };
    announce("a.txt", json!(1 << 20)).await.ok();
    announce("a.txt", json!((1 << 20) + 1)).await.refused(413);
    announce("a.txt", json!(-1)).await.refused(400);
    announce("a.txt", json!("1")).await.refused(400);
    for bad in ["", " ", "a/b.txt", "a\\b.txt", "a\nb", &"x".repeat(256)] {
        announce(bad, json!(1)).await.refused(400);
    }
    announce(&"ü".repeat(255), json!(0)).await.ok();
}

#[tokio::test]
async fn empty_content_is_content() {
    let bed = Bed::new();
    let id = bed.asset("empty.txt", b"").await;
    let asset = bed.get(&format!("/assets/{id}")).await.ok();
    assert_eq!(
        asset["currentVersion"]["fileChecksum"],
        "d41d8cd98f00b204e9800998ecf8427e"
    );
    assert_eq!(asset["currentVersion"]["fileCategory"], "TEXT");
    let link = bed
        .get(&format!("/assets/{id}/download?downloadFormatId=1"))
        .await
        .ok();
    let got = bed
        .outside("GET", link["url"].as_str().unwrap(), &[], Body::empty())
        .await;
    assert_eq!((got.status, got.bytes.len()), (StatusCode::OK, 0));
}

#[tokio::test]
async fn the_upload_url_wants_credentials_only_where_the_profile_says_so() {
    let bed = Bed::new();
    let (url, _) = bed.announce("a.txt", 1).await;
    let mut leaking = RAW.to_vec();
    leaking.push(("x-api-key", API_KEY));
    bed.outside("POST", &url, &leaking, Body::from("a"))
        .await
        .ok();
    assert_eq!(bed.celum.leaked_credentials(), 1);

    let guarded = Bed::with(r#"uploadAuth = "apiKey""#);
    let (url, _) = guarded.announce("a.txt", 1).await;
    guarded.send(&url, b"a").await.refused(401);
    guarded
        .outside("POST", &url, &leaking, Body::from("a"))
        .await
        .ok();
    assert_eq!(guarded.celum.leaked_credentials(), 0);
}

#[tokio::test]
async fn a_download_link_authorises_itself_and_expires() {
    for (profile, status) in [
        ("", 403),
        ("expiredStatus = 410", 410),
        ("expiredStatus = 404", 404),
    ] {
        let bed = Bed::with(profile);
        let id = bed.asset("grün \"1\".txt", b"abc").await;
        let link = bed
            .get(&format!("/assets/{id}/download?downloadFormatId=1"))
            .await
            .ok();
        let url = link["url"].as_str().unwrap();
        let got = bed.outside("GET", url, &[], Body::empty()).await;
        assert_eq!(&got.bytes[..], b"abc");
        let disposition = got.headers["content-disposition"].to_str().unwrap();
        assert_eq!(
            disposition,
            "attachment; filename=\"gr_n _1_.txt\"; filename*=UTF-8''gr%C3%BCn%20%221%22.txt"
        );
        bed.outside("DELETE", url, &[], Body::empty())
            .await
            .refused(405);
        let mut forged = url.to_owned();
        forged.replace_range(url.len() - 2..url.len() - 1, "_");
        bed.outside("GET", &forged, &[], Body::empty())
            .await
            .refused(404);
        bed.clock.advance(300);
        bed.outside("GET", url, &[], Body::empty())
            .await
            .refused(status);
    }
}

#[tokio::test]
async fn ranges_are_honoured_only_where_the_profile_says_so() {
    let fetch = async |profile: &str, range: &str| {
        let bed = Bed::with(profile);
        let id = bed.asset("a.txt", b"0123456789").await;
        let link = bed
            .get(&format!("/assets/{id}/download?downloadFormatId=1"))
            .await
            .ok();
        let url = link["url"].as_str().unwrap().to_owned();
        bed.outside("GET", &url, &[("range", range)], Body::empty())
            .await
    };
    let whole = fetch("", "bytes=2-4").await;
    assert_eq!((whole.status, whole.bytes.len()), (StatusCode::OK, 10));
    assert!(!whole.headers.contains_key("accept-ranges"));
    let part = fetch("range = true", "bytes=2-4").await;
    assert_eq!(
        (part.status, &part.bytes[..]),
        (StatusCode::PARTIAL_CONTENT, &b"234"[..])
    );
    assert_eq!(part.headers["content-range"], "bytes 2-4/10");
    assert_eq!(part.headers["content-length"], "3");
    let beyond = fetch("range = true", "bytes=10-").await;
    beyond.refused(416);
    assert_eq!(beyond.headers["content-range"], "bytes */10");
}

#[test]
fn ranges_are_read_as_http_says() {
    assert_eq!(parse_range("bytes=0-0", 10), Some(Ok(0..1)));
    assert_eq!(parse_range("bytes=3-", 10), Some(Ok(3..10)));
    assert_eq!(parse_range("bytes=-3", 10), Some(Ok(7..10)));
    assert_eq!(parse_range("bytes=-30", 10), Some(Ok(0..10)));
    assert_eq!(parse_range("bytes=5-99", 10), Some(Ok(5..10)));
    assert_eq!(parse_range("bytes=10-11", 10), Some(Err(Unsatisfiable)));
    assert_eq!(parse_range("bytes=-0", 10), Some(Err(Unsatisfiable)));
    assert_eq!(parse_range("bytes=0-", 0), Some(Err(Unsatisfiable)));
    assert_eq!(parse_range("bytes=4-2", 10), None);
    assert_eq!(parse_range("bytes=0-1,3-4", 10), None);
    assert_eq!(parse_range("lines=0-1", 10), None);
}

#[tokio::test]
async fn downloads_want_a_format_a_version_and_one_asset() {
    let bed = Bed::new();
    let id = bed.asset("a.txt", b"abc").await;
    bed.get(&format!("/assets/{id}/download"))
        .await
        .refused(400);
    bed.get(&format!("/assets/{id}/download?downloadFormatId=9"))
        .await
        .refused(403);
    bed.get(&format!(
        "/assets/{id}/download?downloadFormatId=1&versionId=2"
    ))
    .await
    .refused(403);
    bed.get(&format!(
        "/assets/download?assetIds={id}&downloadFormatId=1"
    ))
    .await
    .ok();
    bed.get("/assets/download?assetIds=1,2&downloadFormatId=1")
        .await
        .refused(400);
    bed.get("/assets/download?downloadFormatId=1")
        .await
        .refused(400);
}

#[tokio::test]
async fn previews_may_want_credentials() {
    let bed = Bed::with("previewAuth = true\npreviewFailurePercent = 0\npreviewDelay = 0");
    let id = bed.asset("a.txt", b"abc").await;
    let asset = bed.get(&format!("/assets/{id}")).await.ok();
    let url = asset["currentVersion"]["previewUrls"]["THUMB"]
        .as_str()
        .unwrap();
    bed.outside("GET", url, &[], Body::empty())
        .await
        .refused(401);
    bed.outside("GET", url, &[("x-api-key", API_KEY)], Body::empty())
        .await
        .ok();
    // A preview's token opens nothing but the preview.
    let swapped = url.replace("/preview/", "/download/");
    bed.outside("GET", &swapped, &[], Body::empty())
        .await
        .refused(404);
}

#[tokio::test]
async fn an_alternative_preview_replaces_the_picture() {
    let bed = Bed::with("previewFailurePercent = 0\npreviewDelay = 0");
    let id = bed.asset("film.mp4", b"frames").await;
    let mut png = std::io::Cursor::new(Vec::new());
    let picture = image::RgbImage::from_pixel(40, 20, image::Rgb([1, 2, 3]));
    picture.write_to(&mut png, image::ImageFormat::Png).unwrap();
    let handle = bed.upload("still.png", png.get_ref()).await;
    let wish = json!({"alternativePreview": {"filename": "still.png", "uploadHandle": handle}});
    let patched = bed.patch(&format!("/assets/{id}"), wish).await.ok();
    let url = patched["currentVersion"]["previewUrls"]["THUMB"]
        .as_str()
        .unwrap();
    let shown = bed.outside("GET", url, &[], Body::empty()).await;
    let shown = image::load_from_memory(&shown.bytes).unwrap().to_rgb8();
    assert_eq!(shown.get_pixel(0, 0), &image::Rgb([1, 2, 3]));
    let link = bed
        .get(&format!("/assets/{id}/download?downloadFormatId=1"))
        .await
        .ok();
    let got = bed
        .outside("GET", link["url"].as_str().unwrap(), &[], Body::empty())
        .await;
    assert_eq!(&got.bytes[..], b"frames");
}

#[tokio::test]
async fn an_unknown_address_answers_loudly() {
    let bed = Bed::new();
    let url = format!("{TRANSFER}nothing/here");
    let answer = bed.outside("GET", &url, &[], Body::empty()).await;
    answer.refused(404);
    assert!(
        answer.json()["message"]
            .as_str()
            .unwrap()
            .contains("/nothing/here")
    );
    assert_eq!(bed.celum.counters()["transfer unknown"].calls, 1);
}
