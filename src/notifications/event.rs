//! What a message can be about.

use std::collections::BTreeMap;

use crate::domain::{Finding, time::Timestamp};

/// What a message is about.
#[derive(Clone, Copy, Debug, strum::IntoStaticStr)]
#[strum(serialize_all = "snake_case")]
pub(super) enum Event<'n> {
    /// A guard holds the plan.
    Held,
    /// The run could not be done.
    Failed,
    /// Some actions were not done.
    Partial,
    /// All is done but what Opsera has refused, and that rests until it may be tried again.
    Refused,
    /// The first run that went well after one that did not.
    Recovered,
    /// Opsera's token ends then, or has ended.
    TokenEnds {
        /// When.
        at: Timestamp,
        /// The time of the message.
        now: Timestamp,
    },
    /// Opsera's token was renewed after somebody was told of its end.
    TokenRenewed,
    /// Findings that nobody was told of.
    #[strum(serialize = "findings")]
    NewFindings(&'n [Finding]),
}

/// How grave it is, in PagerDuty's words.
#[derive(Clone, Copy, Debug, PartialEq, Eq, strum::IntoStaticStr)]
#[strum(serialize_all = "lowercase")]
pub(super) enum Severity {
    /// Nothing works until somebody acts.
    Critical,
    /// Leavers keep their accounts until somebody acts.
    Error,
    /// Something waits for a decision.
    Warning,
    /// Good to know.
    Info,
}

/// What stays open until it is over, so that a pager keeps one incident for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, strum::IntoStaticStr)]
#[strum(serialize_all = "lowercase")]
pub(super) enum Incident {
    /// Runs that do not end well.
    Run,
    /// Opsera's token.
    Token,
}

impl<'n> Event<'n> {
    pub(super) fn name(&self) -> &'static str {
        self.into()
    }

    pub(super) fn severity(&self) -> Severity {
        match self {
            Self::TokenEnds { at, now } if at <= now => Severity::Critical,
            Self::Failed => Severity::Error,
            Self::Held | Self::Partial | Self::TokenEnds { .. } => Severity::Warning,
            Self::Refused | Self::Recovered | Self::TokenRenewed | Self::NewFindings(_) => {
                Severity::Info
            }
        }
    }

    /// The incident that it opens or closes; findings wake nobody up.
    pub(super) fn incident(&self) -> Option<Incident> {
        match self {
            Self::Held | Self::Failed | Self::Partial | Self::Refused | Self::Recovered => {
                Some(Incident::Run)
            }
            Self::TokenEnds { .. } | Self::TokenRenewed => Some(Incident::Token),
            Self::NewFindings(_) => None,
        }
    }

    /// Whether it is told to a pager alone, whose incident it closes.
    pub(super) fn is_for_a_pager(&self) -> bool {
        matches!(self, Self::TokenRenewed)
    }

    /// Whether the incident is over with it.
    pub(super) fn is_over(&self) -> bool {
        matches!(self, Self::Recovered | Self::TokenRenewed)
    }

    /// How many findings of which kind it is about.
    pub(super) fn kinds(self) -> BTreeMap<&'static str, u64> {
        let mut kinds = BTreeMap::new();
        for finding in self.findings() {
            *kinds.entry(finding.kind.as_str()).or_default() += 1;
        }
        kinds
    }

    /// The findings it is about.
    pub(super) fn findings(self) -> &'n [Finding] {
        match self {
            Self::NewFindings(findings) => findings,
            Self::Held
            | Self::Failed
            | Self::Partial
            | Self::Refused
            | Self::Recovered
            | Self::TokenEnds { .. }
            | Self::TokenRenewed => &[],
        }
    }
}
