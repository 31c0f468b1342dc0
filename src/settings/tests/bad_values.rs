//! One line per rule about a single value.

use super::load;

/// Section and line, how the value is shown, and words of the message.
const BAD: &[(&str, &str, &str)] = &[
    ("opa.base_url = \"\"", "\"\"", "is required"),
    (
        "opa.base_url = \"example.com\"",
        "\"example.com\"",
        "not the address of a server",
    ),
    (
        "opa.base_url = \"ftp://x.example\"",
        "\"ftp://x.example\"",
        "https://",
    ),
    (
        "opa.base_url = \"http://x.example\"",
        "\"http://x.example\"",
        "http.allow_insecure",
    ),
    (
        "opa.base_url = \"https://x.example/?a=b\"",
        "\"https://x.example/…\"",
        "? or #",
    ),
    (
        "opa.base_url = \"https://u:canary-pw@x.example\"",
        "\"https://…@x.example\"",
        "user name",
    ),
    ("opa.team = \" \"", "\" \"", "is required"),
    ("opa.team = 5", "5", "must be a text"),
    ("opa.page_size = 0", "0", "from 1 to 1000"),
    ("opa.page_size = 1001", "1001", "from 1 to 1000"),
    ("opa.page_size = \"10\"", "\"10\"", "whole number"),
    ("opa.page_size = 1.5", "1.5", "whole number"),
    ("opa.requests_per_second = 0", "0", "above 0"),
    ("opa.requests_per_second = -1", "-1", "above 0"),
    ("opa.requests_per_second = inf", "inf", "above 0"),
    ("opa.requests_per_second = nan", "NaN", "above 0"),
    ("opa.burst = 0", "0", "1 or more"),
    ("opa.quota_reserve_percent = 91", "91", "from 0 to 90"),
    ("deactivation.release = [\"x\"]", "\"x\"", "it has no @"),
    (
        "deactivation.release = [\"*@example.com\"]",
        "\"*@example.com\"",
        "patterns are not allowed",
    ),
    ("guards.max_opsera_drop_percent = -1", "-1", "from 0 to 100"),
    (
        "audit.stream = \"/dev/log\"",
        "\"/dev/log\"",
        "must be \"unix:///dev/log\"",
    ),
    (
        "audit.stream = \"file:audit.jsonl\"",
        "\"file:audit.jsonl\"",
        "an absolute path",
    ),
    (
        "audit.stream = \"udp://siem:514\"",
        "\"udp://siem:514\"",
        "a syslog socket",
    ),
    ("audit.stream_format = \"xml\"", "\"xml\"", "rfc5424"),
    ("notify.include_people = 1", "1", "true or false"),
    ("opa.timeout = \"0s\"", "\"0s\"", "longer than nothing"),
    ("opa.timeout = \"30\"", "\"30\"", "must be a duration"),
    ("opa.timeout = 30", "30", "must be a text"),
    (
        "opa.pull_timeout = \"300000000d\"",
        "\"300000000d\"",
        "a hundred years",
    ),
    ("opsera.max_in_flight = 0", "0", "from 1"),
    (
        "opsera.token_owner = \"nobody\"",
        "\"nobody\"",
        "it has no @",
    ),
    (
        "opsera.site_role_path = \"a/{user}\"",
        "\"a/{user}\"",
        "begin with /",
    ),
    (
        "opsera.site_role_path = \"/a\"",
        "\"/a\"",
        "{user} exactly once",
    ),
    (
        "opsera.site_role_path = \"/{user}/{user}\"",
        "\"/{user}/{user}\"",
        "{user} exactly once",
    ),
    (
        "opsera.site_role_path = \"/{user}?x\"",
        "\"/{user}?x\"",
        "plain path",
    ),
    ("store.path = \"\"", "\"\"", "is required"),
    ("store.retain = \"0s\"", "\"0s\"", "longer than nothing"),
    (
        "schedule.cron = \"*/15 * * * *\"",
        "\"*/15 * * * *\"",
        "six fields",
    ),
    (
        "schedule.cron = \"a b c d e f\"",
        "\"a b c d e f\"",
        "not a cron expression",
    ),
    (
        "schedule.cron = \"0 0 0 30 2 *\"",
        "\"0 0 0 30 2 *\"",
        "never comes",
    ),
    (
        "schedule.time_zone = \"Mars/Base\"",
        "\"Mars/Base\"",
        "IANA",
    ),
    (
        "schedule.run_on_start = \"yes\"",
        "\"yes\"",
        "true or false",
    ),
    (
        "scope.domains = \"example.com\"",
        "\"example.com\"",
        "must be a list",
    ),
    (
        "scope.domains = [\"*.example.com\"]",
        "\"*.example.com\"",
        "without wildcards",
    ),
    (
        "scope.domains = [\"@example.com\"]",
        "\"@example.com\"",
        "without @",
    ),
    ("scope.required_groups = [\"\"]", "\"\"", "not empty"),
    (
        "protect.emails = [\"a@b@c\"]",
        "\"a@b@c\"",
        "more than one @",
    ),
    (
        "protect.emails = [\"@example.com\"]",
        "\"@example.com\"",
        "both sides",
    ),
    (
        "protect.emails = [\"a b@example.com\"]",
        "\"a b@example.com\"",
        "white space",
    ),
    ("protect.emails = [7]", "7", "must be a text"),
    (
        "deactivation.on = [\"gone\"]",
        "\"gone\"",
        "not_in_required_group",
    ),
    ("roles.default = \"Admin\"", "\"Admin\"", "must be one of"),
    (
        "roles.default = \"powerusers\"",
        "\"powerusers\"",
        "did you mean PowerUsers?",
    ),
    (
        "roles.unknown = \"ask\"",
        "\"ask\"",
        "\"assert\" or \"adopt\"",
    ),
    (
        "roles.lookup = \"both\"",
        "\"both\"",
        "\"auto\" or \"user\" or \"group\"",
    ),
    (
        "roles.rules = [{ role = \"Users\" }]",
        "{ role = \"Users\" }",
        "has no group",
    ),
    (
        "roles.rules = [{ group = \"\", role = \"Users\" }]",
        "\"\"",
        "name of an OPA group",
    ),
    ("guards.max_deactivations = -1", "-1", "0 or more"),
    (
        "guards.max_deactivations_percent = 101",
        "101",
        "from 0 to 100",
    ),
    (
        "guards.max_role_changes_percent = 12.5",
        "12.5",
        "from 0 to 100",
    ),
    ("guards.max_opa_drop_percent = -5", "-5", "from 0 to 100"),
    (
        "guards.approval_ttl = \"0s\"",
        "\"0s\"",
        "longer than nothing",
    ),
    ("retry.max_attempts = 0", "0", "from 1 to 100"),
    (
        "retry.base_delay = \"2m\"",
        "\"2m\"",
        "retry.max_delay, which is 1m",
    ),
    (
        "http.listen = \"localhost:80\"",
        "\"localhost:80\"",
        "127.0.0.1:9464",
    ),
    (
        "notify.format = \"xml\"",
        "\"xml\"",
        "must be one of slack, json, teams, pagerduty",
    ),
    ("notify.timeout = \"0s\"", "\"0s\"", "longer than nothing"),
    (
        "smtp.host = \"smtp.example.com:587\"",
        "\"smtp.example.com:587\"",
        "the port is smtp.port",
    ),
    ("smtp.port = 70000", "70000", "from 0 to 65535"),
    (
        "smtp.security = \"ssl\"",
        "\"ssl\"",
        "\"starttls\" or \"tls\" or \"none\"",
    ),
    (
        "smtp.from = \"Identity Team\"",
        "\"Identity Team\"",
        "must be an e-mail address",
    ),
    (
        "smtp.to = [\"dora\"]",
        "\"dora\"",
        "must be an e-mail address",
    ),
    (
        "log.format = \"xml\"",
        "\"xml\"",
        "\"auto\" or \"text\" or \"json\"",
    ),
    ("log.level = \"loud\"", "\"loud\"", "must be off"),
    ("log.level = \"\"", "\"\"", "must be off"),
];

#[test]
fn a_bad_value_is_refused_with_key_value_file_and_what_would_be_right() {
    for (line, value, words) in BAD {
        let (key, assignment) = line.split_once('.').unwrap();
        let error = load(&format!("[{key}]\n{assignment}"), &[]).expect_err(line);
        let message = error.to_string();
        let key = line.split_once(" =").unwrap().0;
        assert_eq!(error.problems.len(), 1, "{message}");
        assert!(message.contains(key), "{line}: {message}");
        assert!(
            message.contains(&format!(" = {value} (")),
            "{line}: {message}"
        );
        assert!(message.contains("more.toml)"), "{line}: {message}");
        assert!(message.contains(words), "{line}: {message}");
    }
}

#[test]
fn a_pager_without_its_key_is_refused_with_the_setting_to_make() {
    let text =
        "[notify]\nwebhook_url = \"https://events.example/v2/enqueue\"\nformat = \"pagerduty\"";
    let message = load(text, &[]).expect_err("no key").to_string();
    assert!(message.contains("notify.routing_key"), "{message}");
    assert!(message.contains("set notify.routing_key_file"), "{message}");
    load(&format!("{text}\nrouting_key = \"k\""), &[]).unwrap();
}

#[test]
fn a_mail_server_needs_to_know_between_whom_and_how() {
    const WHOLE: &str =
        "host = \"smtp.example.com\"\nfrom = \"r@example.com\"\nto = [\"a@example.com\"]";
    load(&format!("[smtp]\n{WHOLE}"), &[]).unwrap();
    for (text, key) in [
        (
            WHOLE.replace("host = \"smtp.example.com\"", ""),
            "smtp.host",
        ),
        (WHOLE.replace("from = \"r@example.com\"", ""), "smtp.from"),
        (WHOLE.replace("to = [\"a@example.com\"]", ""), "smtp.to"),
        (format!("{WHOLE}\nusername = \"u\""), "smtp.password"),
        (format!("{WHOLE}\npassword = \"p\""), "smtp.username"),
        (format!("{WHOLE}\nsecurity = \"none\""), "smtp.security"),
    ] {
        let error = load(&format!("[smtp]\n{text}"), &[]).expect_err(key);
        let keys: Vec<&str> = error.problems.iter().map(|p| p.key.as_str()).collect();
        assert_eq!(keys, [key], "{error}");
    }
    let own = WHOLE.replace("smtp.example.com", "localhost");
    load(&format!("[smtp]\n{own}\nsecurity = \"none\""), &[]).unwrap();
    let meant = format!("[smtp]\n{WHOLE}\nsecurity = \"none\"\n[http]\nallow_insecure = true");
    load(&meant, &[]).unwrap();
}
