//! The report as one self-contained page: nothing is loaded, and the policy allows the page's own
//! style and script by their hashes and nothing else. Without the script everything is readable.

use std::borrow::Cow;
use std::io;

use askama::Template;
use base64::Engine as _;
use sha2::{Digest as _, Sha256};

use super::drawing::{Bar, GuardDrawing};
use super::page::{Cell, Page, Section, Severity};
use super::plan_page::PlanView;
use crate::domain::text::for_terminal;

/// Rows of one part of a table. A browser lays out only the parts that are on the screen.
const PART: usize = 250;

#[derive(Template)]
#[template(path = "report.html", config = "src/output/templates/askama.toml")]
struct Document<'p, 'a> {
    page: &'p Page<'a>,
    bars: Vec<Bar>,
    guards: Vec<GuardDrawing>,
    form: Option<DecisionForm<'a>>,
}

/// Where the reader of a page decides about the plan on it.
#[derive(Clone, Copy, Debug)]
pub struct DecisionForm<'f> {
    /// The plan.
    pub plan_id: &'f str,
    /// Who is recorded as the one who decides.
    pub actor: &'f str,
    /// Characters that a reason may have.
    pub longest_reason: usize,
    /// What was wrong with an answer that was given already.
    pub notice: Option<&'f str>,
    /// Whether there is anything left to decide.
    pub open: bool,
}

impl<'a> Document<'_, 'a> {
    /// The template escapes; what nobody would see is taken out here.
    #[expect(clippy::unused_self, reason = "the template calls it as a method")]
    fn seen<'t>(&self, text: &'t str) -> Cow<'t, str> {
        for_terminal(text)
    }

    /// The rows of a section in parts.
    #[expect(clippy::unused_self, reason = "the template calls it as a method")]
    fn parts<'s>(&self, section: &'s Section<'a>) -> Parts<'s, 'a> {
        Parts {
            rows: section.rows(),
        }
    }

    fn has_lists(&self) -> bool {
        self.page
            .sections
            .iter()
            .any(|section| section.group != "guard")
    }
}

struct Parts<'s, 'a> {
    rows: Box<dyn Iterator<Item = Vec<Cell<'a>>> + 's>,
}

impl<'a> Iterator for Parts<'_, 'a> {
    type Item = Vec<Vec<Cell<'a>>>;

    fn next(&mut self) -> Option<Self::Item> {
        let part: Vec<_> = self.rows.by_ref().take(PART).collect();
        (!part.is_empty()).then_some(part)
    }
}

/// What a page may do that is served to decide on it: its own style and script, and its own form.
/// The page says so itself, and a header can forbid frames as well.
pub fn decision_policy() -> String {
    let hash = |text: &str| {
        // As the template sets it between its tags.
        let digest = Sha256::digest(format!("\n{}\n", text.trim_end()));
        base64::engine::general_purpose::STANDARD.encode(digest)
    };
    format!(
        "default-src 'none'; style-src 'sha256-{}'; script-src 'sha256-{}'; base-uri 'none'; \
         form-action 'self'; frame-ancestors 'none'",
        hash(include_str!("templates/report.css")),
        hash(include_str!("templates/report.js")),
    )
}

/// `bars`: the drawing of the whole, where there is one; `guards`: those with a history.
pub(super) fn render(
    page: &Page<'_>,
    bars: Vec<Bar>,
    guards: Vec<GuardDrawing>,
    out: &mut dyn io::Write,
) -> io::Result<()> {
    Document {
        page,
        bars,
        guards,
        form: None,
    }
    .write_into(out)?;
    writeln!(out)
}

/// A held plan as a page with a form to decide on it.
///
/// # Errors
/// The page cannot be put together.
pub fn decision_page(plan: PlanView<'_>, form: DecisionForm<'_>) -> Result<String, askama::Error> {
    let document = Document {
        page: &plan.page(),
        bars: Vec::new(),
        guards: Vec::new(),
        form: Some(form),
    };
    document.render()
}

/// A page that says one thing.
///
/// # Errors
/// The page cannot be put together.
pub fn notice_page(verdict: &str, severity: Severity) -> Result<String, askama::Error> {
    let document = Document {
        page: &Page {
            title: "rolecall".to_owned(),
            verdict: verdict.to_owned(),
            severity,
            error: None,
            fields: Vec::new(),
            sections: Vec::new(),
            whole: String::new(),
            next: Vec::new(),
        },
        bars: Vec::new(),
        guards: Vec::new(),
        form: None,
    };
    document.render()
}
