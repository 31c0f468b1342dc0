//! Both directories, simulated: the same paths, bodies, statuses, paging and refusals (§9).
//!
//! Two axum servers on loopback ports in front of state in memory: [`Team`] is what OPA knows,
//! [`Accounts`] what Opsera knows. `demo` shows the program with it, `rolecall sandbox` lets people
//! try their role rules before they hold a token, and the tests disturb one side and look at what
//! the program does over real HTTP.
//!
//! The sandbox shares no type with the clients and the rules: what it sends and understands is
//! written down again in its own `wire` module, from the API's description.

mod accounts;
mod example;
mod faults;
mod gate;
mod identifiers;
mod journal;
mod names;
mod opa_api;
mod opsera_api;
mod paging;
mod people;
mod population;
mod server;
mod stories;
mod team;
mod weather;
mod wire;

use std::io;
use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

pub use self::accounts::{
    Account, AccountSeed, Accounts, SITE_ROLES, SiteRoleField, Standing, TokenScope,
};
pub use self::faults::{Answer, Fault, Misbehaviour};
pub use self::journal::{Api, Effect, Entry, Journal, Received};
pub use self::people::{Group, Person, PersonSeed, UserKind, Visibility};
pub use self::team::{DefaultListing, Team};
pub use self::weather::FaultOptions;
pub use self::wire::AnswerShape;

use self::faults::Faults;
use self::gate::{Gate, bearer, guarded};
use self::server::Door;
use self::weather::Weather;
use crate::domain::time::{SharedClock, SystemClock};

/// How long [`Sandbox::stop`] waits for connections to end.
const FAREWELL: Duration = Duration::from_secs(2);

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
    Population(#[from] Mistake),
}

/// A handle was asked for something that is not there, or there twice.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Mistake {
    /// The name or id was used before.
    #[error("“{0}” is taken in the sandbox")]
    NameTaken(String),
    /// No record, account or group of that name.
    #[error("there is no “{0}” in the sandbox")]
    Unknown(String),
}

/// Both directories, running. Dropping it stops them.
#[derive(Debug)]
pub struct Sandbox {
    team: Arc<Team>,
    accounts: Arc<Accounts>,
    journal: Arc<Journal>,
    faults: Arc<Faults>,
    /// Which Opsera addresses belong to which OPA addresses, in the example organisation.
    aliases: Vec<population::Alias>,
    population: u32,
    opa_url: String,
    opsera_url: String,
    stop: CancellationToken,
    servers: Vec<JoinHandle<io::Result<()>>>,
}

impl Sandbox {
    /// Builds the organisation and serves both directories on 127.0.0.1.
    pub async fn start(options: SandboxOptions) -> Result<Self, SandboxError> {
        let clock = &options.clock;
        let team = Arc::new(Team::new(
            &options.team,
            options.token_ttl,
            options.seed,
            Arc::clone(clock),
        ));
        let accounts = Arc::new(Accounts::new(
            options.seed ^ 0x6f70_7365_7261,
            options.site_role,
            Arc::clone(clock),
        ));
        let aliases = match options.users {
            0 => Vec::new(),
            users => population::populate(&team, &accounts, users, options.seed)?,
        };
        let mut sandbox = Self {
            team,
            accounts,
            journal: Arc::default(),
            faults: Arc::default(),
            aliases,
            population: options.users,
            opa_url: String::new(),
            opsera_url: String::new(),
            stop: CancellationToken::new(),
            servers: Vec::new(),
        };
        let opa = open("OPA", options.opa_port).await?;
        let opsera = open("Opsera", options.opsera_port).await?;
        sandbox.opa_url = url_of(&opa, "OPA", options.opa_port)?;
        sandbox.opsera_url = url_of(&opsera, "Opsera", options.opsera_port)?;
        sandbox.team.lock().origin.clone_from(&sandbox.opa_url);
        let opa_router = guarded(
            opa_api::router(Arc::clone(&sandbox.team)),
            sandbox.opa_gate(&options),
        );
        let opsera_router = guarded(
            opsera_api::router(Arc::clone(&sandbox.accounts)),
            sandbox.opsera_gate(&options),
        );
        sandbox.servers = vec![
            opa.serve(opa_router, sandbox.stop.clone()),
            opsera.serve(opsera_router, sandbox.stop.clone()),
        ];
        Ok(sandbox)
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

    /// What OPA knows, to look at and to disturb.
    pub fn opa(&self) -> &Team {
        &self.team
    }

    /// What Opsera knows, to look at and to disturb.
    pub fn opsera(&self) -> &Accounts {
        &self.accounts
    }

    /// What was received.
    pub fn journal(&self) -> &Journal {
        &self.journal
    }

    /// Lets something go wrong, after what was injected before.
    pub fn inject(&self, fault: Fault) {
        self.faults.inject(fault);
    }

    /// Forgets every injected fault.
    pub fn clear_faults(&self) {
        self.faults.clear();
    }

    /// How many injected faults have not happened yet.
    pub fn faults_waiting(&self) -> usize {
        self.faults.waiting()
    }

    /// Stops serving; returns when the ports are free.
    pub async fn stop(mut self) {
        self.stop.cancel();
        for mut server in std::mem::take(&mut self.servers) {
            // A client that keeps its request open must not keep us.
            if tokio::time::timeout(FAREWELL, &mut server).await.is_err() {
                server.abort();
            }
        }
    }

    /// Whether there is an example organisation, or only what was put in through the handles.
    fn has_example(&self) -> bool {
        self.population > 0
    }

    fn opa_gate(&self, options: &SandboxOptions) -> Gate {
        let team = Arc::clone(&self.team);
        Gate {
            api: Api::Opa,
            base: format!("/v1/teams/{}", options.team),
            credential: Box::new(move |headers| {
                bearer(headers).is_some_and(|token| team.accepts(token))
            }),
            record_of: Box::new(|_| None),
            ..self.gate(Api::Opa, options)
        }
    }

    fn opsera_gate(&self, options: &SandboxOptions) -> Gate {
        let accounts = Arc::clone(&self.accounts);
        let records = Arc::clone(&self.accounts);
        Gate {
            base: "/api/v2/usermanagement".to_owned(),
            credential: Box::new(move |headers| {
                bearer(headers).is_some_and(|token| token == accounts.lock().token)
            }),
            record_of: Box::new(move |id| opsera_api::record_bytes(&records, id)),
            ..self.gate(Api::Opsera, options)
        }
    }

    fn gate(&self, api: Api, options: &SandboxOptions) -> Gate {
        let seed = options.seed.rotate_left(match api {
            Api::Opa => 17,
            Api::Opsera => 29,
        });
        let clock = Arc::clone(&options.clock);
        Gate {
            api,
            base: String::new(),
            journal: Arc::clone(&self.journal),
            faults: Arc::clone(&self.faults),
            weather: Weather::new(api, options.faults, seed, Arc::clone(&clock)),
            clock,
            stop: self.stop.clone(),
            credential: Box::new(|_| false),
            record_of: Box::new(|_| None),
        }
    }
}

impl Drop for Sandbox {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

async fn open(directory: &'static str, port: u16) -> Result<Door, SandboxError> {
    let opened = Door::open(port).await;
    opened.map_err(|source| SandboxError::Listen {
        directory,
        port,
        source,
    })
}

fn url_of(door: &Door, directory: &'static str, port: u16) -> Result<String, SandboxError> {
    match door.address() {
        Ok(address) => Ok(format!("http://{address}")),
        Err(source) => Err(SandboxError::Listen {
            directory,
            port,
            source,
        }),
    }
}
