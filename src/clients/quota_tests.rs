//! Simulated hours: a server with a quota, our client, and somebody else who uses it too.

use std::sync::Arc;

use super::*;
use crate::clients::rate_limit::RateLimiter;
use crate::domain::time::{Clock as _, ManualClock};

const PERIOD: u64 = 3600;

/// A server that counts, on the clock of the test.
struct Server {
    clock: Arc<ManualClock>,
    limit: u64,
    period: u64,
    used: u64,
    /// Requests a second of the other client.
    others: f64,
    refused: u64,
    others_used: u64,
}

impl Server {
    fn new(clock: Arc<ManualClock>, limit: u64, others: f64) -> Self {
        Self {
            clock,
            limit,
            period: 0,
            used: 0,
            others,
            refused: 0,
            others_used: 0,
        }
    }

    #[expect(
        clippy::as_conversions,
        clippy::cast_possible_truncation,
        clippy::cast_precision_loss,
        clippy::cast_sign_loss,
        reason = "a small number of seconds"
    )]
    fn answer(&mut self) -> HeaderMap {
        let now = self.clock.monotonic().as_secs();
        if now / PERIOD != self.period {
            (self.period, self.used, self.others_used) = (now / PERIOD, 0, 0);
        }
        let others = ((now % PERIOD) as f64 * self.others) as u64;
        self.used += others - self.others_used;
        self.others_used = others;
        self.used += 1;
        self.refused += u64::from(self.used > self.limit);
        let reset = (self.period + 1) * PERIOD;
        [
            (LIMIT, self.limit),
            (REMAINING, self.limit.saturating_sub(self.used)),
            (RESET, reset),
        ]
        .into_iter()
        .map(|(name, value)| (name.parse().unwrap(), value.into()))
        .collect()
    }
}

/// Sends `requests` and gives the monotonic time of each.
async fn pull(server: &mut Server, requests: u64, expected: u64) -> Vec<Duration> {
    let clock = server.clock.clone();
    let limiter = RateLimiter::new(clock.clone(), 10.0, 10)
        .unwrap()
        .with_quota(20);
    limiter.quota().unwrap().expect(expected);
    let mut times = Vec::new();
    for _ in 0..requests {
        limiter.wait(None).await.unwrap();
        times.push(clock.monotonic());
        limiter.quota().unwrap().note_answer(&server.answer());
    }
    times
}

fn in_each_minute(times: &[Duration], until: u64) -> Vec<usize> {
    (0..until / 60)
        .map(|minute| {
            times
                .iter()
                .filter(|at| at.as_secs() / 60 == minute)
                .count()
        })
        .collect()
}

#[tokio::test]
async fn a_pull_that_needs_more_than_is_left_runs_at_an_even_pace_beside_a_busy_other_client() {
    let clock = ManualClock::at(Timestamp::UNIX_EPOCH);
    // The other one eats half of the 10,000 within the hour.
    let mut server = Server::new(clock.clone(), 10_000, 5000.0 / 3600.0);
    let times = pull(&mut server, 9000, 9000).await;
    assert_eq!(server.refused, 0, "no 429 of our own making");
    assert_eq!(times.len(), 9000, "the pull ends");
    let minutes = in_each_minute(&times, PERIOD);
    let (least, most) = (minutes[2..].iter().min(), minutes[2..].iter().max());
    assert!(
        least >= Some(&40) && most <= Some(&65),
        "an even pace in every minute: {minutes:?}"
    );
    let reserve_left = 10_000 - minutes.iter().sum::<usize>() - 5000;
    assert!((1900..2300).contains(&reserve_left), "{reserve_left}");
}

#[tokio::test]
async fn a_pull_of_unknown_size_meets_no_429_either() {
    let clock = ManualClock::at(Timestamp::UNIX_EPOCH);
    let mut server = Server::new(clock.clone(), 10_000, 5000.0 / 3600.0);
    let times = pull(&mut server, 9000, 0).await;
    assert_eq!((server.refused, times.len()), (0, 9000));
}

#[tokio::test]
async fn a_pull_that_fits_goes_at_the_configured_rate() {
    for expected in [0, 20] {
        let clock = ManualClock::at(Timestamp::UNIX_EPOCH);
        let mut server = Server::new(clock.clone(), 10_000, 0.0);
        server.used = 1000;
        let times = pull(&mut server, 20, expected).await;
        assert_eq!(times.last(), Some(&Duration::from_secs(1)), "{expected}");
    }
    let clock = ManualClock::at(Timestamp::UNIX_EPOCH);
    let mut server = Server::new(clock.clone(), 10_000, 0.0);
    let times = pull(&mut server, 6000, 6000).await;
    assert_eq!(times.last(), Some(&Duration::from_secs(599)), "it fits");
}

#[tokio::test]
async fn the_reserve_is_left_to_others_and_the_reset_is_waited_for() {
    let clock = ManualClock::at(Timestamp::UNIX_EPOCH);
    let mut server = Server::new(clock.clone(), 100, 0.0);
    server.used = 79;
    let times = pull(&mut server, 3, 0).await;
    assert!(times[1] >= Duration::from_secs(PERIOD), "{times:?}");
    assert_eq!(server.refused, 0);
}

#[test]
fn what_makes_no_sense_is_as_if_not_sent() {
    for (limit, remaining, reset) in [
        ("many", "1", "100"),
        ("10", "-1", "100"),
        ("10", "1", "0"),
        ("10", "1", "99999999999"),
    ] {
        let pacer = QuotaPacer::new(ManualClock::at(Timestamp::UNIX_EPOCH), 20);
        let headers = [(LIMIT, limit), (REMAINING, remaining), (RESET, reset)]
            .into_iter()
            .map(|(name, value)| (name.parse().unwrap(), value.parse().unwrap()))
            .collect();
        pacer.note_answer(&headers);
        assert_eq!((pacer.status(), pacer.wait()), (None, Duration::ZERO));
    }
}
