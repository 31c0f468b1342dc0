//! OPA: can it be reached, is the credential good, may it list, and what proves the end of a
//! listing.

use std::collections::BTreeMap;

use super::connectivity::{self, hint};
use super::model::CheckReport;
use crate::clients::{Api, CallError, Opa, SecondCount};
use crate::domain::text::error_chain;
use crate::domain::{Address, Domain, PersonRecord, PersonStatus, UserType};
use crate::settings::OpaSettings;

/// What was found out on the way.
#[derive(Debug, Default)]
pub struct OpaAnswers {
    /// Whether the listings can be read.
    pub(super) listable: bool,
    /// Humans of the Team, where OPA tells.
    pub(super) humans: Option<u64>,
    /// The ACTIVE people of the first page, by the domain of their address.
    pub domains: BTreeMap<Domain, u64>,
}

/// Asks for the token's user, the Team's numbers and the first page of people.
pub async fn examine(report: &mut CheckReport, opa: &Opa, settings: &OpaSettings) -> OpaAnswers {
    let host = &settings.base_url;
    let user = opa.current_user().await;
    if let Err(error) = &user
        && connectivity::note_unreachable(
            report,
            error,
            Api::Opa,
            &["clock", "token", "permission"],
        )
    {
        return OpaAnswers::default();
    }
    report.ok("opa.reachable", format!("{host} answers"));
    connectivity::examine_clock(report, Api::Opa, opa.clock_offset());
    match user {
        Ok(user) => report.ok(
            "opa.token",
            format!(
                "it is good: {} (id {}) of the Team {}",
                user.name, user.id, user.team_name
            ),
        ),
        Err(error) => {
            report.failure("opa.token", error_chain(&error), hint(&error));
            report.not_checked(
                "opa.permission",
                "not checked because the credential is not good",
            );
            return OpaAnswers::default();
        }
    }
    let count = opa.human_count().await;
    let first_page = examine_listing(report, opa).await;
    let humans = match &count {
        Ok(SecondCount::Count(humans)) => Some(*humans),
        Ok(SecondCount::NotAvailable { .. }) | Err(_) => None,
    };
    if first_page.is_some() {
        examine_page_size(report, opa, settings.page_size);
        examine_completeness(report, count);
    }
    OpaAnswers {
        listable: first_page.is_some(),
        humans,
        domains: domains(&first_page.unwrap_or_default()),
    }
}

fn domains(people: &[PersonRecord]) -> BTreeMap<Domain, u64> {
    let mut domains = BTreeMap::new();
    let active = people.iter().filter(|person| {
        person.status == PersonStatus::Active && person.user_type == UserType::Human
    });
    for address in active.filter_map(|person| Address::parse(person.email.as_deref()?).ok()) {
        *domains.entry(address.domain()).or_default() += 1;
    }
    domains
}

/// Gives the first page.
async fn examine_listing(report: &mut CheckReport, opa: &Opa) -> Option<Vec<PersonRecord>> {
    match opa.list_users(None).next_page().await {
        Ok(page) => {
            report.ok("opa.permission", "the Team's users can be listed");
            Some(page.unwrap_or_default())
        }
        Err(error) if error.status().is_some_and(|status| status.as_u16() == 403) => {
            report.failure(
                "opa.permission",
                format!(
                    "the credential is good, and may not list the Team's users: {}",
                    error_chain(&error)
                ),
                hint(&error),
            );
            None
        }
        Err(error) => {
            report.failure(
                "opa.permission",
                format!("the Team's users cannot be listed: {}", error_chain(&error)),
                hint(&error),
            );
            None
        }
    }
}

fn examine_page_size(report: &mut CheckReport, opa: &Opa, asked: u32) {
    let name = "opa.page_size";
    let message = match opa.observed_page_size() {
        _ if opa.page_size_is_refused() => {
            format!("OPA refuses {asked} people in a page and is asked without a number")
        }
        None => "all people came in one page".to_owned(),
        Some(size) if size == u64::from(asked) => format!("{size} people come in a page, as asked"),
        Some(size) => format!("{size} people come in a page, of {asked} that are asked for"),
    };
    report.ok(name, message);
}

fn examine_completeness(report: &mut CheckReport, count: Result<SecondCount, CallError>) {
    let name = "opa.completeness";
    match count {
        Ok(SecondCount::Count(humans)) => report.ok(
            name,
            format!(
                "the end of a listing is proved by team_stats, which counts {humans} human users"
            ),
        ),
        Ok(SecondCount::NotAvailable { reason }) => report.ok(
            name,
            format!(
                "only the last page of a listing proves its end: team_stats gives no count \
                 ({reason})"
            ),
        ),
        Err(error) => report.warning(
            name,
            format!(
                "team_stats, the proof of a listing's end, cannot be read: {}",
                connectivity::describe(&error)
            ),
            hint(&error),
        ),
    }
}
