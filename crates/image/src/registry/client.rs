//! One registry: requests of the distribution specification, with what it wants to know of us.
//!
//! INVARIANT: credentials and tokens go to the host they are for, over https unless the registry is called insecure. A
//! redirect elsewhere is followed without them, and never from https to http.
//! INVARIANT: nothing that is read into memory is unbounded.

use std::collections::HashMap;
use std::io::Read;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use serde::Deserialize;
use ureq::http::{Method, Request, Response, StatusCode, Uri, header};
use ureq::{Agent, Body, SendBody};

use super::auth::{self, Credentials};
use super::challenge::Challenge;
use super::conf::Location;
use super::settings::{Access, RegistrySettings};
use super::tls;
use crate::error::{Error, Result};

const MAX_REDIRECTS: usize = 5;
/// Of a token server's answer, and of a page of tags.
const MAX_ANSWER: u64 = 4 << 20;
/// Of what a registry says when it refuses.
const MAX_COMPLAINT: u64 = 64 << 10;
const CONNECT_TIMEOUT: Duration = Duration::from_secs(30);
/// Without a byte for so long, a connection is broken.
const SILENCE: Duration = Duration::from_secs(60);
/// The distribution specification's default for tokens that do not say how long they live, less some room.
const TOKEN_LIFE: u64 = 60;
const USER_AGENT: &str = concat!("dhow/", env!("CARGO_PKG_VERSION"));

/// A registry that has answered.
pub(crate) struct Client {
    pub(crate) host: String,
    base: String,
    agent: Agent,
    challenge: Challenge,
    credentials: Option<Credentials>,
    insecure: bool,
    tokens: Mutex<HashMap<String, (String, Instant)>>,
}

impl std::fmt::Debug for Client {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Client").field("base", &self.base).finish_non_exhaustive()
    }
}

/// A request but for its body.
#[derive(Debug)]
pub(crate) struct Ask<'a> {
    pub(crate) method: Method,
    /// A path below `/v2/`, or a URL that the registry gave.
    pub(crate) to: &'a str,
    /// For the token: `repository:NAME:pull`.
    pub(crate) scope: &'a str,
    pub(crate) headers: &'a [(&'a str, &'a str)],
    /// What is being done, for messages.
    pub(crate) action: &'a str,
}

impl Client {
    /// Finds out how the registry is reached, and what it wants to know.
    pub(crate) fn connect(
        settings: &RegistrySettings,
        access: &Access,
        location: &Location,
        helpers: &[String],
    ) -> Result<Client> {
        let insecure = match access.tls_verify {
            Some(verify) => !verify,
            None => location.insecure,
        };
        let credentials = match &access.credentials {
            Some(given) => Some(given.clone()),
            None => auth::find(
                settings,
                access.auth_file.as_deref(),
                &location.host,
                &location.repository,
                helpers,
            )?,
        };
        // docker.io is the name of images, not of the host that serves them.
        let host =
            if auth::is_hub(&location.host) { "registry-1.docker.io" } else { &location.host };
        let tls = tls::config(settings, access, &location.host, !insecure)?;
        let agent = |scheme: &str| -> Result<Agent> {
            let proxy = proxy(settings, scheme)?;
            let config = Agent::config_builder()
                .tls_config(tls.clone())
                .proxy(proxy)
                .http_status_as_error(false)
                .max_redirects(0)
                .max_redirects_will_error(false)
                .user_agent(USER_AGENT)
                .timeout_connect(Some(CONNECT_TIMEOUT))
                .timeout_per_read(Some(SILENCE))
                .timeout_per_write(Some(SILENCE))
                .max_idle_connections_per_host(16)
                .build();
            Ok(config.new_agent())
        };
        let mut client = Client {
            host: location.host.clone(),
            base: format!("https://{host}"),
            agent: agent("https")?,
            challenge: Challenge::None,
            credentials,
            insecure,
            tokens: Mutex::default(),
        };
        match client.ping() {
            Ok(()) => Ok(client),
            // A registry without TLS does not understand https at all.
            Err(secure) if insecure => {
                client.base = format!("http://{host}");
                client.agent = agent("http")?;
                match client.ping() {
                    Ok(()) => Ok(client),
                    Err(Error::Network { source, .. })
                        if source.kind() == std::io::ErrorKind::ConnectionRefused =>
                    {
                        Err(secure)
                    }
                    Err(plain) => Err(plain),
                }
            }
            Err(error) => Err(error),
        }
    }

    /// `GET /v2/`: does it speak the protocol, and what does it want to know?
    fn ping(&mut self) -> Result<()> {
        let action = "reach the registry";
        let url = format!("{}/v2/", self.base);
        let response = self.send(Method::GET, &url, &[], SendBody::none(), action)?;
        self.challenge = match response.status() {
            StatusCode::UNAUTHORIZED => {
                let headers = response.headers().get_all(header::WWW_AUTHENTICATE).into_iter();
                let headers = headers.filter_map(|value| value.to_str().ok());
                Challenge::parse(headers).ok_or_else(|| {
                    self.protocol(action, "it asks for authentication in a way dhow does not know")
                })?
            }
            status if status.is_success() => Challenge::None,
            // Some are reachable below only.
            StatusCode::NOT_FOUND | StatusCode::FORBIDDEN => Challenge::None,
            _ => return Err(self.complaint(response, action, "/v2/")),
        };
        Ok(())
    }

    /// Do the credentials let us in? For `login`.
    pub(crate) fn verify_login(&self) -> Result<()> {
        let ask = Ask { method: Method::GET, to: "", scope: "", headers: &[], action: "log in" };
        let response = self.request(&ask, &mut || Ok(SendBody::none()))?;
        if response.status().is_success() {
            return Ok(());
        }
        Err(self.complaint(response, "log in", "this user"))
    }

    /// Performs a request without a body; any status but an authentication error is an answer.
    pub(crate) fn get(&self, ask: &Ask<'_>) -> Result<Response<Body>> {
        self.request(ask, &mut || Ok(SendBody::none()))
    }

    /// Performs a request. The body is made anew for each attempt: with a new token, after a redirect.
    pub(crate) fn request<'b>(
        &self,
        ask: &Ask<'_>,
        body: &mut dyn FnMut() -> Result<SendBody<'b>>,
    ) -> Result<Response<Body>> {
        let mut url = self.absolute(ask.to);
        let mut renewed = false;
        let mut redirects = 0;
        loop {
            // Only the registry itself sees who asks.
            let ours = self.is_ours(&url);
            let authorization = if ours { self.authorization(ask.scope, renewed)? } else { None };
            let mut headers = ask.headers.to_vec();
            if let Some(value) = &authorization {
                headers.push(("authorization", value));
            }
            let response = self.send(ask.method.clone(), &url, &headers, body()?, ask.action)?;
            let status = response.status();
            if status == StatusCode::UNAUTHORIZED
                && ours
                && !renewed
                && matches!(self.challenge, Challenge::Bearer { .. })
            {
                renewed = true;
                continue;
            }
            if !is_redirect(status) {
                return Ok(response);
            }
            redirects += 1;
            let to = response.headers().get(header::LOCATION).and_then(|to| to.to_str().ok());
            let to = to
                .filter(|_| redirects <= MAX_REDIRECTS)
                .ok_or_else(|| self.protocol(ask.action, "it redirects too often, or nowhere"))?;
            let next = self.resolve(&url, to);
            if url.starts_with("https://") && !next.starts_with("https://") {
                return Err(self.protocol(ask.action, "it redirects from https to http"));
            }
            url = next;
        }
    }

    /// Reads a whole answer of at most `max` bytes.
    pub(crate) fn read(&self, response: Response<Body>, max: u64, action: &str) -> Result<Vec<u8>> {
        let mut bytes = Vec::new();
        let reader = response.into_body().into_with_config().limit(u64::MAX).reader();
        let read = reader.take(max + 1).read_to_end(&mut bytes);
        read.map_err(|source| self.network(action, source))?;
        if bytes.len() as u64 > max {
            return Err(self.protocol(action, format!("the answer has more than {max} bytes")));
        }
        Ok(bytes)
    }

    /// A small JSON answer.
    pub(crate) fn read_json<T: serde::de::DeserializeOwned>(
        &self,
        response: Response<Body>,
        action: &str,
    ) -> Result<T> {
        let bytes = self.read(response, MAX_ANSWER, action)?;
        serde_json::from_slice(&bytes).map_err(|e| self.protocol(action, e.to_string()))
    }

    /// The error that a status means, in the registry's own words where it has some.
    pub(crate) fn complaint(&self, response: Response<Body>, action: &str, what: &str) -> Error {
        let status = response.status();
        let bytes = self.read(response, MAX_COMPLAINT, action).unwrap_or_default();
        let why = said(&bytes).unwrap_or_else(|| status.to_string());
        let (registry, what) = (self.host.clone(), what.to_owned());
        match status {
            StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => {
                Error::Denied { registry, what, why }
            }
            StatusCode::NOT_FOUND => Error::NotInRegistry { registry, what },
            // Another attempt may help.
            StatusCode::TOO_MANY_REQUESTS | StatusCode::REQUEST_TIMEOUT => {
                self.network(action, std::io::Error::other(why))
            }
            status if status.is_server_error() => self.network(action, std::io::Error::other(why)),
            _ => self.protocol(action, why),
        }
    }

    pub(crate) fn protocol(&self, action: &str, why: impl Into<String>) -> Error {
        Error::Registry { registry: self.host.clone(), action: action.to_owned(), why: why.into() }
    }

    pub(crate) fn network(&self, action: &str, source: std::io::Error) -> Error {
        Error::Network { registry: self.host.clone(), action: action.to_owned(), source }
    }

    /// A path below `/v2/` or something the registry gave, as a URL.
    fn absolute(&self, to: &str) -> String {
        if to.contains("://") {
            to.to_owned()
        } else if to.starts_with('/') {
            format!("{}{to}", self.base)
        } else {
            format!("{}/v2/{to}", self.base)
        }
    }

    fn resolve(&self, from: &str, to: &str) -> String {
        if to.contains("://") {
            return to.to_owned();
        }
        let scheme = from.find("://").map_or(0, |at| at + 3);
        let host_end = from.get(scheme..).and_then(|rest| rest.find('/'));
        let origin = host_end.and_then(|end| from.get(..scheme + end)).unwrap_or(from);
        if to.starts_with('/') {
            return format!("{origin}{to}");
        }
        let path = from.split('?').next().unwrap_or(from);
        let dir = path.rsplit_once('/').map_or(path, |(dir, _)| dir);
        format!("{dir}/{to}")
    }

    /// The URL an upload continues at, from the `Location` of an answer.
    pub(crate) fn location(&self, response: &Response<Body>, from: &str) -> Option<String> {
        let to = response.headers().get(header::LOCATION)?.to_str().ok()?;
        Some(self.resolve(&self.absolute(from), to))
    }

    fn is_ours(&self, url: &str) -> bool {
        url.strip_prefix(&self.base).is_some_and(|rest| rest.starts_with('/'))
    }

    fn send(
        &self,
        method: Method,
        url: &str,
        headers: &[(&str, &str)],
        body: SendBody<'_>,
        action: &str,
    ) -> Result<Response<Body>> {
        let uri: Uri =
            url.parse().map_err(|e| self.protocol(action, format!("a wrong URL: {e}")))?;
        let mut request = Request::builder().method(method).uri(uri);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let request = request.body(body).map_err(|e| self.protocol(action, e.to_string()))?;
        self.agent.run(request).map_err(|e| self.network(action, io_error(e)))
    }

    fn authorization(&self, scope: &str, renew: bool) -> Result<Option<String>> {
        match &self.challenge {
            Challenge::None => Ok(None),
            Challenge::Basic => Ok(self.credentials.as_ref().and_then(Credentials::header)),
            Challenge::Bearer { realm, service } => {
                let mut tokens = self.tokens.lock().unwrap_or_else(PoisonError::into_inner);
                if let Some((token, until)) = tokens.get(scope)
                    && *until > Instant::now()
                    && !renew
                {
                    return Ok(Some(format!("Bearer {token}")));
                }
                // Several threads want the same one: the first fetches it while the others wait here.
                let (token, life) = self.token(realm, service.as_deref(), scope)?;
                tokens.insert(scope.to_owned(), (token.clone(), Instant::now() + life));
                Ok(Some(format!("Bearer {token}")))
            }
        }
    }

    fn token(&self, realm: &str, service: Option<&str>, scope: &str) -> Result<(String, Duration)> {
        #[derive(Deserialize)]
        struct Answer {
            #[serde(default)]
            token: String,
            #[serde(default)]
            access_token: String,
            expires_in: Option<u64>,
        }
        let action = "get a token";
        let plain = self.insecure && realm.starts_with("http://");
        if !plain && !realm.starts_with("https://") {
            return Err(self.protocol(action, format!("its token server {realm} is not https")));
        }
        let mut pairs: Vec<(&str, &str)> = Vec::new();
        pairs.extend(service.map(|service| ("service", service)));
        pairs.extend(scope.split(' ').filter(|one| !one.is_empty()).map(|one| ("scope", one)));
        let response = match &self.credentials {
            Some(Credentials::IdentityToken(refresh)) => {
                pairs.push(("grant_type", "refresh_token"));
                pairs.push(("client_id", "dhow"));
                pairs.push(("refresh_token", refresh));
                let form = encode(&pairs);
                let headers = [("content-type", "application/x-www-form-urlencoded")];
                let mut bytes = form.as_bytes();
                let length = form.len().to_string();
                let headers = [headers[0], ("content-length", length.as_str())];
                let body = SendBody::from_reader(&mut bytes);
                self.send(Method::POST, realm, &headers, body, action)?
            }
            other => {
                let header = other.as_ref().and_then(Credentials::header);
                let headers: Vec<(&str, &str)> =
                    header.iter().map(|value| ("authorization", value.as_str())).collect();
                if let Some(Credentials::Basic { user, .. }) = other {
                    pairs.push(("account", user));
                }
                let separator = if realm.contains('?') { '&' } else { '?' };
                let url = format!("{realm}{separator}{}", encode(&pairs));
                self.send(Method::GET, &url, &headers, SendBody::none(), action)?
            }
        };
        if !response.status().is_success() {
            return Err(self.complaint(response, action, "its images"));
        }
        let answer: Answer = self.read_json(response, action)?;
        let token = if answer.token.is_empty() { answer.access_token } else { answer.token };
        if token.is_empty() || token.bytes().any(|b| b.is_ascii_control()) {
            return Err(self.protocol(action, "the token server's answer has no token"));
        }
        let life = answer.expires_in.unwrap_or(TOKEN_LIFE).clamp(20, 3600) - 10;
        Ok((token, Duration::from_secs(life)))
    }
}

fn is_redirect(status: StatusCode) -> bool {
    matches!(status.as_u16(), 301 | 302 | 303 | 307 | 308)
}

/// The messages of an error document (distribution-spec, "Error Codes"), without control characters.
fn said(bytes: &[u8]) -> Option<String> {
    #[derive(Deserialize)]
    struct Errors {
        errors: Vec<One>,
    }
    #[derive(Deserialize)]
    struct One {
        #[serde(default)]
        code: String,
        #[serde(default)]
        message: String,
    }
    let errors: Errors = serde_json::from_slice(bytes).ok()?;
    let mut text: Vec<String> = Vec::new();
    for one in errors.errors.into_iter().take(5) {
        let said = if one.message.is_empty() { one.code } else { one.message };
        text.push(said.chars().filter(|c| !c.is_control()).take(300).collect());
    }
    (!text.is_empty()).then(|| text.join("; "))
}

/// `key=value&…`, escaped.
pub(crate) fn encode(pairs: &[(&str, &str)]) -> String {
    let mut text = String::new();
    for (key, value) in pairs {
        if !text.is_empty() {
            text.push('&');
        }
        text.push_str(key);
        text.push('=');
        for byte in value.bytes() {
            match byte {
                b'A'..=b'Z'
                | b'a'..=b'z'
                | b'0'..=b'9'
                | b'-'
                | b'.'
                | b'_'
                | b'~'
                | b'/'
                | b':' => {
                    text.push(char::from(byte));
                }
                other => text.push_str(&format!("%{other:02X}")),
            }
        }
    }
    text
}

fn proxy(settings: &RegistrySettings, scheme: &str) -> Result<Option<ureq::Proxy>> {
    let url = if scheme == "https" { &settings.https_proxy } else { &settings.http_proxy };
    let Some(url) = url.as_deref().filter(|url| !url.is_empty()) else { return Ok(None) };
    let wrong = |why: String| Error::Config { path: format!("{scheme}_proxy").into(), why };
    let parsed = ureq::Proxy::new(url).map_err(|e| wrong(e.to_string()))?;
    let Some(exceptions) = &settings.no_proxy else { return Ok(Some(parsed)) };
    let mut builder =
        ureq::Proxy::builder(parsed.protocol()).host(parsed.host()).port(parsed.port());
    if let (Some(user), Some(password)) = (parsed.username(), parsed.password()) {
        builder = builder.username(user).password(password);
    }
    for exception in exceptions.split(',').map(str::trim).filter(|text| !text.is_empty()) {
        builder = builder.no_proxy(exception);
    }
    builder.build().map(Some).map_err(|e| wrong(e.to_string()))
}

/// ureq's errors as what they are made of.
fn io_error(error: ureq::Error) -> std::io::Error {
    match error {
        ureq::Error::Io(source) => source,
        ureq::Error::Timeout(_) => {
            std::io::Error::new(std::io::ErrorKind::TimedOut, "it does not answer")
        }
        ureq::Error::HostNotFound => {
            std::io::Error::new(std::io::ErrorKind::NotFound, "there is no such host")
        }
        other => std::io::Error::other(other.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn client() -> Client {
        Client {
            host: "r.example".to_owned(),
            base: "https://r.example".to_owned(),
            agent: Agent::config_builder().build().new_agent(),
            challenge: Challenge::None,
            credentials: None,
            insecure: false,
            tokens: Mutex::default(),
        }
    }

    #[test]
    fn urls() {
        let client = client();
        assert_eq!(client.absolute("a/b/tags/list"), "https://r.example/v2/a/b/tags/list");
        assert_eq!(client.resolve("https://r.example/v2/a?x", "/u/1"), "https://r.example/u/1");
        assert_eq!(client.resolve("https://r.example/v2/a", "u/1"), "https://r.example/v2/u/1");
        assert_eq!(
            client.resolve("https://r.example/v2/a", "https://c.example/b"),
            "https://c.example/b"
        );
        assert!(client.is_ours("https://r.example/v2/"));
        for other in
            ["http://r.example/v2/", "https://r.example.evil/v2/", "https://r.example:444/"]
        {
            assert!(!client.is_ours(other), "{other}");
        }
        assert_eq!(
            encode(&[("a", "x y&z"), ("scope", "repository:a/b:pull,push")]),
            "a=x%20y%26z&scope=repository:a/b:pull%2Cpush"
        );
    }

    #[test]
    fn complaints_are_bounded_and_clean() {
        let text = br#"{"errors":[{"code":"X","message":"no \u001b[31mway"},{"code":"DENIED"}]}"#;
        assert_eq!(said(text).unwrap(), "no [31mway; DENIED");
        assert_eq!(said(b"<html>"), None);
    }
}
