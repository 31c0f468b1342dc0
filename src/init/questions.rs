//! The six questions: their settings, and how each is answered without a terminal.

use std::fmt::Write as _;

use crate::settings::{Problem, variable};

/// One answer that is wanted.
#[derive(Clone, Copy, Debug)]
pub struct Question {
    /// The setting.
    pub key: &'static str,
    /// The option that gives it.
    pub option: &'static str,
    /// What a person is asked.
    pub prompt: &'static str,
    /// Whether what is typed must not be seen.
    pub is_secret: bool,
}

const fn open(key: &'static str, option: &'static str, prompt: &'static str) -> Question {
    Question {
        key,
        option,
        prompt,
        is_secret: false,
    }
}

const fn secret(key: &'static str, option: &'static str, prompt: &'static str) -> Question {
    Question {
        is_secret: true,
        ..open(key, option, prompt)
    }
}

/// Questions 1 to 3: the Team.
pub const OPA: [Question; 4] = [
    open(
        "opa.base_url",
        "--opa-url",
        "1/6 Address of Okta Privileged Access, such as https://example.pam.okta.com",
    ),
    open("opa.team", "--opa-team", "2/6 Name of the Team"),
    open(
        "opa.key_id",
        "--opa-key-id",
        "3/6 Id of the service user's key",
    ),
    secret(
        "opa.key_secret",
        "--opa-key-secret-file",
        "    Secret of that key (not shown)",
    ),
];

/// Question 4: the account list.
pub const OPSERA: [Question; 2] = [
    open("opsera.base_url", "--opsera-url", "4/6 Address of Opsera"),
    secret(
        "opsera.token",
        "--opsera-token-file",
        "    Personal access token (not shown)",
    ),
];

/// Question 5.
pub const TOKEN_OWNER: Question = open(
    "opsera.token_owner",
    "--token-owner",
    "5/6 E-mail address of the account that owns the token, which is never touched",
);

/// Question 6.
pub const DOMAINS: Question = open(
    "scope.domains",
    "--domain",
    "6/6 Domains to look after, separated by commas",
);

/// What is proposed with question 6.
pub const PROTECT: Question = open("protect.emails", "--protect", "    Protect these accounts?");

/// Says which answers are missing or wrong, and how to give them where nobody can be asked.
pub fn missing(problems: &[Problem]) -> String {
    let mut text =
        "these answers are missing or wrong, and there is no terminal to ask on:".to_owned();
    for problem in problems {
        // Writing to a String cannot fail.
        let _ = write!(text, "\n  - {problem}{}", how_to_give(problem));
    }
    text
}

fn how_to_give(problem: &Problem) -> String {
    let key = problem.key.trim_end_matches("_file");
    let questions = OPA.into_iter().chain(OPSERA);
    let found = questions
        .chain([TOKEN_OWNER, DOMAINS, PROTECT])
        .find(|question| question.key == key);
    match found {
        // Where all of it is missing, the credential is told at the id.
        Some(question) if question.key == "opa.key_id" => format!(
            " (--opa-key-id with --opa-key-secret-file, or {} with {})",
            variable("opa.key_id"),
            variable("opa.key_secret_file")
        ),
        Some(question) if question.is_secret => format!(
            " ({}, or {})",
            question.option,
            variable(&format!("{key}_file"))
        ),
        Some(question) => format!(" ({}, or {})", question.option, variable(key)),
        None => String::new(),
    }
}
