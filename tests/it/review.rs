//! `rolecall review`: one page on loopback, whose decision is that of `plan approve` and
//! `plan reject`, and which nobody else can look at or make decide.

mod in_a_browser;

use std::fmt::Write as _;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::process::{Child, Stdio};
use std::time::Duration;

use rolecall::audit::{Actor, AuditWriter};
use rolecall::domain::PlanId;
use rolecall::domain::time::{ManualClock, SystemClock};
use rolecall::review::{Decisions, End, Limits, Review};
use rolecall::sandbox::{AccountSeed, PersonSeed};
use rolecall::store::Store;
use serde_json::Value;
use tokio_util::sync::CancellationToken;

use crate::operator::{COUNTING, Desk, Told};

/// A page that the program serves.
struct Served {
    child: Child,
    err: BufReader<std::process::ChildStderr>,
    port: u16,
    path: String,
}

/// An answer.
#[derive(Debug)]
struct Answer {
    status: u16,
    head: String,
    body: String,
}

impl Answer {
    fn header(&self, name: &str) -> Option<&str> {
        self.head.lines().find_map(|line| {
            let (found, value) = line.split_once(": ")?;
            found.eq_ignore_ascii_case(name).then_some(value)
        })
    }

    /// The cookie as a browser sends it back.
    fn cookie(&self) -> String {
        let cookie = self.header("set-cookie").expect("no cookie");
        cookie.split(';').next().unwrap().to_owned()
    }
}

#[expect(
    clippy::zombie_processes,
    reason = "the caller waits for it; where an assertion fails, the test is over"
)]
fn review(desk: &Desk, args: &[&str]) -> Served {
    let mut child = desk
        .command(&[&["review"], args].concat())
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut err = BufReader::new(child.stderr.take().unwrap());
    let mut told = String::new();
    loop {
        let mut line = String::new();
        assert!(err.read_line(&mut line).unwrap() > 0, "no address: {told}");
        if let Some(address) = line.trim().strip_prefix("http://127.0.0.1:") {
            let (port, path) = address.split_once('/').unwrap();
            return Served {
                child,
                err,
                port: port.parse().unwrap(),
                path: format!("/{path}"),
            };
        }
        told.push_str(&line);
    }
}

impl Served {
    fn send(&self, request: &str) -> Answer {
        let mut stream = TcpStream::connect(("127.0.0.1", self.port)).unwrap();
        stream
            .set_read_timeout(Some(Duration::from_secs(20)))
            .unwrap();
        stream.write_all(request.as_bytes()).unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        Answer {
            status: head.split(' ').nth(1).unwrap().parse().unwrap(),
            head: head.to_owned(),
            body: body.to_owned(),
        }
    }

    fn ask(&self, method: &str, target: &str, headers: &[(&str, &str)], body: &str) -> Answer {
        let mut request = format!("{method} {target} HTTP/1.1\r\nConnection: close\r\n");
        if !headers.iter().any(|(name, _)| *name == "Host") {
            write!(request, "Host: 127.0.0.1:{}\r\n", self.port).unwrap();
        }
        for (name, value) in headers {
            write!(request, "{name}: {value}\r\n").unwrap();
        }
        if method == "POST" {
            write!(
                request,
                "Content-Type: application/x-www-form-urlencoded\r\nContent-Length: {}\r\n",
                body.len()
            )
            .unwrap();
        }
        self.send(&format!("{request}\r\n{body}"))
    }

    fn open(&self) -> Answer {
        self.ask("GET", &self.path, &[], "")
    }

    fn origin(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// The page's own form, as a browser sends it.
    fn post(&self, cookie: &str, body: &str) -> Answer {
        let headers = [
            ("Cookie", cookie),
            ("Origin", "null"),
            ("Sec-Fetch-Site", "same-origin"),
        ];
        self.ask("POST", &self.path, &headers, body)
    }

    fn end(mut self) -> Told {
        let status = self.child.wait().unwrap();
        let mut told = Told {
            status: status.code().unwrap(),
            out: String::new(),
            err: String::new(),
        };
        let mut out = self.child.stdout.take().unwrap();
        out.read_to_string(&mut told.out).unwrap();
        self.err.read_to_string(&mut told.err).unwrap();
        told
    }

    fn interrupt(self) -> Told {
        let pid = self.child.id().to_string();
        let sent = std::process::Command::new("kill")
            .args(["-s", "INT", &pid])
            .status()
            .unwrap();
        assert!(sent.success());
        self.end()
    }
}

fn form(id: &str, decision: &str, reason: &str) -> String {
    url::form_urlencoded::Serializer::new(String::new())
        .append_pair("plan", id)
        .append_pair("reason", reason)
        .append_pair("decision", decision)
        .finish()
}

/// An entry of the audit log without what differs between any two.
fn comparable(entry: &Value) -> Value {
    let mut entry = entry.clone();
    for field in ["seq", "at", "time", "hash", "prev_hash"] {
        entry.as_object_mut().unwrap().remove(field);
    }
    entry
}

fn decisions(desk: &Desk) -> usize {
    desk.entries("plan_approved").len() + desk.entries("plan_rejected").len()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_page_shows_the_plan_and_decides_as_the_command_does() {
    let desk = Desk::with(COUNTING).await;
    desk.leave(&["p1", "p2", "p3"]);
    let id = desk.hold();
    let args = [
        "plan",
        "approve",
        &id,
        "--reason",
        "HR-4711: Ä & <b>",
        "--format",
        "json",
    ];
    let by_command = desk.run(&args).json();
    let undone = desk.run(&["plan", "reject", &id, "--reason", "once more"]);
    assert_eq!(undone.status, 0, "{undone:?}");

    let page = review(&desk, &[&id, "--format", "json"]);
    let shown = page.open();
    assert_eq!(shown.status, 200);
    for words in [
        "p1@example.com",
        "p3@example.com",
        "Deactivations: disabled in OPA (3)",
        "A deactivation cannot be undone.",
        "max_deactivations",
        "<svg class=\"used\"",
        "id=\"filter\"",
        "Approve exactly this plan",
    ] {
        assert!(shown.body.contains(words), "no “{words}” in {}", shown.body);
    }
    for (name, value) in [
        ("cache-control", "no-store"),
        ("x-frame-options", "DENY"),
        ("referrer-policy", "no-referrer"),
        ("x-content-type-options", "nosniff"),
    ] {
        assert_eq!(shown.header(name), Some(value), "{}", shown.head);
    }
    let policy = shown.header("content-security-policy").unwrap();
    let in_page = shown.body.split("content=\"default-src").nth(1).unwrap();
    let in_page = in_page.split('"').next().unwrap();
    assert_eq!(
        policy,
        format!("default-src{in_page}; frame-ancestors 'none'"),
        "the header allows what the page allows"
    );
    let cookie = shown.header("set-cookie").unwrap();
    let (_, attributes) = cookie.split_once("; ").unwrap();
    assert_eq!(
        attributes,
        format!("HttpOnly; SameSite=Strict; Path={}", page.path)
    );

    let answer = page.post(&shown.cookie(), &form(&id, "approve", "HR-4711: Ä & <b>"));
    assert_eq!(answer.status, 200, "{answer:?}");
    assert!(answer.body.contains(&format!("Plan {id} is approved.")));
    let told = page.end();
    assert_eq!(told.status, 0, "{told:?}");
    let mut by_page = told.json();
    for field in ["decided_at", "good_until"] {
        by_page[field] = by_command[field].clone();
    }
    assert_eq!(by_page, by_command);
    let entries = desk.entries("plan_approved");
    assert_eq!(entries.len(), 2);
    assert_eq!(comparable(&entries[0]), comparable(&entries[1]));
    assert_eq!(desk.sync(0)["outcome"], "applied");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_plan_is_rejected_with_the_reason_in_one_line() {
    let desk = Desk::with(COUNTING).await;
    desk.leave(&["p1", "p2"]);
    let id = desk.hold();
    let page = review(&desk, &["--format", "table"]);
    let cookie = page.open().cookie();
    let answer = page.post(&cookie, &form(&id, "reject", "wrong\r\n  group "));
    assert_eq!(answer.status, 200, "{answer:?}");
    let told = page.end();
    assert_eq!(told.status, 0, "{told:?}");
    assert!(told.out.contains("Reason: wrong group\n"), "{}", told.out);
    assert_eq!(desk.state(&id), "rejected");
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_does_not_know_the_address_is_told_nothing() {
    let desk = Desk::with(COUNTING).await;
    desk.leave(&["p1", "p2"]);
    let id = desk.hold();
    let page = review(&desk, &[]);
    assert!(page.path.len() > 32, "{}", page.path);
    let path = page.path.clone();
    let wrong = format!("{}0", path.get(..path.len() - 1).unwrap());
    let foreign = format!("evil.example:{}", page.port);
    let local = format!("localhost:{}", page.port);
    let absolute = format!("http://{foreign}{path}");
    for (method, target, host, status) in [
        ("GET", "/", None, 404),
        ("GET", wrong.as_str(), None, 404),
        ("GET", "/favicon.ico", None, 404),
        ("POST", wrong.as_str(), None, 404),
        ("GET", path.as_str(), Some(foreign.as_str()), 421),
        ("GET", path.as_str(), Some(local.as_str()), 421),
        ("GET", path.as_str(), Some("127.0.0.1"), 421),
        ("GET", absolute.as_str(), None, 421),
        ("HEAD", path.as_str(), None, 405),
        ("PUT", path.as_str(), None, 405),
        ("POST", path.as_str(), None, 403),
    ] {
        let host: Vec<(&str, &str)> = host.iter().map(|host| ("Host", *host)).collect();
        let answer = page.ask(method, target, &host, "");
        assert_eq!(
            (answer.status, answer.body.as_str()),
            (status, ""),
            "{method} {target} {host:?}"
        );
    }
    // None of that has used the address up.
    let shown = page.open();
    assert_eq!(shown.status, 200);
    let again = page.open();
    assert_eq!(again.status, 403);
    assert!(again.body.contains("was opened before"), "{}", again.body);
    assert!(!again.body.contains(&id) && !again.body.contains("p1@"));
    assert!(again.header("set-cookie").is_none());
    let cookie = shown.cookie();
    let with_cookie = page.ask("GET", &page.path, &[("Cookie", &cookie)], "");
    assert_eq!(with_cookie.status, 200);
    let told = page.interrupt();
    assert_eq!((told.status, told.out.as_str()), (1, ""), "{told:?}");
    assert!(
        told.err
            .contains(&format!("interrupted; nothing is decided about plan {id}")),
        "{}",
        told.err
    );
    assert_eq!(decisions(&desk), 0);
    assert_eq!(desk.state(&id), "held");
}

#[tokio::test(flavor = "multi_thread")]
async fn no_other_page_can_make_it_decide() {
    let desk = Desk::with(COUNTING).await;
    desk.leave(&["p1", "p2"]);
    let id = desk.hold();
    let page = review(&desk, &[]);
    let cookie = page.open().cookie();
    let own = page.origin();
    let near = format!("http://localhost:{}", page.port);
    let body = form(&id, "approve", "because");
    let with_cookie = ("Cookie", cookie.as_str());
    for headers in [
        vec![with_cookie],
        vec![("Origin", own.as_str())],
        vec![("Origin", own.as_str()), ("Cookie", "rolecall_review=0")],
        vec![with_cookie, ("Origin", "http://evil.example")],
        vec![with_cookie, ("Origin", near.as_str())],
        vec![with_cookie, ("Origin", "null")],
        vec![
            with_cookie,
            ("Origin", "null"),
            ("Sec-Fetch-Site", "cross-site"),
        ],
        vec![
            with_cookie,
            ("Origin", "null"),
            ("Sec-Fetch-Site", "same-site"),
        ],
        vec![
            with_cookie,
            ("Origin", own.as_str()),
            ("Sec-Fetch-Site", "cross-site"),
        ],
        vec![
            with_cookie,
            ("Origin", own.as_str()),
            ("Origin", "http://evil.example"),
        ],
        vec![
            with_cookie,
            ("Origin", own.as_str()),
            ("Sec-Fetch-Site", "same-origin"),
            ("Host", "evil.example"),
        ],
    ] {
        let answer = page.ask("POST", &page.path, &headers, &body);
        assert!(
            [403, 421].contains(&answer.status)
                && (answer.body.is_empty() || answer.body.contains("Nothing was recorded")),
            "{headers:?}: {answer:?}"
        );
    }
    assert_eq!(decisions(&desk), 0);
    assert_eq!(desk.state(&id), "held");
    // A client that is no browser says whose form it is by the origin alone.
    let answer = page.ask(
        "POST",
        &page.path,
        &[with_cookie, ("Origin", own.as_str())],
        &body,
    );
    assert_eq!(answer.status, 200, "{answer:?}");
    assert_eq!(page.end().status, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_form_that_is_not_complete_is_shown_again_and_records_nothing() {
    let desk = Desk::with(COUNTING).await;
    desk.leave(&["p1", "p2"]);
    let id = desk.hold();
    let page = review(&desk, &[]);
    let cookie = page.open().cookie();
    let long = "ä".repeat(1001);
    for (body, status, words) in [
        (form(&id, "approve", " \r\n "), 422, "A reason is missing"),
        (form(&id, "approve", &long), 422, "longer than 1000"),
        (form(&id, "", "because"), 422, "Neither approve nor reject"),
        (
            form("0123456789ab", "approve", "because"),
            422,
            "not about the plan of this page",
        ),
        (form(&id, "approve", &"x".repeat(20_000)), 413, "too long"),
        (String::new(), 422, "not about the plan"),
    ] {
        let answer = page.post(&cookie, &body);
        assert_eq!(answer.status, status, "{words}: {answer:?}");
        assert!(answer.body.contains(words), "{words}: {}", answer.body);
        assert!(answer.body.contains("Approve exactly this plan"));
    }
    assert_eq!(decisions(&desk), 0);
    let longest = form(&id, "approve", &"😀".repeat(1000));
    assert_eq!(page.post(&cookie, &longest).status, 200);
    assert_eq!(page.end().status, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn of_two_windows_the_second_is_told_and_decides_nothing() {
    let desk = Desk::with(COUNTING).await;
    desk.leave(&["p1", "p2"]);
    let id = desk.hold();
    let page = review(&desk, &[]);
    let cookie = page.open().cookie();
    let second = page.ask("GET", &page.path, &[("Cookie", &cookie)], "");
    assert!(second.body.contains("Approve exactly this plan"));
    let approval = form(&id, "approve", "because");
    assert_eq!(page.post(&cookie, &approval).status, 200);
    for body in [&approval, &form(&id, "reject", "no")] {
        let answer = page.post(&cookie, body);
        assert_eq!(answer.status, 409);
        assert!(
            answer
                .body
                .contains(&format!("Plan {id} was approved on this page already.")),
            "{}",
            answer.body
        );
    }
    assert_eq!(page.end().status, 0);
    assert_eq!(decisions(&desk), 1);
    assert_eq!(desk.state(&id), "approved");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_plan_that_changed_meanwhile_is_not_decided() {
    let desk = Desk::with(COUNTING).await;
    desk.leave(&["p1", "p2"]);
    let id = desk.hold();
    let page = review(&desk, &[]);
    let cookie = page.open().cookie();
    // Somebody else approves it at a terminal.
    desk.approve(&id);
    let answer = page.post(&cookie, &form(&id, "approve", "because"));
    assert_eq!(answer.status, 409);
    assert!(
        answer.body.contains(&format!(
            "Nothing was recorded: Plan {id} is already approved, by "
        )),
        "{}",
        answer.body
    );
    assert_eq!(decisions(&desk), 1);
    assert_eq!(page.interrupt().status, 1);

    // One more person leaves, so the next run holds another plan.
    let rejected = desk.run(&["plan", "reject", &id, "--reason", "more to come"]);
    assert_eq!(rejected.status, 0);
    desk.leave(&["p3"]);
    let other = desk.hold();
    let page = review(&desk, &[&other]);
    let cookie = page.open().cookie();
    desk.leave(&["p4"]);
    let latest = desk.hold();
    let answer = page.post(&cookie, &form(&other, "approve", "because"));
    assert_eq!(answer.status, 409);
    assert!(
        answer.body.contains(&format!(
            "Plan {other} is superseded because the people changed: plan {latest} is what the \
             latest run wants"
        )),
        "{}",
        answer.body
    );
    let reloaded = page.ask("GET", &page.path, &[("Cookie", &cookie)], "");
    assert!(!reloaded.body.contains("Approve exactly this plan"));
    assert_eq!(decisions(&desk), 2);
    assert_eq!(page.interrupt().status, 1);
    let refused = desk.run(&["review", &other]);
    assert!(refused.refused().contains("is superseded"));
}

#[tokio::test(flavor = "multi_thread")]
async fn names_of_a_directory_are_text() {
    let desk = Desk::with(COUNTING).await;
    let name = "<img src=x onerror=alert(1)>\"'&\u{202e}";
    let email = "\"<script>alert(2)</script>\"@example.com";
    let person = PersonSeed::active(name, email);
    desk.sandbox.opa().add_person(person).unwrap();
    desk.sandbox
        .opsera()
        .add(AccountSeed::active(email))
        .unwrap();
    desk.leave(&["p1", name]);
    desk.hold();
    let page = review(&desk, &[]);
    let body = page.open().body;
    assert!(body.contains("&#60;img src=x"), "{body}");
    assert!(body.contains("&#60;script&#62;alert(2)"), "{body}");
    for markup in ["<img", "<script>alert", "\u{202e}"] {
        assert!(!body.contains(markup), "{markup}");
    }
    page.interrupt();
}

#[tokio::test(flavor = "multi_thread")]
async fn connections_that_send_nothing_keep_nobody_out() {
    let desk = Desk::with(COUNTING).await;
    desk.leave(&["p1", "p2"]);
    desk.hold();
    let page = review(&desk, &[]);
    let mut half_open: Vec<TcpStream> = (0..100)
        .map(|_| TcpStream::connect(("127.0.0.1", page.port)).unwrap())
        .collect();
    for stream in &mut half_open {
        // The oldest may be closed already.
        let _ = stream.write_all(b"GET / HT");
    }
    assert_eq!(page.open().status, 200);
    page.interrupt();
}

#[tokio::test(flavor = "multi_thread")]
async fn without_an_id_it_must_be_clear_which_plan_is_meant() {
    let desk =
        Desk::with(&COUNTING.replace("max_deactivations = 1\n", "max_deactivations = 0\n")).await;
    desk.sync(0);
    let told = desk.run(&["review"]);
    assert_eq!(told.status, 2, "{told:?}");
    assert!(
        told.err.contains("no plan waits for a decision"),
        "{told:?}"
    );
    desk.leave(&["p1", "p2"]);
    let mut ids = Vec::new();
    for name in ["p1", "p2"] {
        let told = desk.run(&["sync", "--person", &format!("{name}@example.com")]);
        assert_eq!(told.status, 3, "{told:?}");
        ids.push(told.json()["plan_id"].as_str().unwrap().to_owned());
    }
    let told = desk.run(&["review"]);
    assert_eq!((told.status, told.out.as_str()), (2, ""), "{told:?}");
    for id in &ids {
        assert!(told.err.contains(id), "{id}: {}", told.err);
    }
    let refused = desk.run(&["review", "0123456789ab"]);
    assert!(
        refused
            .refused()
            .starts_with("there is no held plan 0123456789ab")
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn it_ends_when_nobody_looks_for_too_long() {
    let desk = Desk::with(COUNTING).await;
    desk.leave(&["p1", "p2"]);
    let id = desk.hold();
    let system = SystemClock::shared();
    let store = Store::open_existing(&desk.path("rolecall.db"), &*system)
        .await
        .unwrap();
    let decisions_of_desk = Decisions {
        store: store.clone(),
        audit_writer: AuditWriter {
            clock: system,
            actor: Actor::of_this_process(),
            key: None,
        },
        ttl: Duration::from_hours(24),
        checkpoint_file: None,
    };
    let clock = ManualClock::at("2026-01-01T00:00:00Z".parse().unwrap());
    let limits = Limits::default();
    assert_eq!(limits.idle, Duration::from_mins(15));
    let plan = PlanId::new(id.clone());
    let page = Review::open(decisions_of_desk, plan, 0, clock, limits)
        .await
        .unwrap();
    let address = page.url().strip_prefix("http://").unwrap();
    let address = address.split('/').next().unwrap().to_owned();
    let end = page.wait(&CancellationToken::new()).await;
    assert!(matches!(end, End::Idle), "{end:?}");
    page.close(&end).await;
    assert!(TcpStream::connect(address).is_err());
    store.close().await;
    assert_eq!(desk.state(&id), "held");
    assert_eq!(decisions(&desk), 0);
}
