//! Which Team and which Opsera a store belongs to.
//!
//! A store that meets another Team would take everybody it knows for a leaver.

use url::Url;

use super::{Store, StoreError, StorePath};
use crate::domain::base_url::{self, BaseUrl};

/// What a store is bound to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Installation {
    /// `opa.team`
    pub team: String,
    /// Scheme, host and port of `opa.base_url`.
    pub opa_origin: String,
    /// Scheme, host and port of `opsera.base_url`.
    pub opsera_origin: String,
}

impl Installation {
    /// The installation that these settings speak of.
    pub fn new(team: &str, opa: &BaseUrl, opsera: &BaseUrl) -> Self {
        Self {
            team: team.to_owned(),
            opa_origin: opa.as_url().origin().ascii_serialization(),
            opsera_origin: opsera.as_url().origin().ascii_serialization(),
        }
    }

    fn facts(&self) -> [Fact<'_>; 3] {
        [
            Fact {
                key: "team",
                what: "the OPA Team",
                value: &self.team,
                same: |recorded, configured| recorded.to_lowercase() == configured.to_lowercase(),
            },
            Fact {
                key: "opa_origin",
                what: "the OPA at",
                value: &self.opa_origin,
                same: same_origin,
            },
            Fact {
                key: "opsera_origin",
                what: "the Opsera at",
                value: &self.opsera_origin,
                same: same_origin,
            },
        ]
    }
}

struct Fact<'a> {
    key: &'static str,
    what: &'static str,
    value: &'a str,
    same: fn(&str, &str) -> bool,
}

/// Loopback is the sandbox, whose ports change with every start: one is as good as another, but
/// none is the real thing.
fn same_origin(recorded: &str, configured: &str) -> bool {
    recorded == configured || (is_loopback(recorded) && is_loopback(configured))
}

fn is_loopback(origin: &str) -> bool {
    Url::parse(origin).is_ok_and(|url| base_url::is_loopback(&url))
}

impl Store {
    /// Compares the installation with what is written down, and writes nothing.
    ///
    /// # Errors
    /// [`StoreError::OtherInstallation`] for another Team or another origin.
    pub async fn check_installation(&self, installation: &Installation) -> Result<(), StoreError> {
        for fact in installation.facts() {
            let recorded: Option<String> =
                sqlx::query_scalar("SELECT value FROM meta WHERE key = ?")
                    .bind(fact.key)
                    .fetch_optional(self.reader())
                    .await
                    .map_err(|error| self.explain(error))?;
            if let Some(recorded) = recorded {
                self.compare_fact(&fact, recorded)?;
            }
        }
        Ok(())
    }

    /// Writes the installation down when the store is new, and compares it ever after.
    ///
    /// # Errors
    /// [`StoreError::OtherInstallation`] for another Team or another origin.
    pub async fn bind(&self, installation: &Installation) -> Result<(), StoreError> {
        let mut transaction = self.begin().await?;
        for fact in installation.facts() {
            let recorded: Option<String> =
                sqlx::query_scalar("SELECT value FROM meta WHERE key = ?")
                    .bind(fact.key)
                    .fetch_optional(&mut *transaction)
                    .await
                    .map_err(|error| self.explain(error))?;
            match recorded {
                None => {
                    sqlx::query("INSERT INTO meta (key, value) VALUES (?, ?)")
                        .bind(fact.key)
                        .bind(fact.value)
                        .execute(&mut *transaction)
                        .await
                        .map_err(|error| self.explain(error))?;
                }
                Some(recorded) => self.compare_fact(&fact, recorded)?,
            }
        }
        self.commit(transaction).await
    }

    fn compare_fact(&self, fact: &Fact<'_>, recorded: String) -> Result<(), StoreError> {
        if (fact.same)(&recorded, fact.value) {
            return Ok(());
        }
        Err(StoreError::OtherInstallation {
            place: StorePath::from(self.path()),
            what: fact.what,
            recorded,
            configured: fact.value.to_owned(),
        })
    }
}
