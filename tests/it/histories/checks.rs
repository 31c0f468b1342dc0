//! What is checked after each run: the plan, who went and who stayed, the audit log.

use std::collections::BTreeMap;

use rolecall::audit::Event;
use rolecall::domain::{ActionStatus, Report, time::Timestamp};
use rolecall::store::audit::AuditFilter;

use super::History;
use crate::model::Org;
use crate::model::decide::{Plan, Pulled};
use crate::model::memory::Memory;

impl History {
    pub(super) fn compare(expected: &Plan, report: &Report, calm: bool) -> Result<(), String> {
        let model: Vec<String> = expected
            .actions
            .iter()
            .map(|a| {
                let subject = a.id.clone().unwrap_or_else(|| a.email.clone());
                format!("{} {subject} {:?}→{:?}", a.kind, a.from, a.to)
            })
            .collect();
        let program: Vec<String> = report
            .actions
            .iter()
            .map(|a| {
                let subject = a
                    .opsera_id
                    .as_ref()
                    .map_or(a.email.clone(), ToString::to_string);
                format!("{} {subject} {:?}→{:?}", a.kind, a.from, a.to)
            })
            .collect();
        if model != program {
            return Err(format!(
                "model {model:#?} {:#?}\nprogram {program:#?} {:#?}",
                expected.findings, report.findings
            ));
        }
        let guards: Vec<_> = report
            .guards
            .iter()
            .map(|g| (g.guard.as_str(), g.actual, g.held))
            .collect();
        if expected.guards != guards {
            return Err(format!("model {:?}\nprogram {guards:?}", expected.guards));
        }
        let mut findings: Vec<(&str, String)> = report
            .findings
            .iter()
            .map(|f| (f.kind.as_str(), f.email.clone()))
            .filter(|(kind, _)| *kind != "inconsistent_listing")
            .collect();
        findings.sort();
        findings.dedup();
        // A look-up that failed is left to the next run, so this one may not tell of the leaver.
        let mut wanted = expected.findings.clone();
        wanted.retain(|one| calm || one.0 != "pending_leaver" || findings.contains(one));
        if wanted != findings {
            return Err(format!("model {wanted:?}\nprogram {findings:?}"));
        }
        let waiting = report.waiting.len();
        if expected.waiting.len() != waiting {
            return Err(format!(
                "model {:?}\nprogram {:?}",
                expected.waiting, report.waiting
            ));
        }
        Ok(())
    }

    #[expect(clippy::too_many_lines, reason = "one pass over the leavers")]
    /// Everybody who is due is gone, but for those the last look speaks for.
    pub(super) fn after_apply(
        &mut self,
        org: &Org,
        memory: &Memory,
        expected: &Plan,
        report: &Report,
        calm: bool,
        tally: &mut BTreeMap<&'static str, u64>,
    ) -> Result<(), String> {
        let truth = self.world.truth();
        // As it was before the run.
        let pulled = Pulled::of(org, &self.rules, memory);
        let rules = self.rules.clone();
        let spoken_for = |key: &str, evidence: &str| {
            let way = memory.way(key, &pulled).ids;
            let has_now = |id: &str| {
                let mut people = pulled.people.iter();
                people.any(|p| p.human.id == id && p.counts_under().is_some_and(|k| k == key))
            };
            let concerns = |human: &&crate::model::Human| {
                let own = human
                    .email
                    .as_deref()
                    .and_then(crate::model::address::canonical);
                let own_key = own.map(|a| crate::model::address::opa_key(&rules, &a));
                let ever = memory.ever_had(key, &human.id);
                let concerned = way.contains(&human.id)
                    || has_now(&human.id)
                    || ever && own_key.as_deref().is_none_or(|k| k == key);
                let strange = !["ACTIVE", "DISABLED", "DELETED"].contains(&human.status.as_str());
                let back = human.status == "ACTIVE"
                    && (evidence != "not_in_required_group"
                        || human.groups.iter().any(|g| rules.required.contains(g)));
                concerned && !human.service && (back || strange)
            };
            truth.people.iter().filter(concerns).collect::<Vec<_>>()
        };
        let leavers: Vec<_> = expected
            .actions
            .iter()
            .filter(|a| a.kind == "deactivate")
            .collect();
        let distrusted = leavers.iter().any(|a| {
            spoken_for(&a.key, &a.reason).iter().any(|human| {
                human.status == "ACTIVE" && !pulled.people.iter().any(|p| p.human.id == human.id)
            })
        });
        *tally.entry("inconsistent").or_default() += u64::from(distrusted);
        for action in &report.actions {
            let subject = action
                .opsera_id
                .as_ref()
                .map_or(action.email.clone(), ToString::to_string);
            let role = action.to.clone().unwrap_or_default();
            match action.status {
                ActionStatus::Succeeded | ActionStatus::Already => {
                    self.approvals
                        .done(&format!("{} {subject} {role}", action.kind));
                }
                ActionStatus::Skipped => *tally.entry("skipped").or_default() += 1,
                _ => {}
            }
        }
        for leaver in leavers {
            let id = leaver.id.clone().unwrap();
            let gone = truth
                .accounts
                .iter()
                .any(|a| a.id == id && a.life == crate::model::Life::Inactive);
            let refused = self
                .refused
                .get(&id)
                .is_some_and(|until| report.started_at < *until);
            let wanted = !refused
                && spoken_for(&leaver.key, &leaver.reason).is_empty()
                && !(distrusted && leaver.reason == "absent");
            if calm && gone != wanted {
                return Err(format!(
                    "{} gone: {gone}, and should be: {wanted}",
                    leaver.email
                ));
            }
            let told = report
                .actions
                .iter()
                .find(|a| a.opsera_id.as_ref().is_some_and(|o| o.as_str() == id))
                .map(|a| a.status);
            let sent_here = self.witness.effective(&id);
            match told {
                Some(ActionStatus::Succeeded) => {
                    if !gone {
                        return Err(format!("{} is said to be gone", leaver.email));
                    }
                    self.memory.deactivated.push(report.finished_at);
                    *tally.entry("deactivated").or_default() += 1;
                }
                _ if sent_here => self.unsettled.push(id),
                _ => {}
            }
        }
        if calm
            && distrusted
                != report
                    .findings
                    .iter()
                    .any(|f| f.kind.as_str() == "inconsistent_listing")
        {
            return Err(format!(
                "inconsistent_listing should be {distrusted}: {:?}",
                report.findings
            ));
        }
        Ok(())
    }

    /// When the pull was complete; `None`: it never was.
    pub(super) async fn pulled_at(&self, report: &Report) -> Option<Timestamp> {
        let store = self.world.store().await;
        let filter = AuditFilter {
            run: Some(report.run_id.clone()),
            event: Some(Event::PullCompleted),
            ..AuditFilter::default()
        };
        let entries = store.list_audit(&filter).await.unwrap();
        store.close().await;
        entries.first().map(|entry| entry.at.parse().unwrap())
    }

    /// The chain holds, and every write was announced before it was sent.
    pub(super) async fn check_audit(&self, report: &Report) -> Result<(), String> {
        if !self.world.audit_holds().await {
            return Err("the audit chain is broken".to_owned());
        }
        let store = self.world.store().await;
        let filter = AuditFilter {
            run: Some(report.run_id.clone()),
            event: Some(Event::ActionStarted),
            ..AuditFilter::default()
        };
        let announced = store.list_audit(&filter).await.unwrap();
        store.close().await;
        let writes = self.world.sandbox.journal().writes();
        if announced.len() < writes.len() {
            return Err(format!(
                "{} writes, {} announced",
                writes.len(),
                announced.len()
            ));
        }
        // A request may be announced and never arrive; the order is the same.
        let mut entries = announced.iter();
        for write in &writes {
            let fits = |entry: &&rolecall::audit::HashedEntry| {
                let at: Timestamp = entry.at.parse().unwrap();
                let subject = write.received.path.split('/').nth(2).unwrap_or_default();
                at <= write.received.at
                    && (entry.opsera_id.as_deref() == Some(subject)
                        || write.received.body.as_ref().is_some_and(|body| {
                            body["email"].is_string()
                                && body["email"].as_str() == entry.email.as_deref()
                        }))
            };
            if !entries.by_ref().any(|entry| fits(&entry)) {
                return Err(format!("not announced: {:?}", write.received));
            }
        }
        Ok(())
    }
}
