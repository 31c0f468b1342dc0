//! One list of keys, one mistake told once, paths, protections with an end, and the digest.

use std::path::Path;

use super::{GOOD, Place, load, policy, sources};
use crate::domain::Address;
use crate::rules::Validity;
use crate::settings::sections::Sections;
use crate::settings::{Layers, Settings, json_schema, keys, read};

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
    let (whole, problems) = read::sections(&layers);
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
    assert_eq!(loaded.settings.policy.protection.patterns.len(), 0);
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
        .map(crate::domain::Key::as_str)
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
