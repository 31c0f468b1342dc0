//! An operator's desk for the tests: the binary as a child process, against a sandbox in this
//! process, with a store and settings in a directory of their own.

use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;
use std::process::Command;

use rolecall::domain::time::SystemClock;
use rolecall::sandbox::{AccountSeed, PersonSeed, Sandbox, SandboxOptions};
use serde_json::Value;
use tempfile::TempDir;

/// Guards that only count deactivations, and retries that do not wait.
pub(crate) const COUNTING: &str = "
[guards]
max_deactivations = 1
max_deactivations_percent = 100
max_opa_drop_percent = 100
[retry]
base_delay = \"1ms\"
max_delay = \"2ms\"
";

pub(crate) struct Desk {
    pub(crate) sandbox: Sandbox,
    directory: TempDir,
}

/// What a command said.
#[derive(Debug)]
pub(crate) struct Told {
    pub(crate) status: i32,
    pub(crate) out: String,
    pub(crate) err: String,
}

impl Told {
    #[track_caller]
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.out).unwrap_or_else(|_| panic!("not JSON: {self:?}"))
    }

    /// The one sentence of a refusal.
    #[track_caller]
    pub(crate) fn refused(&self) -> &str {
        assert_eq!((self.status, self.out.as_str()), (1, ""), "{self:?}");
        let line = self.err.strip_prefix("error: ").expect(&self.err);
        let line = line.strip_suffix('\n').expect(line);
        assert!(!line.contains('\n'), "more than one line: {line}");
        line
    }
}

impl Desk {
    /// Ten people with their accounts, in step, and a pair that never leaves.
    pub(crate) async fn with(settings: &str) -> Self {
        let _ = rustls::crypto::ring::default_provider().install_default();
        let sandbox = Sandbox::start(SandboxOptions::empty(SystemClock::shared()))
            .await
            .unwrap();
        let desk = Self {
            sandbox,
            directory: tempfile::tempdir().unwrap(),
        };
        for number in 0..10 {
            desk.add(&format!("p{number}"));
        }
        desk.write(
            "rolecall.toml",
            &format!("{}{settings}", desk.sandbox.settings_toml()),
        );
        desk
    }

    /// A person with an account.
    pub(crate) fn add(&self, name: &str) {
        let email = format!("{name}@example.com");
        let person = PersonSeed::active(name, &email);
        self.sandbox.opa().add_person(person).unwrap();
        let account = AccountSeed::active(&email);
        self.sandbox.opsera().add(account).unwrap();
    }

    /// Lets somebody own so much in Opsera that their account cannot be deactivated.
    pub(crate) fn own_something(&self, name: &str) {
        self.sandbox
            .opsera()
            .edit(&format!("{name}@example.com"), |account| {
                account.owned_objects = 2;
            })
            .unwrap();
    }

    pub(crate) fn leave(&self, names: &[&str]) {
        for name in names {
            self.sandbox.opa().disable(name).unwrap();
        }
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    pub(crate) fn write(&self, name: &str, text: &str) {
        let path = self.path(name);
        std::fs::write(&path, text).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).unwrap();
    }

    pub(crate) fn run(&self, args: &[&str]) -> Told {
        self.run_with(args, &[])
    }

    pub(crate) fn run_with(&self, args: &[&str], environment: &[(&str, &str)]) -> Told {
        let output = self
            .command(args)
            .envs(environment.iter().copied())
            .output()
            .unwrap();
        Told {
            status: output.status.code().unwrap(),
            out: String::from_utf8(output.stdout).unwrap(),
            err: String::from_utf8(output.stderr).unwrap(),
        }
    }

    /// The program with these arguments, not started yet.
    pub(crate) fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_rolecall"));
        command
            .current_dir(self.directory.path())
            .env_clear()
            .env("ROLECALL__LOG__LEVEL", "error")
            .args(args);
        command
    }

    /// A `sync` that ends with `status`; gives its report.
    #[track_caller]
    pub(crate) fn sync(&self, status: i32) -> Value {
        let told = self.run(&["sync"]);
        assert_eq!(told.status, status, "{told:?}");
        crate::report_schema::parsed(&told.out)
    }

    /// A `sync` that a guard holds; gives the plan's id.
    #[track_caller]
    pub(crate) fn hold(&self) -> String {
        let report = self.sync(3);
        assert_eq!(report["outcome"], "held");
        report["plan_id"].as_str().unwrap().to_owned()
    }

    #[track_caller]
    pub(crate) fn approve(&self, id: &str) {
        let told = self.run(&["plan", "approve", id, "--reason", "they left"]);
        assert_eq!((told.status, told.err.as_str()), (0, ""), "{told:?}");
    }

    /// Where a plan stands, as `plan list` says.
    #[track_caller]
    pub(crate) fn state(&self, id: &str) -> String {
        let plans = self.run(&["plan", "list"]).json();
        let mut plans = plans.as_array().unwrap().iter();
        let plan = plans.find(|plan| plan["plan_id"] == id).unwrap();
        plan["state"].as_str().unwrap().to_owned()
    }

    /// The audit log's entries of one kind.
    pub(crate) fn entries(&self, event: &str) -> Vec<Value> {
        let told = self.run(&["audit", "list", "--event", event]);
        assert_eq!(told.status, 0, "{told:?}");
        told.json().as_array().unwrap().clone()
    }

    /// Who lost the account, sorted.
    pub(crate) fn deactivated(&self) -> Vec<String> {
        let mut gone: Vec<String> = self
            .sandbox
            .opsera()
            .accounts()
            .into_iter()
            .filter(|account| account.status == rolecall::sandbox::AccountStatus::Inactive)
            .filter_map(|account| account.email)
            .collect();
        gone.sort();
        gone
    }
}

/// Addresses of people by their names.
pub(crate) fn addresses(names: &[&str]) -> Vec<String> {
    names
        .iter()
        .map(|name| format!("{name}@example.com"))
        .collect()
}
