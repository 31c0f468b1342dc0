//! What a server said, made safe to show (§11): no credential, no control character, one short
//! line. Every text of a server that reaches an error passes through [`Secrets`].

use crate::domain::text::is_unsafe;
use std::collections::VecDeque;
use std::sync::{Mutex, PoisonError};

use secrecy::{ExposeSecret as _, SecretString};
use serde::Deserialize;

use super::error::ServerMessage;

/// Longest text of a server that is shown, in characters.
const MAX_MESSAGE: usize = 300;

/// Minted tokens that are remembered: the present one and the one it replaced, which a late
/// answer may still quote.
const REMEMBERED_TOKENS: usize = 2;

/// Everything that was sent as a credential and must never be shown.
#[derive(Debug)]
pub(super) struct Secrets {
    fixed: SecretString,
    minted: Mutex<VecDeque<SecretString>>,
}

impl Secrets {
    pub(super) fn new(fixed: SecretString) -> Self {
        Self {
            fixed,
            minted: Mutex::new(VecDeque::new()),
        }
    }

    /// Hides `token` from now on.
    pub(super) fn remember(&self, token: SecretString) {
        let mut minted = self.minted.lock().unwrap_or_else(PoisonError::into_inner);
        minted.push_front(token);
        minted.truncate(REMEMBERED_TOKENS);
    }

    /// A server's text as it may be shown.
    pub(super) fn redact(&self, text: &str) -> String {
        // Once before the clean-up and once after it: a clean-up may join what was apart.
        let clean = self.hide(&one_line(&self.hide(text)));
        let mut shown: String = clean.chars().take(MAX_MESSAGE).collect();
        if clean.chars().nth(MAX_MESSAGE).is_some() {
            shown.push('…');
        }
        shown
    }

    /// What the body of an answer says, whichever of its usual forms it has.
    pub(super) fn redact_body(&self, body: &[u8]) -> ServerMessage {
        if is_html(body) {
            return ServerMessage::HtmlPage;
        }
        let text = String::from_utf8_lossy(body);
        match serde_json::from_slice::<ErrorBody>(body) {
            Ok(ErrorBody::Text(text)) => self.message(&text),
            Ok(ErrorBody::Message(body)) => self.message(&body.text()),
            Err(_) => self.message(&text),
        }
    }

    fn message(&self, text: &str) -> ServerMessage {
        match self.redact(text) {
            text if text.is_empty() => ServerMessage::Nothing,
            text => ServerMessage::Text(text),
        }
    }

    fn hide(&self, text: &str) -> String {
        let minted = self.minted.lock().unwrap_or_else(PoisonError::into_inner);
        let mut text = text.to_owned();
        for secret in minted.iter().chain([&self.fixed]) {
            let secret = secret.expose_secret();
            if !secret.is_empty() {
                text = replace_in_any_case(&text, secret, "[hidden]");
            }
        }
        text
    }
}

/// A host name, for one, is told in small letters.
fn replace_in_any_case(text: &str, secret: &str, by: &str) -> String {
    // Only ASCII letters change, so places in both texts are the same.
    let (folded, wanted) = (text.to_ascii_lowercase(), secret.to_ascii_lowercase());
    let mut kept = String::new();
    let mut from = 0;
    for (at, found) in folded.match_indices(&wanted) {
        kept.push_str(text.get(from..at).unwrap_or_default());
        kept.push_str(by);
        from = at.saturating_add(found.len());
    }
    kept.push_str(text.get(from..).unwrap_or_default());
    kept
}

/// Whether a body is a page for people rather than an answer for programs.
pub(super) fn is_html(body: &[u8]) -> bool {
    let body = body.strip_prefix(b"\xef\xbb\xbf").unwrap_or(body);
    body.trim_ascii_start().starts_with(b"<")
}

#[derive(Deserialize)]
#[serde(untagged)]
enum ErrorBody {
    Text(String),
    Message(Message),
}

#[derive(Deserialize)]
struct Message {
    message: String,
    #[serde(default)]
    errors: Option<Vec<FieldMessage>>,
}

#[derive(Deserialize)]
struct FieldMessage {
    #[serde(default)]
    path: Option<String>,
    #[serde(default)]
    message: Option<String>,
}

impl Message {
    fn text(self) -> String {
        let mut text = self.message;
        for error in self.errors.unwrap_or_default() {
            text.push_str("; ");
            text.push_str(&error.path.unwrap_or_default());
            text.push_str(": ");
            text.push_str(&error.message.unwrap_or_default());
        }
        text
    }
}

fn one_line(text: &str) -> String {
    let visible: String = text
        .chars()
        .map(|c| if c.is_whitespace() { ' ' } else { c })
        .filter(|c| !is_unsafe(*c))
        .collect();
    visible
        .split(' ')
        .filter(|word| !word.is_empty())
        .collect::<Vec<_>>()
        .join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn secrets() -> Secrets {
        let secrets = Secrets::new(SecretString::from("s3cret"));
        secrets.remember(SecretString::from("t0ken"));
        secrets
    }

    #[test]
    fn every_form_of_an_answer_yields_its_words() {
        let said = |body: &str| secrets().redact_body(body.as_bytes()).to_string();
        assert_eq!(said(r#""done""#), "“done”");
        assert_eq!(said(r#"{"message":"no","extra":1}"#), "“no”");
        assert_eq!(
            said(r#"{"message":"no","errors":[{"path":"a","message":"b"}]}"#),
            "“no; a: b”"
        );
        assert_eq!(said("plain words"), "“plain words”");
        assert_eq!(said(" <!doctype html><p>s3cret"), "(an HTML page)");
        assert_eq!(said(""), "(no words)");
    }

    #[test]
    fn credentials_never_show_not_even_when_torn_apart() {
        let said = |text: &str| secrets().redact(text);
        assert_eq!(said("got s3cret and t0ken"), "got [hidden] and [hidden]");
        assert_eq!(
            said("to https://S3CRET.example/é"),
            "to https://[hidden].example/é"
        );
        assert_eq!(said("got s3\u{200b}cret"), "got [hidden]");
        assert_eq!(said("got s3\u{7}cret"), "got [hidden]");
    }

    #[test]
    fn words_are_one_short_line_without_controls() {
        let said = |text: &str| secrets().redact(text);
        assert_eq!(said("a\r\n\tb\u{1b}[31m \u{202e}c\u{85}d"), "a b[31m c d");
        assert_eq!(said(&"x".repeat(5000)).chars().count(), MAX_MESSAGE + 1);
    }
}
