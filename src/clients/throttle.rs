//! How long a server wants to be left alone (A3): `Retry-After` in both its forms and
//! `X-RateLimit-Retry-At`.

use std::time::Duration;

use chrono::DateTime;
use reqwest::header::{HeaderMap, RETRY_AFTER};

use crate::domain::time::Timestamp;

const RETRY_AT: &str = "x-ratelimit-retry-at";

/// The pause a server asks for, seen from `now`; zero when the moment it names is past, `None`
/// when it names none that can be read. Never longer than `longest`.
pub(super) fn requested_pause(
    headers: &HeaderMap,
    now: Timestamp,
    longest: Duration,
) -> Option<Duration> {
    let named = headers
        .get_all(RETRY_AFTER)
        .iter()
        .filter_map(|value| retry_after(value.to_str().ok()?.trim(), now));
    let dated = headers
        .get_all(RETRY_AT)
        .iter()
        .filter_map(|value| retry_at(value.to_str().ok()?.trim(), now));
    named.chain(dated).max().map(|pause| pause.min(longest))
}

fn retry_after(text: &str, now: Timestamp) -> Option<Duration> {
    match whole_number(text) {
        Some(seconds) => Some(Duration::from_secs(seconds)),
        None => httpdate::parse_http_date(text)
            .ok()
            .map(|date| until(DateTime::from(date), now)),
    }
}

fn retry_at(text: &str, now: Timestamp) -> Option<Duration> {
    let seconds = whole_number(text)?;
    let at = i64::try_from(seconds)
        .ok()
        .and_then(|seconds| DateTime::from_timestamp(seconds, 0))
        .unwrap_or(Timestamp::MAX_UTC);
    Some(until(at, now))
}

fn until(at: Timestamp, now: Timestamp) -> Duration {
    (at - now).to_std().unwrap_or(Duration::ZERO)
}

/// A number in plain digits; one too large for its type is as large as the type.
fn whole_number(text: &str) -> Option<u64> {
    let plain = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    plain.then(|| text.parse().unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    const LONGEST: Duration = Duration::from_hours(1);

    fn pause(pairs: &[(&'static str, &'static str)]) -> Option<u64> {
        let now = DateTime::parse_from_rfc3339("2026-01-01T00:00:00Z").unwrap();
        let headers = pairs
            .iter()
            .map(|(name, value)| (name.parse().unwrap(), value.parse().unwrap()))
            .collect();
        requested_pause(&headers, now.into(), LONGEST).map(|pause| pause.as_secs())
    }

    #[test]
    fn every_form_is_read_and_the_longest_counts() {
        assert_eq!(pause(&[("retry-after", "90")]), Some(90));
        let date = "Thu, 01 Jan 2026 00:02:00 GMT";
        assert_eq!(pause(&[("retry-after", date)]), Some(120));
        assert_eq!(pause(&[("x-ratelimit-retry-at", "1767225630")]), Some(30));
        let both = [
            ("retry-after", "10"),
            ("x-ratelimit-retry-at", "1767225630"),
        ];
        assert_eq!(pause(&both), Some(30));
    }

    #[test]
    fn absurd_values_are_clamped_and_past_ones_mean_no_pause() {
        let huge = "99999999999999999999999999";
        assert_eq!(pause(&[("retry-after", huge)]), Some(3600));
        assert_eq!(pause(&[("x-ratelimit-retry-at", huge)]), Some(3600));
        assert_eq!(pause(&[("x-ratelimit-retry-at", "0")]), Some(0));
        let past = "Thu, 01 Jan 1970 00:00:00 GMT";
        assert_eq!(pause(&[("retry-after", past)]), Some(0));
    }

    #[test]
    fn what_cannot_be_read_is_as_if_not_sent() {
        for text in ["-5", "soon", "", "1.5"] {
            assert_eq!(pause(&[("retry-after", text)]), None, "{text}");
        }
    }
}
