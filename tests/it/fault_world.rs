//! Two simulated directories, a store and a clock that the test moves, for runs in this process;
//! and what must hold whatever went wrong.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use rolecall::audit::{Actor, Event, HashedEntry, Proof, Verdict};
use rolecall::domain::{
    ActionKind, ActionReport, ActionStatus, Mode, Outcome, Report, time::ManualClock,
};
use rolecall::reconcile::{Context, RunRequest};
use rolecall::sandbox::{
    AccountSeed, AccountStatus, Api, Effect, Entry, PersonSeed, Sandbox, SandboxOptions,
};
use rolecall::store::{Store, audit::AuditFilter};
use tokio_util::sync::CancellationToken;

use crate::program;

/// Real time that a request may take in these tests.
pub(crate) const TIMEOUT: Duration = Duration::from_millis(300);

/// Guards wide open, short time-outs, one role rule and creation: what the fault tests need.
const SETTINGS: &str = r#"
[opa]
timeout = "2s"
[opsera]
timeout = "300ms"
[guards]
max_deactivations = 1000
max_deactivations_percent = 100
max_deactivations_7d = 1000
max_role_changes = 1000
max_role_changes_percent = 100
max_creations = 1000
max_opa_drop_percent = 100
min_administrators = 0
[provision]
enabled = true
[deactivation]
absent_grace = "1h"
[[roles.rules]]
group = "power"
role = "PowerUsers"
"#;

/// Both directories and the program's side of the world.
pub(crate) struct World {
    pub(crate) sandbox: Sandbox,
    pub(crate) clock: Arc<ManualClock>,
    pub(crate) dir: tempfile::TempDir,
    pub(crate) stop: CancellationToken,
}

impl World {
    /// Nobody on either side.
    pub(crate) async fn empty() -> Self {
        Self::with(|_| {}).await
    }

    /// Nobody on either side of a sandbox with other options.
    pub(crate) async fn with(adjust: impl FnOnce(&mut SandboxOptions)) -> Self {
        let clock = ManualClock::at(program::BEGINNING.parse().unwrap());
        let mut options = SandboxOptions::empty(clock.clone());
        adjust(&mut options);
        let sandbox = Sandbox::start(options).await.unwrap();
        let world = Self {
            sandbox,
            clock,
            dir: tempfile::tempdir().unwrap(),
            stop: CancellationToken::new(),
        };
        world.settings("");
        world
    }

    /// One piece of work of every kind: a leaver, a mover, a joiner, and somebody who stays.
    pub(crate) async fn one_of_each() -> Self {
        let world = Self::empty().await;
        world.member("amy", &[]);
        world.member("mia", &["power"]);
        world.leaver("lea");
        world
            .sandbox
            .opa()
            .add_person(PersonSeed::active("joe", "joe@example.com").named("Joe", "Doe"))
            .unwrap();
        world
    }

    /// So many people on each side: of 40 one has left, of 20 one has a role by a group.
    pub(crate) fn fill(&self, people: usize) {
        for number in 0..people {
            let (name, email) = (format!("p{number}"), format!("p{number}@example.com"));
            let mut person = PersonSeed::active(&name, &email);
            if number % 40 == 0 {
                person = person.status("DISABLED");
            }
            if number % 20 == 1 {
                person = person.in_groups(["power"]);
            }
            self.sandbox.opa().add_person(person).unwrap();
            let account = AccountSeed::active(&email);
            self.sandbox.opsera().add(account).unwrap();
        }
    }

    /// An ACTIVE person with an account.
    pub(crate) fn member(&self, name: &str, groups: &[&str]) {
        let mut seed = PersonSeed::active(name, &address(name));
        seed.groups = groups.iter().map(|&group| group.to_owned()).collect();
        self.sandbox.opa().add_person(seed).unwrap();
        self.account(name);
    }

    /// A DISABLED person with an account.
    pub(crate) fn leaver(&self, name: &str) {
        let seed = PersonSeed::active(name, &address(name)).status("DISABLED");
        self.sandbox.opa().add_person(seed).unwrap();
        self.account(name);
    }

    /// An account.
    pub(crate) fn account(&self, name: &str) -> String {
        let opsera = self.sandbox.opsera();
        opsera.add(AccountSeed::active(&address(name))).unwrap()
    }

    /// The account's `_id`.
    pub(crate) fn id(&self, name: &str) -> String {
        self.sandbox.opsera().get(&address(name)).unwrap().id
    }

    /// Where an account stands; `None` if there is none.
    pub(crate) fn standing(&self, name: &str) -> Option<AccountStatus> {
        let account = self.sandbox.opsera().get(&address(name));
        account.map(|account| account.status)
    }

    /// The account's role as Opsera has it.
    pub(crate) fn role(&self, name: &str) -> String {
        self.sandbox.opsera().get(&address(name)).unwrap().site_role
    }

    /// Where a test may mount a disk of its own; the store is on it if it is there.
    pub(crate) fn disk(&self) -> PathBuf {
        self.dir.path().join("disk")
    }

    pub(crate) fn store_path(&self) -> PathBuf {
        let disk = self.disk();
        let home = if disk.exists() {
            &disk
        } else {
            self.dir.path()
        };
        home.join("rolecall.db")
    }

    pub(crate) fn settings_files(&self) -> Vec<PathBuf> {
        ["base.toml", "tests.toml", "more.toml"]
            .iter()
            .map(|name| self.dir.path().join(name))
            .collect()
    }

    /// Writes the settings, `more` on top.
    pub(crate) fn settings(&self, more: &str) {
        use std::os::unix::fs::PermissionsExt as _;
        let store = format!("[store]\npath = {:?}\n", self.store_path());
        let texts = [
            format!("{}\n{store}", self.sandbox.settings_toml()),
            SETTINGS.to_owned(),
            more.to_owned(),
        ];
        for (file, text) in self.settings_files().iter().zip(texts) {
            std::fs::write(file, text).unwrap();
            std::fs::set_permissions(file, std::fs::Permissions::from_mode(0o600)).unwrap();
        }
    }

    pub(crate) fn context(&self) -> Context {
        Context {
            settings: program::load(self.settings_files()),
            clock: self.clock.clone(),
            actor: Actor::of_this_process(),
        }
    }

    /// One run that applies; the journal then holds this run's requests alone.
    pub(crate) async fn sync(&self) -> Report {
        self.run(Mode::Apply).await
    }

    pub(crate) async fn run(&self, mode: Mode) -> Report {
        self.sandbox.journal().clear();
        let request = RunRequest {
            stop: self.stop.clone(),
            ..program::request(mode)
        };
        program::run(&self.context(), request).await.report
    }

    pub(crate) fn writes(&self) -> Vec<Entry> {
        self.sandbox.journal().writes()
    }

    /// The writes of one method.
    pub(crate) fn writes_of(&self, method: &str) -> Vec<Entry> {
        let mut writes = self.writes();
        writes.retain(|entry| entry.received.method == method);
        writes
    }

    pub(crate) async fn store(&self) -> Store {
        Store::open_existing_read_only(&self.store_path())
            .await
            .unwrap()
    }

    /// The whole audit log, which must verify.
    pub(crate) async fn audit(&self) -> Vec<HashedEntry> {
        let store = self.store().await;
        let verdict = store.verify_audit(&Proof::default()).await.unwrap();
        assert!(!matches!(verdict, Verdict::Broken(_)), "{verdict:?}");
        let entries = store.list_audit(&AuditFilter::default()).await.unwrap();
        store.close().await;
        assert!(entries.windows(2).all(|pair| pair[0].at <= pair[1].at));
        entries
    }

    /// What must hold after every run, whatever the servers did.
    pub(crate) async fn check_invariants(&self) {
        let entries = self.audit().await;
        check_requests(&self.sandbox.journal().entries(), &entries);
    }
}

/// The address of a name.
pub(crate) fn address(name: &str) -> String {
    format!("{name}@example.com")
}

/// The one action of `kind`.
pub(crate) fn action(report: &Report, kind: ActionKind) -> &ActionReport {
    let mut fitting = report.actions.iter().filter(|action| action.kind == kind);
    let first = fitting
        .next()
        .unwrap_or_else(|| panic!("no {kind}: {report:#?}"));
    assert!(fitting.next().is_none(), "more than one {kind}");
    first
}

/// The action about `name`.
pub(crate) fn action_for<'r>(report: &'r Report, name: &str) -> &'r ActionReport {
    let email = address(name);
    report
        .actions
        .iter()
        .find(|action| action.email == email)
        .unwrap_or_else(|| panic!("nothing about {name}: {report:#?}"))
}

pub(crate) fn status_of(report: &Report, name: &str) -> ActionStatus {
    action_for(report, name).status
}

/// A run that came to its end: no error.
#[track_caller]
pub(crate) fn assert_outcome(report: &Report, outcome: Outcome) {
    assert_eq!(report.outcome, outcome, "{report:#?}");
}

/// Nothing is sent again blindly, nothing has two effects, and nothing goes out unannounced.
pub(crate) fn check_requests(requests: &[Entry], audit: &[HashedEntry]) {
    let mut effects: BTreeMap<String, u32> = BTreeMap::new();
    let mut sent: BTreeMap<String, bool> = BTreeMap::new();
    for entry in requests {
        if let Effect::Deactivated { id } | Effect::Created { id, .. } = &entry.effect {
            *effects.entry(id.clone()).or_default() += 1;
        }
        if entry.received.api != Api::Opsera {
            continue;
        }
        let subject = subject(entry);
        match entry.received.method.as_str() {
            "GET" => {
                // A read of the account, after which the request may go out again.
                sent.insert(format!("DELETE {subject}"), false);
                sent.insert(format!("POST {subject}"), false);
            }
            method @ ("DELETE" | "POST") => {
                // After 429 it is certain that nothing happened.
                let in_doubt = entry.status != Some(429);
                let blind = sent.insert(format!("{method} {subject}"), in_doubt);
                assert_ne!(blind, Some(true), "sent again without a look: {subject}");
            }
            _ => {}
        }
    }
    for (id, count) in effects {
        assert_eq!(count, 1, "{id} changed more than once");
    }
    check_announcements(requests, audit);
}

/// Every write has an entry of its own that announces it, and one that says what came of it.
pub(crate) fn check_announcements(requests: &[Entry], audit: &[HashedEntry]) {
    let count = |event: &[Event], email: &str| {
        audit
            .iter()
            .filter(|entry| {
                event.iter().any(|event| event.as_str() == entry.event)
                    && entry
                        .email
                        .as_deref()
                        .is_some_and(|e| e.eq_ignore_ascii_case(email))
            })
            .count()
    };
    let mut writes: BTreeMap<String, usize> = BTreeMap::new();
    for entry in requests.iter().filter(|entry| entry.received.is_write()) {
        *writes.entry(subject(entry)).or_default() += 1;
    }
    for (subject, sent) in writes {
        let email = audit
            .iter()
            .find(|entry| entry.opsera_id.as_deref() == Some(subject.as_str()))
            .and_then(|entry| entry.email.clone())
            .unwrap_or_else(|| subject.clone());
        let announced = count(&[Event::ActionStarted], &email);
        assert!(
            announced >= sent,
            "{email}: {sent} sent, {announced} announced"
        );
    }
}

/// Whom a request is about: the `_id` or address in its path or body.
fn subject(entry: &Entry) -> String {
    if entry.received.method == "POST" {
        let body = entry.received.body.as_ref();
        let email = body.and_then(|body| body["email"].as_str());
        return email.unwrap_or_default().to_owned();
    }
    let path = entry
        .received
        .path
        .strip_prefix("/user/")
        .unwrap_or_default();
    path.strip_suffix("/siterole").unwrap_or(path).to_owned()
}
