//! What each receiver of messages has been told: it must be known after a restart, too.

use std::collections::{BTreeMap, BTreeSet};

use super::fields::Fields;
use super::{Store, StoreError};
use crate::domain::{Finding, RunId, time::Timestamp, time::format_time};
use serde_json::json;

/// A trouble that was told and is not over.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Trouble {
    /// `failed`, `partial`, `refused`, `token`, `findings`, or `held:` and the plan.
    pub subject: String,
    /// When it was told last.
    pub told_at: Timestamp,
}

/// What a message told.
#[derive(Clone, Copy, Debug)]
pub enum Notification<'n> {
    /// A trouble, by its subject.
    Trouble(&'n str),
    /// That all is done but what Opsera refuses: no other trouble is left.
    Recovery,
    /// That Opsera refuses nothing any more.
    NothingRefused,
    /// That the token does not end soon.
    TokenRenewed,
    /// New findings.
    Findings(&'n [Finding]),
}

impl Store {
    /// Those of `keys` for whom this program created an account, with the run that did, as far as
    /// the queue still knows.
    pub async fn list_created(&self, keys: &[&str]) -> Result<BTreeMap<String, RunId>, StoreError> {
        let created: Vec<(String, String)> = sqlx::query_as(
            "SELECT key, run_id FROM actions WHERE kind = 'create' AND state = 'succeeded'
                 AND key IN (SELECT value FROM json_each(?1)) ORDER BY id",
        )
        .bind(json!(keys).to_string())
        .fetch_all(self.reader())
        .await?;
        Ok(created
            .into_iter()
            .map(|(key, run)| (key, RunId::new(run)))
            .collect())
    }

    /// The troubles that `receiver` was told and that are not over.
    pub async fn list_troubles(&self, receiver: &str) -> Result<Vec<Trouble>, StoreError> {
        sqlx::query(
            "SELECT subject, told_at FROM told_troubles WHERE receiver = ?1 ORDER BY subject",
        )
        .bind(receiver)
        .fetch_all(self.reader())
        .await?
        .iter()
        .map(|row| {
            let row = Fields::of(row, "told_troubles", "subject");
            Ok(Trouble {
                subject: row.get("subject")?,
                told_at: row.time("told_at")?,
            })
        })
        .collect()
    }

    /// Those of `findings` that `receiver` was not told of, each once.
    pub async fn list_untold(
        &self,
        receiver: &str,
        findings: &[Finding],
    ) -> Result<Vec<Finding>, StoreError> {
        let rows = sqlx::query(
            "SELECT json_extract(f.value, '$.kind') AS kind, json_extract(f.value, '$.email') AS email
             FROM json_each(?1) f
             WHERE NOT EXISTS (SELECT 1 FROM told_findings t
                               WHERE t.receiver = ?2
                                 AND t.kind = json_extract(f.value, '$.kind')
                                 AND t.email = json_extract(f.value, '$.email'))",
        )
        .bind(json!(findings).to_string())
        .bind(receiver)
        .fetch_all(self.reader())
        .await?;
        let mut untold: BTreeSet<(String, String)> = rows
            .iter()
            .map(|row| {
                let row = Fields::of(row, "told_findings", "email");
                Ok((row.get("kind")?, row.get("email")?))
            })
            .collect::<Result<_, StoreError>>()?;
        Ok(findings
            .iter()
            .filter(|finding| {
                untold.remove(&(finding.kind.as_str().to_owned(), finding.email.clone()))
            })
            .cloned()
            .collect())
    }

    /// Writes down what a message told `receiver`.
    pub async fn note_told(
        &self,
        receiver: &str,
        told: Notification<'_>,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        let mut tx = self.begin().await?;
        match told {
            Notification::Trouble(subject) => {
                sqlx::query(
                    "INSERT INTO told_troubles (receiver, subject, told_at) VALUES (?1, ?2, ?3)
                     ON CONFLICT (receiver, subject) DO UPDATE SET told_at = excluded.told_at",
                )
                .bind(receiver)
                .bind(subject)
                .bind(format_time(now))
                .execute(&mut *tx)
                .await?;
            }
            Notification::Recovery => {
                sqlx::query(
                    "DELETE FROM told_troubles
                     WHERE receiver = ?1 AND subject NOT IN ('refused', 'token', 'findings')",
                )
                .bind(receiver)
                .execute(&mut *tx)
                .await?;
            }
            Notification::NothingRefused => {
                sqlx::query(
                    "DELETE FROM told_troubles WHERE receiver = ?1 AND subject = 'refused'",
                )
                .bind(receiver)
                .execute(&mut *tx)
                .await?;
            }
            Notification::TokenRenewed => {
                sqlx::query("DELETE FROM told_troubles WHERE receiver = ?1 AND subject = 'token'")
                    .bind(receiver)
                    .execute(&mut *tx)
                    .await?;
            }
            Notification::Findings(findings) => {
                sqlx::query(
                    "INSERT INTO told_findings (receiver, kind, email, seen_at)
                     SELECT ?3, json_extract(f.value, '$.kind'), json_extract(f.value, '$.email'), ?2
                     FROM json_each(?1) f WHERE true
                     ON CONFLICT (receiver, kind, email) DO UPDATE SET seen_at = excluded.seen_at",
                )
                .bind(json!(findings).to_string())
                .bind(format_time(now))
                .bind(receiver)
                .execute(&mut *tx)
                .await?;
            }
        }
        self.commit(tx).await
    }

    /// Notes which findings that `receiver` was told of are still there, and forgets those not seen
    /// since `oldest`.
    pub async fn keep_told_findings(
        &self,
        receiver: &str,
        present: &[Finding],
        oldest: Timestamp,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        let mut tx = self.begin().await?;
        sqlx::query(
            "UPDATE told_findings SET seen_at = ?2
             WHERE receiver = ?3 AND (kind, email) IN (SELECT json_extract(value, '$.kind'), json_extract(value, '$.email')
                                     FROM json_each(?1))",
        )
        .bind(json!(present).to_string())
        .bind(format_time(now))
        .bind(receiver)
        .execute(&mut *tx)
        .await?;
        sqlx::query("DELETE FROM told_findings WHERE receiver = ?2 AND seen_at < ?1")
            .bind(format_time(oldest))
            .bind(receiver)
            .execute(&mut *tx)
            .await?;
        self.commit(tx).await
    }
}
