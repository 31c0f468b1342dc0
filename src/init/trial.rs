//! Each credential, tried as `check` does it.

use std::collections::{BTreeMap, HashSet};

use super::proposals::Listing;
use crate::check::{CheckReport, brief, examine_opa_credential, examine_opsera_credential};
use crate::clients::{ClientError, Opa, OpseraReader, Transport};
use crate::domain::text::error_chain;
use crate::domain::time::SharedClock;
use crate::domain::{Address, Domain};
use crate::rules::Policy;
use crate::settings::{DirectorySettings, OpaSettings, OpseraSettings};

/// What OPA said.
#[derive(Debug)]
pub struct OpaTrial {
    /// Item by item.
    pub report: CheckReport,
    /// The ACTIVE people of the first page, by domain.
    pub people: BTreeMap<Domain, u64>,
}

/// What Opsera said.
#[derive(Debug)]
pub struct OpseraTrial {
    /// Item by item.
    pub report: CheckReport,
    /// What was seen of the accounts.
    pub listing: Listing,
}

/// Whether the key of the Team is good: whose it is, and one page of people.
pub async fn try_opa(settings: &DirectorySettings<OpaSettings>, clock: &SharedClock) -> OpaTrial {
    let mut report = CheckReport::default();
    let opa = Transport::new(&settings.http, clock.clone())
        .and_then(|transport| Opa::new(&transport, &settings.directory, &brief(&settings.retry)));
    let people = match opa {
        Ok(opa) => {
            examine_opa_credential(&mut report, &opa, &settings.directory)
                .await
                .domains
        }
        Err(error) => {
            not_usable(&mut report, "opa", &error);
            BTreeMap::new()
        }
    };
    OpaTrial { report, people }
}

/// Whether Opsera's token is good: the whole account list, of which only sums and the accounts that
/// may need protection are kept.
pub async fn try_opsera(
    settings: &DirectorySettings<OpseraSettings>,
    policy: &Policy,
    clock: &SharedClock,
) -> OpseraTrial {
    let mut report = CheckReport::default();
    let mut listing = Listing::default();
    match reader(settings, clock) {
        Ok(opsera) => {
            listing.expect_owner(opsera.token_owner_names());
            let now = clock.now();
            examine_opsera_credential(
                &mut report,
                &opsera,
                &settings.directory,
                policy,
                &HashSet::new(),
                now,
                &mut |account| listing.see(account),
            )
            .await;
        }
        Err(error) => not_usable(&mut report, "opsera", &error),
    }
    OpseraTrial { report, listing }
}

/// Whether the token's owner has an active account: a listing without it counts as incomplete (G0),
/// so a wrong address here would stop every run.
pub async fn try_token_owner(
    settings: &DirectorySettings<OpseraSettings>,
    owner: &Address,
    clock: &SharedClock,
) -> CheckReport {
    let name = "opsera.token_owner";
    let mut report = CheckReport::default();
    let opsera = match reader(settings, clock) {
        Ok(opsera) => opsera,
        Err(error) => {
            not_usable(&mut report, "opsera", &error);
            return report;
        }
    };
    match opsera.find_user(owner.as_str()).await {
        Ok(Some(account)) if account.active => {
            report.ok(name, format!("{owner} has an account, and is protected"));
        }
        Ok(_) => report.failure(
            name,
            format!("Opsera has no active account {owner}: every run would stop there"),
            "give the address of the account that made the token, as Opsera shows it",
        ),
        Err(error) => report.failure(
            name,
            format!(
                "Opsera cannot be asked for {owner}: {}",
                error_chain(&error)
            ),
            error.remedy().unwrap_or_else(|| "try again".to_owned()),
        ),
    }
    report
}

fn reader(
    settings: &DirectorySettings<OpseraSettings>,
    clock: &SharedClock,
) -> Result<OpseraReader, ClientError> {
    let transport = Transport::new(&settings.http, clock.clone())?;
    OpseraReader::new(&transport, &settings.directory, &brief(&settings.retry))
}

fn not_usable(report: &mut CheckReport, section: &str, error: &ClientError) {
    report.failure(
        format!("{section}.reachable"),
        error_chain(error),
        format!("correct {section}.base_url or http.ca_file"),
    );
}
