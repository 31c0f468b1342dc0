//! What of a run is news: decided from its report and from what was told before.

use std::collections::BTreeMap;

use chrono::TimeDelta;
use futures::future::join_all;

use super::event::Event;
use super::message::{Audience, Message};
use super::receiver::{Receiver, Receivers};
use crate::clients::{TOKEN_ENDS_SOON, opsera_token_expires_at};
use crate::domain::text::error_chain;
use crate::domain::{Mode, Outcome, Report, time::Timestamp};
use crate::reconcile::Context;
use crate::store::{Notification, Store, StoreError, Trouble};

/// A finding that was away for so long is news again.
const FORGOTTEN_AFTER: TimeDelta = TimeDelta::days(7);

/// A refusal that rests is told again after so long: it needs a person, and one reminder a day.
const REFUSED_AGAIN_AFTER: TimeDelta = TimeDelta::hours(24);
/// The subject of what Opsera refuses.
const REFUSED: &str = "refused";
/// The subject of Opsera's token, which ends soon.
const TOKEN: &str = "token";
/// The subject of the findings.
const FINDINGS: &str = "findings";
/// New findings are told together, once in so long.
const FINDINGS_AGAIN_AFTER: TimeDelta = TimeDelta::hours(24);
/// A token that ends soon is told of again after so long.
const TOKEN_AGAIN_AFTER: TimeDelta = TimeDelta::hours(24);

/// What one receiver was told, by subject.
type Troubles = BTreeMap<String, Timestamp>;

/// What this process told each receiver while the store could not remember it.
#[derive(Debug, Default)]
pub(super) struct Notified {
    receivers: BTreeMap<String, Troubles>,
}

/// Tells everybody who is to be told what of this run is news. Whatever goes wrong ends in the log.
pub async fn notify(context: &Context, report: &Report) {
    notify_with(context, report, &mut Notified::default()).await;
}

pub(super) async fn notify_with(context: &Context, report: &Report, memory: &mut Notified) {
    if report.mode == Mode::DryRun || !Receivers::are_set(&context.settings) {
        return;
    }
    let receivers = match Receivers::new(&context.settings, context.clock.clone()) {
        Ok(receivers) => receivers,
        Err(error) => {
            tracing::warn!("nobody is told: {}", error_chain(&error));
            return;
        }
    };
    let path = &context.settings.store.path;
    let store = match Store::open_existing(path, &*context.clock).await {
        Ok(store) => Some(store),
        Err(error) => {
            tracing::debug!("what was told is not in the store: {}", error_chain(&error));
            None
        }
    };
    // At the same time, so that one that is slow keeps nobody else waiting.
    let told = receivers.iter().map(|receiver| {
        let id = receiver.id();
        let troubles = memory.receivers.remove(&id).unwrap_or_default();
        let alerts = Alerts {
            context,
            report,
            receiver,
            id,
            store: store.as_ref(),
        };
        alerts.tell(troubles)
    });
    memory.receivers = join_all(told).await.into_iter().collect();
    if let Some(store) = store {
        store.close().await;
    }
}

/// What one receiver is told.
struct Alerts<'n> {
    context: &'n Context,
    report: &'n Report,
    receiver: Receiver<'n>,
    /// The receiver's name in the store.
    id: String,
    store: Option<&'n Store>,
}

impl Alerts<'_> {
    /// Tells it what is news; gives back what this process remembers of it.
    async fn tell(self, mut memory: Troubles) -> (String, Troubles) {
        if let Err(error) = self.notify(&mut memory).await {
            tracing::warn!(
                "what {} was told cannot be remembered: {}",
                self.receiver,
                error_chain(&error)
            );
        }
        (self.id, memory)
    }

    async fn notify(&self, memory: &mut Troubles) -> Result<(), StoreError> {
        let now = self.context.clock.now();
        let mut troubles = match self.store {
            Some(store) => store.list_troubles(&self.id).await?,
            None => Vec::new(),
        };
        troubles.extend(memory.iter().map(|(subject, told_at)| Trouble {
            subject: subject.clone(),
            told_at: *told_at,
        }));
        if let Some((event, subject)) = event(self.report, &troubles, self.repeat_after(), now)
            && self.send(event).await
        {
            match event {
                Event::Recovered => {
                    memory.retain(|subject, _| [REFUSED, TOKEN].contains(&subject.as_str()));
                    self.note(Notification::Recovery, now).await?;
                    if self.report.summary.refused == 0 {
                        memory.remove(REFUSED);
                        self.note(Notification::NothingRefused, now).await?;
                    }
                }
                // All else is done: what was told before is over.
                Event::Refused => {
                    memory.retain(|subject, _| subject == TOKEN);
                    memory.insert(subject.clone(), now);
                    self.note(Notification::Recovery, now).await?;
                    self.note(Notification::Trouble(&subject), now).await?;
                }
                Event::Held
                | Event::Failed
                | Event::Partial
                | Event::TokenEnds { .. }
                | Event::TokenRenewed
                | Event::NewFindings(_) => {
                    memory.insert(subject.clone(), now);
                    self.note(Notification::Trouble(&subject), now).await?;
                }
            }
        }
        self.tell_token_end(&troubles, memory, now).await?;
        match self.report.outcome {
            // A run that did not come to its end saw no findings, or not all of them.
            Outcome::Failed => Ok(()),
            Outcome::InSync
            | Outcome::ChangesPending
            | Outcome::Applied
            | Outcome::Held
            | Outcome::Partial => self.tell_findings(&troubles, now).await,
        }
    }

    /// Once a day, from two weeks before Opsera's token ends until it is renewed.
    async fn tell_token_end(
        &self,
        troubles: &[Trouble],
        memory: &mut Troubles,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        let mut told = troubles.iter().filter(|trouble| trouble.subject == TOKEN);
        let ends = opsera_token_expires_at(&self.context.settings.opsera);
        let Some(at) = ends.filter(|at| *at - now < TOKEN_ENDS_SOON) else {
            if told.next().is_some() && self.send(Event::TokenRenewed).await {
                memory.remove(TOKEN);
                self.note(Notification::TokenRenewed, now).await?;
            }
            return Ok(());
        };
        let told_lately = told.any(|trouble| now - trouble.told_at < TOKEN_AGAIN_AFTER);
        if !told_lately && self.send(Event::TokenEnds { at, now }).await {
            memory.insert(TOKEN.to_owned(), now);
            self.note(Notification::Trouble(TOKEN), now).await?;
        }
        Ok(())
    }

    async fn tell_findings(&self, troubles: &[Trouble], now: Timestamp) -> Result<(), StoreError> {
        let Some(store) = self.store else {
            return Ok(());
        };
        let present = &self.report.findings;
        store
            .keep_told_findings(&self.id, present, now - FORGOTTEN_AFTER, now)
            .await?;
        let told_lately = troubles.iter().any(|trouble| {
            trouble.subject == FINDINGS && now - trouble.told_at < FINDINGS_AGAIN_AFTER
        });
        if told_lately {
            return Ok(());
        }
        let mut untold = store.list_untold(&self.id, present).await?;
        // An account that this program created waits for its first sign-in: no news. Should it
        // become inactive later, that is.
        let pending = untold.iter().filter(|f| f.may_await_first_sign_in());
        let pending: Vec<&str> = pending.map(|f| f.email.as_str()).collect();
        if !pending.is_empty() {
            let created = store.list_created(&pending).await?;
            untold.retain(|f| !(f.may_await_first_sign_in() && created.contains_key(&f.email)));
        }
        if !untold.is_empty() && self.send(Event::NewFindings(&untold)).await {
            self.note(Notification::Findings(&untold), now).await?;
            self.note(Notification::Trouble(FINDINGS), now).await?;
        }
        Ok(())
    }

    async fn note(&self, told: Notification<'_>, now: Timestamp) -> Result<(), StoreError> {
        match self.store {
            Some(store) => store.note_told(&self.id, told, now).await,
            None => Ok(()),
        }
    }

    async fn send(&self, event: Event<'_>) -> bool {
        let settings = &self.context.settings;
        let audience = Audience {
            team: &settings.opa.team,
            include_people: settings.notify.include_people,
            approval_ttl: settings.policy.guards.approval_ttl,
        };
        let message = Message::new(audience, event, self.report);
        match self.receiver.send(&message).await {
            Ok(()) => true,
            Err(error) => {
                tracing::warn!(
                    event = event.name(),
                    "{} was not told, the next run tries again: {}",
                    self.receiver,
                    error_chain(&error)
                );
                false
            }
        }
    }

    fn repeat_after(&self) -> TimeDelta {
        TimeDelta::from_std(self.context.settings.notify.repeat_after).unwrap_or(TimeDelta::MAX)
    }
}

/// How the run's end is news, and under which subject it is remembered.
fn event(
    report: &Report,
    troubles: &[Trouble],
    repeat_after: TimeDelta,
    now: Timestamp,
) -> Option<(Event<'static>, String)> {
    let (event, subject) = match report.outcome {
        Outcome::Held => {
            let plan = report.plan_id.as_ref().map_or("", |plan| plan.as_str());
            (Event::Held, format!("held:{plan}"))
        }
        Outcome::Failed => (Event::Failed, "failed".to_owned()),
        Outcome::Partial => (Event::Partial, "partial".to_owned()),
        Outcome::InSync | Outcome::Applied | Outcome::ChangesPending => {
            return well(report, troubles, now).map(|event| (event, REFUSED.to_owned()));
        }
    };
    let told_lately = troubles
        .iter()
        .any(|trouble| trouble.subject == subject && now - trouble.told_at < repeat_after);
    (!told_lately).then_some((event, subject))
}

/// What of a run that did all it could is news.
fn well(report: &Report, troubles: &[Trouble], now: Timestamp) -> Option<Event<'static>> {
    let told_lately = troubles
        .iter()
        .any(|trouble| trouble.subject == REFUSED && now - trouble.told_at < REFUSED_AGAIN_AFTER);
    let is_refused = report.summary.refused > 0;
    if is_refused && !told_lately {
        return Some(Event::Refused);
    }
    let is_over = |trouble: &Trouble| match trouble.subject.as_str() {
        TOKEN | FINDINGS => false,
        REFUSED => !is_refused,
        _ => true,
    };
    troubles.iter().any(is_over).then_some(Event::Recovered)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::KindSet;
    use crate::domain::Progress;
    use crate::domain::{PlanId, RunId};
    use crate::reconcile::{RunRequest, failed_before_start};
    use tokio_util::sync::CancellationToken;

    fn at(hour: u32) -> Timestamp {
        let midnight: Timestamp = "2026-01-01T00:00:00Z".parse().unwrap();
        midnight + TimeDelta::hours(i64::from(hour))
    }

    fn report(outcome: Outcome, plan: &str) -> Report {
        let request = RunRequest {
            id: RunId::new("run"),
            mode: Mode::Apply,
            kinds: KindSet::all(),
            people: None,
            stop: CancellationToken::new(),
            progress: Progress::silent(),
        };
        Report {
            outcome,
            plan_id: Some(PlanId::new(plan)),
            ..failed_before_start(&request, at(0), at(0), "broken".to_owned())
        }
    }

    fn told(subject: &str, hour: u32) -> Trouble {
        Trouble {
            subject: subject.to_owned(),
            told_at: at(hour),
        }
    }

    fn name(report: &Report, troubles: &[Trouble], hour: u32) -> Option<&'static str> {
        let repeat_after = TimeDelta::hours(4);
        event(report, troubles, repeat_after, at(hour)).map(|(event, _)| event.name())
    }

    #[test]
    fn the_same_trouble_is_told_again_only_after_a_while() {
        let failed = report(Outcome::Failed, "");
        assert_eq!(name(&failed, &[], 1), Some("failed"));
        assert_eq!(name(&failed, &[told("failed", 1)], 4), None);
        assert_eq!(name(&failed, &[told("failed", 1)], 5), Some("failed"));
    }

    #[test]
    fn another_plan_and_another_trouble_are_news() {
        let held = report(Outcome::Held, "bbb");
        assert_eq!(name(&held, &[told("held:bbb", 1)], 2), None);
        assert_eq!(name(&held, &[told("held:aaa", 1)], 2), Some("held"));
        assert_eq!(
            name(&report(Outcome::Partial, ""), &[told("failed", 1)], 2),
            Some("partial")
        );
    }

    #[test]
    fn only_the_first_good_run_after_a_bad_one_is_a_recovery() {
        let good = report(Outcome::InSync, "");
        assert_eq!(name(&good, &[told("partial", 1)], 2), Some("recovered"));
        assert_eq!(name(&good, &[], 2), None);
    }

    #[test]
    fn a_refusal_that_rests_is_told_once_a_day_and_ends_with_a_recovery() {
        let mut resting = report(Outcome::InSync, "");
        resting.summary.refused = 2;
        assert_eq!(name(&resting, &[], 1), Some("refused"));
        // The run that was refused first was partial: that is over, the refusal is not.
        assert_eq!(name(&resting, &[told("partial", 1)], 2), Some("refused"));
        assert_eq!(name(&resting, &[told("refused", 1)], 23), None);
        assert_eq!(name(&resting, &[told("refused", 1)], 24), None);
        assert_eq!(name(&resting, &[told("refused", 1)], 25), Some("refused"));
        let failed_between = [told("failed", 3), told("refused", 1)];
        assert_eq!(name(&resting, &failed_between, 4), Some("recovered"));
        let done = report(Outcome::Applied, "");
        assert_eq!(name(&done, &[told("refused", 1)], 2), Some("recovered"));
    }
}
