//! The report as one self-contained page: no script, nothing loaded, a policy that allows neither.

use std::borrow::Cow;
use std::io;

use askama::Template;

use super::document::Document;
use crate::domain::Report;
use crate::domain::text::for_terminal;

#[derive(Template)]
#[template(path = "report.html", config = "src/output/templates/askama.toml")]
struct Page<'a> {
    document: Document<'a>,
    finished_at: String,
}

impl Page<'_> {
    /// The template escapes; what nobody would see is taken out here.
    #[expect(clippy::unused_self, reason = "the template calls it as a method")]
    fn seen<'t>(&self, text: &'t str) -> Cow<'t, str> {
        for_terminal(text)
    }
}

pub(super) fn render(report: &Report, out: &mut dyn io::Write) -> io::Result<()> {
    let page = Page {
        document: Document::of(report),
        finished_at: report.finished_at.to_rfc3339(),
    };
    page.write_into(out)?;
    writeln!(out)
}
