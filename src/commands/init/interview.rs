//! The questions in their order, each credential tried as soon as it is known.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io::IsTerminal as _;

use super::asker::{self, Asker};
use crate::check::{CheckReport, render_items};
use crate::domain::text::safe_lines;
use crate::domain::time::SharedClock;
use crate::domain::{Address, Domain};
use crate::init::{
    DOMAINS, DomainProposal, Draft, Listing, Noteworthy, OPA, OPSERA, PROTECT, Question,
    TOKEN_OWNER, missing, try_opa, try_opsera, try_token_owner,
};
use crate::output;
use crate::settings::{Settings, SettingsErrors};

/// Why there are no settings in the end.
pub(super) enum Stop {
    /// An answer is missing or wrong, and nobody can be asked.
    Usage(String),
    /// A credential does not work, and nobody can be asked for another.
    Refused,
    /// Anything else.
    Other(anyhow::Error),
}

impl From<anyhow::Error> for Stop {
    fn from(error: anyhow::Error) -> Self {
        Self::Other(error)
    }
}

impl From<std::io::Error> for Stop {
    fn from(error: std::io::Error) -> Self {
        Self::Other(error.into())
    }
}

/// Everything that is needed for the file.
pub(super) struct Answered {
    pub(super) settings: Settings,
    pub(super) domains: Vec<DomainProposal>,
    pub(super) noteworthy: Vec<Noteworthy>,
}

/// One conversation.
pub(super) struct Interview {
    pub(super) asker: Asker,
    pub(super) clock: SharedClock,
    pub(super) colour: anstream::ColorChoice,
    /// Whether nothing is tried.
    pub(super) offline: bool,
    pub(super) draft: Draft,
    /// What was found out about the answers that stand.
    pub(super) tried: CheckReport,
    /// Whether that is shown as it comes.
    pub(super) shows_items: bool,
}

impl Interview {
    /// All of it.
    pub(super) async fn hold(&mut self) -> Result<Answered, Stop> {
        if self.asker == Asker::Nobody {
            // All that is missing is named in one go, before anything is sent.
            let required = [self.draft.opa().err(), self.draft.opsera().err()];
            let problems = required
                .into_iter()
                .flatten()
                .flat_map(|errors| errors.problems);
            let problems: Vec<_> = problems.collect();
            if !problems.is_empty() {
                return Err(Stop::Usage(missing(&problems)));
            }
        }
        let people = self.opa().await?;
        let listing = self.opsera().await?;
        let owner = self.token_owner(listing.token_owner()).await?;
        let domains = listing.domains(&people);
        self.domains(&domains, owner.as_ref())?;
        let noteworthy = listing.noteworthy(owner.as_ref());
        self.protect(&noteworthy)?;
        let settings = self.draft.all();
        Ok(Answered {
            settings: settings.map_err(|errors| Stop::Usage(missing(&errors.problems)))?,
            domains,
            noteworthy,
        })
    }

    async fn opa(&mut self) -> Result<BTreeMap<Domain, u64>, Stop> {
        let mut again = false;
        loop {
            self.ask(&OPA, again)?;
            again = true;
            let settings = match self.draft.opa() {
                Ok(settings) => settings,
                Err(errors) => {
                    self.tell_wrong(errors)?;
                    continue;
                }
            };
            if self.offline {
                return Ok(BTreeMap::new());
            }
            let trial = try_opa(&settings, &self.clock).await;
            if self.accept(trial.report)? {
                return Ok(trial.people);
            }
        }
    }

    async fn opsera(&mut self) -> Result<Listing, Stop> {
        let mut again = false;
        loop {
            self.ask(&OPSERA, again)?;
            again = true;
            let settings = match self.draft.opsera() {
                Ok(settings) => settings,
                Err(errors) => {
                    self.tell_wrong(errors)?;
                    continue;
                }
            };
            if self.offline {
                return Ok(Listing::default());
            }
            let policy = self.policy()?;
            let trial = try_opsera(&settings, &policy, &self.clock).await;
            if self.accept(trial.report)? {
                return Ok(trial.listing);
            }
        }
    }

    async fn token_owner(&mut self, proposal: Option<&Address>) -> Result<Option<Address>, Stop> {
        let key = TOKEN_OWNER.key;
        if self.asker == Asker::Nobody && !self.draft.is_answered(key) {
            let Some(proposal) = proposal else {
                return Err(Stop::Usage(format!(
                    "the token does not say whose it is: name the account with {} (every run spares \
                     it), or say with {} '' that it is not known",
                    TOKEN_OWNER.option, TOKEN_OWNER.option
                )));
            };
            self.draft.answer(key, proposal.as_str());
        }
        let mut again = false;
        loop {
            if self.asker == Asker::Terminal && (again || !self.draft.is_answered(key)) {
                let default = self.draft.text(key).map(str::to_owned);
                let default = default.as_deref().or(proposal.map(Address::as_str));
                let answer = asker::text(TOKEN_OWNER.prompt, default)?;
                self.draft.answer(key, answer.trim());
            }
            again = true;
            if !self.is_sound(key)? {
                continue;
            }
            let owner = self.policy()?.protection.token_owner;
            let settings = self.draft.opsera();
            let (Some(owner), Ok(settings), false) = (&owner, settings, self.offline) else {
                return Ok(owner);
            };
            let report = try_token_owner(&settings, owner, &self.clock).await;
            if self.accept(report)? {
                return Ok(Some(owner.clone()));
            }
        }
    }

    fn domains(&mut self, found: &[DomainProposal], owner: Option<&Address>) -> Result<(), Stop> {
        let key = DOMAINS.key;
        let mut proposed: Vec<String> = found
            .iter()
            .filter(|found| found.proposed)
            .map(|found| found.domain.to_string())
            .collect();
        if found.is_empty()
            && let Some(owner) = owner
        {
            proposed.push(owner.domain().to_string());
        }
        if self.asker == Asker::Nobody && !self.draft.is_answered(key) {
            if proposed.is_empty() {
                return Err(Stop::Usage(format!(
                    "nothing tells which domains to look after: name each with {}",
                    DOMAINS.option
                )));
            }
            self.draft.answer_list(key, &proposed);
        }
        let mut again = false;
        loop {
            if self.asker == Asker::Terminal && (again || !self.draft.is_answered(key)) {
                self.show_domains(found);
                let answer = asker::text(DOMAINS.prompt, Some(&proposed.join(", ")))?;
                let domains = answer.split(',').map(str::trim);
                let domains = domains.filter(|domain| !domain.is_empty());
                let domains: Vec<String> = domains.map(str::to_owned).collect();
                self.draft.answer_list(key, &domains);
            }
            again = true;
            if self.is_sound(key)? {
                return Ok(());
            }
        }
    }

    fn show_domains(&self, found: &[DomainProposal]) {
        let mut text = String::new();
        for domain in found.iter().take(10) {
            let note = if domain.proposed {
                ""
            } else {
                ", and few or none of the Team's people are there"
            };
            // Writing to a String cannot fail, here and below.
            let _ = writeln!(
                text,
                "    {}: {} in Opsera{note}",
                domain.domain, domain.accounts
            );
        }
        output::note(&text, self.colour);
    }

    fn protect(&mut self, found: &[Noteworthy]) -> Result<(), Stop> {
        let key = PROTECT.key;
        if !self.draft.is_answered(key) {
            let mut wanted = !found.is_empty();
            if wanted && self.asker == Asker::Terminal {
                let mut text = String::new();
                for account in found {
                    let _ = writeln!(
                        text,
                        "    {}: {}",
                        account.address.as_str(),
                        account.why.as_str()
                    );
                }
                output::note(&text, self.colour);
                wanted = asker::confirm(PROTECT.prompt)?;
            }
            let wanted = found.iter().filter(|_| wanted);
            let emails: Vec<String> = wanted
                .map(|account| account.address.as_str().to_owned())
                .collect();
            self.draft.answer_list(key, &emails);
        }
        Ok(())
    }

    /// Asks for what is not answered, or for all of it `again`. Enter keeps what is there.
    fn ask(&mut self, questions: &[Question], again: bool) -> Result<(), Stop> {
        if self.asker == Asker::Nobody {
            return Ok(());
        }
        for question in questions {
            let is_answered = self.draft.is_answered(question.key);
            if is_answered && !again {
                continue;
            }
            if question.is_secret {
                let secret = asker::secret(question.prompt, is_answered)?;
                if !secret.is_empty() {
                    self.draft.answer_secret(question.key, &secret);
                }
            } else {
                let default = match question.key {
                    "opsera.base_url" if !is_answered => Some("https://app.opsera.io".to_owned()),
                    key => self.draft.text(key).map(str::to_owned),
                };
                let answer = asker::text(question.prompt, default.as_deref())?;
                self.draft.answer(question.key, answer.trim());
            }
        }
        Ok(())
    }

    /// Shows what a trial found; `false`: it has to be answered again.
    fn accept(&mut self, report: CheckReport) -> Result<bool, Stop> {
        if self.shows_items || self.asker == Asker::Terminal {
            let on_terminal = std::io::stderr().is_terminal();
            let mut text = Vec::new();
            render_items(
                &report,
                output::table_style(self.colour, on_terminal),
                &mut text,
            )?;
            output::note(&String::from_utf8_lossy(&text), self.colour);
        }
        let is_ok = report.is_ok();
        if is_ok || self.asker == Asker::Nobody {
            self.tried.append(report);
        }
        if is_ok {
            return Ok(true);
        }
        if self.asker == Asker::Nobody {
            return Err(Stop::Refused);
        }
        output::note(
            "\nPut it right there, or answer again; Enter keeps what is in brackets. Ctrl-C ends, and \
             nothing is written.\n",
            self.colour,
        );
        Ok(false)
    }

    /// Whether the answer to `key` can be used; tells why not.
    fn is_sound(&self, key: &str) -> Result<bool, Stop> {
        let Err(mut errors) = self.draft.offline() else {
            return Ok(true);
        };
        errors.problems.retain(|problem| problem.key == key);
        if errors.problems.is_empty() {
            return Ok(true);
        }
        self.tell_wrong(errors)?;
        Ok(false)
    }

    fn tell_wrong(&self, errors: SettingsErrors) -> Result<(), Stop> {
        if self.asker == Asker::Nobody {
            return Err(Stop::Usage(missing(&errors.problems)));
        }
        for mut problem in errors.problems {
            problem.origin = None;
            let words = format!("    {}\n", safe_lines(&problem.to_string()));
            output::note(&words, self.colour);
        }
        Ok(())
    }

    fn policy(&self) -> Result<crate::rules::Policy, Stop> {
        match self.draft.offline() {
            Ok(settings) => Ok(settings.policy),
            Err(errors) => Err(Stop::Usage(missing(&errors.problems))),
        }
    }
}
