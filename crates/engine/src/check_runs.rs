//! Check runs of GitHub: a status with a title, words, a link, and annotations beside the lines of the change.

use serde_json::{Value, json};
use towpath_api::rest::Annotation;
use towpath_model::status::{CheckState, CommitStatus};

/// The most annotations that one request may bring; the rest stands on the Run's page.
const MOST: usize = 50;

/// The path and body of the request that makes a check run, or changes the one that is known as `remote`.
pub(crate) fn request(
    slug: &str,
    status: &CommitStatus,
    annotations: &[Annotation],
    remote: &str,
) -> (String, Value) {
    let mut body = body(status, annotations);
    if remote.is_empty() {
        body["head_sha"] = json!(status.commit);
        return (format!("/repos/{slug}/check-runs"), body);
    }
    (format!("/repos/{slug}/check-runs/{remote}"), body)
}

fn body(status: &CommitStatus, annotations: &[Annotation]) -> Value {
    let conclusion = match status.state {
        CheckState::Pending => None,
        CheckState::Success => Some("success"),
        CheckState::Failure => Some("failure"),
        CheckState::Cancelled => Some("cancelled"),
    };
    let placed: Vec<Value> = annotations.iter().filter_map(annotation).collect();
    let more = match placed.len() {
        0..=MOST => String::new(),
        count => format!(
            "\n\n{MOST} of {count} annotations are shown; all of them are on the [run's page]({}).",
            status.url
        ),
    };
    let mut body = json!({
        "name": status.context,
        "details_url": status.url,
        "status": if conclusion.is_some() { "completed" } else { "in_progress" },
        "output": {
            "title": status.description,
            "summary": format!("{}\n\n[All of it, with logs]({}){more}", status.description, status.url),
            "annotations": placed.into_iter().take(MOST).collect::<Vec<_>>(),
        },
    });
    if let Some(conclusion) = conclusion {
        body["conclusion"] = json!(conclusion);
    }
    body
}

/// GitHub shows annotations at lines only.
fn annotation(annotation: &Annotation) -> Option<Value> {
    let (path, line) = (annotation.file.as_ref()?, annotation.line?);
    let level = match annotation.level.as_str() {
        "error" => "failure",
        "warning" => "warning",
        _ => "notice",
    };
    let mut shown = json!({
        "path": path, "start_line": line, "end_line": line, "annotation_level": level,
        "message": if annotation.message.is_empty() { "no words" } else { &annotation.message },
    });
    if !annotation.source.is_empty() {
        shown["title"] = json!(annotation.source.chars().take(255).collect::<String>());
    }
    Some(shown)
}

/// The number of a check run, from the answer to the request that made it.
pub(crate) fn number(answer: &str) -> Option<String> {
    let answer: Value = serde_json::from_str(answer).ok()?;
    answer["id"].as_u64().map(|id| id.to_string())
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    fn status(state: CheckState) -> CommitStatus {
        CommitStatus {
            commit: "ce587453ced02b1526dfb4cb910479d431683101".into(),
            context: "towpath/push/test".into(),
            state,
            description: "exit code 1".into(),
            url: "https://ci.example/p/shop/runs/1".into(),
            job: Some("test".into()),
        }
    }

    fn annotations(count: u32) -> Vec<Annotation> {
        let one = |line| Annotation {
            level: "warning".into(),
            file: Some("README.md".into()),
            line: Some(line),
            message: "Check your spelling for 'banaas'.".into(),
            source: "Spell Checker".into(),
            job: "test".into(),
        };
        (1..=count).map(one).collect()
    }

    fn keys(value: &Value) -> BTreeSet<&str> {
        value.as_object().unwrap().keys().map(String::as_str).collect()
    }

    /// The requests of the documentation of GitHub's REST API ("Create a check run", "Update a check run", version
    /// 2022-11-28): no key that it does not name, and every one that it requires.
    #[test]
    fn requests_have_the_shape_that_github_documents() {
        let known = BTreeSet::from([
            "name",
            "head_sha",
            "details_url",
            "external_id",
            "status",
            "started_at",
            "conclusion",
            "completed_at",
            "output",
            "actions",
        ]);
        let (path, body) = request("o/r", &status(CheckState::Failure), &annotations(1), "");
        assert_eq!(path, "/repos/o/r/check-runs");
        assert!(keys(&body).is_subset(&known), "{body}");
        assert_eq!(body["head_sha"], "ce587453ced02b1526dfb4cb910479d431683101");
        assert_eq!((&body["status"], &body["conclusion"]), (&json!("completed"), &json!("failure")));
        assert!(keys(&body["output"]).is_subset(&BTreeSet::from([
            "title",
            "summary",
            "text",
            "annotations",
            "images"
        ])));
        let expected = json!({
            "path": "README.md", "annotation_level": "warning", "title": "Spell Checker",
            "message": "Check your spelling for 'banaas'.", "start_line": 1, "end_line": 1,
        });
        assert_eq!(body["output"]["annotations"][0], expected);

        let (path, body) = request("o/r", &status(CheckState::Pending), &[], "4");
        assert_eq!(path, "/repos/o/r/check-runs/4");
        assert_eq!(
            (&body["status"], &body["conclusion"], &body["head_sha"]),
            (&json!("in_progress"), &Value::Null, &Value::Null)
        );
        for (state, conclusion) in [(CheckState::Success, "success"), (CheckState::Cancelled, "cancelled")] {
            assert_eq!(request("o/r", &status(state), &[], "4").1["conclusion"], conclusion);
        }
    }

    #[test]
    fn annotations_are_those_that_github_can_show() {
        let mut some = annotations(120);
        some.push(Annotation { line: None, ..some[0].clone() });
        let (_, body) = request("o/r", &status(CheckState::Failure), &some, "");
        assert_eq!(body["output"]["annotations"].as_array().unwrap().len(), 50);
        assert!(body["output"]["summary"].as_str().unwrap().contains("50 of 120 annotations"), "{body}");
    }

    #[test]
    fn an_answer_names_the_check_run() {
        assert_eq!(
            number("{\"id\":4,\"head_sha\":\"ce58\",\"node_id\":\"MDg6Q2hlY2tSdW40\"}").as_deref(),
            Some("4")
        );
        assert_eq!(number("{\"id\":\"../../x\"}"), None);
        assert_eq!(number("<html>"), None);
    }
}
