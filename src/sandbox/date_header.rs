//! The `Date` of every answer: the injected clock's time, or what a test makes of it.

use std::sync::{Mutex, PoisonError};

use axum::http::{HeaderMap, HeaderValue, header};
use chrono::TimeDelta;

use crate::domain::time::Timestamp;

/// What a directory's answers carry as `Date`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum DateHeader {
    /// The time of the sandbox's clock.
    #[default]
    Clock,
    /// The time of the sandbox's clock, wrong by so much.
    Offset(TimeDelta),
    /// No `Date` at all.
    Absent,
    /// These words, whatever they are.
    Fixed(String),
}

/// The setting of one directory, changeable while it runs.
#[derive(Debug, Default)]
pub(super) struct DateControl(Mutex<DateHeader>);

impl DateControl {
    #[cfg(feature = "test-instrumentation")]
    pub(super) fn set(&self, date: DateHeader) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = date;
    }

    /// Dates an answer, unless it has a `Date` already.
    pub(super) fn stamp(&self, headers: &mut HeaderMap, now: Timestamp) {
        if headers.contains_key(header::DATE) {
            return;
        }
        let date = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let text = match &*date {
            DateHeader::Clock => http_date(now),
            DateHeader::Offset(offset) => http_date(now.checked_add_signed(*offset).unwrap_or(now)),
            DateHeader::Absent => return,
            DateHeader::Fixed(text) => text.clone(),
        };
        if let Ok(value) = HeaderValue::from_str(&text) {
            headers.insert(header::DATE, value);
        }
    }
}

/// IMF-fixdate (RFC 9110, 5.6.7).
fn http_date(time: Timestamp) -> String {
    time.format("%a, %d %b %Y %H:%M:%S GMT").to_string()
}
