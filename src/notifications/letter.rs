//! A message as an e-mail.

use super::formats::cut;
use super::message::Message;
use crate::clients::Letter;

/// Longer subjects are cut: mail programs show one line.
const SUBJECT: usize = 150;

/// The e-mail; `None` where e-mail does not tell of such an event.
pub(super) fn letter(message: &Message<'_>) -> Option<Letter> {
    if message.event.is_for_a_pager() {
        return None;
    }
    let marked = |mark: &str, lines: &[String]| {
        let lines = lines.iter().map(|line| format!("{mark}{line}"));
        lines.collect::<Vec<_>>().join("\n")
    };
    let mut paragraphs = vec![
        format!("Team {}: {}", message.team, message.headline),
        message.fact_lines().join("\n"),
        marked("- ", &message.people_lines()),
    ];
    if !message.commands.is_empty() {
        let commands = marked("  ", &message.commands);
        paragraphs.push(format!("{}\n{commands}", message.place()));
    }
    paragraphs.push(format!("Run {}", message.report.run_id.as_str()));
    paragraphs.retain(|paragraph| !paragraph.is_empty());
    Some(Letter {
        subject: cut(&message.title(), SUBJECT, |_| 1),
        text: format!("{}\n", paragraphs.join("\n\n")),
    })
}
