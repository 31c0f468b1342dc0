//! The report as one self-contained page: nothing is loaded, and the policy allows the page's own
//! style and script by their hashes and nothing else. Without the script everything is readable.

use std::borrow::Cow;
use std::io;

use askama::Template;

use super::drawing::Bar;
use super::page::{Cell, Page, Section};
use crate::domain::text::for_terminal;

/// Rows of one part of a table. A browser lays out only the parts that are on the screen.
const PART: usize = 250;

#[derive(Template)]
#[template(path = "report.html", config = "src/output/templates/askama.toml")]
struct Document<'p, 'a> {
    page: &'p Page<'a>,
    bars: Vec<Bar>,
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

/// `bars`: the drawing of the whole, where there is one.
pub(super) fn render(page: &Page<'_>, bars: Vec<Bar>, out: &mut dyn io::Write) -> io::Result<()> {
    Document { page, bars }.write_into(out)?;
    writeln!(out)
}
