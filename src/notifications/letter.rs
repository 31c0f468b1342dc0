//! A message as an e-mail.

use super::event::Event;
use super::message::Message;
use crate::clients::Letter;

/// Longer subjects are cut: mail programs show one line.
const SUBJECT: usize = 150;

/// The e-mail; `None` where e-mail does not tell of such an event.
pub(super) fn letter(message: &Message<'_>) -> Option<Letter> {
    if matches!(message.event, Event::TokenRenewed) {
        return None;
    }
    let title = format!("rolecall, Team {}: {}", message.team, message.headline);
    let mut subject: String = title.chars().take(SUBJECT).collect();
    if title.chars().nth(SUBJECT).is_some() {
        subject.push('…');
    }
    let mut paragraphs = vec![format!("Team {}: {}", message.team, message.headline)];
    let facts = message.facts.iter();
    let facts: Vec<String> = facts
        .map(|(name, value)| format!("{name}: {value}"))
        .collect();
    let people = message.people_lines();
    let people: Vec<String> = people.iter().map(|line| format!("- {line}")).collect();
    let mut commands = Vec::new();
    if !message.commands.is_empty() {
        commands.push(message.place());
        commands.extend(
            message
                .commands
                .iter()
                .map(|command| format!("  {command}")),
        );
    }
    let lists = [facts, people, commands];
    paragraphs.extend(lists.iter().map(|lines| lines.join("\n")));
    paragraphs.push(format!("Run {}", message.report.run_id.as_str()));
    paragraphs.retain(|paragraph| !paragraph.is_empty());
    Some(Letter {
        subject,
        text: format!("{}\n", paragraphs.join("\n\n")),
    })
}
