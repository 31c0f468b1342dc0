//! Ids as people type them: the beginning is enough where no other id begins in that way (§10).

use super::{Store, StoreError};
use crate::domain::{PlanId, RunId};

/// Ids that are told where a beginning fits several.
const TOLD: usize = 5;

/// What an id, or the beginning of one, names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum IdMatch<T> {
    /// This one.
    One(T),
    /// No id begins in that way.
    Nothing,
    /// Several ids do; the first few of them.
    Several(Vec<T>),
}

impl Store {
    /// The held plan that `given` names.
    ///
    /// # Errors
    /// The store cannot be read.
    pub async fn match_plan_id(&self, given: &str) -> Result<IdMatch<PlanId>, StoreError> {
        let query = "SELECT id FROM plans WHERE id >= ?1 AND id < ?2 ORDER BY id LIMIT ?3";
        self.match_id(query, given, PlanId::new).await
    }

    /// The run that `given` names: any that is in the audit log, also when the run itself is no
    /// longer kept.
    ///
    /// # Errors
    /// The store cannot be read.
    pub async fn match_run_id(&self, given: &str) -> Result<IdMatch<RunId>, StoreError> {
        let query = "SELECT DISTINCT run_id FROM audit WHERE run_id >= ?1 AND run_id < ?2
             ORDER BY run_id LIMIT ?3";
        self.match_id(query, given, RunId::new).await
    }

    async fn match_id<T>(
        &self,
        query: &'static str,
        given: &str,
        named: impl Fn(String) -> T,
    ) -> Result<IdMatch<T>, StoreError> {
        if given.is_empty() {
            return Ok(IdMatch::Nothing);
        }
        let ids: Vec<String> = sqlx::query_scalar(query)
            .bind(given)
            .bind(format!("{given}\u{10ffff}"))
            .bind(i64::try_from(TOLD).unwrap_or(i64::MAX))
            .fetch_all(self.reader())
            .await?;
        // The whole id comes first: it is the smallest text that begins with itself.
        let is_whole = ids.first().is_some_and(|first| first == given);
        let mut ids = ids.into_iter().map(named);
        Ok(match (ids.next(), is_whole || ids.len() == 0) {
            (None, _) => IdMatch::Nothing,
            (Some(one), true) => IdMatch::One(one),
            (Some(first), false) => IdMatch::Several(std::iter::once(first).chain(ids).collect()),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::audit::{Actor, AuditWriter};
    use crate::domain::time::SystemClock;
    use crate::domain::{KindSet, Mode};
    use crate::store::RunLimits;

    #[tokio::test]
    async fn the_beginning_of_an_id_is_enough_where_it_is_the_only_one() {
        let directory = tempfile::tempdir().unwrap();
        let clock = SystemClock::shared();
        let store = Store::open(&directory.path().join("s.db"), &*clock)
            .await
            .unwrap();
        let audit_writer = AuditWriter {
            clock: clock.clone(),
            actor: Actor::of_this_process(),
            key: None,
        };
        let limits = RunLimits {
            kinds: &KindSet::all(),
            people: None,
        };
        for id in ["ab", "abc1", "abc2", "b%1"] {
            let (run, now) = (RunId::new(id), clock.now());
            store
                .begin_run(&audit_writer, &run, Mode::DryRun, limits, now)
                .await
                .unwrap();
        }
        let matched = async |given: &str| store.match_run_id(given).await.unwrap();
        let one = |id: &str| IdMatch::One(RunId::new(id));
        assert_eq!(matched("abc1").await, one("abc1"));
        assert_eq!(matched("ab").await, one("ab"), "the whole id wins");
        assert_eq!(matched("b").await, one("b%1"));
        assert_eq!(
            matched("abc").await,
            IdMatch::Several(vec![RunId::new("abc1"), RunId::new("abc2")])
        );
        for nothing in ["", "c", "abc1 ", "%", "a%", "ABC1"] {
            assert_eq!(matched(nothing).await, IdMatch::Nothing, "{nothing}");
        }
        assert_eq!(store.match_plan_id("ab").await.unwrap(), IdMatch::Nothing);
        store.close().await;
    }
}
