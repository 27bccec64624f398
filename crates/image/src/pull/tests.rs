//! Pulling from registries that are difficult, broken or hostile: a server of our own, which does as it is told.

use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};

use serde_json::{Value, json};

use super::*;
use crate::fixture::*;
use crate::manifest::{OCI_LAYER, OCI_MANIFEST};
use crate::registry::auth::Credentials;

/// A request as the server saw it.
#[derive(Debug, Clone)]
struct Seen {
    line: String,
    headers: Vec<(String, String)>,
}

impl Seen {
    fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }

    fn path(&self) -> &str {
        self.line.split(' ').nth(1).unwrap_or_default()
    }
}

/// What it answers: status line, headers, body; the connection ends after `sent` bytes of it.
struct Answer {
    status: &'static str,
    headers: Vec<(&'static str, String)>,
    body: Vec<u8>,
    sent: usize,
}

impl Answer {
    fn new(status: &'static str, body: impl Into<Vec<u8>>) -> Answer {
        let body = body.into();
        Answer { status, headers: Vec::new(), sent: body.len(), body }
    }

    fn with(mut self, name: &'static str, value: impl Into<String>) -> Answer {
        self.headers.push((name, value.into()));
        self
    }
}

struct Server {
    host: String,
    seen: Arc<Mutex<Vec<Seen>>>,
}

impl Server {
    fn new(answer: impl Fn(&Seen, &str) -> Answer + Send + Sync + 'static) -> Server {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let host = listener.local_addr().unwrap().to_string();
        let seen: Arc<Mutex<Vec<Seen>>> = Arc::default();
        let (log, own, answer) = (Arc::clone(&seen), host.clone(), Arc::new(answer));
        // It ends with the test's process.
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let (log, own, answer) = (Arc::clone(&log), own.clone(), Arc::clone(&answer));
                std::thread::spawn(move || serve(stream, &log, &own, answer.as_ref()));
            }
        });
        Server { host, seen }
    }

    fn seen(&self, part: &str) -> Vec<Seen> {
        let seen = self.seen.lock().unwrap();
        seen.iter().filter(|seen| seen.line.contains(part)).cloned().collect()
    }
}

fn serve(
    mut stream: TcpStream,
    log: &Mutex<Vec<Seen>>,
    own: &str,
    answer: &(dyn Fn(&Seen, &str) -> Answer + Send + Sync),
) -> Option<()> {
    let mut first = [0];
    stream.peek(&mut first).ok()?;
    if first[0] == 0x16 {
        // TLS: this server knows none.
        return None;
    }
    let mut reader = BufReader::new(stream.try_clone().ok()?);
    let mut line = String::new();
    reader.read_line(&mut line).ok()?;
    let mut headers = Vec::new();
    loop {
        let mut header = String::new();
        reader.read_line(&mut header).ok()?;
        let Some((name, value)) = header.trim_end().split_once(": ") else { break };
        headers.push((name.to_lowercase(), value.to_owned()));
    }
    let seen = Seen { line: line.trim_end().to_owned(), headers };
    log.lock().unwrap().push(seen.clone());
    let Answer { status, headers, body, sent } = answer(&seen, own);
    let mut head = format!("HTTP/1.1 {status}\r\nConnection: close\r\n");
    head.push_str(&format!("Content-Length: {}\r\n", body.len()));
    for (name, value) in headers {
        head.push_str(&format!("{name}: {value}\r\n"));
    }
    stream.write_all(format!("{head}\r\n").as_bytes()).ok()?;
    stream.write_all(&body[..sent]).ok()
}

/// An image as a registry has it.
#[derive(Clone)]
struct Content {
    blobs: Entries,
    manifest: Vec<u8>,
    layer: String,
    text: String,
}

fn content() -> Content {
    // Nothing that compresses, so that there are several reads of it.
    let noise: String = (0..200_000u32)
        .map(|n| char::from(b'a' + (n.wrapping_mul(2_654_435_761) >> 24) as u8 % 26))
        .collect();
    let blobs = oci("tool", &[gzipped(layer(&[("a", &noise)]))]);
    let index: Value = serde_json::from_slice(&blobs["index.json"]).unwrap();
    let digest =
        index["manifests"][0]["digest"].as_str().unwrap().replace("sha256:", "blobs/sha256/");
    let manifest = blobs[&digest].clone();
    let parsed: Value = serde_json::from_slice(&manifest).unwrap();
    let layer = parsed["layers"][0]["digest"].as_str().unwrap().to_owned();
    Content { manifest, blobs, layer, text: noise }
}

impl Content {
    /// What a good registry says.
    fn answer(&self, seen: &Seen) -> Answer {
        let path = seen.path();
        if path == "/v2/" {
            return Answer::new("200 OK", "{}");
        }
        if path.contains("/manifests/") {
            return Answer::new("200 OK", self.manifest.clone()).with("Content-Type", OCI_MANIFEST);
        }
        let digest = path.rsplit("sha256:").next().unwrap_or_default();
        let Some(blob) = self.blobs.get(&format!("blobs/sha256/{digest}")) else {
            let text = r#"{"errors":[{"code":"BLOB_UNKNOWN","message":"blob unknown"}]}"#;
            return Answer::new("404 Not Found", text);
        };
        match seen.header("range").and_then(|range| range.strip_prefix("bytes=")) {
            Some(range) => {
                let from: usize = range.trim_end_matches('-').parse().unwrap();
                let said = format!("bytes {from}-{}/{}", blob.len() - 1, blob.len());
                Answer::new("206 Partial Content", &blob[from..]).with("Content-Range", said)
            }
            None => Answer::new("200 OK", blob.clone()),
        }
    }
}

fn access() -> Access {
    Access { tls_verify: Some(false), retry_delay: Some(Duration::ZERO), ..Access::default() }
}

fn pull_from(place: &Place, server: &Server, access: Access) -> Result<Pulled> {
    let settings = RegistrySettings::default();
    let options = PullOptions { access, ..PullOptions::default() };
    let name = format!("{}/team/tool:1", server.host);
    pull(&place.storage, &settings, &name, &options, &Progress::default())
}

#[test]
fn a_token_server_gives_a_token_for_what_is_asked() {
    let content = content();
    let server = Server::new(move |seen, own| {
        let challenge = format!("Bearer realm=\"http://{own}/token\",service=\"the registry\"");
        if seen.path().starts_with("/token") {
            // me:secret
            return match seen.header("authorization") {
                Some("Basic bWU6c2VjcmV0") => {
                    Answer::new("200 OK", r#"{"token":"T","expires_in":300}"#)
                }
                _ => Answer::new("401 Unauthorized", r#"{"errors":[{"message":"who are you?"}]}"#),
            };
        }
        match seen.header("authorization") {
            Some("Bearer T") => content.answer(seen),
            _ => Answer::new("401 Unauthorized", "{}").with("WWW-Authenticate", challenge),
        }
    });
    let place = Place::new();
    let error = pull_from(&place, &server, access()).unwrap_err();
    assert!(error.to_string().contains("who are you?"), "{error}");
    place.assert_empty();
    let me = Credentials::Basic { user: "me".to_owned(), password: "secret".to_owned() };
    let given = Access { credentials: Some(me), ..access() };
    pull_from(&place, &server, given).unwrap();
    let tokens = server.seen("/token");
    let scope = "service=the%20registry&scope=repository:team/tool:pull";
    assert!(tokens.iter().all(|seen| seen.line.contains(scope)), "{tokens:?}");
    assert_eq!(tokens.len(), 2, "one for each pull: {tokens:?}");
}

#[test]
fn a_redirect_elsewhere_is_followed_without_credentials() {
    let content = content();
    let store = content.clone();
    let elsewhere = Server::new(move |seen, _| store.answer(seen));
    let there = elsewhere.host.clone();
    let server = Server::new(move |seen, _| {
        if seen.header("authorization").is_none() {
            return Answer::new("401 Unauthorized", "").with("WWW-Authenticate", "Basic realm=x");
        }
        if seen.path().contains("/blobs/") {
            let to = format!("http://{there}{}", seen.path());
            return Answer::new("307 Temporary Redirect", "").with("Location", to);
        }
        content.answer(seen)
    });
    let place = Place::new();
    let me = Credentials::Basic { user: "me".to_owned(), password: "secret".to_owned() };
    pull_from(&place, &server, Access { credentials: Some(me), ..access() }).unwrap();
    let leaked = elsewhere.seen("");
    assert!(!leaked.is_empty());
    assert!(leaked.iter().all(|seen| seen.header("authorization").is_none()), "{leaked:?}");
}

#[test]
fn a_broken_download_goes_on_where_it_broke() {
    for ranges in [true, false] {
        let content = content();
        let (layer, text) = (content.layer.clone(), content.text.clone());
        let path = format!("/blobs/{layer}");
        let count = Mutex::new(0);
        let server = Server::new(move |seen, _| {
            let mut seen = seen.clone();
            if !ranges {
                seen.headers.retain(|(name, _)| name != "range");
            }
            let mut answer = content.answer(&seen);
            if seen.path().contains("/blobs/") && answer.body.len() > 10_000 {
                let mut count = count.lock().unwrap();
                *count += 1;
                if *count < 3 {
                    answer.sent = answer.body.len() / 2;
                }
            }
            answer
        });
        let place = Place::new();
        let pulled = pull_from(&place, &server, access()).unwrap();
        assert_eq!(place.read(&pulled.name.to_string(), "a"), Some(text));
        let asked = server.seen(&path);
        assert_eq!(asked.len(), 3, "{asked:?}");
        assert!(asked[1].header("range").is_some() && asked[0].header("range").is_none());
        assert!(place.storage.drop_partials(true).unwrap() == 0, "something is left");
    }
}

#[test]
fn a_server_that_is_busy_is_asked_again_and_no_more_than_that() {
    let content = content();
    let count = Mutex::new(0);
    let server = Server::new(move |seen, _| {
        let mut count = count.lock().unwrap();
        *count += 1;
        if *count == 1 { Answer::new("503 Service Unavailable", "") } else { content.answer(seen) }
    });
    pull_from(&Place::new(), &server, access()).unwrap();
    let down = Server::new(|_, _| Answer::new("500 Internal Server Error", ""));
    let error = pull_from(&Place::new(), &down, Access { retry: 2, ..access() }).unwrap_err();
    assert!(matches!(error, Error::Network { .. }), "{error}");
    assert_eq!(down.seen("/v2/").len(), 3);
}

/// The error of a pull from a registry whose answers are changed.
fn refused(change: impl Fn(&Seen, Answer) -> Answer + Send + Sync + 'static) -> String {
    let content = content();
    let server = Server::new(move |seen, _| change(seen, content.answer(seen)));
    let place = Place::new();
    let error = pull_from(&place, &server, access()).unwrap_err();
    place.assert_empty();
    assert_eq!(place.storage.drop_partials(true).unwrap(), 0, "{error}");
    let mut text = error.to_string();
    let mut cause = std::error::Error::source(&error);
    while let Some(next) = cause {
        text.push_str(&format!(": {next}"));
        cause = next.source();
    }
    text
}

#[test]
fn what_a_registry_lies_about_is_noticed() {
    let wrong = refused(|seen, mut answer| {
        if seen.path().contains("/blobs/") && answer.body.len() > 10_000 {
            let last = answer.body.len() - 1;
            answer.body[last] ^= 1;
        }
        answer
    });
    assert!(
        wrong.contains("digest") || wrong.contains("corrupt") || wrong.contains("gzip"),
        "{wrong}"
    );
    let config = refused(|seen, answer| {
        let small = seen.path().contains("/blobs/") && answer.body.len() < 10_000;
        if small { Answer::new("200 OK", "{\"os\":\"x\"}") } else { answer }
    });
    assert!(config.contains("expected sha256:"), "{config}");
    let header = refused(|seen, answer| {
        let digest = format!("sha256:{}", "0".repeat(64));
        if seen.path().contains("/manifests/") {
            answer.with("Docker-Content-Digest", digest)
        } else {
            answer
        }
    });
    assert!(header.contains("expected sha256:0000"), "{header}");
    let huge = refused(|seen, answer| {
        let manifest = seen.path().contains("/manifests/");
        if manifest { Answer::new("200 OK", vec![b' '; 5 << 20]) } else { answer }
    });
    assert!(huge.contains("more than"), "{huge}");
    let not_json = refused(|seen, answer| {
        let manifest = seen.path().contains("/manifests/");
        if manifest { Answer::new("200 OK", "<html>") } else { answer }
    });
    assert!(not_json.contains("invalid JSON"), "{not_json}");
    let elsewhere = refused(|seen, answer| {
        let round = seen.path().contains("/blobs/") || seen.path() == "/v2/round";
        if round { Answer::new("302 Found", "").with("Location", "/v2/round") } else { answer }
    });
    assert!(elsewhere.contains("redirects too often"), "{elsewhere}");
}

#[test]
fn layers_that_are_not_there_or_are_none() {
    let changed = |media_type: &'static str, size: Option<u64>| {
        refused(move |seen, mut answer| {
            if seen.path().contains("/manifests/") {
                let mut manifest: Value = serde_json::from_slice(&answer.body).unwrap();
                manifest["layers"][0]["mediaType"] = json!(media_type);
                if let Some(size) = size {
                    manifest["layers"][0]["size"] = json!(size);
                }
                answer.body = serde_json::to_vec(&manifest).unwrap();
                answer.sent = answer.body.len();
            }
            answer
        })
    };
    let foreign = changed("application/vnd.docker.image.rootfs.foreign.diff.tar.gzip", None);
    assert!(foreign.contains("foreign layer"), "{foreign}");
    let odd = changed("application/vnd.example+encrypted", None);
    assert!(odd.contains("a layer of type"), "{odd}");
    let gzip = "application/vnd.oci.image.layer.v1.tar+gzip";
    assert!(gzip.starts_with(OCI_LAYER));
    let more = changed(gzip, Some(100));
    assert!(more.contains("more than the 100 bytes"), "{more}");
}
