//! Messages by e-mail: what arrives, over which connections, and what is said where none does.

use std::io::Write as _;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use rolecall::domain::{Mode, Outcome};
use rolecall::notifications;
use tempfile::NamedTempFile;
use tokio::io::{AsyncBufReadExt as _, AsyncRead, AsyncWrite, AsyncWriteExt as _, BufReader};
use tokio_rustls::TlsAcceptor;

use crate::daemon_world::DaemonWorld;
use crate::notify::World;
use crate::server_certificates::{SelfSigned, self_signed};

const PASSWORD: &str = "canary-password-Zt51";

/// How the server encrypts.
#[derive(Clone)]
enum Security {
    None,
    Starttls(TlsAcceptor),
    Tls(TlsAcceptor),
}

/// A mail server that keeps what it gets.
#[derive(Clone)]
struct Post {
    port: u16,
    security: Security,
    inner: Arc<Mutex<Inner>>,
}

#[derive(Default)]
struct Inner {
    mails: Vec<Mail>,
    /// What is answered to an address, in place of taking it.
    refused: Option<(&'static str, &'static str)>,
}

#[derive(Clone, Debug)]
struct Mail {
    to: String,
    encrypted: bool,
    login: bool,
    data: String,
}

impl Mail {
    /// Headers and text without what the transfer needed.
    fn text(&self) -> String {
        let (headers, body) = self.data.split_once("\r\n\r\n").unwrap();
        let headers = headers.replace("\r\n ", " ");
        let body = body.replace("=\r\n", "").replace("=3D", "=");
        format!("{headers}\n\n{body}").replace("\r\n", "\n")
    }
}

impl Post {
    async fn open(security: Security) -> Self {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let post = Self {
            port: listener.local_addr().unwrap().port(),
            security,
            inner: Arc::default(),
        };
        let server = post.clone();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(server.clone().serve(stream));
            }
        });
        post
    }

    async fn serve(self, stream: tokio::net::TcpStream) {
        match &self.security {
            Security::Tls(acceptor) => {
                if let Ok(stream) = acceptor.accept(stream).await {
                    self.talk(stream, true, true).await;
                }
            }
            Security::None => drop(self.talk(stream, true, false).await),
            Security::Starttls(acceptor) => {
                if let Some(stream) = self.talk(stream, true, false).await
                    && let Ok(stream) = acceptor.accept(stream).await
                {
                    self.talk(stream, false, true).await;
                }
            }
        }
    }

    /// Speaks SMTP; gives the connection back where TLS is to begin.
    async fn talk<S: AsyncRead + AsyncWrite + Unpin>(
        &self,
        stream: S,
        greets: bool,
        encrypted: bool,
    ) -> Option<S> {
        let mut stream = BufReader::new(stream);
        if greets {
            stream.write_all(b"220 post\r\n").await.ok()?;
        }
        let (mut to, mut login) = (String::new(), false);
        loop {
            let mut line = String::new();
            if stream.read_line(&mut line).await.ok()? == 0 {
                return None;
            }
            let line = line.trim_end();
            let answer = match line.split([' ', ':']).next().unwrap_or_default() {
                "EHLO" => {
                    let begin = match self.security {
                        Security::Starttls(_) if !encrypted => "250-STARTTLS\r\n",
                        _ => "250-AUTH PLAIN\r\n",
                    };
                    format!("250-post\r\n{begin}250 8BITMIME")
                }
                "STARTTLS" => {
                    stream.write_all(b"220 go on\r\n").await.ok()?;
                    return Some(stream.into_inner());
                }
                "AUTH" => {
                    let said = line.rsplit(' ').next().unwrap_or_default();
                    login = said == STANDARD.encode(format!("\0rolecall\0{PASSWORD}"));
                    if login {
                        "235 welcome".to_owned()
                    } else {
                        // Some servers repeat what they were told.
                        let plain = STANDARD.decode(said).unwrap();
                        let plain = String::from_utf8_lossy(&plain).replace('\0', " ");
                        format!("535 5.7.8 unknown: {said} ({plain})")
                    }
                }
                "RCPT" => {
                    line.clone_into(&mut to);
                    let refused = self.inner.lock().unwrap().refused;
                    match refused {
                        Some((address, answer)) if line.contains(address) => answer.to_owned(),
                        _ => "250 good".to_owned(),
                    }
                }
                "DATA" => {
                    stream.write_all(b"354 go on\r\n").await.ok()?;
                    let mut data = String::new();
                    while !data.ends_with("\r\n.\r\n") {
                        stream.read_line(&mut data).await.ok()?;
                    }
                    let to = to.clone();
                    self.inner.lock().unwrap().mails.push(Mail {
                        to,
                        encrypted,
                        login,
                        data,
                    });
                    "250 taken".to_owned()
                }
                "QUIT" => "221 bye".to_owned(),
                _ => "250 good".to_owned(),
            };
            stream
                .write_all(format!("{answer}\r\n").as_bytes())
                .await
                .ok()?;
        }
    }

    fn refuse(&self, address: &'static str, answer: &'static str) {
        self.inner.lock().unwrap().refused = Some((address, answer));
    }

    fn accept_everybody(&self) {
        self.inner.lock().unwrap().refused = None;
    }

    /// What has come since the last look.
    fn received(&self) -> Vec<Mail> {
        std::mem::take(&mut self.inner.lock().unwrap().mails)
    }

    /// `[smtp]`, to follow `[notify]`.
    fn settings(&self, more: &str) -> String {
        let security = match self.security {
            Security::None => "none",
            Security::Starttls(_) => "starttls",
            Security::Tls(_) => "tls",
        };
        format!(
            "[smtp]\nhost = \"localhost\"\nport = {}\nsecurity = \"{security}\"\n\
             from = \"rolecall <rolecall@example.com>\"\n{more}\n",
            self.port
        )
    }
}

const TO_DORA: &str = "to = [\"Dora Ops <dora@example.com>\"]";

/// A certificate for `localhost`, and the file that names it.
fn certificate() -> (SelfSigned, NamedTempFile) {
    let own = self_signed("localhost", |params| params.is_ca = rcgen::IsCa::NoCa);
    let mut file = NamedTempFile::new().unwrap();
    file.write_all(own.certificate.pem().as_bytes()).unwrap();
    (own, file)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_held_plan_arrives_with_its_numbers_its_deadline_and_what_to_type() {
    let world = World::start().await;
    let post = Post::open(Security::None).await;
    let settings = post.settings(TO_DORA);
    world.run(Mode::Apply, &settings).await;
    assert!(post.received().is_empty(), "nothing is wrong");
    for name in ["ada", "bob"] {
        world.sandbox.opa().disable(name).unwrap();
    }
    let report = world.run(Mode::Apply, &settings).await;
    assert_eq!(report.outcome, Outcome::Held);
    let mails = post.received();
    let [mail] = mails.as_slice() else {
        panic!("{mails:?}");
    };
    assert!(mail.to.contains("<dora@example.com>"), "{mail:?}");
    let text = mail.text();
    let plan = report.plan_id.unwrap();
    let host = report.origin.host.unwrap();
    for words in [
        "From: rolecall <rolecall@example.com>",
        "To: \"Dora Ops\" <dora@example.com>",
        "Auto-Submitted: auto-generated",
        "Date: Sun, 01 Mar 2026 12:00:00 +0000",
        "Subject: rolecall, Team",
        "2 deactivations",
        "max deactivations percent is 2, the limit is 1",
        "2026-03-02 12:00:00 UTC",
        &format!("On {host}:\n  rolecall plan show {plan}"),
        &format!("Run {}", report.run_id),
    ] {
        assert!(text.contains(words), "{words} in {text}");
    }
    assert!(!text.contains("ada@"), "nobody is named: {text}");
    world.run(Mode::Apply, &settings).await;
    assert!(post.received().is_empty(), "the same again is no news");
    assert_eq!(world.chat.texts().len(), 1, "the webhook is told as well");
}

#[tokio::test(flavor = "multi_thread")]
async fn people_are_named_where_the_settings_allow_it_and_cannot_add_a_header() {
    let world = World::start().await;
    let post = Post::open(Security::None).await;
    let hostile = "eve\r\nBcc: all@example.com\r\n\r\n.\r\nMAIL FROM:<x>";
    let stray = rolecall::sandbox::AccountSeed::active(hostile);
    world.sandbox.opsera().add(stray).unwrap();
    let settings = format!("include_people = true\n{}", post.settings(TO_DORA));
    world.run(Mode::Apply, &settings).await;
    let mails = post.received();
    assert_eq!(mails.len(), 1, "{mails:?}");
    let text = mails[0].text();
    assert!(text.contains("- invalid email: eveBcc"), "{text}");
    assert!(!text.contains("\nBcc:"), "{text}");
}

#[tokio::test(flavor = "multi_thread")]
async fn each_receiver_is_told_once_whatever_became_of_the_others() {
    let world = World::start().await;
    let post = Post::open(Security::None).await;
    let settings =
        post.settings("to = [\"dora@example.com\", \"emil@example.com\", \"DORA@example.com\"]");
    post.refuse("emil@", "550 5.1.1 no such user");
    world.chat.answer(503);
    world.break_opa();
    world.run(Mode::Apply, &settings).await;
    let mails = post.received();
    assert_eq!(mails.len(), 1, "an address is told once: {mails:?}");
    assert!(mails[0].to.contains("dora@"), "{mails:?}");
    assert_eq!(world.chat.texts().len(), 1, "the webhook, which refuses");

    post.accept_everybody();
    world.chat.answer(200);
    world.clock.advance(Duration::from_mins(15));
    world.run(Mode::Apply, &settings).await;
    let mails = post.received();
    assert_eq!(mails.len(), 1, "{mails:?}");
    assert!(mails[0].to.contains("emil@"), "{mails:?}");
    assert_eq!(world.chat.texts().len(), 1);

    world.clock.advance(Duration::from_mins(15));
    world.run(Mode::Apply, &settings).await;
    assert!(post.received().is_empty());
    assert_eq!(world.chat.texts(), [""; 0]);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_said_to_another_machine_is_encrypted_before_the_password_and_the_message() {
    let (own, file) = certificate();
    for security in [
        Security::Starttls(own.acceptor()),
        Security::Tls(own.acceptor()),
    ] {
        let world = World::start().await;
        let post = Post::open(security).await;
        world.break_opa();
        let login = format!(
            "{TO_DORA}\nusername = \"rolecall\"\npassword = \"{PASSWORD}\"\n[http]\nca_file = {:?}",
            file.path().display().to_string()
        );
        world.run(Mode::Apply, &post.settings(&login)).await;
        let mails = post.received();
        let [mail] = mails.as_slice() else {
            panic!("{mails:?}");
        };
        assert!(mail.encrypted && mail.login, "{mail:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_without_starttls_is_told_neither_the_password_nor_the_message() {
    let world = World::start().await;
    let post = Post::open(Security::None).await;
    world.break_opa();
    let settings = post.settings(TO_DORA).replace("\"none\"", "\"starttls\"");
    world.run(Mode::Apply, &settings).await;
    assert!(post.received().is_empty());
}

/// Runs `check` with `settings` beside those of the world, and gives what it says of the mail server.
async fn check(settings: &str) -> String {
    let world = DaemonWorld::start("").await;
    world.configure(settings);
    let mut command = world.command(&["check"]);
    let output = tokio::task::spawn_blocking(move || command.output().unwrap());
    let output = output.await.unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(!text.contains(PASSWORD), "{text}");
    assert!(!text.contains(&STANDARD.encode(PASSWORD)), "{text}");
    let said = STANDARD.encode(format!("\0rolecall\0{PASSWORD}x"));
    assert!(!text.contains(&said), "{text}");
    let at = text.find("smtp.server").unwrap_or_else(|| panic!("{text}"));
    let words = text[at..].split_whitespace();
    words.take(60).collect::<Vec<_>>().join(" ")
}

#[tokio::test(flavor = "multi_thread")]
async fn check_tries_the_mail_server_and_sends_nothing() {
    let (own, file) = certificate();
    let post = Post::open(Security::Starttls(own.acceptor())).await;
    let trusted = format!("[http]\nca_file = {:?}", file.path().display().to_string());
    let login = format!("username = \"rolecall\"\npassword = \"{PASSWORD}\"");
    let well = check(&post.settings(&format!("{TO_DORA}\n{login}\n{trusted}"))).await;
    let words = "answers over TLS, with a login, for messages to 1 address; none was sent";
    assert!(well.contains(words), "{well}");

    let wrong = post.settings(&format!("{TO_DORA}\n{login}\n{trusted}"));
    let wrong = check(&wrong.replace(PASSWORD, &format!("{PASSWORD}x"))).await;
    assert!(wrong.contains("535 5.7.8 unknown: [hidden]"), "{wrong}");
    assert!(wrong.contains("smtp.password_file"), "{wrong}");

    let untrusted = check(&post.settings(TO_DORA)).await;
    assert!(untrusted.contains("does not trust"), "{untrusted}");
    assert!(untrusted.contains("http.ca_file"), "{untrusted}");

    let plain = Post::open(Security::None).await;
    let plain = plain.settings(TO_DORA);
    let no_tls = check(&plain.replace("\"none\"", "\"tls\"")).await;
    assert!(no_tls.contains("does not speak TLS"), "{no_tls}");
    assert!(no_tls.contains("smtp.security"), "{no_tls}");
    let no_starttls = check(&plain.replace("\"none\"", "\"starttls\"")).await;
    assert!(no_starttls.contains("STARTTLS"), "{no_starttls}");
    assert!(post.received().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_mail_server_that_never_answers_is_given_up_on() {
    let silent = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = silent.local_addr().unwrap().port();
    let settings = format!(
        "[notify]\ntimeout = \"200ms\"\n[smtp]\nhost = \"localhost\"\nport = {port}\n\
         security = \"none\"\nfrom = \"r@example.com\"\n{TO_DORA}\n"
    );
    let told = check(&settings).await;
    assert!(told.contains("within 200ms"), "{told}");
    assert!(told.contains("notify.timeout"), "{told}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_webhook_was_told_before_there_was_e_mail_stays_told() {
    let world = World::start().await;
    world.break_opa();
    world.run(Mode::Apply, "").await;
    assert_eq!(world.chat.texts().len(), 1);
    let post = Post::open(Security::None).await;
    let context = world.context(&post.settings(TO_DORA));
    let report = world.run(Mode::Apply, "").await;
    notifications::notify(&context, &report).await;
    assert_eq!(world.chat.texts(), [""; 0], "it knows");
    assert_eq!(post.received().len(), 1, "who is new is told");
}
