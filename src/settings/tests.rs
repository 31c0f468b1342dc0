//! Every rule about a value, and the layers under it.

mod bad_values;
mod keys_and_paths;

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use config::ValueKind;
use secrecy::ExposeSecret as _;
use tempfile::TempDir;

use crate::domain::Address;
use crate::settings::{
    ConfigSources, DEFAULTS, Layers, Loaded, OfflineSettings, OpaCredentials, Settings,
    SettingsErrors, WarningKind, keys,
};

/// The least that loads.
const GOOD: &str = r#"
    [opa]
    base_url = "https://example.pam.okta.com"
    team = "example"
    key_id = "id"
    key_secret = "canary-opa"
    [opsera]
    token = "canary-opsera"
"#;

struct Place(TempDir);

impl Place {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn file(&self, name: &str, text: impl AsRef<[u8]>) -> PathBuf {
        let path = self.0.path().join(name);
        std::fs::write(&path, text).unwrap();
        path
    }
}

fn sources(files: Vec<PathBuf>, environment: &[(&str, &str)]) -> ConfigSources {
    ConfigSources {
        files,
        environment: environment
            .iter()
            .map(|(name, value)| (OsString::from(name), OsString::from(value)))
            .collect(),
        candidates: Vec::new(),
    }
}

/// [`GOOD`], then `more` as a second file, then the environment.
fn load(more: &str, environment: &[(&str, &str)]) -> Result<Loaded<Settings>, SettingsErrors> {
    let place = Place::new();
    let files = vec![place.file("good.toml", GOOD), place.file("more.toml", more)];
    Settings::load(&sources(files, environment))
}

fn policy(more: &str) -> Loaded<Settings> {
    load(more, &[]).unwrap()
}

#[test]
fn the_documented_defaults_are_every_key_and_are_valid() {
    let layers = Layers::read(&sources(Vec::new(), &[])).unwrap();
    let documented: Vec<&str> = layers.effective().iter().map(|value| value.key).collect();
    let known: Vec<&str> = keys::all().iter().map(|key| key.key.as_str()).collect();
    assert_eq!(documented, known);
    let parsed: toml::Table = DEFAULTS.parse().unwrap();
    let parsed = parsed
        .values()
        .map(|section| section.as_table().unwrap().len());
    assert_eq!(known.len(), parsed.sum::<usize>());
    assert!(layers.problems.is_empty(), "{:?}", layers.problems);
    for line in DEFAULTS.lines().filter(|line| line.starts_with('[')) {
        assert!(
            known
                .iter()
                .any(|key| key.starts_with(line.trim_matches(['[', ']']))),
            "{line}"
        );
    }
    let loaded = policy("");
    assert_eq!(loaded.warnings, []);
    assert_eq!(loaded.settings.policy.guards.max_deactivations, 25);
    assert!(!loaded.settings.policy.roles.managed);
    assert_eq!(loaded.settings.policy.deactivate_on.len(), 4);
}

#[test]
fn a_bad_value_from_the_environment_is_refused_with_its_variable() {
    for entry in keys::all() {
        let wrong = match entry.default.kind {
            ValueKind::Boolean(_) | ValueKind::I64(_) | ValueKind::Float(_) => "wrong",
            ValueKind::Table(_) => "{ unfinished",
            ValueKind::Array(_) => "[unfinished",
            _ => continue,
        };
        let error = load("", &[(&entry.variable(), wrong)])
            .unwrap_err()
            .to_string();
        assert!(error.contains(&entry.key), "{error}");
        assert!(error.contains(&format!("\"{wrong}\"")), "{error}");
        assert!(
            error.contains(&format!("environment variable {}", entry.variable())),
            "{error}"
        );
    }
}

#[test]
fn all_problems_are_reported_together_unknown_keys_among_them() {
    let error = load(
        "[opa]\npagesize = 10\nburst = 0\n[gards]\nmin_opa_users = 1\n[store]\nretain = \"x\"",
        &[("ROLECALL__OPA__TEEM", "x")],
    )
    .unwrap_err();
    let message = error.to_string();
    assert_eq!(error.problems.len(), 5, "{message}");
    assert!(message.contains("did you mean opa.page_size?"), "{message}");
    assert!(
        message.contains("did you mean ROLECALL__OPA__TEAM?"),
        "{message}"
    );
}

#[test]
fn aliases_must_be_addresses_and_lead_somewhere_definite() {
    for (more, words) in [
        (
            "aliases = { \"bob\" = \"b@x.example\" }",
            "\"bob\" is not an address: it has no @",
        ),
        (
            "aliases = { \"b@x.example\" = \"\" }",
            "\"\" is not an address: it is empty",
        ),
        (
            "aliases = { \"b@x.example\" = \"c@x.example\", \"B@X.example\" = \"d@x.example\" }",
            "one Opsera address belongs to one person",
        ),
        (
            "domain_aliases = { \"a.example\" = \"b.example\", \"b.example\" = \"c.example\" }",
            "final domain",
        ),
        (
            "domain_aliases = { \"a.example\" = \"A.example\" }",
            "to itself",
        ),
        (
            "domain_aliases = { \"a.example\" = \"b.example\", \"A.example\" = \"c.example\" }",
            "one domain has one target",
        ),
        (
            "domain_aliases = { a.example = \"b.example\" }",
            "write the name in quotes",
        ),
        (
            "domain_aliases = { \"*.example\" = \"b.example\" }",
            "is not a domain",
        ),
    ] {
        let message = load(&format!("[matching]\n{more}"), &[])
            .expect_err(more)
            .to_string();
        assert!(
            message.contains(words) && message.contains("more.toml"),
            "{more}: {message}"
        );
    }
}

#[test]
fn keys_of_alias_tables_keep_their_dots_and_merge_across_layers() {
    let loaded = load(
        "[matching]\nignore_plus_tag = true\n[matching.aliases]\n\"Bob.B@old.example\" = \"robert@x.example\"",
        &[
            ("ROLECALL__MATCHING__ALIASES__amy@a.b.example", "amelia@x.example"),
            ("ROLECALL__MATCHING__DOMAIN_ALIASES", "{ \"old.example\" = \"x.example\" }"),
        ],
    )
    .unwrap();
    let key = |text| {
        let address = Address::parse(text).unwrap();
        loaded
            .settings
            .policy
            .matching
            .opsera_key(&address)
            .to_string()
    };
    assert_eq!(key("bob.b+1@old.example"), "robert@x.example");
    assert_eq!(key("AMY@a.b.example"), "amelia@x.example");
    assert_eq!(key("eve@old.example"), "eve@x.example");
}

#[test]
fn texts_from_the_environment_stay_texts_and_lists_take_commas_or_toml() {
    let loaded = load(
        "",
        &[
            ("ROLECALL__OPSERA__TOKEN", "0123"),
            ("ROLECALL__OPA__TEAM", "true"),
            ("ROLECALL__OPA__REQUESTS_PER_SECOND", "2.5"),
            ("ROLECALL__PROVISION__ENABLED", "true"),
            ("ROLECALL__SCOPE__DOMAINS", "a.example, B.example,"),
            ("ROLECALL__SCOPE__REQUIRED_GROUPS", "[\"one, two\"]"),
            ("ROLECALL__DEACTIVATION__ON", ""),
            (
                "ROLECALL__ROLES__RULES",
                "[{ group = \"g-*\", role = \"Auditors\" }]",
            ),
        ],
    )
    .unwrap();
    let settings = &loaded.settings;
    assert_eq!(settings.opsera.token.expose_secret(), "0123");
    assert_eq!(settings.opa.team, "true");
    assert!((settings.opa.requests_per_second - 2.5).abs() < f64::EPSILON);
    assert!(settings.policy.provision && settings.policy.roles.managed);
    assert_eq!(settings.policy.scope_domains.len(), 2);
    assert_eq!(
        settings.policy.required_groups.first().unwrap().as_str(),
        "one, two"
    );
    assert!(settings.policy.deactivate_on.is_empty());
}

#[test]
fn two_variables_for_one_key_are_refused_and_single_underscores_are_noticed() {
    let twice = [("ROLECALL__OPA__TEAM", "a"), ("ROLECALL__opa__team", "b")];
    let message = load("", &twice).unwrap_err().to_string();
    assert!(message.contains("ROLECALL__opa__team") && message.contains("ROLECALL__OPA__TEAM"));
    let loaded = load(
        "",
        &[("ROLECALL_OPA_TEAM", "a"), ("ROLECALL_SERVICE_HOST", "b")],
    )
    .unwrap();
    let kinds: Vec<WarningKind> = loaded.warnings.iter().map(|warning| warning.kind).collect();
    assert_eq!(kinds, [WarningKind::IgnoredVariable]);
}

#[test]
fn a_top_level_key_with_a_dot_is_not_taken_for_a_path() {
    let message = load("\"opa.team\" = \"evil\"\n\"opa[0]\" = 1", &[])
        .unwrap_err()
        .to_string();
    assert!(message.contains("2 settings are wrong"), "{message}");
}

#[test]
fn a_key_given_twice_and_a_section_that_is_none_are_refused() {
    let twice = load("[opa]\nburst = 1\nburst = 2", &[])
        .unwrap_err()
        .to_string();
    assert!(
        twice.contains("more.toml") && twice.contains("line 3"),
        "{twice}"
    );
    let scalar = load("opa = 3", &[]).unwrap_err().to_string();
    assert!(
        scalar.contains("opa = 3 (") && scalar.contains("[opa]"),
        "{scalar}"
    );
    let table = load("[roles.rules]\ngroup = \"a\"", &[])
        .unwrap_err()
        .to_string();
    assert!(
        table.contains("more.toml") && table.contains("[[roles.rules]]"),
        "{table}"
    );
    let case = load("[OPA]\nburst = 1", &[]).unwrap_err().to_string();
    assert!(case.contains("there is no such section"), "{case}");
}

#[test]
fn later_layers_win_and_every_value_knows_its_origin() {
    let place = Place::new();
    let files = vec![
        place.file("one.toml", GOOD),
        place.file("two.toml", "[opa]\nteam = \"two\"\nburst = 7"),
    ];
    let layers = Layers::read(&sources(files, &[("ROLECALL__OPA__BURST", "8")])).unwrap();
    let of = |key: &str| {
        let value = layers
            .effective()
            .into_iter()
            .find(|value| value.key == key)
            .unwrap();
        (
            value.text,
            Path::new(&value.origin)
                .file_name()
                .unwrap()
                .to_str()
                .unwrap()
                .to_owned(),
        )
    };
    assert_eq!(of("opa.team"), ("\"two\"".into(), "two.toml".into()));
    assert_eq!(of("opa.key_id"), ("\"id\"".into(), "one.toml".into()));
    assert_eq!(
        of("opa.burst"),
        (
            "8".into(),
            "environment variable ROLECALL__OPA__BURST".into()
        )
    );
    assert_eq!(
        of("opa.page_size"),
        ("1000".into(), "built-in default".into())
    );
}

#[test]
fn without_config_the_variable_comes_before_the_usual_places() {
    let place = Place::new();
    let (named, usual) = (place.file("named.toml", GOOD), place.file("usual.toml", ""));
    let mut sources = sources(Vec::new(), &[("ROLECALL_CONFIG", named.to_str().unwrap())]);
    sources.candidates = vec![place.0.path().join("missing.toml"), usual.clone()];
    assert_eq!(Layers::read(&sources).unwrap().files, [named]);
    sources.environment.clear();
    assert_eq!(Layers::read(&sources).unwrap().files, [usual]);
    sources.environment = vec![("ROLECALL_CONFIG".into(), "/not/there.toml".into())];
    assert!(
        Layers::read(&sources)
            .unwrap_err()
            .to_string()
            .contains("/not/there.toml")
    );
}

#[test]
fn credentials_are_exactly_one_whole_key_or_a_token() {
    let base = "[opa]\nbase_url = \"http://127.0.0.1:1\"\nteam = \"t\"\n";
    let opsera = "\n[opsera]\ntoken = \"t\"";
    let place = Place::new();
    let with = |credentials: &str| {
        let file = place.file("c.toml", format!("{base}{credentials}{opsera}"));
        Settings::load(&sources(vec![file], &[]))
    };
    assert!(matches!(
        with("token = \"x\"").unwrap().settings.opa.credentials,
        OpaCredentials::Token(_)
    ));
    for (credentials, words) in [
        ("", "OPA needs credentials"),
        ("key_id = \"k\"", "is required with opa.key_id"),
        ("key_secret = \"s\"", "is required with opa.key_secret"),
        (
            "key_id = \"k\"\nkey_secret = \"s\"\ntoken = \"t\"",
            "both set",
        ),
        ("key_id = \"k\"\ntoken = \"t\"", "both set"),
        ("token = \"a b\"", "characters that no token has"),
        ("token = \"a\\nb\"", "line break"),
    ] {
        let message = with(credentials).expect_err(credentials).to_string();
        assert!(message.contains(words), "{credentials}: {message}");
    }
}

#[test]
fn offline_settings_ask_for_no_credential_but_check_the_policy() {
    let offline = OfflineSettings::load(&sources(Vec::new(), &[])).unwrap();
    let here = std::env::current_dir().unwrap();
    assert_eq!(offline.settings.store.path, here.join("rolecall.db"));
    assert!(
        OfflineSettings::load(&sources(Vec::new(), &[("ROLECALL__ROLES__DEFAULT", "x")])).is_err()
    );
}

#[test]
fn what_can_have_no_effect_is_a_warning() {
    let loaded = policy(
        "[matching]\ndomain_aliases = { \"old.example\" = \"new.example\" }\n\
         [scope]\ndomains = [\"old.example\"]\nrequired_groups = [\"ops-*\"]\n\
         [protect]\nemails = [\"root\"]\n\
         [roles]\nrules = [{ group = \"*\", role = \"Users\" }, { group = \"a\", role = \"Auditors\" }]\n\
         [deactivation]\non = []",
    );
    let keys: Vec<&str> = loaded
        .warnings
        .iter()
        .map(|warning| warning.key.as_str())
        .collect();
    assert_eq!(
        keys,
        [
            "scope.domains",
            "scope.required_groups",
            "protect.emails",
            "deactivation.on",
            "roles.rules[2]"
        ]
    );
}

#[test]
fn protection_patterns_are_compared_as_canonical_addresses_are() {
    let loaded = policy(
        "[protect]\nemails = [\"Break-Glass@BÜCHER.example\", \"*-ADMIN@Example.com\", \"?x@*\"]",
    );
    let protected = |text: &str| {
        let address = Address::parse(text).unwrap();
        let patterns = &loaded.settings.policy.protection.patterns;
        patterns
            .iter()
            .any(|pattern| pattern.glob.matches(address.as_str()))
    };
    assert!(protected("break-glass@bücher.example"));
    assert!(protected("db-admin@EXAMPLE.com") && protected("ax@y.example"));
    assert!(!protected("x@y.example") && !protected("jane@example.com"));
}

#[test]
fn disabled_roles_are_not_managed_and_disabled_deactivation_has_no_evidence() {
    let loaded =
        policy("[roles]\nenabled = false\ndefault = \"Users\"\n[deactivation]\nenabled = false");
    assert!(!loaded.settings.policy.roles.managed);
    assert!(loaded.settings.policy.deactivate_on.is_empty());
    assert!(
        policy("[roles]\ndefault = \"Users\"")
            .settings
            .policy
            .roles
            .managed
    );
}

#[test]
fn no_secret_shows_in_debug_output_errors_or_effective_values() {
    let loaded = load(
        "[notify]\nwebhook_url = \"https://hooks.example/canary-hook\"",
        &[],
    )
    .unwrap();
    let effective = format!("{:?}", loaded.layers.effective());
    for text in [
        format!("{loaded:?}"),
        format!("{:?}", loaded.settings),
        effective,
    ] {
        assert!(!text.contains("canary"), "{text}");
    }
    for more in [
        "[opa]\ntoken = \"canary-2\"",
        "[opsera]\ntoken = [\"canary-3\"]",
    ] {
        let error = load(more, &[]).unwrap_err();
        assert!(!format!("{error} {error:?}").contains("canary"), "{error}");
    }
}

proptest::proptest! {
    #![proptest_config(proptest::prelude::ProptestConfig::with_cases(200))]

    #[test]
    fn no_file_and_no_environment_makes_loading_panic(
        file in proptest::collection::vec(proptest::prelude::any::<u8>(), 0..200),
        section in 0..keys::all().len(),
        literal in "(-?[0-9]{1,25}|[0-9.e+-]{1,12}|\"[^\"\\\\]{0,20}\"|\\[.{0,20}\\]|\\{.{0,20}\\}|[a-z]{1,5})",
        value in ".{0,40}",
        name in "[A-Z_a-z.@\\[\\]0-9]{0,20}",
    ) {
        let place = Place::new();
        let entry = &keys::all()[section];
        let line = format!("[{}]\n{} = {literal}", entry.section, entry.name);
        let variable = entry.variable();
        let unknown = format!("ROLECALL__{name}");
        let value = value.replace('\0', "");
        let environment = [(variable.as_str(), value.as_str()), (unknown.as_str(), "x")];
        let random = place.file("random.toml", file);
        let typed = place.file("typed.toml", line);
        drop(Settings::load(&sources(vec![random], &environment)));
        drop(Settings::load(&sources(vec![typed.clone()], &[])));
        drop(Settings::load(&sources(vec![typed], &environment)));
    }
}
