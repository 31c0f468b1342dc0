//! Both directories, a store and the program's own run, in one process and on one clock.
//!
//! A test describes an organisation, starts the world, disturbs either side through the sandbox's
//! handles and runs; nothing sleeps and nothing is spawned.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use rolecall::audit::{AuditWriter, Proof, Verdict};
use rolecall::domain::time::{Clock as _, ManualClock, Timestamp};
use rolecall::domain::{
    ActionKind, ActionStatus, Address, Decider, KindSet, Mode, PlanState, Report,
};
use rolecall::reconcile::{Context, Finished, RunRequest};
use rolecall::sandbox::{
    AccountSeed, AccountStatus, Effect, PersonSeed, Sandbox, SandboxOptions, SiteRoleField,
    StatsAnswer, UserKind, Visibility,
};
use rolecall::settings::Settings;
use rolecall::store::Store;

use crate::model::{Acct, Human, Life, Org, Rules};
use crate::program::{self, BEGINNING, actor};

/// A running world.
pub(crate) struct World {
    pub(crate) sandbox: Arc<Sandbox>,
    pub(crate) clock: Arc<ManualClock>,
    pub(crate) context: Context,
    pub(crate) kinds: KindSet,
    /// Every group that was ever made: the sandbox tells only of each person's.
    groups: Vec<String>,
    roles_reported: bool,
    directory: tempfile::TempDir,
}

/// An ACTIVE person with an address in `example.com`.
pub(crate) fn person(name: &str) -> Human {
    Human {
        id: format!("id-{name}"),
        name: name.to_owned(),
        email: Some(format!("{name}@example.com")),
        first: None,
        last: None,
        status: "ACTIVE".to_owned(),
        service: false,
        groups: Vec::new(),
        listed: true,
        twice: false,
    }
}

/// An active account with an address in `example.com` and the role `Users`.
pub(crate) fn account(name: &str) -> Acct {
    Acct {
        id: format!("acct-{name}"),
        email: Some(format!("{name}@example.com")),
        first: String::new(),
        last: String::new(),
        life: Life::Active,
        role: "Users".to_owned(),
        owned: 0,
    }
}

impl Org {
    /// Everybody is ACTIVE and has an account.
    pub(crate) fn in_step<T: AsRef<str>>(names: impl IntoIterator<Item = T>) -> Self {
        let mut org = Self::default();
        for name in names {
            org.people.push(person(name.as_ref()));
            org.accounts.push(account(name.as_ref()));
        }
        org
    }

    /// So many people, `p0000` and so on, in step.
    pub(crate) fn of_size(size: usize) -> Self {
        Self::in_step((0..size).map(|number| format!("p{number:04}")))
    }

    /// The record with this name, to change.
    pub(crate) fn person(&mut self, name: &str) -> &mut Human {
        self.people.iter_mut().find(|p| p.name == name).unwrap()
    }

    /// The account of this name, to change.
    pub(crate) fn account(&mut self, name: &str) -> &mut Acct {
        let id = format!("acct-{name}");
        self.accounts.iter_mut().find(|a| a.id == id).unwrap()
    }

    /// Puts a person into a group.
    pub(crate) fn join(&mut self, name: &str, group: &str) {
        if !self.groups.iter().any(|known| known == group) {
            self.groups.push(group.to_owned());
        }
        self.person(name).groups.push(group.to_owned());
    }
}

impl World {
    /// Serves `org` to a program with these settings.
    pub(crate) async fn start(org: &Org, rules: &Rules) -> Self {
        Self::start_with(org, rules, "").await
    }

    /// The same, with more lines for the settings file.
    pub(crate) async fn start_with(org: &Org, rules: &Rules, more: &str) -> Self {
        let _ = rustls::crypto::ring::default_provider().install_default();
        let clock = ManualClock::at(BEGINNING.parse().unwrap());
        let sandbox = Sandbox::start(SandboxOptions {
            site_role: if org.roles_reported {
                SiteRoleField::Reported
            } else {
                SiteRoleField::Missing
            },
            ..SandboxOptions::empty(clock.clone())
        })
        .await
        .unwrap();
        let directory = in_memory();
        let settings = settings(&sandbox, rules, more, directory.path());
        let mut world = Self {
            sandbox: Arc::new(sandbox),
            context: Context {
                settings,
                clock: clock.clone(),
                actor: actor(),
            },
            kinds: KindSet::only(rules.only.iter().map(|k| k.parse::<ActionKind>().unwrap())),
            clock,
            groups: Vec::new(),
            roles_reported: org.roles_reported,
            directory,
        };
        world.install(org);
        world
    }

    /// Replaces the settings; the store stays.
    pub(crate) fn set_rules(&mut self, rules: &Rules, more: &str) {
        self.context.settings = settings(&self.sandbox, rules, more, self.directory.path());
    }

    fn install(&mut self, org: &Org) {
        let team = self.sandbox.opa();
        for group in &org.groups {
            team.add_group(group);
        }
        for human in &org.people {
            self.hire(human);
        }
        let team = self.sandbox.opa();
        // A record that is listed in two states is one of those that `team_stats` counts.
        let counted = |p: &&Human| p.listed && !p.service && p.status != "DELETED";
        let counted: Vec<&str> = org
            .people
            .iter()
            .filter(counted)
            .map(|p| p.id.as_str())
            .collect();
        let distinct: BTreeSet<&str> = counted.iter().copied().collect();
        if distinct.len() < counted.len() {
            team.team_stats(StatsAnswer::HumanUsers(distinct.len().into()));
        }
        for (group, members) in &org.dead_groups {
            team.add_group(group);
            for member in members {
                if team.person(member).is_some() {
                    team.join(member, group).unwrap();
                }
            }
            team.delete_group(group).unwrap();
        }
        self.groups.clone_from(&org.groups);
        for acct in &org.accounts {
            self.open_account(acct);
        }
    }

    /// Adds a record to the Team.
    pub(crate) fn hire(&self, human: &Human) {
        let team = self.sandbox.opa();
        team.add_person(PersonSeed {
            id: Some(human.id.clone()),
            name: human.name.clone(),
            email: human.email.clone(),
            first_name: human.first.clone(),
            last_name: human.last.clone(),
            status: human.status.clone(),
            kind: if human.service {
                UserKind::Service
            } else {
                UserKind::Human
            },
            groups: human.groups.clone(),
        })
        .unwrap();
        let visibility = match (human.listed, human.twice) {
            (false, _) => Visibility::Hidden,
            (true, true) => Visibility::Twice,
            (true, false) => Visibility::Listed,
        };
        team.set_visibility(&human.name, visibility).unwrap();
    }

    /// Adds an account to Opsera.
    pub(crate) fn open_account(&self, acct: &Acct) {
        let seed = AccountSeed {
            id: Some(acct.id.clone()),
            email: acct.email.clone(),
            first_name: acct.first.clone(),
            last_name: acct.last.clone(),
            status: match acct.life {
                Life::Active => AccountStatus::Active,
                Life::Pending => AccountStatus::Pending,
                Life::Inactive => AccountStatus::Inactive,
            },
            site_role: acct.role.clone(),
            owned_objects: acct.owned,
            division: String::new(),
        };
        self.sandbox.opsera().add(seed).unwrap();
    }

    /// Both directories as they truly are now.
    pub(crate) fn truth(&self) -> Org {
        let team = self.sandbox.opa();
        let people = team.people().into_iter().map(|p| Human {
            groups: team.groups_of(&p.name),
            id: p.id,
            name: p.name,
            email: p.email,
            first: p.first_name,
            last: p.last_name,
            status: p.status,
            service: p.kind == UserKind::Service,
            listed: p.visibility != Visibility::Hidden,
            twice: p.visibility == Visibility::Twice,
        });
        let accounts = self.sandbox.opsera().accounts().into_iter().map(|a| Acct {
            id: a.id,
            email: a.email,
            first: a.first_name,
            last: a.last_name,
            life: match a.status {
                AccountStatus::Active => Life::Active,
                AccountStatus::Pending => Life::Pending,
                AccountStatus::Inactive => Life::Inactive,
            },
            role: a.site_role,
            owned: a.owned_objects,
        });
        Org {
            people: people.collect(),
            accounts: accounts.collect(),
            groups: self.groups.clone(),
            dead_groups: Vec::new(),
            roles_reported: self.roles_reported,
        }
    }

    /// The time.
    pub(crate) fn now(&self) -> Timestamp {
        self.clock.now()
    }

    /// Lets time pass.
    pub(crate) fn pass(&self, duration: Duration) {
        self.clock.advance(duration);
    }

    /// `sync --dry-run`
    pub(crate) async fn dry_run(&self) -> Report {
        self.run(Mode::DryRun).await
    }

    /// `sync`
    pub(crate) async fn sync(&self) -> Report {
        self.run(Mode::Apply).await
    }

    pub(crate) async fn run(&self, mode: Mode) -> Report {
        self.run_for(mode, None).await.report
    }

    /// A run that is limited to some people.
    pub(crate) async fn run_for(
        &self,
        mode: Mode,
        people: Option<rolecall::domain::PeopleFilter>,
    ) -> Box<Finished> {
        let request = RunRequest {
            kinds: self.kinds.clone(),
            people,
            ..program::request(mode)
        };
        program::run(&self.context, request).await
    }

    /// The store, between two runs.
    pub(crate) async fn store(&self) -> Store {
        Store::open(&self.context.settings.store.path, &*self.clock)
            .await
            .unwrap()
    }

    /// `plan approve`
    pub(crate) async fn approve(&self, report: &Report) {
        let store = self.store().await;
        let audit_writer = AuditWriter {
            clock: self.context.clock.clone(),
            actor: actor(),
            key: None,
        };
        let decider = Decider {
            by: "tester@here".to_owned(),
            reviewer: None,
            reason: Some("looked at it".to_owned()),
            at: self.now(),
        };
        let id = report.plan_id.as_ref().unwrap();
        store
            .decide_plan(&audit_writer, id, PlanState::Approved, &decider, |plan| {
                plan.map(|_| ()).ok_or("no such plan")
            })
            .await
            .unwrap()
            .unwrap();
        store.close().await;
    }

    /// Whether the audit log's chain holds.
    pub(crate) async fn audit_holds(&self) -> bool {
        let store = self.store().await;
        let proof = Proof {
            key: None,
            expected_head: None,
            checkpoints: Vec::new(),
        };
        let verdict = store.verify_audit(&proof).await.unwrap();
        store.close().await;
        !matches!(verdict, Verdict::Broken(_))
    }

    /// What was changed in Opsera since the last call.
    pub(crate) fn take_effects(&self) -> Vec<Effect> {
        let effects = self.sandbox.journal().effects();
        self.sandbox.journal().clear();
        effects
    }

    /// The names of the accounts that were deactivated so far, in order.
    pub(crate) fn deactivated(&self) -> Vec<String> {
        let ids = self.sandbox.opsera().deactivations();
        ids.iter()
            .map(|id| id.strip_prefix("acct-").unwrap_or(id).to_owned())
            .collect()
    }
}

/// A directory whose files cost no disk, where the machine has one.
fn in_memory() -> tempfile::TempDir {
    let shared_memory = Path::new("/dev/shm");
    if shared_memory.is_dir()
        && let Ok(directory) = tempfile::tempdir_in(shared_memory)
    {
        return directory;
    }
    tempfile::tempdir().unwrap()
}

fn settings(sandbox: &Sandbox, rules: &Rules, more: &str, directory: &Path) -> Settings {
    let quoted = |text: &str| serde_json::Value::from(text).to_string();
    let text = format!(
        "[opa]\nbase_url = {}\nteam = {}\nkey_id = {}\nkey_secret = {}\n\
         requests_per_second = 10000\nburst = 10000\n\
         [opsera]\nbase_url = {}\ntoken = {}\ntoken_owner = {}\n\
         requests_per_second = 10000\nburst = 10000\n[store]\npath = {}\n{}{more}",
        quoted(sandbox.opa_url()),
        quoted(&sandbox.team()),
        quoted(&sandbox.key_id()),
        quoted(&sandbox.key_secret()),
        quoted(sandbox.opsera_url()),
        quoted(&sandbox.opsera_token()),
        quoted(&rules.token_owner),
        quoted(directory.join("rolecall.db").to_str().unwrap()),
        rules.toml(),
    );
    let file = directory.join("rolecall.toml");
    std::fs::write(&file, &text).unwrap();
    let mut settings = program::load(vec![file]);
    let policy = &mut settings.policy;
    policy.release = rules
        .release
        .iter()
        .map(|address| {
            policy
                .matching
                .opsera_key(&Address::parse(address).unwrap())
        })
        .collect();
    settings
}

/// The findings of one kind, by address.
pub(crate) fn findings(report: &Report, kind: &str) -> Vec<String> {
    let of_kind = report.findings.iter().filter(|f| f.kind.as_str() == kind);
    of_kind.map(|finding| finding.email.clone()).collect()
}

/// The guards that hold.
pub(crate) fn held_by(report: &Report) -> Vec<String> {
    let held = report.guards.iter().filter(|guard| guard.held);
    held.map(|guard| guard.guard.as_str().to_owned()).collect()
}

/// The addresses of the actions with one status.
pub(crate) fn with_status(report: &Report, status: ActionStatus) -> Vec<String> {
    let those = report.actions.iter().filter(|a| a.status == status);
    those.map(|action| action.email.clone()).collect()
}
