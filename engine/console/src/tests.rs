//! A console on a free port of loopback, asked by hand.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use jiff::Timestamp;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::pace::Pace;
use crate::{Answer, Bell, Console, FlowStatus, House, Knock, Stage, Status, same};

#[derive(Debug, Default)]
struct Hut {
    is_ready: Mutex<bool>,
    rung: Mutex<Vec<String>>,
}

impl House for Hut {
    fn status(&self) -> Status {
        let ready = *self.is_ready.lock().unwrap();
        let reasons = match ready {
            true => Vec::new(),
            false => vec!["move has not passed yet".to_owned()],
        };
        Status {
            version: "0.1.0".to_owned(),
            ready,
            reasons,
            since: Timestamp::UNIX_EPOCH,
            draining: false,
            flows: Vec::new(),
        }
    }

    fn ring(&self, endpoints: &[String]) {
        self.rung.lock().unwrap().extend_from_slice(endpoints);
    }
}

#[derive(Debug)]
struct Token;

impl Bell for Token {
    fn path(&self) -> &str {
        "/hooks/some/{token}"
    }

    fn answer(&self, knock: &Knock) -> Answer {
        match (knock.is_post, same("geheim", &knock.token)) {
            (true, true) => Answer::rings(vec![knock.header("x-who").unwrap_or("?").to_owned()]),
            (false, true) => Answer::text(200, knock.query.clone()),
            (_, false) => Answer::text(404, ""),
        }
    }
}

struct Served {
    address: SocketAddr,
    hut: Arc<Hut>,
    stop: CancellationToken,
    task: JoinHandle<()>,
}

async fn serve() -> Served {
    let console = Console::bind((Ipv4Addr::LOCALHOST, 0).into())
        .await
        .unwrap();
    let address = console.address();
    let (hut, stop) = (Arc::new(Hut::default()), CancellationToken::new());
    let house: Arc<dyn House> = Arc::<Hut>::clone(&hut);
    let task = tokio::spawn(console.serve(house, vec![Arc::new(Token)], stop.clone()));
    Served {
        address,
        hut,
        stop,
        task,
    }
}

impl Served {
    /// What is answered: the status code, and all of it in lower case.
    async fn ask(&self, head: &str, body: &[u8]) -> (u16, String) {
        let mut stream = TcpStream::connect(self.address).await.unwrap();
        let head = format!(
            "{head}\r\nhost: x\r\nconnection: close\r\ncontent-length: {}\r\n\r\n",
            body.len()
        );
        stream.write_all(head.as_bytes()).await.unwrap();
        // A server that refuses what is too long does not read it to its end.
        drop(stream.write_all(body).await);
        let mut text = Vec::new();
        drop(stream.read_to_end(&mut text).await);
        let text = String::from_utf8(text).unwrap();
        let code = text
            .split(' ')
            .nth(1)
            .map_or(0, |code| code.parse().unwrap());
        (code, text.to_lowercase())
    }

    fn rung(&self) -> Vec<String> {
        self.hut.rung.lock().unwrap().clone()
    }
}

#[tokio::test]
async fn a_daemon_is_alive_at_once_and_ready_when_it_says_so() {
    let served = serve().await;
    assert_eq!(served.ask("GET /healthz HTTP/1.1", b"").await.0, 200);
    let (code, text) = served.ask("GET /readyz HTTP/1.1", b"").await;
    assert_eq!(code, 503);
    assert!(text.contains("move has not passed yet"), "{text}");
    *served.hut.is_ready.lock().unwrap() = true;
    let (code, text) = served.ask("GET /readyz HTTP/1.1", b"").await;
    assert_eq!(code, 200);
    assert!(text.contains("x-content-type-options: nosniff"), "{text}");
    let (code, text) = served.ask("GET /status HTTP/1.1", b"").await;
    assert_eq!(code, 200);
    assert!(
        text.contains("\"since\":\"1970-01-01t00:00:00z\""),
        "{text}"
    );
}

#[test]
fn what_a_daemon_says_is_read_as_it_was_said_and_what_is_new_beside_it_is_passed_over() {
    let flow = r#"{"flow":"move","doing":"running","why":"a full pass runs","pass":"full","trigger":"ring",
        "next":"2026-11-29T20:00:00Z","next_is":"window","rate":{"at-most":25000000},
        "rate_until":"2026-11-30T05:00:00Z","rung_for":true,"failures":0,"settled":true,
        "complete_as_of":"2026-11-29T19:00:00Z",
        "progress":{"stage":"working","files":0,"steps":9,"steps_ended":4,"bytes":90,"bytes_there":45,
        "bytes_per_second":5,"seconds_left":9},
        "backlog":{"held":2,"reasons":[{"reason":"it has no bytes","files":2}],"arriving":1},"conflicts":3}"#;
    let mut said: serde_json::Value = serde_json::from_str(flow).unwrap();
    let read: FlowStatus = serde_json::from_value(said.clone()).unwrap();
    assert_eq!(serde_json::to_value(&read).unwrap(), said);
    assert_eq!(read.progress.as_ref().unwrap().stage, Stage::Working);
    said["news"] = true.into();
    assert_eq!(serde_json::from_value::<FlowStatus>(said).unwrap(), read);
}

#[tokio::test]
async fn a_bell_rings_for_whom_it_knows_and_for_nobody_else() {
    let served = serve().await;
    let ring = |token: &str| format!("POST /hooks/some/{token} HTTP/1.1\r\nX-Who: dam");
    assert_eq!(served.ask(&ring("geheim"), b"{}").await.0, 200);
    assert_eq!(served.rung(), ["dam"]);
    for wrong in ["geheim2", "gehei", "x"] {
        assert_eq!(served.ask(&ring(wrong), b"{}").await.0, 404);
    }
    let other = "PUT /hooks/some/geheim HTTP/1.1";
    assert_eq!(served.ask(other, b"{}").await.0, 405);
    assert_eq!(served.ask("GET /elsewhere HTTP/1.1", b"").await.0, 404);
    assert_eq!(served.rung(), ["dam"]);
    let (_, text) = served.ask("GET /hooks/some/geheim?a=b HTTP/1.1", b"").await;
    assert!(text.ends_with("a=b"), "{text}");
}

#[tokio::test]
async fn a_body_that_is_too_long_rings_nobody() {
    let served = serve().await;
    let head = "POST /hooks/some/geheim HTTP/1.1";
    let (code, _) = served.ask(head, &vec![b' '; (1 << 20) + 1]).await;
    assert!(
        code == 413 || code == 0,
        "{code}: cut off while it was sent"
    );
    assert!(served.rung().is_empty());
    assert_eq!(served.ask(head, &vec![b' '; 1 << 20]).await.0, 200);
}

#[tokio::test]
async fn who_asks_too_often_is_told_to_come_back() {
    let served = serve().await;
    let mut refused = 0;
    for _ in 0..200 {
        let (code, text) = served.ask("GET /healthz HTTP/1.1", b"").await;
        if code == 429 {
            assert!(text.contains("retry-after: 1"), "{text}");
            refused += 1;
        }
    }
    assert!(refused > 0);
    assert_eq!(
        served.ask("GET /readyz HTTP/1.1", b"").await.0,
        503,
        "another route"
    );
}

#[tokio::test(start_paused = true)]
async fn a_route_has_its_pace_and_earns_it_again() {
    let pace = Pace::default();
    let all = |count: usize| (0..count).filter(|_| pace.passes()).count();
    assert_eq!(all(100), 60);
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert_eq!(all(100), 20);
    tokio::time::sleep(Duration::from_secs(3_600)).await;
    assert_eq!(all(100), 60);
}

#[tokio::test]
async fn it_ends_soon_although_somebody_holds_a_connection() {
    let served = serve().await;
    let _idle = TcpStream::connect(served.address).await.unwrap();
    served.stop.cancel();
    let soon = Duration::from_secs(20);
    tokio::time::timeout(soon, served.task)
        .await
        .unwrap()
        .unwrap();
}

#[test]
fn secrets_are_the_same_only_if_all_of_them_is() {
    for (ours, theirs, expected) in [
        ("abc", "abc", true),
        ("abc", "abd", false),
        ("abc", "ab", false),
        ("abc", "abcd", false),
        ("", "", true),
        ("a", "", false),
    ] {
        assert_eq!(same(ours, theirs), expected, "{ours} {theirs}");
    }
}
