//! The daemon as a child process beside a sandbox, with everything it talks to: systemd's socket,
//! a scraper, signals. Nothing here waits for a fixed time: everything is polled, with a deadline.

use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::net::UnixDatagram;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use rolecall::domain::time::SystemClock;
use rolecall::sandbox::{AccountSeed, PersonSeed, Sandbox, SandboxOptions};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

/// Long enough for a machine with two slow cores and much else to do.
pub(crate) const PATIENCE: Duration = Duration::from_secs(40);

/// A run every second, at once, and an HTTP port that the log tells.
pub(crate) const EVERY_SECOND: &str = "\n[schedule]\ncron = \"* * * * * *\"\njitter = \"0s\"\n\
     [http]\nlisten = \"127.0.0.1:0\"\n";

/// One leaver of three is no mass leave here.
const LOOSE_GUARDS: &str =
    "\n[guards]\nmax_deactivations_percent = 100\nmax_opa_drop_percent = 100\n";

/// A sandbox and a directory with the settings for it.
pub(crate) struct DaemonWorld {
    pub(crate) sandbox: Sandbox,
    directory: TempDir,
}

impl DaemonWorld {
    /// `ada`, `bob` and `cy` on both sides, and a service that runs every second.
    pub(crate) async fn start(more: &str) -> Self {
        let sandbox = Sandbox::start(SandboxOptions::empty(SystemClock::shared()))
            .await
            .unwrap();
        for name in ["ada", "bob", "cy"] {
            let email = format!("{name}@example.com");
            sandbox
                .opa()
                .add_person(PersonSeed::active(name, &email))
                .unwrap();
            sandbox.opsera().add(AccountSeed::active(&email)).unwrap();
        }
        let world = Self {
            sandbox,
            directory: tempfile::tempdir().unwrap(),
        };
        world.configure(&format!("{EVERY_SECOND}{more}"));
        world
    }

    /// Writes the settings file: the sandbox's, then `more`; guards are loose unless `more` sets some.
    pub(crate) fn configure(&self, more: &str) {
        let store = self.path("rolecall.db");
        let guards = if more.contains("[guards]") {
            ""
        } else {
            LOOSE_GUARDS
        };
        let text = format!(
            "{}\n[store]\npath = {:?}\n{guards}{more}",
            self.sandbox.settings_toml(),
            store.display().to_string()
        );
        self.write("rolecall.toml", &text, 0o600);
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    pub(crate) fn write(&self, name: &str, text: &str, mode: u32) {
        let path = self.path(name);
        std::fs::write(&path, text).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).unwrap();
    }

    pub(crate) fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_rolecall"));
        command
            .current_dir(self.directory.path())
            .env_clear()
            .args(["--config", "rolecall.toml"])
            .args(args);
        command
    }

    /// Starts the daemon with a socket to tell systemd, and a watchdog that wants feeding.
    pub(crate) fn daemon(&self, args: &[&str]) -> Daemon {
        let socket_path = self.path("notify.socket");
        // A daemon before this one may have had it.
        let _ = std::fs::remove_file(&socket_path);
        let socket = UnixDatagram::bind(&socket_path).unwrap();
        socket
            .set_read_timeout(Some(Duration::from_millis(20)))
            .unwrap();
        let log = self.path("daemon.log");
        let child = self
            .command(&[&["daemon"], args].concat())
            .env("NOTIFY_SOCKET", &socket_path)
            .env("WATCHDOG_USEC", "2000000")
            .stdout(Stdio::null())
            .stderr(std::fs::File::create(&log).unwrap())
            .spawn()
            .unwrap();
        Daemon {
            child,
            socket,
            heard: Vec::new(),
            log,
        }
    }
}

/// The daemon; killed when the test is over.
pub(crate) struct Daemon {
    child: Child,
    socket: UnixDatagram,
    /// Every line that systemd was told, in order.
    pub(crate) heard: Vec<String>,
    log: PathBuf,
}

impl Daemon {
    /// Polls until `found` gives something.
    pub(crate) async fn until<T>(
        &mut self,
        what: &str,
        mut found: impl AsyncFnMut(&mut Self) -> Option<T>,
    ) -> T {
        let deadline = Instant::now() + PATIENCE;
        loop {
            self.listen();
            if let Some(value) = found(self).await {
                return value;
            }
            assert!(
                Instant::now() < deadline,
                "waited in vain for {what}; systemd heard {:?}; the log says\n{}",
                self.heard,
                self.log()
            );
            tokio::task::yield_now().await;
        }
    }

    /// Waits until systemd has heard this line for the `times`th time.
    pub(crate) async fn hears(&mut self, line: &str, times: usize) {
        self.until(line, async |daemon| {
            let heard = daemon.heard.iter().filter(|heard| *heard == line).count();
            (heard >= times).then_some(())
        })
        .await;
    }

    /// Waits until the log has `words`.
    pub(crate) async fn logs(&mut self, words: &str) {
        self.until(words, async |daemon| {
            daemon.log().contains(words).then_some(())
        })
        .await;
    }

    pub(crate) fn log(&self) -> String {
        std::fs::read_to_string(&self.log).unwrap()
    }

    fn listen(&mut self) {
        let mut buffer = [0; 4096];
        // Waits for 20 ms when there is nothing, which paces the polling.
        while let Ok(length) = self.socket.recv(&mut buffer) {
            let text = String::from_utf8(buffer[..length].to_vec()).unwrap();
            self.heard.extend(text.lines().map(str::to_owned));
        }
    }

    pub(crate) fn signal(&self, name: &str) {
        let status = Command::new("/bin/sh")
            .args(["-c", &format!("kill -{name} {}", self.child.id())])
            .status()
            .unwrap();
        assert!(status.success());
    }

    /// Waits for the end of the process and gives its exit status.
    pub(crate) async fn ends(&mut self) -> i32 {
        let status = self
            .until("the end", async |daemon| daemon.child.try_wait().unwrap())
            .await;
        self.listen();
        status.code().unwrap()
    }

    /// Asks for an end and checks that it is a good one.
    pub(crate) async fn stop(&mut self) {
        self.signal("TERM");
        assert_eq!(self.ends().await, 0, "{}", self.log());
    }

    /// The port of `http.listen`, from the log.
    pub(crate) async fn port(&mut self) -> u16 {
        self.until("the HTTP address", async |daemon| {
            let log = daemon.log();
            let (_, rest) = log.split_once("\"address\":\"127.0.0.1:")?;
            rest.split_once('"')?.0.parse().ok()
        })
        .await
    }

    /// One request; gives the status, the head and the body.
    pub(crate) async fn get(&mut self, path: &str) -> (u16, String, String) {
        let port = self.port().await;
        let request = format!("GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
        let answer = send(port, request.as_bytes()).await;
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        let status = head.split(' ').nth(1).unwrap().parse().unwrap();
        (status, head.to_owned(), body.to_owned())
    }

    /// Waits until `/readyz` answers with `status` and, if it is not ready, for this reason.
    pub(crate) async fn readiness(&mut self, status: u16, reason: &str) {
        let what = format!("/readyz {status} {reason}");
        self.until(&what, async |daemon| {
            let (got, _, body) = daemon.get("/readyz").await;
            let reason_given = body.contains(&format!("\"reason\":\"{reason}\""));
            (got == status && (status == 200 || reason_given)).then_some(())
        })
        .await;
    }

    /// Waits until a series of `/metrics` satisfies `holds`.
    pub(crate) async fn metric(&mut self, series: &str, holds: impl Fn(u64) -> bool) {
        self.until(series, async |daemon| {
            let (_, _, body) = daemon.get("/metrics").await;
            let line = body.lines().find(|line| {
                line.strip_prefix(series)
                    .is_some_and(|rest| rest.starts_with(' '))
            });
            let value: u64 = line?.rsplit(' ').next()?.parse().ok()?;
            holds(value).then_some(())
        })
        .await;
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Sends bytes to a local port and gives what comes back.
pub(crate) async fn send(port: u16, bytes: &[u8]) -> String {
    let mut stream = tokio::net::TcpStream::connect(("127.0.0.1", port))
        .await
        .unwrap();
    stream.write_all(bytes).await.unwrap();
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer).await;
    String::from_utf8_lossy(&answer).into_owned()
}
