//! Every rule about a value, and the layers under it.

mod bad_values;

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use config::ValueKind;
use secrecy::ExposeSecret as _;
use tempfile::TempDir;

use crate::domain::Address;
use crate::rules::Validity;
use crate::settings::{
    ConfigSources, DEFAULTS, Layers, Loaded, OfflineSettings, OpaCredentials, Settings,
    SettingsErrors, WarningKind, json_schema, keys, sections::Sections,
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

#[test]
fn the_section_structs_the_defaults_and_the_schema_have_the_same_keys() {
    let schema = json_schema();
    let mut described: Vec<String> = Vec::new();
    for (section, properties) in schema["properties"].as_object().unwrap() {
        assert!(properties["description"].is_string(), "{section}");
        for (name, property) in properties["properties"].as_object().unwrap() {
            assert!(property["description"].is_string(), "{section}.{name}");
            assert!(property.get("default").is_some(), "{section}.{name}");
            described.push(format!("{section}.{name}"));
        }
        assert_eq!(properties["additionalProperties"], false);
    }
    let mut known: Vec<String> = keys::all().iter().map(|key| key.key.clone()).collect();
    known.sort();
    described.sort();
    assert_eq!(described, known);
    // The structs themselves refuse what they do not know and what is missing.
    let layers = Layers::read(&sources(Vec::new(), &[])).unwrap();
    let (whole, problems) = super::read::sections(&layers);
    let _: Sections = whole.unwrap();
    assert_eq!(problems, []);
}

#[test]
fn the_schema_in_the_repository_is_the_one_of_the_program() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("config/rolecall.schema.json");
    let now = format!("{:#}\n", json_schema());
    let kept = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(
        kept == now,
        "run: rolecall config schema > config/rolecall.schema.json"
    );
}

#[test]
fn every_bad_entry_of_a_list_is_told_with_its_own_number() {
    let error = load(
        "[roles]\nrules = [{ group = \"a\", role = \"Admin\" }, { group = \"b\", role = \"Users\" }, \
         { group = \"c\" }, { grup = \"d\", role = \"Users\" }]\n\
         [scope]\ndomains = [\"a.example\", \"@b\", 7]",
        &[],
    )
    .unwrap_err();
    let message = error.to_string();
    let keys: Vec<&str> = error
        .problems
        .iter()
        .map(|found| found.key.as_str())
        .collect();
    assert_eq!(
        keys,
        [
            "scope.domains",
            "scope.domains",
            "roles.rules[1].role",
            "roles.rules[3]",
            "roles.rules[4]"
        ],
        "{message}"
    );
    assert!(
        message.contains("has no role; it must be one of Administrators, PowerUsers, Users"),
        "{message}"
    );
    assert!(message.contains("did you mean group?"), "{message}");
}

#[test]
fn more_problems_than_anybody_reads_do_not_take_for_ever() {
    let bad = "\"@\", ".repeat(100_000);
    let error = load(&format!("[scope]\ndomains = [{bad}]"), &[]).unwrap_err();
    assert_eq!(error.problems.len(), 100);
}

#[test]
fn a_misspelt_section_or_key_is_one_mistake_and_not_two() {
    let place = Place::new();
    let with = |text: &str| {
        let file = place.file("c.toml", text);
        Settings::load(&sources(vec![file], &[])).unwrap_err()
    };
    let section = GOOD.replace("[opsera]", "[opsra]");
    let error = with(&section).to_string();
    assert!(error.starts_with("a setting is wrong: opsra"), "{error}");
    assert!(
        error.ends_with("there is no such section; did you mean [opsera]?"),
        "{error}"
    );
    let key = GOOD.replace("key_secret =", "key_secrt =");
    assert_eq!(with(&key).problems.len(), 1, "{}", with(&key));
    let value = GOOD.replace("team = \"example\"", "team = 5");
    assert_eq!(with(&value).problems.len(), 1, "{}", with(&value));
}

#[test]
fn without_any_settings_the_places_that_were_looked_into_are_named() {
    let mut nowhere = sources(Vec::new(), &[]);
    nowhere.candidates = vec!["/nowhere/a.toml".into(), "/nowhere/b.toml".into()];
    let error = Settings::load(&nowhere).unwrap_err();
    assert!(
        error
            .to_string()
            .ends_with("there is no /nowhere/a.toml and no /nowhere/b.toml"),
        "{error}"
    );
    assert!(error.hints()[0].contains("--config"), "{:?}", error.hints());
}

#[test]
fn files_that_cannot_be_read_say_what_to_do() {
    let missing = Settings::load(&sources(vec!["/nowhere/a.toml".into()], &[])).unwrap_err();
    assert!(
        missing.to_string().starts_with("/nowhere/a.toml: "),
        "{missing}"
    );
    assert!(
        missing.hints()[0].contains("--config"),
        "{:?}",
        missing.hints()
    );
    let text = GOOD.replace("key_secret = \"canary-opa\"", "key_secret_file = \"none\"");
    let place = Place::new();
    let file = place.file("c.toml", text);
    for _ in 0..2 {
        let error = Settings::load(&sources(vec![file.clone()], &[])).unwrap_err();
        let hints = error.hints();
        assert_eq!(hints.len(), 1, "{hints:?}");
        assert!(
            hints[0].contains("write the secret of opa.key_secret into"),
            "{hints:?}"
        );
        place.file("none", "");
    }
}

#[test]
fn a_relative_path_means_the_directory_of_the_file_that_names_it() {
    let place = Place::new();
    std::fs::create_dir(place.0.path().join("site")).unwrap();
    place.file("site/secret", "canary-file");
    let files = vec![
        place.file("base.toml", GOOD.replace("key_secret = \"canary-opa\"", "")),
        place.file(
            "site/site.toml",
            "[opa]\nkey_secret_file = \"secret\"\n[audit]\nkey_file = \"/abs/key\"",
        ),
    ];
    let here = std::env::current_dir().unwrap();
    let environment = [("ROLECALL__AUDIT__CHECKPOINT_FILE", "checkpoints")];
    let loaded = Settings::load(&sources(files.clone(), &environment)).unwrap();
    assert_eq!(loaded.settings.audit.key_file, Some("/abs/key".into()));
    assert_eq!(
        loaded.settings.audit.checkpoint_file,
        Some("checkpoints".into())
    );
    // The default goes with the first file, so the working directory does not choose the store.
    assert_eq!(
        loaded.settings.store.path,
        place.0.path().join("rolecall.db")
    );
    let of = |environment: &[(&str, &str)]| {
        let loaded = Settings::load(&sources(files.clone(), environment)).unwrap();
        loaded.settings.store.path.clone()
    };
    assert_eq!(of(&[("ROLECALL__STORE__PATH", "x.db")]), here.join("x.db"));
    let effective = loaded.layers.effective();
    let shown = |key| effective.iter().find(|value| value.key == key).unwrap();
    let secret = place.0.path().join("site/secret");
    assert_eq!(shown("opa.key_secret_file").value, secret.to_str().unwrap());
    let store = place.0.path().join("rolecall.db");
    assert_eq!(shown("store.path").value, store.to_str().unwrap());
}

#[test]
fn a_store_that_is_a_directory_is_named_as_one() {
    let error = load("[store]\npath = \".\"", &[]).unwrap_err().to_string();
    assert!(error.contains("is a directory"), "{error}");
}

#[test]
fn a_protection_with_an_end_says_whether_it_has_passed() {
    let loaded = policy(
        "[[protect.accounts]]\nemail = \"Glass@Example.com\"\nreason = \"r\"\nuntil = 2027-03-31\n\
         [[protect.accounts]]\nemail = \"*@b.example\"\nreason = \"r\"\nowner = \"o\"\n\
         until = \"2027-03-31T18:00:00+02:00\"\n\
         [[protect.accounts]]\nemail = \"c@b.example\"\nreason = \"r\"",
    );
    let at = |text: &str| text.parse().unwrap();
    let accounts = &loaded.settings.policy.protection.accounts;
    let validity = |index: usize, now| accounts[index].validity(at(now));
    assert_eq!(validity(0, "2027-03-31T23:59:59Z"), Validity::Protects);
    assert_eq!(validity(0, "2027-04-01T00:00:00Z"), Validity::Expired);
    assert_eq!(validity(1, "2027-03-31T15:59:59Z"), Validity::Protects);
    assert_eq!(validity(1, "2027-03-31T16:00:00Z"), Validity::Expired);
    assert_eq!(validity(2, "9999-01-01T00:00:00Z"), Validity::Protects);
    assert_eq!(accounts[1].owner.as_deref(), Some("o"));
    let glass = Address::parse("glass@example.COM").unwrap();
    assert!(accounts[0].names(&glass) && !accounts[1].names(&glass));
    // Its end takes the protection from nobody by itself.
    assert_eq!(loaded.settings.policy.protection.patterns.len(), 3);
    for (entry, words) in [
        ("reason = \"r\"", "has no email"),
        ("email = \"a@b.example\"", "has no reason"),
        (
            "email = \"a@b.example\"\nreason = \"r\"\nuntil = \"soon\"",
            "2027-03-31",
        ),
        ("email = \"a@b.example\"\nreason = \" \"", "not empty"),
    ] {
        let error = load(&format!("[[protect.accounts]]\n{entry}"), &[]).unwrap_err();
        assert_eq!(error.problems.len(), 1, "{error}");
        let message = error.to_string();
        assert!(
            message.contains("protect.accounts[1]") && message.contains(words),
            "{message}"
        );
    }
}

#[test]
fn a_protected_address_cannot_be_released() {
    let base = "[matching]\naliases = { \"bob@old.example\" = \"bob@x.example\" }\n\
                [protect]\nemails = [\"svc-*@x.example\"]\n\
                [opsera]\ntoken_owner = \"bot@x.example\"\n[deactivation]\n";
    let loaded = policy(&format!("{base}release = [\"Bob@OLD.example\"]"));
    let released: Vec<&str> = loaded
        .settings
        .policy
        .release
        .iter()
        .map(|key| key.as_str())
        .collect();
    assert_eq!(released, ["bob@x.example"]);
    for (entry, words) in [
        ("nobody", "is not an e-mail address: it has no @"),
        ("SVC-1@x.example", "is protected by \"svc-*@x.example\""),
        ("Bot@x.example", "is opsera.token_owner's address"),
    ] {
        let error = load(&format!("{base}release = [\"{entry}\"]"), &[]).unwrap_err();
        let message = error.to_string();
        assert_eq!(error.problems.len(), 1, "{message}");
        assert!(
            message.contains(&format!("deactivation.release = \"{entry}\" ("))
                && message.contains(words),
            "{message}"
        );
    }
}

#[test]
fn the_digest_is_of_what_is_in_effect_and_of_no_secret() {
    let digest = |more, environment: &[(&str, &str)]| {
        let path = ("ROLECALL__STORE__PATH", "/s.db");
        let loaded = load(more, &[environment, &[path]].concat()).unwrap();
        loaded.settings.digest()
    };
    let plain = digest("", &[]);
    assert_eq!(plain.len(), 64);
    assert_eq!(plain, digest("[opa]\nburst = 10", &[]));
    assert_eq!(plain, digest("[opsera]\ntoken = \"other\"", &[]));
    assert_ne!(plain, digest("[opa]\nburst = 11", &[]));
    assert_eq!(
        digest("[opa]\nburst = 11", &[]),
        digest("", &[("ROLECALL__OPA__BURST", "11")])
    );
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
