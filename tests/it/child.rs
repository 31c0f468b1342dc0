//! The program as a child process on the world of a fault test, and what a killed one leaves.

use std::collections::BTreeMap;
use std::fs::File;
use std::os::unix::process::ExitStatusExt as _;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use rolecall::audit::{Event, HashedEntry};
use rolecall::domain::time::SystemClock;
use rolecall::sandbox::{AccountStatus, PersonSeed};
use serde_json::Value;

use crate::fault_world::{World, check_requests};

/// People of every kind in [`staffed`].
pub(crate) const OF_EACH: usize = 2;

/// How a child ended, and what it said.
pub(crate) struct Ended {
    pub(crate) status: ExitStatus,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Ended {
    pub(crate) fn code(&self) -> Option<i32> {
        self.status.code()
    }

    pub(crate) fn was_killed(&self) -> bool {
        self.status.signal().is_some()
    }

    /// The JSON report.
    #[track_caller]
    pub(crate) fn report(&self) -> Value {
        assert!(!self.stdout.is_empty(), "no report: {}", self.stderr);
        crate::report_schema::parsed(&self.stdout)
    }

    #[track_caller]
    pub(crate) fn assert_code(&self, code: i32) {
        assert_eq!(
            self.code(),
            Some(code),
            "{:?}\n{}\n{}",
            self.status,
            self.stdout,
            self.stderr
        );
    }
}

/// A child that others may kill.
#[derive(Clone)]
pub(crate) struct Victim {
    child: Arc<Mutex<Child>>,
    dir: std::path::PathBuf,
    name: String,
}

impl Victim {
    /// Starts `command` with its output in files, which cannot fill up as pipes do.
    pub(crate) fn start(command: &mut Command, dir: &std::path::Path) -> Self {
        use std::sync::atomic::{AtomicU32, Ordering};
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let name = format!("child{}", NEXT.fetch_add(1, Ordering::Relaxed));
        let file = |end: &str| File::create(dir.join(format!("{name}.{end}"))).unwrap();
        let child = command
            .stdin(Stdio::null())
            .stdout(file("out"))
            .stderr(file("err"))
            .spawn()
            .unwrap();
        Self {
            child: Arc::new(Mutex::new(child)),
            dir: dir.to_owned(),
            name,
        }
    }

    /// Runs `command` to its end with its output in pipes.
    pub(crate) fn with_pipes(command: &mut Command) -> Ended {
        let output = command.stdin(Stdio::null()).output().unwrap();
        let text = |bytes| String::from_utf8(bytes).unwrap();
        Ended {
            status: output.status,
            stdout: text(output.stdout),
            stderr: text(output.stderr),
        }
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.lock().unwrap().id()
    }

    /// Waits so long, and then does `act` to it.
    pub(crate) async fn after(&self, delay: Duration, act: impl FnOnce(&Self) + Send + 'static) {
        let victim = self.clone();
        let waited = tokio::task::spawn_blocking(move || {
            std::thread::sleep(delay);
            act(&victim);
        });
        waited.await.unwrap();
    }

    /// SIGKILL.
    pub(crate) fn kill(&self) {
        // It may have ended by itself.
        let _ = self.child.lock().unwrap().kill();
    }

    /// Any other signal, by name.
    pub(crate) fn signal(&self, name: &str) {
        let pid = self.pid().to_string();
        Command::new("kill")
            .args(["-s", name, &pid])
            .status()
            .unwrap();
    }

    /// Waits for its end, at most a minute.
    pub(crate) async fn end(&self) -> Ended {
        let victim = self.clone();
        tokio::task::spawn_blocking(move || victim.wait())
            .await
            .unwrap()
    }

    fn wait(&self) -> Ended {
        let started = std::time::Instant::now();
        let status = loop {
            if let Some(status) = self.child.lock().unwrap().try_wait().unwrap() {
                break status;
            }
            assert!(started.elapsed() < Duration::from_mins(1), "it hangs");
            std::thread::sleep(Duration::from_millis(2));
        };
        let text = |end: &str| {
            std::fs::read_to_string(self.dir.join(format!("{}.{end}", self.name))).unwrap()
        };
        Ended {
            status,
            stdout: text("out"),
            stderr: text("err"),
        }
    }
}

impl World {
    /// A world on the machine's clock, as a child process needs it: two leavers, two movers, two
    /// joiners and somebody who stays.
    pub(crate) async fn staffed() -> Self {
        let world = Self::with(|options| options.clock = SystemClock::shared()).await;
        world.settings("[opsera]\ntimeout = \"10s\"\n[opa]\ntimeout = \"10s\"\n");
        world.member("amy", &[]);
        for n in 0..OF_EACH {
            world.leaver(&format!("lea{n}"));
            world.member(&format!("mia{n}"), &["power"]);
            let name = format!("joe{n}");
            let seed = PersonSeed::active(&name, &format!("{name}@example.com"));
            world
                .sandbox
                .opa()
                .add_person(seed.named("Joe", "Doe"))
                .unwrap();
        }
        world
    }

    /// Whether everything is as the rules demand.
    pub(crate) fn is_settled(&self) -> bool {
        (0..OF_EACH).all(|n| {
            self.standing(&format!("lea{n}")) == Some(AccountStatus::Inactive)
                && self.role(&format!("mia{n}")) == "PowerUsers"
                && self.standing(&format!("joe{n}")) == Some(AccountStatus::Pending)
        }) && self.standing("amy") == Some(AccountStatus::Active)
    }

    /// The program with these settings.
    pub(crate) fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_rolecall"));
        self.finish_command(&mut command, args);
        command
    }

    /// Adds what every child of this world gets.
    pub(crate) fn finish_command(&self, command: &mut Command, args: &[&str]) {
        command.env_clear().current_dir(self.dir.path());
        for file in self.settings_files() {
            command.arg("--config").arg(file);
        }
        command.args(args);
    }

    /// Starts `sync`.
    pub(crate) fn start_sync(&self) -> Victim {
        Victim::start(
            &mut self.command(&["sync", "--format", "json"]),
            self.dir.path(),
        )
    }

    /// Runs `sync` to its end.
    pub(crate) async fn sync_child(&self) -> Ended {
        self.start_sync().end().await
    }

    /// One more run after one that ended badly, and everything that must hold then.
    pub(crate) async fn recover(&self) {
        self.sandbox.clear_faults();
        self.sandbox.journal().on_receive(|_| {});
        let next = self.sync_child().await;
        next.assert_code(0);
        assert!(self.is_settled(), "{:#?}", self.sandbox.opsera().accounts());
        let requests = self.sandbox.journal().entries();
        let audit = self.audit().await;
        check_requests(&requests, &audit);
        check_outcomes(&audit);
        self.check_store().await;
    }

    /// After a kill: whatever arrived was announced before, durably.
    pub(crate) async fn check_after_kill(&self) {
        if !self.store_path().exists() || self.writes().is_empty() {
            return;
        }
        check_requests(&self.sandbox.journal().entries(), &self.audit().await);
    }

    /// The file is sound and nothing in the queue is left open.
    pub(crate) async fn check_store(&self) {
        let store = self.store().await;
        let found: String = sqlx::query_scalar("PRAGMA integrity_check")
            .fetch_one(store.reader())
            .await
            .unwrap();
        assert_eq!(found, "ok");
        let open: i64 =
            sqlx::query_scalar("SELECT count(*) FROM actions WHERE state = 'in_flight'")
                .fetch_one(store.reader())
                .await
                .unwrap();
        assert_eq!(open, 0, "actions without an outcome");
        store.close().await;
    }
}

/// Every announced request has an outcome in the log, after its announcement.
pub(crate) fn check_outcomes(audit: &[HashedEntry]) {
    let mut open: BTreeMap<(i64, i64), u64> = BTreeMap::new();
    for entry in audit {
        let Some(evidence) = entry.evidence.as_ref() else {
            continue;
        };
        let evidence: Value = serde_json::from_str(evidence).unwrap();
        let (Some(action), Some(attempt)) =
            (evidence["action"].as_i64(), evidence["attempt"].as_i64())
        else {
            continue;
        };
        if entry.event == Event::ActionStarted.as_str() {
            let twice = open.insert((action, attempt), entry.seq);
            assert_eq!(twice, None, "announced twice: {entry:?}");
        } else {
            open.remove(&(action, attempt));
        }
    }
    assert!(
        open.is_empty(),
        "announced and without an outcome: {open:?}"
    );
}
