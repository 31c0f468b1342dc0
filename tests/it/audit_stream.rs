//! Finished entries on their way to a SIEM: each at least once, in order, and no run waits for it.

use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
use std::os::unix::net::UnixDatagram;
use std::time::Duration;

use serde_json::Value;

use crate::daemon_world::DaemonWorld;
use crate::operator::{COUNTING, Desk, Told};

const STREAM: &str = "ROLECALL__AUDIT__STREAM";
const FORMAT: &str = "ROLECALL__AUDIT__STREAM_FORMAT";

fn sync(desk: &Desk, target: &str, format: &str) -> Told {
    let told = desk.run_with(
        &["sync"],
        &[
            (STREAM, target),
            (FORMAT, format),
            ("ROLECALL__LOG__LEVEL", "warn"),
        ],
    );
    assert_eq!(told.status, 0, "{told:?}");
    told
}

fn read(desk: &Desk, name: &str) -> String {
    std::fs::read_to_string(desk.path(name)).unwrap()
}

fn log_of(desk: &Desk) -> String {
    desk.run(&["audit", "export", "--format", "jsonl"]).out
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_gets_every_entry_once_when_nothing_goes_wrong() {
    let desk = Desk::with(COUNTING).await;
    let target = format!("file:{}", desk.path("siem.jsonl").display());
    sync(&desk, &target, "jsonl");
    desk.leave(&["p1"]);
    sync(&desk, &target, "jsonl");
    assert_eq!(read(&desk, "siem.jsonl"), log_of(&desk));
    for name in ["siem.jsonl", "rolecall.db-audit-stream"] {
        let mode = std::fs::metadata(desk.path(name))
            .unwrap()
            .permissions()
            .mode();
        assert_eq!(mode & 0o777, 0o600, "{name}");
    }
    let told = desk.run_with(&["status", "--format", "json"], &[(STREAM, &target)]);
    let audit = &told.json()["audit"];
    assert_eq!(audit["delivered"], audit["entries"]);
    // Another target gets the log from its beginning.
    let other = format!("file:{}", desk.path("other.cef").display());
    sync(&desk, &other, "cef");
    let lines = read(&desk, "other.cef").lines().count();
    assert_eq!(lines, log_of(&desk).lines().count());
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_delivered_is_sent_by_a_later_run_and_holds_none_back() {
    let desk = Desk::with(COUNTING).await;
    let target = format!("file:{}", desk.path("later/siem.jsonl").display());
    let told = sync(&desk, &target, "jsonl");
    assert_eq!(
        told.err.matches("cannot be delivered to file:").count(),
        1,
        "{}",
        told.err
    );
    std::fs::create_dir(desk.path("later")).unwrap();
    let told = sync(&desk, &target, "jsonl");
    assert_eq!(told.err, "");
    assert_eq!(read(&desk, "later/siem.jsonl"), log_of(&desk));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_torn_line_is_ended_and_its_entry_sent_again() {
    let desk = Desk::with(COUNTING).await;
    let target = format!("file:{}", desk.path("siem.jsonl").display());
    sync(&desk, &target, "jsonl");
    let position = read(&desk, "rolecall.db-audit-stream");
    sync(&desk, &target, "jsonl");
    // As if the power had gone in the middle of the second run's lines.
    desk.write("rolecall.db-audit-stream", &position);
    let log = log_of(&desk);
    let whole: usize = log.lines().take(5).map(|line| line.len() + 1).sum();
    desk.write("siem.jsonl", &log[..whole + 20]);
    sync(&desk, &target, "jsonl");
    let mut numbers = Vec::new();
    let mut torn = 0;
    for line in read(&desk, "siem.jsonl").lines() {
        match serde_json::from_str::<Value>(line) {
            Ok(entry) => numbers.push(entry["seq"].as_u64().unwrap()),
            Err(_) => torn += 1,
        }
    }
    assert_eq!(torn, 1);
    numbers.sort_unstable();
    numbers.dedup();
    let all: Vec<u64> = (1..).take(log_of(&desk).lines().count()).collect();
    assert_eq!(numbers, all, "each at least once");
}

#[tokio::test(flavor = "multi_thread")]
async fn another_log_in_the_place_of_this_one_is_sent_from_its_beginning() {
    let desk = Desk::with(COUNTING).await;
    let target = format!("file:{}", desk.path("siem.jsonl").display());
    sync(&desk, &target, "jsonl");
    for entry in std::fs::read_dir(desk.path("")).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        if name.starts_with("rolecall.db") && !name.ends_with("-audit-stream") {
            std::fs::remove_file(path).unwrap();
        }
    }
    let told = sync(&desk, &target, "jsonl");
    assert!(
        told.err.contains("is not in this audit log"),
        "{}",
        told.err
    );
    assert!(read(&desk, "siem.jsonl").ends_with(&log_of(&desk)));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_entry_that_was_changed_stops_the_stream_before_it() {
    let desk = Desk::with(COUNTING).await;
    desk.sync(0);
    let mut store = crate::queue_commands::attach(&desk).await;
    for statement in [
        "DROP TRIGGER audit_refuses_update",
        "UPDATE audit SET user = 'somebody else' WHERE seq = 3",
    ] {
        sqlx::query(statement).execute(&mut store).await.unwrap();
    }
    let target = format!("file:{}", desk.path("siem.jsonl").display());
    let told = sync(&desk, &target, "jsonl");
    assert!(
        told.err
            .contains("entry 3 of the audit log is not what was written"),
        "{}",
        told.err
    );
    assert!(!desk.path("siem.jsonl").exists());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_syslog_socket_gets_a_datagram_an_entry_in_every_format() {
    let desk = Desk::with(COUNTING).await;
    desk.sync(0);
    for format in ["rfc5424", "jsonl", "ocsf", "cef"] {
        let path = desk.path(format);
        let socket = UnixDatagram::bind(&path).unwrap();
        socket
            .set_read_timeout(Some(Duration::from_secs(20)))
            .unwrap();
        // A run's entries are fewer than a socket holds unread.
        let target = format!("unix://{}", path.display());
        let entries = log_of(&desk).lines().count();
        let reader = std::thread::spawn(move || {
            let mut buffer = vec![0; 1 << 16];
            let mut messages = Vec::new();
            while messages.len() < entries {
                let length = socket.recv(&mut buffer).unwrap();
                messages.push(String::from_utf8(buffer[..length].to_vec()).unwrap());
            }
            messages
        });
        sync(&desk, &target, format);
        let messages = reader.join().unwrap();
        for message in &messages {
            assert!(message.starts_with("<110>1 20"), "{message}");
            // JSON and CEF begin with no byte order mark: a receiver's parser would refuse it.
            let text = message.splitn(3, " - ").nth(2);
            let fits = match format {
                "rfc5424" => message.contains(" [rolecall@32473 seq=\""),
                "cef" => text.unwrap().starts_with("CEF:0|rolecall|"),
                _ => serde_json::from_str::<Value>(text.unwrap()).is_ok(),
            };
            assert!(fits, "{format}: {message}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_target_that_is_no_file_is_named_and_not_waited_for() {
    let desk = Desk::with(COUNTING).await;
    let pipe = desk.path("pipe");
    let made = std::process::Command::new("mkfifo").arg(&pipe).status();
    assert!(made.unwrap().success());
    // With a reader, opening works, and writing would block once the pipe is full.
    let _reader = std::fs::OpenOptions::new()
        .read(true)
        .custom_flags(rustix::fs::OFlags::NONBLOCK.bits().cast_signed())
        .open(&pipe)
        .unwrap();
    let told = sync(&desk, &format!("file:{}", pipe.display()), "jsonl");
    assert!(
        told.err.contains("it is not a regular file"),
        "{}",
        told.err
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn the_daemon_sends_as_it_goes_tells_an_outage_once_and_catches_up() {
    let world = DaemonWorld::start("").await;
    let target = world.path("siem/audit.jsonl");
    world.configure(&format!(
        "{}\n[audit]\nstream = \"file:{}\"\n",
        crate::daemon_world::EVERY_SECOND,
        target.display()
    ));
    let mut daemon = world.daemon(&[]);
    daemon
        .metric("rolecall_audit_stream_behind", |behind| behind >= 12)
        .await;
    let log = daemon.log();
    assert_eq!(
        log.matches("cannot be delivered to file:").count(),
        1,
        "{log}"
    );
    std::fs::create_dir(world.path("siem")).unwrap();
    daemon
        .logs("entries of the audit log are delivered again")
        .await;
    daemon
        .metric("rolecall_runs_total{outcome=\"in_sync\"}", |runs| runs >= 4)
        .await;
    daemon.stop().await;
    let exported = world
        .command(&["audit", "export", "--format", "jsonl"])
        .output()
        .unwrap();
    let log = String::from_utf8(exported.stdout).unwrap();
    assert_eq!(std::fs::read_to_string(&target).unwrap(), log);
}
