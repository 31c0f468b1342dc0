//! Both directories with their answers rendered beforehand, so that the server is not the measure.

use std::collections::HashMap;
use std::fmt::Write as _;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::{Request, State};
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse as _, Response};

const PAGE: usize = 1000;
/// One in this many accounts belongs to somebody who left.
const LEAVERS: usize = 33;

/// An answer, with the query of the page that follows it.
#[derive(Clone)]
struct Page {
    body: Bytes,
    next: Option<String>,
}

struct Shared {
    address: SocketAddr,
    /// By path and query.
    pages: HashMap<String, Page>,
    requests: AtomicU64,
}

pub(crate) struct Directories {
    shared: Arc<Shared>,
    people: usize,
}

impl Directories {
    pub(crate) async fn start(people: usize) -> Self {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0")
            .await
            .expect("a port");
        let shared = Arc::new(Shared {
            address: listener.local_addr().expect("an address"),
            pages: render(people),
            requests: AtomicU64::new(0),
        });
        let app = Router::new()
            .fallback(answer)
            .with_state(Arc::clone(&shared));
        tokio::spawn(async move { axum::serve(listener, app).await });
        Self { shared, people }
    }

    pub(crate) fn people(&self) -> usize {
        self.people
    }

    pub(crate) fn opa_url(&self) -> String {
        format!("http://{}", self.shared.address)
    }

    pub(crate) fn opsera_url(&self) -> String {
        self.opa_url()
    }

    pub(crate) fn requests(&self) -> u64 {
        self.shared.requests.load(Ordering::Relaxed)
    }

    pub(crate) fn forget_requests(&self) {
        self.shared.requests.store(0, Ordering::Relaxed);
    }

    /// Settings with role rules by group and the rate limits lifted.
    pub(crate) fn settings(&self, home: &Path) -> String {
        format!(
            "[opa]\nbase_url = \"{0}\"\nteam = \"bench\"\nkey_id = \"k\"\nkey_secret = \"s\"\n\
             requests_per_second = 100000\nburst = 100000\n\
             [opsera]\nbase_url = \"{0}\"\ntoken = \"opsera\"\n\
             requests_per_second = 100000\nburst = 100000\n\
             [store]\npath = \"{1}\"\n\
             [roles]\ndefault = \"Users\"\nlookup = \"group\"\n\
             [[roles.rules]]\ngroup = \"opsera-admins\"\nrole = \"Administrators\"\n\
             [[roles.rules]]\ngroup = \"opsera-power\"\nrole = \"PowerUsers\"\n",
            self.opa_url(),
            home.join("rolecall.db").display()
        )
    }
}

async fn answer(State(shared): State<Arc<Shared>>, request: Request) -> Response {
    shared.requests.fetch_add(1, Ordering::Relaxed);
    let path = request.uri().path();
    if path.ends_with("/service_token") {
        let token =
            r#"{"bearer_token":"t","expires_at":"2100-01-01T00:00:00Z","team_name":"bench"}"#;
        return json(Bytes::from_static(token.as_bytes()));
    }
    let mut query: Vec<&str> = request
        .uri()
        .query()
        .unwrap_or_default()
        .split('&')
        .filter(|part| {
            !(part.is_empty() || part.starts_with("count=") || part.starts_with("user_type="))
        })
        .collect();
    query.sort_unstable();
    let asked = format!("{path}?{}", query.join("&"));
    let Some(page) = shared.pages.get(&asked) else {
        return (StatusCode::NOT_FOUND, r#"{"message":"not found"}"#).into_response();
    };
    let mut response = json(page.body.clone());
    if let Some(next) = &page.next {
        let link = format!(
            "<http://{}{path}?count={PAGE}&{next}>; rel=\"next\"",
            shared.address
        );
        if let Ok(link) = HeaderValue::from_str(&link) {
            response.headers_mut().insert(header::LINK, link);
        }
    }
    response
}

fn json(body: Bytes) -> Response {
    (
        [(header::CONTENT_TYPE, "application/json")],
        Body::from(body),
    )
        .into_response()
}

/// What becomes of a person in the organisation.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Fate {
    Active,
    Disabled,
    Deleted,
    /// Has an account and no record.
    Absent,
}

fn fate(number: usize) -> Fate {
    if !number.is_multiple_of(LEAVERS) {
        return Fate::Active;
    }
    match number / LEAVERS % 3 {
        0 => Fate::Disabled,
        1 => Fate::Deleted,
        _ => Fate::Absent,
    }
}

/// The best group of a person, by the rules of the settings.
fn group(number: usize) -> Option<&'static str> {
    if number % 500 == 1 {
        Some("opsera-admins")
    } else if number % 20 == 2 {
        Some("opsera-power")
    } else {
        None
    }
}

const FIRST: [&str; 8] = [
    "Ada", "Grace", "Edsger", "Barbara", "Donald", "Frances", "Alan", "Jean",
];
const LAST: [&str; 8] = [
    "Lovelace", "Hopper", "Dijkstra", "Liskov", "Knuth", "Allen", "Turing", "Bartik",
];

fn names(number: usize) -> (&'static str, &'static str) {
    let pick = |names: &[&'static str; 8], at: usize| names.get(at % 8).copied().unwrap_or("x");
    (pick(&FIRST, number), pick(&LAST, number / 8))
}

/// A number that looks like chance, so that ids and addresses arrive in no order.
fn scatter(number: usize) -> u64 {
    u64::try_from(number)
        .unwrap_or(0)
        .wrapping_add(1)
        .wrapping_mul(0x9e37_79b9_7f4a_7c15)
}

fn address(number: usize) -> String {
    let (first, last) = names(number);
    format!("{first}.{last}.{:x}@example.com", scatter(number) >> 36)
}

fn person(number: usize) -> String {
    let (first, last) = names(number);
    let status = match fate(number) {
        Fate::Disabled => "DISABLED",
        Fate::Deleted => "DELETED",
        Fate::Active | Fate::Absent => "ACTIVE",
    };
    let id = scatter(number);
    format!(
        r#"{{"id":"{:08x}-{:04x}-4000-8000-{:012x}","name":"{first}.{last}.{number}","team_name":"bench","status":"{status}","user_type":"human","deleted_at":null,"details":{{"email":"{}","first_name":"{first}","last_name":"{last}","full_name":"{first} {last}"}},"role_grants":[],"oauth_client_application_id":null}}"#,
        id >> 32,
        id & 0xffff,
        number,
        address(number).to_lowercase()
    )
}

fn account(number: usize) -> String {
    let (first, last) = names(number);
    // One in a hundred has another role than the rules give.
    let role = match group(number) {
        _ if number % 100 == 7 => "Auditors",
        Some("opsera-admins") => "Administrators",
        Some(_) => "PowerUsers",
        None => "Users",
    };
    format!(
        r#"{{"_id":"{:024x}","applications":[],"tools":[],"groups":[],"firstName":"{first}","lastName":"{last}","email":"{}","ssoSystem":"okta","organizationName":"Example Inc.","division":"Engineering","domain":"example.com","createdAt":"2020-01-13T19:04:05.632Z","updatedAt":"2024-10-28T10:08:20.705Z","active":true,"siteRole":"{role}"}}"#,
        scatter(number),
        address(number).to_lowercase()
    )
}

fn render(people: usize) -> HashMap<String, Page> {
    let mut pages = HashMap::new();
    let users = "/v1/teams/bench/users";
    let listed = |wanted: Option<Fate>| {
        (0..people)
            .filter(|number| {
                let fate = fate(*number);
                fate != Fate::Absent && wanted.is_none_or(|wanted| wanted == fate)
            })
            .collect::<Vec<usize>>()
    };
    paged(&mut pages, users, "", &listed(None));
    paged(
        &mut pages,
        users,
        "status=DISABLED",
        &listed(Some(Fate::Disabled)),
    );
    paged(
        &mut pages,
        users,
        "status=DELETED",
        &listed(Some(Fate::Deleted)),
    );
    for name in ["opsera-admins", "opsera-power"] {
        let members: Vec<usize> = listed(Some(Fate::Active))
            .into_iter()
            .filter(|number| group(*number) == Some(name))
            .collect();
        paged(
            &mut pages,
            &format!("/v1/teams/bench/groups/{name}/users"),
            "",
            &members,
        );
    }
    let groups = ["opsera-admins", "opsera-power", "everybody"]
        .map(|name| format!(r#"{{"id":"{name}","name":"{name}","roles":[],"deleted_at":null}}"#));
    insert(
        &mut pages,
        "/v1/teams/bench/groups?".to_owned(),
        format!(r#"{{"list":[{}]}}"#, groups.join(",")),
        None,
    );
    let mut array = String::from("[");
    for number in 0..people {
        if number > 0 {
            array.push(',');
        }
        array.push_str(&account(number));
    }
    array.push(']');
    insert(
        &mut pages,
        "/api/v2/usermanagement/users?".to_owned(),
        array,
        None,
    );
    pages
}

fn paged(pages: &mut HashMap<String, Page>, path: &str, filter: &str, numbers: &[usize]) {
    let count = numbers.len().div_ceil(PAGE).max(1);
    for page in 0..count {
        let mut body = String::from(r#"{"list":["#);
        let on_page = numbers.iter().skip(page * PAGE).take(PAGE);
        for (place, number) in on_page.enumerate() {
            if place > 0 {
                body.push(',');
            }
            body.push_str(&person(*number));
        }
        body.push_str("]}");
        let query = |page: usize| {
            let mut query = String::new();
            if page > 0 {
                let _ = write!(query, "offset=o{page}");
            }
            if !filter.is_empty() {
                let separator = if page > 0 { "&" } else { "" };
                let _ = write!(query, "{separator}{filter}");
            }
            query
        };
        let next = (page + 1 < count).then(|| query(page + 1));
        insert(pages, format!("{path}?{}", query(page)), body, next);
    }
}

fn insert(pages: &mut HashMap<String, Page>, asked: String, body: String, next: Option<String>) {
    let body = Bytes::from(body);
    pages.insert(asked, Page { body, next });
}
