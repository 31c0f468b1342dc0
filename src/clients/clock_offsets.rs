//! How far the servers' clocks are from ours: the `Date` of every answer against our own clock,
//! corrected by half the time that the request took.
//!
//! Nobody's grace period may end by a clock that is wrong, so a run compares (§4). The median is
//! told, because one forged or delayed answer must not decide.

use std::collections::VecDeque;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use chrono::{DateTime, TimeDelta};
use reqwest::header::{DATE, HeaderMap};

use super::call::Api;
use crate::domain::time::Timestamp;

/// Answers of one directory that are kept: the latest, so that a clock that is set right during a
/// run is seen.
const KEPT: usize = 501;

/// A `Date` names a whole second; on average its answer was made half a second later.
const HALF_A_SECOND: TimeDelta = TimeDelta::milliseconds(500);

/// The offsets (the server's clock minus ours) that the answers of one run showed.
#[derive(Debug, Default)]
pub struct ClockOffsets {
    opa: Mutex<VecDeque<TimeDelta>>,
    opsera: Mutex<VecDeque<TimeDelta>>,
}

impl ClockOffsets {
    /// The median of all answers; `None` before the first one with a `Date`.
    pub fn median(&self) -> Option<TimeDelta> {
        let mut all = self.of(Api::Opa);
        all.append(&mut self.of(Api::Opsera));
        median(all)
    }

    /// The median of one directory's answers.
    pub fn median_of(&self, api: Api) -> Option<TimeDelta> {
        median(self.of(api))
    }

    /// Notes an answer that was here at `now` and took `took`.
    pub(super) fn note(&self, api: Api, headers: &HeaderMap, now: Timestamp, took: Duration) {
        let Some(date) = date_of(headers) else {
            return;
        };
        let Some(made_at) = TimeDelta::from_std(took / 2)
            .ok()
            .and_then(|half| now.checked_sub_signed(half))
        else {
            return;
        };
        let mut kept = self
            .list(api)
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        if kept.len() == KEPT {
            kept.pop_front();
        }
        kept.push_back(date - made_at + HALF_A_SECOND);
    }

    fn of(&self, api: Api) -> Vec<TimeDelta> {
        let kept = self
            .list(api)
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        kept.iter().copied().collect()
    }

    fn list(&self, api: Api) -> &Mutex<VecDeque<TimeDelta>> {
        match api {
            Api::Opa => &self.opa,
            Api::Opsera => &self.opsera,
        }
    }
}

/// The answer's own `Date`.
pub(super) fn date_of(headers: &HeaderMap) -> Option<Timestamp> {
    let text = headers.get(DATE)?.to_str().ok()?;
    httpdate::parse_http_date(text).ok().map(DateTime::from)
}

fn median(mut offsets: Vec<TimeDelta>) -> Option<TimeDelta> {
    offsets.sort_unstable();
    offsets.get(offsets.len() / 2).copied()
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Timestamp = Timestamp::UNIX_EPOCH;

    fn note(offsets: &ClockOffsets, api: Api, date: &'static str, took: u64) {
        let headers = [(DATE, date.parse().unwrap())].into_iter().collect();
        offsets.note(api, &headers, NOW, Duration::from_secs(took));
    }

    #[test]
    fn half_the_round_trip_is_not_the_clocks_fault() {
        let offsets = ClockOffsets::default();
        let date = "Thu, 01 Jan 1970 00:00:55 GMT".parse().unwrap();
        let now = NOW + TimeDelta::minutes(1);
        let headers = [(DATE, date)].into_iter().collect();
        offsets.note(Api::Opa, &headers, now, Duration::from_secs(10));
        assert_eq!(offsets.median(), Some(HALF_A_SECOND));
    }

    #[test]
    fn one_forged_date_among_three_decides_nothing() {
        let offsets = ClockOffsets::default();
        note(&offsets, Api::Opsera, "Thu, 01 Jan 1970 00:00:01 GMT", 0);
        note(&offsets, Api::Opsera, "Thu, 01 Jan 2100 00:00:01 GMT", 0);
        note(&offsets, Api::Opsera, "Thu, 01 Jan 1970 00:00:02 GMT", 0);
        assert_eq!(
            offsets.median_of(Api::Opsera),
            Some(TimeDelta::milliseconds(2500))
        );
        assert_eq!(offsets.median_of(Api::Opa), None);
    }

    #[test]
    fn an_answer_without_a_readable_date_is_not_counted() {
        let offsets = ClockOffsets::default();
        note(&offsets, Api::Opa, "yesterday", 0);
        offsets.note(Api::Opa, &HeaderMap::new(), NOW, Duration::ZERO);
        assert_eq!(offsets.median(), None);
    }
}
