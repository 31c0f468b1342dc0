//! Both directories, simulated: the same paths, bodies, statuses, paging and refusals (§9).
//!
//! Two axum servers on loopback ports in front of state in memory: [`Team`] is what OPA knows,
//! [`Accounts`] what Opsera knows. `demo` shows the program with it, `rolecall sandbox` lets people
//! try their role rules before they hold a token, and the tests change one side and look at what
//! the program does over real HTTP. What only tests use is in `instrumentation`, behind the cargo
//! feature `test-instrumentation`.
//!
//! The sandbox shares no type with the clients and the rules: what it sends and understands is
//! written down again in its own `wire` module, from the API's description.

mod accounts;
mod api;
mod date_header;
mod example;
mod identifiers;
#[cfg(feature = "test-instrumentation")]
mod instrumentation;
mod links;
mod middleware;
mod names;
mod opa_api;
mod opa_listing;
mod opsera_api;
mod opsera_listing;
mod org_builder;
mod page_cache;
mod paging;
mod people;
mod quota;
mod random_faults;
mod scenarios;
mod server;
mod team;
mod wire;

use std::io;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

pub use self::accounts::{
    Account, AccountSeed, AccountStatus, Accounts, SITE_ROLES, ScimAnswer, SiteRoleField,
    TokenScope,
};
pub use self::api::{Api, Effect};
pub use self::date_header::DateHeader;
#[cfg(feature = "test-instrumentation")]
pub use self::instrumentation::{Answer, Entry, Fault, FaultKind, Journal, Received};
pub use self::links::LinkForms;
pub use self::paging::{LastPage, OversizedCount, PageLimit};
pub use self::people::{Group, Person, PersonSeed, UserKind, Visibility};
pub use self::quota::Quota;
pub use self::random_faults::FaultOptions;
pub use self::team::{DefaultListing, StatsAnswer, Team};
pub use self::wire::{AnswerShape, OpaRefusal};

use self::date_header::DateControl;
use self::middleware::{Credential, Middleware, bearer, guarded, stamped};
use self::random_faults::RandomFaults;
use self::server::Listener;
use crate::domain::time::{SharedClock, SystemClock};

/// Requests an hour that the simulated OPA answers unless told otherwise. The real one answers
/// about 10,000; here nobody is to wait for the next hour.
const DEFAULT_QUOTA: u64 = 1_000_000;

/// What a sandbox is like.
#[derive(Clone, Debug)]
pub struct SandboxOptions {
    /// People in the organisation; 0: an empty one, to be filled through the handles.
    pub users: u32,
    /// Same seed and number of people, same organisation.
    pub seed: u64,
    /// Faults on demand.
    pub faults: FaultOptions,
    /// The OPA port; 0: any free one.
    pub opa_port: u16,
    /// The Opsera port; 0: any free one.
    pub opsera_port: u16,
    /// The clock that tokens expire by.
    pub clock: SharedClock,
    /// The Team's name.
    pub team: String,
    /// How long a minted token is good for.
    pub token_ttl: Duration,
    /// Whether account records carry the site role.
    pub site_role: SiteRoleField,
    /// Requests an hour that OPA answers; `None`: any number, and no header speaks of a quota.
    pub quota: Option<u64>,
    /// The most records on a page of OPA, and what happens to a request for more.
    pub page_limit: PageLimit,
    /// The forms in which OPA links its pages.
    pub link_forms: LinkForms,
    /// How long the Opsera token is good for.
    pub opsera_token_ttl: Duration,
}

impl Default for SandboxOptions {
    /// The example organisation. Its records carry site roles, so that a first run shows the few
    /// that differ rather than asserting everybody's.
    fn default() -> Self {
        Self {
            users: 250,
            seed: 1,
            faults: FaultOptions::default(),
            opa_port: 0,
            opsera_port: 0,
            clock: SystemClock::shared(),
            team: "example".to_owned(),
            token_ttl: Duration::from_hours(1),
            site_role: SiteRoleField::Reported,
            quota: Some(DEFAULT_QUOTA),
            page_limit: PageLimit::default(),
            link_forms: LinkForms::default(),
            // Longer than any test lets pass.
            opsera_token_ttl: Duration::from_hours(24 * 36_500),
        }
    }
}

impl SandboxOptions {
    /// Nobody on either side, and records as documented: without a site role.
    pub fn empty(clock: SharedClock) -> Self {
        Self {
            users: 0,
            clock,
            site_role: SiteRoleField::Missing,
            ..Self::default()
        }
    }
}

/// Why a sandbox could not be started.
#[derive(Debug, thiserror::Error)]
pub enum SandboxError {
    /// The port is in use, or may not be used.
    #[error("cannot listen on 127.0.0.1:{port} for the simulated {directory}; try another port")]
    Listen {
        /// OPA or Opsera.
        directory: &'static str,
        /// The port that was asked for.
        port: u16,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// The example organisation does not fit itself: an error in the program.
    #[error("the example organisation could not be built")]
    Population(#[from] ChangeError),
}

/// A change of either directory that cannot be made.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ChangeError {
    /// The name or id was used before.
    #[error("“{0}” is taken in the sandbox")]
    Taken(String),
    /// No record, account or group of that name.
    #[error("there is no “{0}” in the sandbox")]
    Unknown(String),
}

/// Both directories, running. Dropping it stops them.
#[derive(Debug)]
pub struct Sandbox {
    team: Arc<Team>,
    accounts: Arc<Accounts>,
    quota: Arc<Quota>,
    opa_date: Arc<DateControl>,
    opsera_date: Arc<DateControl>,
    #[cfg(feature = "test-instrumentation")]
    journal: Arc<Journal>,
    #[cfg(feature = "test-instrumentation")]
    faults: Arc<instrumentation::Faults>,
    /// The Opsera address and the OPA address of each renamed person of the example organisation.
    aliases: Vec<example::Alias>,
    population: u32,
    opa_url: String,
    opsera_url: String,
    stop: CancellationToken,
    servers: Vec<JoinHandle<()>>,
}

impl Sandbox {
    /// Builds the organisation and serves both directories on 127.0.0.1.
    pub async fn start(options: SandboxOptions) -> Result<Self, SandboxError> {
        let opa = open("OPA", options.opa_port).await?;
        let opsera = open("Opsera", options.opsera_port).await?;
        let mut sandbox = Self::build(&options)?;
        sandbox.opa_url = url_of(&opa, "OPA", options.opa_port)?;
        sandbox.opsera_url = url_of(&opsera, "Opsera", options.opsera_port)?;
        sandbox.team.lock().origin.clone_from(&sandbox.opa_url);
        let stop = &sandbox.stop;
        sandbox.servers = vec![
            opa.serve(sandbox.opa_router(&options), stop.clone()),
            opsera.serve(sandbox.opsera_router(&options), stop.clone()),
        ];
        Ok(sandbox)
    }

    /// Both directories, not served yet.
    fn build(options: &SandboxOptions) -> Result<Self, SandboxError> {
        let clock = &options.clock;
        let team = Arc::new(Team::new(
            &options.team,
            options.token_ttl,
            options.seed,
            Arc::clone(clock),
        ));
        team.page_limit(options.page_limit);
        team.link_forms(options.link_forms);
        let accounts = Arc::new(Accounts::new(
            options.seed ^ 0x6f70_7365_7261,
            options.site_role,
            options.opsera_token_ttl,
            Arc::clone(clock),
        ));
        let aliases = match options.users {
            0 => Vec::new(),
            users => org_builder::populate(&team, &accounts, users, options.seed)?,
        };
        Ok(Self {
            team,
            accounts,
            quota: Arc::new(Quota::new(options.quota, Arc::clone(clock))),
            opa_date: Arc::default(),
            opsera_date: Arc::default(),
            #[cfg(feature = "test-instrumentation")]
            journal: Arc::default(),
            #[cfg(feature = "test-instrumentation")]
            faults: Arc::default(),
            aliases,
            population: options.users,
            opa_url: String::new(),
            opsera_url: String::new(),
            stop: CancellationToken::new(),
            servers: Vec::new(),
        })
    }

    /// `opa.base_url`
    pub fn opa_url(&self) -> &str {
        &self.opa_url
    }

    /// `opsera.base_url`
    pub fn opsera_url(&self) -> &str {
        &self.opsera_url
    }

    /// `opa.team`
    pub fn team(&self) -> String {
        self.team.lock().name.clone()
    }

    /// `opa.key_id`
    pub fn key_id(&self) -> String {
        self.team.lock().key_id.clone()
    }

    /// `opa.key_secret`
    pub fn key_secret(&self) -> String {
        self.team.lock().key_secret.clone()
    }

    /// `opsera.token`
    pub fn opsera_token(&self) -> String {
        self.accounts.lock().token.clone()
    }

    /// What OPA knows, to look at and to change.
    pub fn opa(&self) -> &Team {
        &self.team
    }

    /// What Opsera knows, to look at and to change.
    pub fn opsera(&self) -> &Accounts {
        &self.accounts
    }

    /// OPA's hourly budget, to look at, to change, and to let another client take from.
    pub fn quota(&self) -> &Quota {
        &self.quota
    }

    /// Stops serving; returns when the ports are free and every connection has ended.
    pub async fn stop(mut self) {
        self.stop.cancel();
        for server in std::mem::take(&mut self.servers) {
            // A server that panicked has stopped as well.
            let _ = server.await;
        }
    }

    /// Whether there is an example organisation, or only what was put in through the handles.
    fn has_example(&self) -> bool {
        self.population > 0
    }

    fn opa_router(&self, options: &SandboxOptions) -> Router {
        let team = Arc::clone(&self.team);
        let credential: Credential = Arc::new(move |headers| {
            let refusal = team.refusal(bearer(headers))?;
            Some(refusal.response())
        });
        let middleware = self.middleware(Api::Opa, options, credential);
        let router = guarded(opa_api::router(Arc::clone(&self.team)), &middleware);
        #[cfg(feature = "test-instrumentation")]
        let router = self.instrumented(
            router,
            &middleware,
            format!("/v1/teams/{}", options.team),
            Box::new(|_| None),
        );
        stamped(router, &middleware)
    }

    fn opsera_router(&self, options: &SandboxOptions) -> Router {
        let accounts = Arc::clone(&self.accounts);
        let credential: Credential = Arc::new(move |headers| {
            let (status, message) = accounts.refusal(bearer(headers))?;
            Some(wire::opsera_error(status, message))
        });
        let middleware = self.middleware(Api::Opsera, options, credential);
        let router = guarded(opsera_api::router(Arc::clone(&self.accounts)), &middleware);
        #[cfg(feature = "test-instrumentation")]
        let router = {
            let records = Arc::clone(&self.accounts);
            self.instrumented(
                router,
                &middleware,
                "/api/v2/usermanagement".to_owned(),
                Box::new(move |id| opsera_listing::record_bytes(&records, id)),
            )
        };
        stamped(router, &middleware)
    }

    fn middleware(
        &self,
        api: Api,
        options: &SandboxOptions,
        credential: Credential,
    ) -> Arc<Middleware> {
        let (turn, quota, date) = match api {
            Api::Opa => (17, Some(&self.quota), &self.opa_date),
            Api::Opsera => (29, None, &self.opsera_date),
        };
        let clock = Arc::clone(&options.clock);
        let seed = options.seed.rotate_left(turn);
        Arc::new(Middleware {
            api,
            random_faults: RandomFaults::new(api, options.faults, seed, Arc::clone(&clock)),
            quota: quota.cloned(),
            date: Arc::clone(date),
            clock,
            stop: self.stop.clone(),
            credential,
        })
    }
}

impl Drop for Sandbox {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

async fn open(directory: &'static str, port: u16) -> Result<Listener, SandboxError> {
    let opened = Listener::open(port).await;
    opened.map_err(|source| SandboxError::Listen {
        directory,
        port,
        source,
    })
}

fn url_of(listener: &Listener, directory: &'static str, port: u16) -> Result<String, SandboxError> {
    match listener.address() {
        Ok(address) => Ok(format!("http://{address}")),
        Err(source) => Err(SandboxError::Listen {
            directory,
            port,
            source,
        }),
    }
}
