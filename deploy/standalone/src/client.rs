//! The verbs' side of HTTP: a blocking client for a running server.
//!
//! It waits politely: 429 and 503 are asked again after what `Retry-After` says, a refused
//! connection after a growing pause, both within a bounded time. Posting events again is safe,
//! since every event carries its id.

use std::path::PathBuf;
use std::thread;
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::exit::{Exit, OrStop, Outcome, Stop};
use crate::server_file;

/// How long one request is repeated: a server that is just starting is waited for …
const PATIENCE: Duration = Duration::from_secs(3);
/// … and in the middle of a long run, one that is restarted.
const LONG_PATIENCE: Duration = Duration::from_secs(60);
/// Pause after the first refused attempt; doubles up to [`LONGEST_PAUSE`].
const FIRST_PAUSE: Duration = Duration::from_millis(50);
const LONGEST_PAUSE: Duration = Duration::from_secs(5);
/// A single attempt takes at most this long.
const TIMEOUT: Duration = Duration::from_secs(30);

/// Which server is asked.
#[derive(Clone, Debug, Default, clap::Args)]
pub(crate) struct ClientArgs {
    /// Address of the server, such as http://127.0.0.1:8080; without it, the one that runs on
    /// the data folder
    #[arg(long, value_name = "URL", env = "EDDYLINE_SERVER")]
    pub server: Option<String>,
    /// Data folder of the server
    #[arg(
        long,
        value_name = "DIR",
        env = "EDDYLINE__DATA__DIR",
        default_value = "./eddyline-data"
    )]
    pub data: PathBuf,
    /// API key, if the server wants one
    #[arg(long, value_name = "KEY", env = "EDDYLINE_API_KEY", hide_env_values = true)]
    pub api_key: Option<String>,
}

impl ClientArgs {
    /// A client for the server that is meant.
    pub(crate) fn client(&self) -> Client {
        let noted =
            || server_file::read(&self.data).map(|noted| format!("http://{}", noted.listen));
        let server = self.server.clone().or_else(noted);
        let base = server.unwrap_or_else(|| "http://127.0.0.1:8080".into());
        Client::new(&base, self.api_key.clone())
    }
}

/// What a server answered.
#[derive(Clone, Debug)]
pub(crate) struct Answer {
    /// HTTP status.
    pub status: u16,
    /// What `Retry-After` says.
    pub retry_after: Option<Duration>,
    /// The body.
    pub body: Vec<u8>,
}

impl Answer {
    /// The body as JSON; null when it is none.
    #[must_use]
    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_default()
    }

    /// The server is alive and wants the same again later.
    fn asks_for_patience(&self) -> bool {
        matches!(self.status, 429 | 503)
    }

    /// What the server says is wrong.
    fn complaint(&self) -> String {
        let json = self.json();
        let text = ["detail", "title"].iter().find_map(|name| json[name].as_str());
        text.map_or_else(
            || String::from_utf8_lossy(&self.body).chars().take(200).collect(),
            str::to_owned,
        )
    }
}

/// A server, and the way to it.
#[derive(Clone)]
pub(crate) struct Client {
    agent: ureq::Agent,
    base: String,
    api_key: Option<String>,
    patience: Duration,
}

impl Client {
    /// A client for the server at `base`.
    #[must_use]
    pub(crate) fn new(base: &str, api_key: Option<String>) -> Self {
        let config = ureq::Agent::config_builder()
            .http_status_as_error(false)
            .timeout_global(Some(TIMEOUT))
            .build();
        let base = base.trim_end_matches('/');
        let scheme = if base.contains("://") { "" } else { "http://" };
        Self { agent: config.into(), base: format!("{scheme}{base}"), api_key, patience: PATIENCE }
    }

    /// The same server, waited for for a minute: for the middle of a long run.
    #[must_use]
    pub(crate) fn patient(&self) -> Self {
        Self { patience: LONG_PATIENCE, ..self.clone() }
    }

    /// Where it is.
    #[must_use]
    pub(crate) fn base(&self) -> &str {
        &self.base
    }

    /// One attempt; the error is that there was no answer.
    pub(crate) fn try_get(&self, path: &str) -> Result<Answer, ureq::Error> {
        let mut request = self.agent.get(format!("{}{path}", self.base));
        if let Some(key) = &self.api_key {
            request = request.header("authorization", format!("Bearer {key}"));
        }
        answer(request.call()?)
    }

    /// One attempt; the error is that there was no answer.
    pub(crate) fn try_post(&self, path: &str, body: &[u8]) -> Result<Answer, ureq::Error> {
        let mut request = self
            .agent
            .post(format!("{}{path}", self.base))
            .header("content-type", "application/json");
        if let Some(key) = &self.api_key {
            request = request.header("authorization", format!("Bearer {key}"));
        }
        answer(request.send(body)?)
    }

    /// Gets JSON. Anything but 200 stops the verb.
    pub(crate) fn get(&self, path: &str) -> Outcome<Value> {
        let answer = self.patiently(|| self.try_get(path))?;
        match answer.status {
            200 => Ok(answer.json()),
            _ => Err(self.refused(path, &answer)),
        }
    }

    /// Posts what has no body. Anything but 200 stops the verb, and so does no answer: it is not sent
    /// twice.
    pub(crate) fn post_once(&self, path: &str) -> Outcome<Value> {
        let answer = self.try_post(path, b"").map_err(|error| self.silent(error))?;
        match answer.status {
            200 => Ok(answer.json()),
            _ => Err(self.refused(path, &answer)),
        }
    }

    /// Asks for something to be done. Anything but 202 stops the verb.
    pub(crate) fn post(&self, path: &str, body: &[u8]) -> Outcome<Value> {
        let answer = self.patiently(|| self.try_post(path, body))?;
        match answer.status {
            202 => Ok(answer.json()),
            _ => Err(self.refused(path, &answer)),
        }
    }

    /// Posts events. 200, 202 and 422 are answers, anything else stops the verb.
    pub(crate) fn post_events(&self, body: &[u8]) -> Outcome<Value> {
        let path = "/v1/events";
        let answer = self.patiently(|| self.try_post(path, body))?;
        let json = answer.json();
        match answer.status {
            200 | 202 => Ok(json),
            422 if json["accepted"].is_u64() => Ok(json),
            _ => Err(self.refused(path, &answer)),
        }
    }

    fn patiently(&self, ask: impl Fn() -> Result<Answer, ureq::Error>) -> Outcome<Answer> {
        let started = Instant::now();
        let mut pause = FIRST_PAUSE;
        loop {
            let asked = ask();
            let wait = match &asked {
                Ok(answer) if answer.asks_for_patience() => answer.retry_after.unwrap_or(pause),
                Ok(_) | Err(_) => pause,
            };
            let out_of_time = started.elapsed() + wait > self.patience;
            match asked {
                Ok(answer) if !answer.asks_for_patience() || out_of_time => return Ok(answer),
                Err(error) if out_of_time || !is_passing(&error) => return Err(self.silent(error)),
                Ok(_) | Err(_) => thread::sleep(wait),
            }
            pause = (pause * 2).min(LONGEST_PAUSE);
        }
    }

    fn silent(&self, error: ureq::Error) -> Stop {
        let context = || format!("no answer from {}", self.base);
        match Err::<(), _>(error).or_stop(Exit::Unavailable, context) {
            Err(stop) => {
                stop.remedy("start a server with `eddyline up`, or name one with --server")
            }
            Ok(()) => unreachable!("made from an error"),
        }
    }

    fn refused(&self, path: &str, answer: &Answer) -> Stop {
        let message =
            format!("{}{path} answered {}: {}", self.base, answer.status, answer.complaint());
        match answer.status {
            401 | 403 => Stop::new(Exit::Failure, message)
                .remedy("give the server's key with --api-key or EDDYLINE_API_KEY"),
            429 | 500.. => Stop::new(Exit::Unavailable, message).remedy("try again in a while"),
            _ => Stop::new(Exit::Failure, message),
        }
    }
}

fn answer(mut response: ureq::http::Response<ureq::Body>) -> Result<Answer, ureq::Error> {
    let retry_after = response
        .headers()
        .get("retry-after")
        .and_then(|value| value.to_str().ok()?.parse().ok())
        .map(Duration::from_secs);
    let status = response.status().as_u16();
    let body = response.body_mut().with_config().limit(64 << 20).read_to_vec()?;
    Ok(Answer { status, retry_after, body })
}

/// Errors that a server that is just starting or restarting causes.
fn is_passing(error: &ureq::Error) -> bool {
    matches!(error, ureq::Error::Io(_) | ureq::Error::ConnectionFailed | ureq::Error::Timeout(_))
}

/// Percent-encodes one segment of a path or one value of a query.
#[must_use]
pub(crate) fn encode(text: &str) -> String {
    let mut encoded = String::new();
    for byte in text.bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => {
                encoded.push(char::from(byte));
            }
            _ => encoded.push_str(&format!("%{byte:02X}")),
        }
    }
    encoded
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_percent_encoded() {
        assert_eq!(encode("u42"), "u42");
        assert_eq!(encode("Élan 7/∂"), "%C3%89lan%207%2F%E2%88%82");
    }
}
