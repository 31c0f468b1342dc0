//! A message in the shape that its receiver wants (`notify.format`).

use serde_json::{Value, json};

use super::escape::{entities, escape, without_markup};
use super::event::{Incident, Severity};
use super::message::{LONG, Message, statuses};
use crate::settings::NotifyFormat;

/// Slack refuses a longer text in a header, and in a section.
const SLACK_HEADER: usize = 150;
const SLACK_SECTION: usize = 3_000;
/// Slack refuses a longer field, and more fields in a section.
const SLACK_FIELD: usize = 2_000;
const SLACK_FIELDS: usize = 10;
/// PagerDuty cuts what is longer.
const PAGERDUTY_SUMMARY: usize = 1_024;

/// The body of the message as JSON; `None` where this kind of receiver is not told of such an event.
/// `routing_key` is for PagerDuty, which alone wants one.
pub(super) fn body(
    format: NotifyFormat,
    message: &Message<'_>,
    routing_key: Option<&str>,
) -> Option<String> {
    if message.event.is_for_a_pager() && format != NotifyFormat::Pagerduty {
        return None;
    }
    match format {
        NotifyFormat::Slack => Some(slack(message).to_string()),
        NotifyFormat::Json => Some(without_markup(&fields(message))),
        NotifyFormat::Teams => Some(without_markup(&teams(message))),
        NotifyFormat::Pagerduty => {
            let incident = message.event.incident()?;
            let key = routing_key.unwrap_or_default();
            Some(without_markup(&pagerduty(message, incident, key)))
        }
    }
}

/// Blocks of plain text, and the whole as text for where no blocks are shown. Whatever slipped
/// through, Slack is told not to look for markup.
fn slack(message: &Message<'_>) -> Value {
    let plain = |text: &str, most: usize| {
        let text = cut(text, most, |c| entities(c).chars().count());
        json!({ "type": "plain_text", "text": entities(&text), "emoji": false })
    };
    let section = |text: &str| json!({ "type": "section", "text": plain(text, SLACK_SECTION) });
    let title = format!("rolecall, Team {}", message.team);
    let mut blocks = vec![
        json!({ "type": "header", "text": plain(&title, SLACK_HEADER) }),
        section(&message.headline),
    ];
    for facts in message.facts.chunks(SLACK_FIELDS) {
        let facts = facts.iter();
        let fields: Vec<Value> = facts
            .map(|(name, value)| plain(&format!("{name}\n{value}"), SLACK_FIELD))
            .collect();
        blocks.push(json!({ "type": "section", "fields": fields }));
    }
    let people = message.people_lines();
    if !people.is_empty() {
        blocks.push(section(&format!("• {}", people.join("\n• "))));
    }
    if !message.commands.is_empty() {
        let commands = message.commands.join("\n");
        blocks.push(section(&format!("{}\n{commands}", message.place())));
    }
    json!({ "text": entities(&message.text()), "mrkdwn": false, "blocks": blocks })
}

/// An Adaptive Card, in the envelope that a Teams workflow takes.
fn teams(message: &Message<'_>) -> Value {
    let block = |text: &str, weight: &str| json!({ "type": "TextBlock", "text": text, "weight": weight, "wrap": true });
    let mut body = vec![
        block(&format!("rolecall, Team {}", message.team), "bolder"),
        block(&message.headline, "default"),
    ];
    if !message.facts.is_empty() {
        let facts = message.facts.iter();
        let facts: Vec<Value> = facts
            .map(|(name, value)| json!({ "title": name, "value": value }))
            .collect();
        body.push(json!({ "type": "FactSet", "facts": facts }));
    }
    body.extend(
        message
            .people_lines()
            .iter()
            .map(|line| block(&format!("• {line}"), "default")),
    );
    if !message.commands.is_empty() {
        body.push(block(&message.place(), "default"));
        body.extend(message.commands.iter().map(|command| {
            json!({ "type": "TextBlock", "text": command, "fontType": "monospace", "wrap": true })
        }));
    }
    json!({
        "type": "message",
        "attachments": [{
            "contentType": "application/vnd.microsoft.card.adaptive",
            "content": {
                "$schema": "http://adaptivecards.io/schemas/adaptive-card.json",
                "type": "AdaptiveCard",
                "version": "1.4",
                "body": body,
            },
        }],
    })
}

/// The Events API, version 2: one incident for each thing that can be wrong, closed when it is over.
fn pagerduty(message: &Message<'_>, incident: Incident, routing_key: &str) -> Value {
    let incident: &str = incident.into();
    let dedup_key = format!("rolecall/{}/{incident}", message.team);
    if message.event.is_over() {
        return json!({
            "routing_key": routing_key, "event_action": "resolve", "dedup_key": dedup_key,
        });
    }
    let severity: Severity = message.event.severity();
    let severity: &str = severity.into();
    json!({
        "routing_key": routing_key,
        "event_action": "trigger",
        "dedup_key": dedup_key,
        "client": "rolecall",
        "payload": {
            "summary": cut(&message.title(), PAGERDUTY_SUMMARY, |_| 1),
            "source": message.host.as_deref().unwrap_or("rolecall"),
            "severity": severity,
            "component": "rolecall",
            "group": message.team,
            "class": message.event.name(),
            "timestamp": message.report.finished_at,
            "custom_details": fields(message),
        },
    })
}

/// The facts as fields.
fn fields(message: &Message<'_>) -> Value {
    let Message { event, report, .. } = message;
    let guards: Vec<Value> = report
        .guards
        .iter()
        .filter(|guard| guard.held)
        .map(|guard| json!({ "guard": guard.guard, "actual": guard.actual, "limit": guard.limit }))
        .collect();
    let people: Vec<Value> = message
        .people
        .iter()
        .map(|named| json!({ "kind": named.kind, "email": named.email, "detail": named.words }))
        .collect();
    let are_findings = !event.findings().is_empty();
    json!({
        "schema": "rolecall.notification/1",
        "event": event.name(),
        "text": message.text(),
        "team": message.team,
        "host": message.host,
        "run_id": report.run_id,
        "plan_id": report.plan_id,
        "outcome": report.outcome,
        "finished_at": report.finished_at,
        "deadline": message.deadline,
        "error": report.error.as_deref().map(|error| escape(error, LONG)),
        "changes": {
            "deactivate": report.summary.deactivate,
            "set_role": report.summary.set_role,
            "create": report.summary.create,
        },
        "actions": statuses(report),
        "guards": guards,
        "findings_by_kind": event.kinds(),
        "findings": if are_findings { people.as_slice() } else { &[] },
        "findings_left_out": if are_findings { message.left_out } else { 0 },
        "people": if are_findings { &[] } else { people.as_slice() },
        "commands": message.commands,
    })
}

/// The beginning of `text` that fits, where a character counts as `width` says: the receiver's
/// limits are for the text as it is sent.
pub(super) fn cut(text: &str, most: usize, width: impl Fn(&str) -> usize) -> String {
    let widths = text.chars().map(|c| width(c.encode_utf8(&mut [0; 4])));
    if widths.clone().sum::<usize>() <= most {
        return text.to_owned();
    }
    let mut left = most.saturating_sub(1);
    let fits = widths.take_while(|width| {
        let rest = left.checked_sub(*width);
        left = rest.unwrap_or(0);
        rest.is_some()
    });
    let fits = fits.count();
    text.chars().take(fits).chain(['…']).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_sent_fits_with_its_entities() {
        let sent = |text: &str, most| entities(&cut(text, most, |c| entities(c).chars().count()));
        assert_eq!(sent("a<b", 6), "a&lt;b");
        assert_eq!(sent("a<b", 5), "a…");
        for most in [10, 150, 3_000] {
            let hostile = "<".repeat(5_000);
            let sent = sent(&hostile, most);
            assert!(sent.chars().count() <= most, "{most}: {}", sent.len());
            assert!(sent.ends_with("&lt;…"), "{sent}");
        }
    }
}
