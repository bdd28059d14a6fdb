//! What a webhook is about, in the few words that count. Whatever else it says is not read.

use http::HeaderMap;
use serde::Deserialize;
use towpath_engine::Hint;

/// What a webhook asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Event {
    /// To look at the source.
    Look(Hint),
    /// Nothing, for this reason.
    Nothing(String),
}

/// The parts of a payload that say where to look.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Payload {
    action: Option<String>,
    number: Option<u64>,
    pull_request: Option<PullRequest>,
    object_attributes: Option<MergeRequest>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct PullRequest {
    number: Option<u64>,
    base: Option<Base>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Base {
    #[serde(rename = "ref")]
    reference: String,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct MergeRequest {
    iid: Option<u64>,
    action: Option<String>,
    target_branch: Option<String>,
}

/// What the sender calls the event.
pub(super) fn name(headers: &HeaderMap) -> String {
    let names = ["x-github-event", "x-forgejo-event", "x-gitea-event", "x-gitlab-event"];
    let found = names.iter().find_map(|name| headers.get(*name)?.to_str().ok());
    found.unwrap_or("look").chars().filter(|c| c.is_ascii_graphic() || *c == ' ').take(64).collect()
}

/// The sender's name for the delivery.
pub(super) fn delivery(headers: &HeaderMap) -> Option<String> {
    let names = [
        "webhook-id",
        "x-github-delivery",
        "x-forgejo-delivery",
        "x-gitea-delivery",
        "idempotency-key",
        "x-gitlab-event-uuid",
    ];
    let found = names.iter().find_map(|name| headers.get(*name)?.to_str().ok())?;
    let id: String = found.chars().filter(char::is_ascii_graphic).take(128).collect();
    (!id.is_empty()).then_some(id)
}

/// Reads a payload.
///
/// # Errors
/// Says why it cannot be read.
pub(super) fn read(name: &str, body: &[u8]) -> Result<Event, String> {
    match name {
        "ping" => return Ok(Event::Nothing("the signature fits; nothing has happened yet".to_owned())),
        "push" | "create" | "delete" | "Push Hook" | "Tag Push Hook" | "look" => {
            return Ok(Event::Look(Hint::default()));
        }
        "pull_request" | "pull_request_sync" | "pull_request_label" | "Merge Request Hook" => {}
        other => return Ok(Event::Nothing(format!("nothing is done with the event `{other}`"))),
    }
    let payload: Payload = serde_json::from_slice(body).map_err(|error| {
        format!("the body is not the JSON of a pull request ({error}); choose `application/json`")
    })?;
    let Payload { action, number, pull_request, object_attributes } = payload;
    let (number, action, base) = match object_attributes {
        Some(MergeRequest { iid, action, target_branch }) => (iid, action, target_branch),
        None => {
            let request = pull_request.unwrap_or_default();
            (number.or(request.number), action, request.base.map(|base| base.reference))
        }
    };
    let Some(number) = number else { return Err("the body names no pull request".to_owned()) };
    let action = match action.as_deref().unwrap_or_default() {
        "opened" | "open" | "ready_for_review" => "opened",
        "synchronize" | "synchronized" | "update" | "edited" => "updated",
        "reopened" | "reopen" => "reopened",
        "labeled" | "label_updated" => "labeled",
        "closed" | "close" | "merge" => "closed",
        other => return Ok(Event::Nothing(format!("nothing is done when a pull request is `{other}`"))),
    };
    let base = base.unwrap_or_default().chars().take(256).collect();
    Ok(Event::Look(Hint { pull_request: Some(number), action: action.to_owned(), base }))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hint(number: u64, action: &str, base: &str) -> Event {
        Event::Look(Hint { pull_request: Some(number), action: action.into(), base: base.into() })
    }

    #[test]
    fn published_payloads_are_understood() {
        let github = include_bytes!("../../tests/fixtures/github-pull-request-opened.json");
        assert_eq!(read("pull_request", github), Ok(hint(2, "opened", "master")));
        let push = include_bytes!("../../tests/fixtures/github-push.json");
        assert_eq!(read("push", push), Ok(Event::Look(Hint::default())));
        // The parts that GitLab's and Gitea's documentation show.
        let gitlab = br#"{"object_kind":"merge_request","object_attributes":{"iid":1,"target_branch":"main","action":"update"}}"#;
        assert_eq!(read("Merge Request Hook", gitlab), Ok(hint(1, "updated", "main")));
        let gitea =
            br#"{"action":"synchronized","number":2,"pull_request":{"number":2,"base":{"ref":"main"}}}"#;
        assert_eq!(read("pull_request", gitea), Ok(hint(2, "updated", "main")));
    }

    #[test]
    fn hostile_payloads_start_nothing() {
        let deep = "[".repeat(100_000);
        for body in
            ["", "{", "null", "[]", "{\"number\":-1}", "{\"number\":\"1\"}", "{\"pull_request\":7}", &deep]
        {
            assert!(read("pull_request", body.as_bytes()).is_err(), "{}", body.get(..20).unwrap_or(body));
        }
        assert!(matches!(read("star", b"{}"), Ok(Event::Nothing(_))));
        assert!(matches!(read("ping", b"{}"), Ok(Event::Nothing(_))));
    }
}
