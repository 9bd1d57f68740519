//! HTTP/1: request and status lines, and how long the bodies behind them are (RFC 9112, section 6).
//!
//! A request whose head is longer than what is looked at is taken to be alone in its send.

use httparse::{EMPTY_HEADER, Header, Status};

use super::{Message, Probe, Step};
use crate::event::{Role, text};

/// Header lines of a message that is still read whole.
const HEADERS: usize = 64;
/// Bytes told of a request's target.
const TARGET: usize = 100;
const METHODS: [&[u8]; 9] =
    [b"GET ", b"HEAD ", b"POST ", b"PUT ", b"DELETE ", b"PATCH ", b"OPTIONS ", b"TRACE ", b"CONNECT "];

/// One direction.
#[derive(Clone, Debug, Default)]
pub(super) struct Parser(Part);

/// What is read next.
#[derive(Clone, Debug, Default)]
enum Part {
    #[default]
    Head,
    /// The size of a chunk.
    Chunk,
    /// A line behind the last chunk.
    Trailer,
}

/// How long a body is.
enum Body {
    Bytes(u64),
    Chunks,
    /// Until the connection is closed.
    Rest,
    Unclear,
}

/// Whether a request or status line begins here.
pub(super) fn probe(bytes: &[u8], cut: bool) -> Probe {
    // Most of what is sent is no HTTP: what is cheap to find out comes first. `contains` looks at many bytes at once.
    if !bytes.first().is_some_and(|byte| is_token(*byte)) {
        return Probe::No;
    }
    if bytes.contains(&b'\n') {
        let line = bytes.split(|byte| *byte == b'\n').next().unwrap_or_default();
        return if is_first_line(line.strip_suffix(b"\r").unwrap_or(line)) { Probe::Yes } else { Probe::No };
    }
    let begins = |with: &[u8]| bytes.starts_with(with) || with.starts_with(bytes);
    let method = METHODS.iter().find(|method| begins(method));
    if method.is_none() && !begins(b"HTTP/1.")
        || bytes.iter().any(|byte| !(b' '..=b'~').contains(byte) && *byte != b'\r')
    {
        return Probe::No;
    }
    match method {
        Some(method) if cut => match bytes.get(method.len()) {
            Some(b'/') => Probe::Yes,
            _ => Probe::No,
        },
        Some(_) => Probe::Maybe,
        None if begins(b"HTTP/1.") && !cut => Probe::Maybe,
        None => Probe::No,
    }
}

/// What methods consist of (RFC 9110, section 5.6.2).
fn is_token(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)
}

/// `GET /path HTTP/1.1`, or `HTTP/1.1 200 OK`.
fn is_first_line(line: &[u8]) -> bool {
    let is_version = |word: &[u8]| matches!(word, b"HTTP/1.0" | b"HTTP/1.1");
    let mut words = line.splitn(3, |byte| *byte == b' ');
    let [Some(first), Some(second), third] = [words.next(), words.next(), words.next()] else { return false };
    if is_version(first) {
        return second.len() == 3 && second.iter().all(u8::is_ascii_digit);
    }
    !first.is_empty() && first.iter().all(|byte| is_token(*byte)) && !second.is_empty() && third.is_some_and(is_version)
}

impl Parser {
    pub(super) fn step(&mut self, bytes: &[u8], cut: bool, asked: Option<&str>) -> Step {
        match self.0 {
            Part::Head if bytes.starts_with(b"HTTP/") => self.answer(bytes, cut, asked),
            Part::Head => self.request(bytes, cut),
            Part::Chunk => match httparse::parse_chunk_size(bytes) {
                Ok(Status::Complete((line, 0))) => {
                    self.0 = Part::Trailer;
                    Step::Took { len: line as u64, message: None }
                }
                Ok(Status::Complete((line, size))) => {
                    Step::Took { len: size.saturating_add(line as u64 + 2), message: None }
                }
                Ok(Status::Partial) => Step::Need,
                Err(_) => Step::Lost,
            },
            Part::Trailer => {
                let Some(end) = bytes.iter().position(|byte| *byte == b'\n') else { return Step::Need };
                if matches!(bytes.get(..end), Some(b"\r" | b"")) {
                    self.0 = Part::Head;
                }
                Step::Took { len: end as u64 + 1, message: None }
            }
        }
    }

    fn request(&mut self, bytes: &[u8], cut: bool) -> Step {
        let mut headers = [EMPTY_HEADER; HEADERS];
        let mut request = httparse::Request::new(&mut headers);
        match request.parse(bytes) {
            Ok(Status::Complete(head)) => {
                let method = request.method.unwrap_or_default();
                let message = Message { method: Some(named(method, request.path)), ..Message::new(Role::Call) };
                let body = match body(request.headers) {
                    Body::Rest => Body::Bytes(0),
                    body => body,
                };
                self.took(head, &body, message)
            }
            Ok(Status::Partial) if !cut => Step::Need,
            Ok(Status::Partial) | Err(httparse::Error::TooManyHeaders) => {
                let Some(method) = request.method else { return Step::Lost };
                // The target itself may be what was cut.
                let line = bytes.split(|byte| *byte == b'\r' || *byte == b'\n').next().unwrap_or_default();
                let target = line.get(method.len() + 1..).map(String::from_utf8_lossy);
                let target = request.path.or(target.as_deref());
                let message = Message { method: Some(named(method, target)), cut: true, ..Message::new(Role::Call) };
                Step::Took { len: bytes.len() as u64, message: Some(message) }
            }
            Err(_) => Step::Lost,
        }
    }

    fn answer(&mut self, bytes: &[u8], cut: bool, asked: Option<&str>) -> Step {
        let mut headers = [EMPTY_HEADER; HEADERS];
        let mut response = httparse::Response::new(&mut headers);
        let parsed = response.parse(bytes);
        if parsed == Ok(Status::Partial) && !cut {
            return Step::Need;
        }
        let Some(code) = response.code else { return Step::Lost };
        let reason = response.reason.unwrap_or_default();
        let status = text::escape(format!("{code} {reason}").trim_end().as_bytes());
        let role = if code >= 400 { Role::Error } else { Role::Reply };
        let asked = asked.unwrap_or_default();
        let last = code == 101 || asked.starts_with("CONNECT ") && (200..300).contains(&code);
        let message = Message { status: Some(status), last, ..Message::new(role) };
        match parsed {
            Ok(Status::Complete(head)) if (100..200).contains(&code) && code != 101 => {
                Step::Took { len: head as u64, message: None }
            }
            Ok(Status::Complete(head)) if matches!(code, 101 | 204 | 304) || asked.starts_with("HEAD ") || last => {
                Step::Took { len: head as u64, message: Some(message) }
            }
            Ok(Status::Complete(head)) => {
                let body = body(response.headers);
                self.took(head, &body, message)
            }
            Ok(Status::Partial) | Err(httparse::Error::TooManyHeaders) => {
                Step::Took { len: bytes.len() as u64, message: Some(Message { cut: true, ..message }) }
            }
            Err(_) => Step::Lost,
        }
    }

    fn took(&mut self, head: usize, body: &Body, message: Message) -> Step {
        let behind = match body {
            Body::Bytes(bytes) => *bytes,
            Body::Chunks => {
                self.0 = Part::Chunk;
                0
            }
            Body::Rest | Body::Unclear => u64::MAX,
        };
        Step::Took { len: (head as u64).saturating_add(behind), message: Some(message) }
    }
}

fn named(method: &str, target: Option<&str>) -> String {
    let target = target.unwrap_or_default().as_bytes();
    let shown = target.get(..TARGET).unwrap_or(target);
    let more = if shown.len() < target.len() { "…" } else { "" };
    format!("{method} {}{more}", text::escape(shown))
}

fn body(headers: &[Header<'_>]) -> Body {
    let values = |name: &'static str| {
        headers.iter().filter(move |header| header.name.eq_ignore_ascii_case(name)).map(|header| header.value)
    };
    if let Some(coding) = values("transfer-encoding").next_back() {
        let is_chunked = coding.trim_ascii().to_ascii_lowercase().ends_with(b"chunked");
        return if is_chunked { Body::Chunks } else { Body::Rest };
    }
    let mut lengths = values("content-length")
        .map(|value| std::str::from_utf8(value).ok().and_then(|digits| digits.trim().parse::<u64>().ok()));
    match lengths.next() {
        None => Body::Rest,
        Some(Some(length)) if lengths.all(|other| other == Some(length)) => Body::Bytes(length),
        Some(_) => Body::Unclear,
    }
}
