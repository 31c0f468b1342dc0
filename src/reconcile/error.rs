//! Why a run could not be done.

use super::{CredentialRefusal, FailedOn};
use crate::audit::AuditError;
use crate::clients::{Api, CallError, ClientError};
use crate::domain::text::error_chain;
use crate::settings::Settings;
use crate::store::{LockError, StoreError};

/// Why a run could not be done (exit 1).
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// A directory client could not be made from the settings.
    #[error("the {api} client cannot be made from the settings")]
    Client {
        /// The directory.
        api: Api,
        /// Why.
        #[source]
        source: ClientError,
    },
    /// A directory could not be read to its end: nothing is planned (G0).
    #[error("the pull from {api} at {at} is incomplete, so nothing is planned")]
    Pull {
        /// The directory.
        api: Api,
        /// Where it is, and which setting says so.
        at: String,
        /// Why.
        #[source]
        source: CallError,
    },
    /// The settings need a group that the Team does not have (G0).
    #[error(
        "the pull is incomplete, so nothing is planned: scope.required_groups names {0:?}, and the \
         Team has no such group — correct the setting or create the group"
    )]
    NoRequiredGroup(String),
    /// An account could not be looked up while the plan was made.
    #[error("the plan could not be made: an account could not be looked up in Opsera")]
    LookUp(#[source] CallError),
    /// An account's earlier request could not be settled because the credential is refused.
    #[error("what came of an interrupted run's requests could not be read")]
    Settle(#[source] CallError),
    /// G0: the Team has more people than it listed.
    #[error(
        "OPA listed {listed} people, but counts {counted} (num_human_users of GET /team_stats): \
         the listing is incomplete, so nothing is planned"
    )]
    ShortTeamListing {
        /// Distinct humans of all statuses in the listings.
        listed: u64,
        /// The smaller of the counts before and after.
        counted: u64,
    },
    /// G0: Opsera lists nobody, but did.
    #[error(
        "Opsera listed no account, but {known} at the last complete reading: the listing is \
         incomplete, so nothing is planned; look at the token's organization in Opsera"
    )]
    NoAccounts {
        /// Accounts of the snapshot.
        known: u64,
    },
    /// G0: the account that reads the listing is not in it.
    #[error(
        "Opsera's listing does not have {owner} (opsera.token_owner): the listing is incomplete or \
         the setting is wrong, so nothing is planned"
    )]
    TokenOwnerNotListed {
        /// `opsera.token_owner`
        owner: String,
    },
    /// `--person` names somebody whom neither directory has.
    #[error("nobody knows {0} (--person): it is in neither listing and was never seen before")]
    UnknownPerson(String),
    /// The store.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The audit log cannot be continued.
    #[error(transparent)]
    Audit(#[from] AuditError),
    /// A credential stopped being accepted while the plan was applied (A5).
    #[error("{0}: the run stopped at once, the rest of the plan was not tried")]
    Unauthorized(CredentialRefusal),
    /// Somebody asked the program to stop (A10).
    #[error("interrupted: no new request was started, and everything that was sent is recorded")]
    Interrupted,
    /// The lock file could not be used.
    #[error(transparent)]
    Lock(#[from] LockError),
}

impl RunError {
    /// What the run failed on.
    pub fn failed_on(&self) -> FailedOn {
        match self {
            Self::Pull { source, .. } | Self::LookUp(source) | Self::Settle(source) => match source
            {
                CallError::Unauthorized { .. } => FailedOn::Credential,
                _ => FailedOn::Other,
            },
            Self::Unauthorized(_) => FailedOn::Credential,
            Self::Store(_) | Self::Audit(_) | Self::Lock(_) => FailedOn::Store,
            Self::UnknownPerson(_) => FailedOn::Request,
            Self::Client { .. }
            | Self::NoRequiredGroup(_)
            | Self::ShortTeamListing { .. }
            | Self::NoAccounts { .. }
            | Self::TokenOwnerNotListed { .. } => FailedOn::Other,
            Self::Interrupted => FailedOn::Interrupted,
        }
    }

    /// The whole chain of causes, and what to do about it where a call to a directory failed.
    pub fn explained(&self) -> String {
        let chain = error_chain(self);
        let remedy = match self {
            Self::Pull { source, .. } | Self::LookUp(source) | Self::Settle(source) => {
                source.remedy()
            }
            Self::Unauthorized(refusal) => refusal.remedy.clone(),
            _ => None,
        };
        match remedy {
            Some(remedy) => format!("{chain}. What to do: {remedy}"),
            None => chain,
        }
    }

    /// Says where the directory of a failed pull or the store is, for the reader to look there.
    pub(super) fn located(mut self, settings: &Settings) -> Self {
        if let Self::Store(error) = self {
            return Self::Store(error.at(&settings.store.path));
        }
        if let Self::Pull { api, at, .. } = &mut self {
            let (url, setting) = match api {
                Api::Opa => (&settings.opa.base_url, "opa.base_url"),
                Api::Opsera => (&settings.opsera.base_url, "opsera.base_url"),
            };
            *at = format!("{} ({setting})", url.origin().ascii_serialization());
        }
        self
    }
}
