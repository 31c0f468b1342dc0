//! The example organisation: the same every time, mostly in step, as large as wished.

use std::collections::BTreeMap;

use rolecall::sandbox::{Sandbox, SandboxOptions, Standing};

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
        .filter(|account| account.standing == Standing::Active)
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
    let sandbox = Sandbox::start(SandboxOptions::default()).await.unwrap();
    let settings: toml_text::Settings = toml_text::read(&sandbox.settings_toml());
    assert_eq!(settings["opa"]["base_url"], sandbox.opa_url());
    assert_eq!(settings["opsera"]["token"], sandbox.opsera_token());
    assert!(!settings["matching.aliases"].is_empty());
    let told = sandbox.describe();
    assert!(told.contains(sandbox.opsera_url()), "{told}");
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
