//! What is told: one document, and its forms for chats and mails. Redacted again on its way out (L47).

use moorline_core::alert::{Alert, Delivery};
use moorline_core::error_code::AlertLevel;
use moorline_secrets::Redactor;
use serde_json::{Value, json};

/// Bytes of details that are sent; more is replaced by a note.
const MOST_DETAILS: usize = 32 << 10;

/// Characters of a title that are sent.
const MOST_TITLE: usize = 500;

/// An alert as it is sent, without secrets.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Message {
    alert: Alert,
    delivery: Delivery,
}

impl Message {
    /// Redacts an alert for sending, with the values that the destination itself has.
    pub(super) fn new(alert: &Alert, delivery: &Delivery, redactor: &Redactor) -> Self {
        let mut alert = alert.clone();
        let title = redactor.redact(&alert.title).into_owned();
        alert.title = one_line(&title);
        redactor.redact_json(&mut alert.data);
        if alert.data.to_string().len() > MOST_DETAILS {
            alert.data = json!({"truncated": true});
        }
        Self {
            alert,
            delivery: delivery.clone(),
        }
    }

    /// The document that a webhook gets.
    pub(super) fn document(&self) -> Value {
        let Self { alert, delivery } = self;
        json!({
            "version": 1,
            "delivery_id": delivery.id,
            "alert_id": alert.id,
            "key": alert.key,
            "level": alert.level,
            "title": alert.title,
            "raised_at": alert.raised_at,
            "last_at": alert.last_at,
            "count": alert.count,
            "run_id": alert.run_id,
            "job_id": alert.job_id,
            "data": alert.data,
        })
    }

    /// The message that Slack and its likes take: plain text for notifications, blocks for people.
    pub(super) fn slack(&self) -> Value {
        let alert = &self.alert;
        let mark = match alert.level {
            AlertLevel::Info => ":information_source:",
            AlertLevel::Warning => ":warning:",
            AlertLevel::Critical => ":rotating_light:",
        };
        let title = escaped(&alert.title);
        let facts: Vec<String> = self
            .facts()
            .into_iter()
            .map(|(name, value)| format!("*{name}*: {}", escaped(&value)))
            .collect();
        json!({
            "text": format!("{}: {title}", level(alert.level)),
            "blocks": [
                {"type": "section", "text": {"type": "mrkdwn", "text": format!("{mark} *{title}*")}},
                {"type": "context", "elements": [{"type": "mrkdwn", "text": facts.join("  ·  ")}]},
            ],
        })
    }

    /// The subject of a mail.
    pub(super) fn subject(&self) -> String {
        format!(
            "[moorline] {}: {}",
            level(self.alert.level),
            self.alert.title
        )
    }

    /// The text of a mail.
    pub(super) fn text(&self) -> String {
        let mut lines = vec![self.alert.title.clone(), String::new()];
        for (name, value) in self.facts() {
            lines.push(format!("{name}: {value}"));
        }
        if let Some(reason) = self.alert.data.get("reason").and_then(Value::as_str) {
            lines.extend([String::new(), reason.to_owned()]);
        }
        if let Some(run) = self.alert.run_id {
            lines.extend([
                String::new(),
                format!("moorline runs show {run}"),
                format!("moorline explain run {run}"),
            ]);
        }
        lines.join("\r\n")
    }

    fn facts(&self) -> Vec<(&'static str, String)> {
        let alert = &self.alert;
        let mut facts = vec![
            ("level", level(alert.level).to_owned()),
            ("since", alert.raised_at.to_string()),
        ];
        if alert.count > 1 {
            facts.push(("seen", format!("{} times", alert.count)));
        }
        if let Some(job) = &alert.job_id {
            facts.push(("job", job.clone()));
        }
        if let Some(source) = alert.data.get("source_id").and_then(Value::as_str) {
            facts.push(("source", source.to_owned()));
        }
        if let Some(run) = alert.run_id {
            facts.push(("run", run.to_string()));
        }
        facts.push(("alert", alert.id.to_string()));
        facts
    }
}

const fn level(level: AlertLevel) -> &'static str {
    match level {
        AlertLevel::Info => "info",
        AlertLevel::Warning => "warning",
        AlertLevel::Critical => "critical",
    }
}

/// A title in one line, without control characters: it becomes a header of mails.
fn one_line(text: &str) -> String {
    text.chars()
        .map(|c| if c.is_control() { ' ' } else { c })
        .take(MOST_TITLE)
        .collect()
}

/// What a chat would read as markup or as a mention.
fn escaped(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;
    use moorline_core::ids::{AlertId, DeliveryId};
    use uuid::Uuid;

    use super::*;

    fn message(title: &str, data: Value, redactor: &Redactor) -> Message {
        let at: Timestamp = "2026-03-01T06:15:00Z".parse().unwrap();
        let alert = Alert {
            id: AlertId::new(Uuid::from_u128(1)),
            key: "source/chase/auth".to_owned(),
            level: AlertLevel::Warning,
            title: title.to_owned(),
            run_id: None,
            job_id: Some("statement".to_owned()),
            data,
            raised_at: at,
            last_at: at,
            count: 2,
            closed_at: None,
            planned: true,
        };
        let id = DeliveryId::new(Uuid::from_u128(2));
        let delivery = Delivery::new(id, alert.id, "ops".to_owned(), at);
        Message::new(&alert, &delivery, redactor)
    }

    /// L47: whatever found its way into a reason, it does not leave.
    #[test]
    fn every_form_is_redacted() {
        let redactor = Redactor::builder().value("PIN", "correct horse").build();
        let data = json!({"reason": "sign-on with correct horse refused", "token": "x"});
        let message = message("refused: correct horse", data, &redactor);
        let forms = [
            message.document().to_string(),
            message.slack().to_string(),
            message.subject(),
            message.text(),
        ];
        for form in forms {
            assert!(!form.contains("correct horse"), "{form}");
            assert!(form.contains("[redacted:PIN]"), "{form}");
        }
    }

    #[test]
    fn a_title_is_one_line_and_no_markup() {
        let message = message("a\r\nBcc: b <!channel> &", json!({}), &Redactor::default());
        assert!(!message.subject().contains(['\r', '\n']));
        let text = message.slack()["text"].as_str().unwrap().to_owned();
        assert_eq!(text, "warning: a  Bcc: b &lt;!channel&gt; &amp;");
    }

    #[test]
    fn details_that_are_too_long_are_left_out() {
        let data = json!({"reason": "x".repeat(MOST_DETAILS)});
        let message = message("t", data, &Redactor::default());
        assert_eq!(message.document()["data"], json!({"truncated": true}));
    }
}
