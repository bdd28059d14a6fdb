//! What a channel is told: one message, in the form that each receiver documents.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::Event;

/// A piece of news.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Message {
    /// What it is.
    pub event: Event,
    /// The Project.
    pub project: String,
    /// The Environment, if it is about one.
    pub environment: Option<String>,
    /// The Release's version, if it is about one.
    pub version: Option<String>,
    /// Who did it.
    pub actor: String,
    /// What happened, in one sentence.
    pub text: String,
    /// The page about it.
    pub url: String,
    /// When.
    pub at: Timestamp,
    /// The Promotion, if it is about one.
    pub promotion: Option<String>,
}

/// What stands for a part of a message in a template.
pub const NAMES: [&str; 8] = ["event", "project", "environment", "version", "actor", "text", "url", "time"];

/// The names in a template that mean nothing.
#[must_use]
pub fn unknown_names(template: &str) -> Vec<&str> {
    parts(template).filter_map(|part| part.err()).filter(|name| !NAMES.contains(name)).collect()
}

/// The text between braces as `Err`, all other text as `Ok`.
fn parts(template: &str) -> impl Iterator<Item = Result<&str, &str>> {
    template.split('{').enumerate().flat_map(|(index, piece)| {
        let (name, rest) = match piece.split_once('}') {
            Some((name, rest)) if index > 0 => (Some(name), rest),
            _ => (None, piece),
        };
        name.map(Err).into_iter().chain(std::iter::once(Ok(rest)))
    })
}

/// The most characters of words: Slack takes 3,000 in a section, and the title stands there, too.
const LONGEST: usize = 2_000;

fn cut(text: String, most: usize) -> String {
    match text.char_indices().nth(most) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text,
    }
}

/// Text for Slack. The three characters that stand for more than themselves are written otherwise, and what is too long by
/// that is cut between two characters.
fn slack_text(text: &str) -> String {
    let mut plain = String::new();
    for c in text.chars() {
        match c {
            '&' => plain.push_str("&amp;"),
            '<' => plain.push_str("&lt;"),
            '>' => plain.push_str("&gt;"),
            c => plain.push(c),
        }
        if plain.len() > LONGEST * 5 / 4 {
            plain.push('…');
            break;
        }
    }
    plain
}

/// Text in an adaptive card that is never read as Markdown, so that strangers' words make no links.
fn plain(mut run: Value) -> Value {
    run["type"] = "TextRun".into();
    json!({ "type": "RichTextBlock", "inlines": [run] })
}

impl Message {
    /// In one line: what happened where.
    #[must_use]
    pub fn title(&self) -> String {
        let place = match &self.environment {
            Some(environment) => format!("{}/{environment}", self.project),
            None => self.project.clone(),
        };
        let version = self.version.as_ref().map(|version| format!(" {version}")).unwrap_or_default();
        format!("{place}{version}: {}", self.event.word().replace('-', " "))
    }

    /// The words, by the document's template where it has one; cut where they are longer than receivers take.
    #[must_use]
    pub fn words(&self, template: Option<&str>) -> String {
        let words = match template {
            Some(template) => self.filled(template),
            None => self.text.clone(),
        };
        cut(words, LONGEST)
    }

    fn filled(&self, template: &str) -> String {
        let value = |name: &str| match name {
            "event" => self.event.word().to_owned(),
            "project" => self.project.clone(),
            "environment" => self.environment.clone().unwrap_or_default(),
            "version" => self.version.clone().unwrap_or_default(),
            "actor" => self.actor.clone(),
            "text" => self.text.clone(),
            "url" => self.url.clone(),
            "time" => format!("{:.0}", self.at),
            other => format!("{{{other}}}"),
        };
        parts(template)
            .map(|part| match part {
                Ok(text) => text.to_owned(),
                Err(name) => value(name),
            })
            .collect()
    }

    /// For an incoming webhook of Slack.
    #[must_use]
    pub fn slack(&self, words: &str) -> Value {
        let (title, body) = (slack_text(&self.title()), slack_text(words));
        let section =
            json!({ "type": "section", "text": { "type": "mrkdwn", "text": format!("*{title}*\n{body}") } });
        let button = json!({
            "type": "actions",
            "elements": [{ "type": "button", "text": { "type": "plain_text", "text": "Open" }, "url": self.url }],
        });
        json!({ "text": format!("{title}: {body}"), "blocks": [section, button] })
    }

    /// For a webhook of a Teams workflow: an adaptive card.
    #[must_use]
    pub fn teams(&self, words: &str) -> Value {
        let colour = if self.event.is_bad() { "attention" } else { "default" };
        let card = json!({
            "$schema": "http://adaptivecards.io/schemas/adaptive-card.json",
            "type": "AdaptiveCard",
            "version": "1.4",
            "body": [
                plain(json!({ "text": self.title(), "weight": "bolder", "color": colour })),
                plain(json!({ "text": words })),
            ],
            "actions": [{ "type": "Action.OpenUrl", "title": "Open", "url": self.url }],
        });
        json!({
            "type": "message",
            "attachments": [{ "contentType": "application/vnd.microsoft.card.adaptive", "content": card }],
        })
    }

    /// For a webhook of anybody.
    #[must_use]
    pub fn webhook(&self, words: &str) -> Value {
        let Self { event, project, environment, version, actor, text, url, at, promotion } = self;
        json!({
            "event": event.word(),
            "project": project,
            "environment": environment,
            "version": version,
            "promotion": promotion,
            "actor": actor,
            "title": self.title(),
            "text": text,
            "words": words,
            "url": url,
            "at": at,
        })
    }

    /// For Grafana's annotations.
    #[must_use]
    pub fn grafana(&self, words: &str) -> Value {
        let text = format!("{}\n{words}\n{}", self.title(), self.url);
        json!({ "time": self.at.as_millisecond(), "tags": self.tags(), "text": text })
    }

    /// For Datadog's events.
    #[must_use]
    pub fn datadog(&self, words: &str) -> Value {
        json!({
            "title": self.title(),
            "text": format!("{words}\n{}", self.url),
            "date_happened": self.at.as_second(),
            "alert_type": if self.event.is_bad() { "error" } else { "info" },
            "tags": self.tags(),
            "aggregation_key": self.promotion.clone().unwrap_or_else(|| self.project.clone()),
        })
    }

    fn tags(&self) -> Vec<String> {
        let named = BTreeMap::from([
            ("environment", self.environment.clone()),
            ("project", Some(self.project.clone())),
            ("version", self.version.clone()),
        ]);
        let tags = named.into_iter().filter_map(|(name, value)| Some(format!("{name}:{}", value?)));
        ["towpath".to_owned(), self.event.word().to_owned()].into_iter().chain(tags).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message() -> Message {
        Message {
            event: Event::NeedsPeople,
            project: "shop".to_owned(),
            environment: Some("production".to_owned()),
            version: Some("1.4.0".to_owned()),
            actor: "towpath".to_owned(),
            text: "1.4.0 <b> & co".to_owned(),
            url: "https://t/promotions/1".to_owned(),
            at: Timestamp::from_second(1_800_000_000).unwrap(),
            promotion: Some("1".to_owned()),
        }
    }

    #[test]
    fn templates_put_values_for_names_and_keep_the_rest() {
        let template = "{project}/{environment} {version}: {text} ({url}) {nonsense} } {";
        assert_eq!(unknown_names(template), ["nonsense"]);
        assert_eq!(
            message().words(Some(template)),
            "shop/production 1.4.0: 1.4.0 <b> & co (https://t/promotions/1) {nonsense} } "
        );
        assert_eq!(message().words(None), "1.4.0 <b> & co");
    }

    #[test]
    fn what_strangers_wrote_is_no_markup_in_slack() {
        let message = message();
        let slack = message.slack(&message.words(None));
        assert_eq!(slack["text"], "shop/production 1.4.0: needs people: 1.4.0 &lt;b&gt; &amp; co");
    }

    #[test]
    fn what_is_too_long_is_cut_as_each_receiver_needs_it() {
        let message = Message { text: "<ä".repeat(3_000), ..message() };
        let words = message.words(None);
        assert_eq!(words.chars().count(), LONGEST + 1);
        let slack = message.slack(&words);
        let section = slack["blocks"][0]["text"]["text"].as_str().unwrap();
        assert!(section.len() < 3_000 && section.ends_with('…'), "{}", section.len());
    }

    #[test]
    fn what_strangers_wrote_is_no_link_in_teams() {
        let card = message().teams("[free](https://evil)");
        let body = &card["attachments"][0]["content"]["body"];
        assert_eq!(body[1]["type"], "RichTextBlock");
        assert_eq!(body[1]["inlines"][0], json!({ "type": "TextRun", "text": "[free](https://evil)" }));
    }

    #[test]
    fn markers_carry_time_and_tags() {
        let message = Message { event: Event::Deployed, ..message() };
        assert_eq!(message.grafana("x")["time"], 1_800_000_000_000_i64);
        let tags = json!(["towpath", "deployed", "environment:production", "project:shop", "version:1.4.0"]);
        assert_eq!(message.grafana("x")["tags"], tags);
        assert_eq!(message.datadog("x")["alert_type"], "info");
        let bad = Message { event: Event::RolledBack, ..message };
        assert_eq!(bad.datadog("x")["alert_type"], "error");
    }
}
