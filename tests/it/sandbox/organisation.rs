//! The example organisation: the same every time, mostly in step, as large as wished.

use std::collections::BTreeMap;

use rolecall::sandbox::{AccountStatus, Sandbox, SandboxOptions};

use super::Bench;

async fn everything(users: u32, seed: u64) -> Vec<String> {
    let bench = Bench::with(|options| {
        options.users = users;
        options.seed = seed;
    })
    .await;
    let mut texts = vec![bench.opsera("GET", "/users").await.text];
    for path in [
        "/users?count=1000",
        "/users?count=1000&status=DELETED",
        "/groups?count=1000",
        "/groups/opsera-users/users?count=1000",
    ] {
        texts.push(bench.opa(path).await.text);
    }
    texts
}

#[tokio::test]
async fn one_seed_and_size_make_one_organisation() {
    let first = everything(250, 7).await;
    assert_eq!(first, everything(250, 7).await);
    assert_ne!(first, everything(250, 8).await);
}

#[tokio::test]
async fn the_example_is_mostly_in_step_and_few_must_go() {
    let sandbox = Sandbox::start(SandboxOptions::default()).await.unwrap();
    let status: BTreeMap<String, String> = sandbox
        .opa()
        .people()
        .into_iter()
        .filter_map(|person| Some((person.email?, person.status)))
        .collect();
    let active: Vec<_> = sandbox.opsera().accounts();
    let active: Vec<_> = active
        .iter()
        .filter(|account| account.status == AccountStatus::Active)
        .filter_map(|account| account.email.clone())
        .collect();
    let with = |wanted: &str| {
        let has = |email: &&String| status.get(*email).is_some_and(|s| s == wanted);
        active.iter().filter(has).count()
    };
    let leavers = with("DISABLED") + with("DELETED");
    assert!((5..=9).contains(&leavers), "{leavers} leavers");
    assert!(with("ACTIVE") * 10 > active.len() * 8, "most are in step");
    let owners = sandbox.opsera().owners();
    assert_eq!(owners.len(), 1, "one deactivation is going to be refused");
}

#[tokio::test]
async fn some_roles_differ_and_few_become_administrators() {
    for seed in 1..6 {
        let options = SandboxOptions {
            seed,
            ..SandboxOptions::default()
        };
        let sandbox = Sandbox::start(options).await.unwrap();
        let (mut changes, mut grants) = (0, 0);
        for person in sandbox.opa().people() {
            let groups = sandbox.opa().groups_of(&person.name);
            let has = |group: &str| groups.iter().any(|g| g == group);
            let desired = match () {
                () if has("opsera-admins") => "Administrators",
                () if has("security-team") || has("security-oncall") => "SecurityManagers",
                () if has("opsera-auditors") => "Auditors",
                () if has("opsera-power-users") => "PowerUsers",
                () => "Users",
            };
            let account = person.email.and_then(|email| sandbox.opsera().get(&email));
            let Some(account) = account else { continue };
            if person.status == "ACTIVE" && account.site_role != desired {
                assert!(has("opsera-users"), "{}", person.name);
                changes += 1;
                grants += i32::from(desired == "Administrators");
            }
        }
        assert!((4..=15).contains(&changes), "{changes} changes");
        assert!((1..=2).contains(&grants), "{grants} new administrators");
    }
}

#[tokio::test]
async fn its_settings_name_everything_that_is_needed() {
    let sandbox = Sandbox::start(SandboxOptions {
        users: 500,
        ..SandboxOptions::default()
    })
    .await
    .unwrap();
    let settings: toml_text::Settings = toml_text::read(&sandbox.settings_toml());
    assert_eq!(settings["opa"]["base_url"], sandbox.opa_url());
    assert_eq!(settings["opsera"]["token"], sandbox.opsera_token());
    let (opsera, opa) = sandbox.renamed_person().unwrap();
    assert!(!settings["matching.aliases"].is_empty());
    assert!(!sandbox.settings_toml().contains(opsera));
    let every = toml_text::read(&sandbox.settings_toml_with_every_alias());
    assert_eq!(every["matching.aliases"][&format!("\"{opsera}\"")], opa);
    let told = sandbox.describe();
    assert!(told.contains(sandbox.opsera_url()), "{told}");
    assert!(told.contains("500 people with "), "{told}");
    assert!(!told.contains(&sandbox.key_secret()), "{told}");
}

#[tokio::test]
async fn small_organisations_work_too() {
    for users in [1, 2, 10, 99, 100] {
        let sandbox = Sandbox::start(SandboxOptions {
            users,
            ..SandboxOptions::default()
        })
        .await
        .unwrap();
        assert!(sandbox.opsera().count() >= 4, "{users}");
    }
}

#[tokio::test]
async fn a_hundred_thousand_people_are_served() {
    let bench = Bench::with(|options| options.users = 100_000).await;
    let all = bench.opsera("GET", "/users").await.json();
    let accounts = all.as_array().unwrap().len();
    assert!((80_000..100_100).contains(&accounts), "{accounts}");
    let mut people = 0;
    let mut next = Some("/users?count=1000".to_owned());
    while let Some(path) = next {
        let page = bench.opa(&path).await;
        people += page.json()["list"].as_array().unwrap().len();
        let links = page.headers.get_all("link").iter();
        next = links
            .filter_map(|link| link.to_str().unwrap().rsplit_once("/v1/teams/example"))
            .map(|(_, rest)| rest.split_once('>').unwrap().0.to_owned())
            .find(|target| !target.contains("prev=true"));
    }
    assert!(people > 90_000, "{people}");
}

#[tokio::test]
async fn every_history_of_a_person_is_in_a_large_enough_organisation() {
    let sandbox = Sandbox::start(SandboxOptions {
        users: 1000,
        ..SandboxOptions::default()
    })
    .await
    .unwrap();
    let people = sandbox.opa().people();
    let account = |email: &str| sandbox.opsera().get(email);
    let local = |email: &str| email.split('@').next().unwrap().to_owned();

    let (old, new) = sandbox.renamed_person().unwrap();
    let renamed: Vec<_> = (people.iter())
        .filter(|p| p.email.as_deref() == Some(new))
        .collect();
    assert_eq!(renamed.len(), 1);
    assert_eq!(renamed[0].status, "ACTIVE");
    assert!(renamed[0].name.contains(&local(old)), "{}", renamed[0].name);
    assert!(account(new).is_none());
    assert_eq!(account(old).unwrap().status, AccountStatus::Active);

    let recreated = people
        .iter()
        .find(|p| p.status == "DELETED" && p.email.as_ref().is_some_and(|e| e.contains("-weiss")))
        .unwrap();
    let email = recreated.email.clone().unwrap();
    let again = people
        .iter()
        .find(|p| p.email.as_ref() == Some(&email) && p.status == "ACTIVE")
        .unwrap();
    assert_ne!((&recreated.id, &recreated.name), (&again.id, &again.name));
    let former = account(&email.replace("-weiss", "")).unwrap();
    assert_eq!(former.status, AccountStatus::Active);

    let cleared = |status: &str| {
        people
            .iter()
            .any(|p| p.status == status && p.email.is_none() && p.first_name.is_none())
    };
    assert!(cleared("DISABLED") && cleared("DELETED"));

    let passed_on = people.iter().any(|former| {
        former.status == "DELETED"
            && former.last_name.as_deref() == Some("Holder")
            && people
                .iter()
                .any(|p| p.status == "ACTIVE" && p.email == former.email)
    });
    assert!(passed_on);

    let pending = people.iter().filter(|p| p.status == "DISABLED").any(|p| {
        let account = p.email.as_ref().and_then(|email| account(email));
        account.is_some_and(|account| account.status == AccountStatus::Pending)
    });
    assert!(pending);

    let former: Vec<_> = (people.iter())
        .filter(|p| p.name.ends_with("-former"))
        .collect();
    assert!(!former.is_empty(), "a new record is the exception");
    assert!(former.len() < 6, "and not the rule: {}", former.len());
}

/// Just enough TOML for the sandbox's own settings.
mod toml_text {
    use std::collections::BTreeMap;

    pub(super) type Settings = BTreeMap<String, BTreeMap<String, String>>;

    pub(super) fn read(text: &str) -> Settings {
        let mut settings = Settings::new();
        let mut section = String::new();
        for line in text.lines() {
            if let Some(name) = line.strip_prefix('[') {
                name.trim_matches(['[', ']']).clone_into(&mut section);
            } else if let Some((key, value)) = line.split_once(" = ") {
                let values = settings.entry(section.clone()).or_default();
                values.insert(key.to_owned(), value.trim_matches('"').to_owned());
            }
        }
        settings
    }
}
