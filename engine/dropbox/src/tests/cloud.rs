//! A Dropbox with a memory: sessions, files, locks and losses, for tests of what many calls come to.
//!
//! It holds the client to the rules of sessions by panicking: alignment, the closing append last, at most a
//! thousand entries, no path twice in a batch, one commit call at a time.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::{StreamExt, stream};
use http::{HeaderMap, StatusCode};
use serde_json::{Value, json};
use windlass_core::digest::{BLOCK_BYTES, ContentHasher};
use windlass_core::{ContentHash, Ranges};
use windlass_http::{Body, Request, Response, SendError, Transport};

use super::{file, options, tagged_file};
use crate::{DropboxEndpoint, DropboxOptions};

/// What happens to one call instead of its answer.
#[derive(Clone, Debug)]
pub(crate) enum Mishap {
    /// It is lost before the service acts.
    LostBefore,
    /// It is lost after the service acted.
    LostAfter,
    /// The service answers so, and does nothing.
    Says(u16, String),
    /// The entry at this place fails so; the others are done.
    Entry(usize, Value),
    /// All entries fail so.
    Entries(Value),
}

#[derive(Debug, Default)]
pub(crate) struct Session {
    pub(crate) concurrent: bool,
    pub(crate) closed: bool,
    pieces: BTreeMap<u64, Bytes>,
    /// What the client knows to be there.
    answered: Ranges,
}

impl Session {
    fn ranges(&self) -> Ranges {
        let range = |(at, piece): (&u64, &Bytes)| *at..*at + piece.len() as u64;
        self.pieces.iter().map(range).collect()
    }
}

#[derive(Debug, Default)]
pub(crate) struct State {
    pub(crate) sessions: BTreeMap<String, Session>,
    /// Size and hash by folded path.
    pub(crate) files: BTreeMap<String, (u64, ContentHash)>,
    pub(crate) calls: BTreeMap<String, usize>,
    /// Entries of each `append_batch` and `finish_batch_v2` that was acted upon.
    pub(crate) appended: Vec<usize>,
    pub(crate) finished: Vec<usize>,
    /// Bytes that came again after they were acknowledged.
    pub(crate) again: u64,
    /// The longest argument that came in a header.
    pub(crate) longest_header: usize,
    mishaps: BTreeMap<String, VecDeque<Option<Mishap>>>,
    /// Hashes of pieces that tests send many times, by place and length. They are kept, so that no
    /// other takes their place.
    hashes: HashMap<(usize, usize), (Bytes, ContentHash)>,
    committing: usize,
    next: usize,
}

/// The service.
#[derive(Debug)]
pub(crate) struct Cloud {
    pub(crate) state: Mutex<State>,
    pub(crate) latency: Duration,
    /// The longest argument in a header that is taken.
    pub(crate) header_bytes_max: usize,
    pub(crate) knows_batches: bool,
    /// How many commit calls may be under way.
    pub(crate) namespaces: usize,
}

impl Cloud {
    pub(crate) fn new() -> Cloud {
        Cloud {
            state: Mutex::default(),
            latency: Duration::from_millis(80),
            header_bytes_max: 60 << 10,
            knows_batches: true,
            namespaces: 1,
        }
    }

    /// The `nth` call of the route, counted from 1, meets a mishap.
    pub(crate) fn mishap(&self, route: &str, nth: usize, mishap: Mishap) {
        let mut state = self.state.lock().unwrap();
        let planned = state.mishaps.entry(route.to_owned()).or_default();
        while planned.len() < nth {
            planned.push_back(None);
        }
        planned[nth - 1] = Some(mishap);
    }

    pub(crate) fn calls(&self, route: &str) -> usize {
        let state = self.state.lock().unwrap();
        state.calls.get(route).copied().unwrap_or(0)
    }

    pub(crate) fn calls_in_all(&self) -> usize {
        self.state.lock().unwrap().calls.values().sum()
    }

    pub(crate) fn files(&self) -> usize {
        self.state.lock().unwrap().files.len()
    }

    /// Bytes that came again after they were acknowledged.
    pub(crate) fn again(&self) -> u64 {
        self.state.lock().unwrap().again
    }
}

pub(crate) async fn connect_to(cloud: &Arc<Cloud>) -> Arc<DropboxEndpoint> {
    connect_with(cloud, |_| {}).await
}

pub(crate) async fn connect_with(
    cloud: &Arc<Cloud>,
    change: impl FnOnce(&mut DropboxOptions),
) -> Arc<DropboxEndpoint> {
    let mut options = DropboxOptions {
        commit_patience: Duration::from_secs(600),
        ..options()
    };
    change(&mut options);
    let transport: Arc<dyn Transport> = Arc::<Cloud>::clone(cloud);
    DropboxEndpoint::connect(transport, options).await.unwrap()
}

fn answer(status: u16, body: &str) -> Response {
    let body = Bytes::from(body.to_owned());
    Response {
        status: StatusCode::from_u16(status).unwrap(),
        headers: HeaderMap::new(),
        body: stream::iter([Ok(body)]).boxed(),
    }
}

/// A refusal of the route's own.
fn refused(error: Value) -> (u16, Value) {
    (409, json!({"error": error, "error_summary": "…/"}))
}

fn tag(tag: &str) -> Value {
    json!({ ".tag": tag })
}

fn nested(outer: &str, inner: Value) -> Value {
    json!({".tag": outer, outer: inner})
}

#[async_trait]
impl Transport for Cloud {
    async fn send(&self, request: Request) -> Result<Response, SendError> {
        let route = request
            .url
            .path()
            .trim_start_matches("/2/files/")
            .to_owned();
        let mishap = {
            let mut state = self.state.lock().unwrap();
            *state.calls.entry(route.clone()).or_default() += 1;
            let planned = state.mishaps.get_mut(&route).and_then(VecDeque::pop_front);
            planned.flatten()
        };
        let commits = [
            "upload",
            "upload_session/finish",
            "upload_session/finish_batch_v2",
        ];
        let commits = commits.contains(&&*route);
        if commits {
            let mut state = self.state.lock().unwrap();
            state.committing += 1;
            assert!(state.committing <= self.namespaces, "two commits at once");
        }
        tokio::time::sleep(self.latency).await;
        if commits {
            self.state.lock().unwrap().committing -= 1;
        }
        match mishap {
            Some(Mishap::LostBefore) => Err(SendError::answered("connection reset")),
            Some(Mishap::LostAfter) => {
                self.act(&route, request, None, false);
                Err(SendError::answered("connection reset"))
            }
            Some(Mishap::Says(status, text)) => Ok(answer(status, &text)),
            mishap => {
                let (status, body) = self.act(&route, request, mishap, true);
                Ok(answer(status, &body.to_string()))
            }
        }
    }
}

impl Cloud {
    fn act(
        &self,
        route: &str,
        request: Request,
        mishap: Option<Mishap>,
        heard: bool,
    ) -> (u16, Value) {
        let header = request.headers.get("dropbox-api-arg");
        if header.is_some_and(|arg| arg.len() > self.header_bytes_max) {
            return (431, Value::Null);
        }
        let pieces: Vec<Bytes> = match request.body {
            Body::Empty => Vec::new(),
            Body::Bytes(bytes) => vec![bytes],
            Body::Pieces(pieces) => pieces.iter().cloned().collect(),
            Body::Stream { .. } => panic!("bodies are whole, so that they can be sent again"),
        };
        let arg: Value = match header {
            Some(arg) => serde_json::from_str(arg.to_str().unwrap()).unwrap(),
            None => serde_json::from_slice(&pieces[0]).unwrap(),
        };
        let mut state = self.state.lock().unwrap();
        let header_bytes = header.map_or(0, http::HeaderValue::len);
        state.longest_header = state.longest_header.max(header_bytes);
        match route {
            "upload_session/start" => state.start(&arg, pieces),
            "upload_session/start_batch" => {
                let count = arg["num_sessions"].as_u64().unwrap();
                assert!((1..=1000).contains(&count));
                let concurrent = arg["session_type"][".tag"] == "concurrent";
                let ids: Vec<_> = (0..count).map(|_| state.session(concurrent)).collect();
                (200, json!({ "session_ids": ids }))
            }
            "upload_session/append_v2" => state.append_v2(&arg, &pieces, heard),
            "upload_session/append_batch" if !self.knows_batches => (404, Value::Null),
            "upload_session/append_batch" => state.append_batch(&arg, &pieces, mishap, heard),
            "upload_session/finish" => match state.finish(&arg, false) {
                Ok(file) => (200, file),
                Err(error) => refused(error),
            },
            "upload_session/finish_batch_v2" => state.finish_batch(&arg, mishap),
            "upload" => state.upload(&arg, pieces),
            "get_metadata" => state.metadata(&arg),
            other => panic!("nobody asks {other}"),
        }
    }
}

impl State {
    fn session(&mut self, concurrent: bool) -> String {
        self.next += 1;
        // As long as those of the real service.
        let id = format!("pid_upload_session:{:0>50}", self.next);
        let session = Session {
            concurrent,
            ..Session::default()
        };
        self.sessions.insert(id.clone(), session);
        id
    }

    fn hash(&mut self, bytes: &Bytes) -> ContentHash {
        if bytes.len() < 64 << 10 {
            return ContentHash::of(bytes);
        }
        let key = (bytes.as_ptr() as usize, bytes.len());
        let kept = self.hashes.entry(key);
        kept.or_insert_with(|| (bytes.clone(), ContentHash::of(bytes)))
            .1
    }

    fn start(&mut self, arg: &Value, pieces: Vec<Bytes>) -> (u16, Value) {
        let id = self.session(arg["session_type"][".tag"] == "concurrent");
        let bytes = pieces.into_iter().next().unwrap_or_default();
        if let Some(hash) = arg["content_hash"].as_str() {
            assert_eq!(hash, self.hash(&bytes).to_hex());
        }
        let session = self.sessions.get_mut(&id).unwrap();
        session.closed = arg["close"] == true;
        assert!(!session.concurrent || bytes.is_empty());
        if !bytes.is_empty() {
            session.pieces.insert(0, bytes);
        }
        (200, json!({ "session_id": id }))
    }

    fn append_v2(&mut self, arg: &Value, pieces: &[Bytes], heard: bool) -> (u16, Value) {
        let bytes = pieces.first().cloned().unwrap_or_default();
        if arg["content_hash"] != self.hash(&bytes).to_hex() {
            return refused(tag("content_hash_mismatch"));
        }
        let close = arg["close"] == true;
        match self.append(&arg["cursor"], bytes, close, heard) {
            Ok(()) => (200, Value::Null),
            Err(error) => refused(error),
        }
    }

    fn append(
        &mut self,
        cursor: &Value,
        bytes: Bytes,
        close: bool,
        heard: bool,
    ) -> Result<(), Value> {
        let offset = cursor["offset"].as_u64().unwrap();
        let id = cursor["session_id"].as_str().unwrap();
        let session = self.sessions.get_mut(id).ok_or_else(|| tag("not_found"))?;
        let range = offset..offset + bytes.len() as u64;
        if session.answered.overlaps(&range) {
            self.again += bytes.len() as u64;
        }
        if session.closed {
            return Err(tag("closed"));
        }
        let ranges = session.ranges();
        if session.concurrent {
            let block = BLOCK_BYTES as u64;
            assert!(offset.is_multiple_of(block), "not aligned");
            assert!(close || range.end.is_multiple_of(block), "not whole blocks");
            assert!(
                !close || ranges.contains(&(0..offset)),
                "the close came early"
            );
        } else if ranges.prefix_end() != offset {
            let correct = ranges.prefix_end();
            return Err(json!({".tag":"incorrect_offset","correct_offset":correct}));
        }
        if !bytes.is_empty() {
            session.pieces.insert(offset, bytes);
        }
        session.closed = close;
        if heard {
            session.answered.insert(range);
        }
        Ok(())
    }

    fn append_batch(
        &mut self,
        arg: &Value,
        pieces: &[Bytes],
        mishap: Option<Mishap>,
        heard: bool,
    ) -> (u16, Value) {
        let entries = arg["entries"].as_array().unwrap();
        assert!((2..=1000).contains(&entries.len()));
        let mut hasher = ContentHasher::new();
        pieces.iter().for_each(|piece| hasher.update(piece));
        assert_eq!(arg["content_hash"], hasher.finalize().to_hex());
        self.appended.push(entries.len());
        let mut pieces: VecDeque<Bytes> = pieces.iter().cloned().collect();
        let results = entries.iter().enumerate().map(|(index, entry)| {
            let length = entry["length"].as_u64().unwrap() as usize;
            let bytes = match length {
                0 => Bytes::new(),
                _ => pieces.pop_front().unwrap(),
            };
            assert_eq!(bytes.len(), length);
            if let Some(error) = planned(mishap.as_ref(), index) {
                return nested("failure", error);
            }
            match self.append(&entry["cursor"], bytes, entry["close"] == true, heard) {
                Ok(()) => tag("success"),
                Err(error) => nested("failure", error),
            }
        });
        let results: Vec<_> = results.collect();
        assert!(pieces.is_empty());
        (200, json!({ "entries": results }))
    }

    fn finish_batch(&mut self, arg: &Value, mishap: Option<Mishap>) -> (u16, Value) {
        let entries = arg["entries"].as_array().unwrap();
        assert!((2..=1000).contains(&entries.len()));
        self.finished.push(entries.len());
        let path = |entry: &Value| entry["commit"]["path"].as_str().unwrap().to_lowercase();
        let mut paths: Vec<_> = entries.iter().map(path).collect();
        paths.sort();
        paths.dedup();
        assert_eq!(paths.len(), entries.len(), "a path twice in one batch");
        let results = entries.iter().enumerate().map(|(index, entry)| {
            if let Some(error) = planned(mishap.as_ref(), index) {
                return nested("failure", error);
            }
            match self.finish(entry, true) {
                Ok(mut file) => {
                    file[".tag"] = "success".into();
                    file
                }
                Err(error) => nested("failure", error),
            }
        });
        let results: Vec<_> = results.collect();
        (200, json!({ "entries": results }))
    }

    fn finish(&mut self, arg: &Value, batch: bool) -> Result<Value, Value> {
        let lookup = |error| nested("lookup_failed", error);
        let id = arg["cursor"]["session_id"].as_str().unwrap();
        let session = self.sessions.get(id);
        let session = session.ok_or_else(|| lookup(tag("not_found")))?;
        if session.concurrent && !session.closed {
            return Err(tag("concurrent_session_not_closed"));
        }
        if batch && !session.closed {
            return Err(lookup(tag("not_closed")));
        }
        let size = session.ranges().bytes();
        assert_eq!(session.ranges().prefix_end(), size, "a hole");
        assert_eq!(arg["cursor"]["offset"], size);
        let pieces: Vec<Bytes> = session.pieces.values().cloned().collect();
        let hash = match &pieces[..] {
            [one] => self.hash(one),
            several => {
                let mut hasher = ContentHasher::new();
                several.iter().for_each(|piece| hasher.update(piece));
                hasher.finalize()
            }
        };
        let file = self.commit(&arg["commit"], size, hash);
        let file = file.map_err(|error| nested("path", error))?;
        self.sessions.remove(id);
        Ok(file)
    }

    fn commit(&mut self, commit: &Value, size: u64, hash: ContentHash) -> Result<Value, Value> {
        assert_eq!(commit["strict_conflict"], true);
        let path = commit["path"].as_str().unwrap();
        let key = path.to_lowercase();
        if self.files.contains_key(&key) {
            return Err(nested("conflict", tag("file")));
        }
        self.files.insert(key, (size, hash));
        Ok(described(file(path, "0164aa10c2e3f5", b""), size, hash))
    }

    fn upload(&mut self, arg: &Value, pieces: Vec<Bytes>) -> (u16, Value) {
        let bytes = pieces.into_iter().next().unwrap_or_default();
        let hash = self.hash(&bytes);
        assert_eq!(arg["content_hash"], hash.to_hex());
        match self.commit(arg, bytes.len() as u64, hash) {
            Ok(file) => (200, file),
            Err(reason) => refused(json!({".tag":"path","reason":reason})),
        }
    }

    fn metadata(&mut self, arg: &Value) -> (u16, Value) {
        let path = arg["path"].as_str().unwrap();
        match self.files.get(&path.to_lowercase()) {
            Some(&(size, hash)) => {
                let found = tagged_file(path, "0164aa10c2e3f5", b"");
                (200, described(found, size, hash))
            }
            None => refused(nested("path", tag("not_found"))),
        }
    }
}

fn described(mut file: Value, size: u64, hash: ContentHash) -> Value {
    file["size"] = size.into();
    file["content_hash"] = hash.to_hex().into();
    file
}

fn planned(mishap: Option<&Mishap>, index: usize) -> Option<Value> {
    match mishap {
        Some(Mishap::Entry(at, error)) if *at == index => Some(error.clone()),
        Some(Mishap::Entries(error)) => Some(error.clone()),
        _ => None,
    }
}
