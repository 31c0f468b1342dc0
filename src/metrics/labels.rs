//! The labels, each from a short and closed list.

use prometheus_client::encoding::EncodeLabelSet;

use crate::clients::{AnswerClass, Api};

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(super) struct Build {
    version: &'static str,
}

impl Build {
    pub(super) fn of_this_program() -> Self {
        Self {
            version: env!("CARGO_PKG_VERSION"),
        }
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(super) struct ApiLabels {
    api: &'static str,
}

impl ApiLabels {
    pub(super) fn new(api: Api) -> Self {
        Self { api: name(api) }
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(super) struct RequestLabels {
    api: &'static str,
    class: &'static str,
}

impl RequestLabels {
    pub(super) fn new(api: Api, class: AnswerClass) -> Self {
        Self {
            api: name(api),
            class: class.as_str(),
        }
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(super) struct OutcomeLabels {
    pub(super) outcome: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(super) struct ActionLabels {
    pub(super) kind: &'static str,
    pub(super) status: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(super) struct FindingLabels {
    pub(super) kind: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(super) struct StateLabels {
    pub(super) state: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(super) struct StatusLabels {
    pub(super) status: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(super) struct GuardLabels {
    pub(super) guard: &'static str,
}

fn name(api: Api) -> &'static str {
    match api {
        Api::Opa => "opa",
        Api::Opsera => "opsera",
    }
}
