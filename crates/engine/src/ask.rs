//! Asks outside systems about Gates, and reads what a Promotion changes. Each question is asked once; the model says when again.

use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};
use towpath_model::environment::{ChangeRead, Environment, EnvironmentEvent, Promotion};
use towpath_model::gate::{MAX_PATHS, MetricGate, WebhookGate};
use towpath_model::pipeline::{Gate, SecretName};
use towpath_model::{Digest, EnvironmentKey, PromotionId};
use towpath_store::core::{environments, outbox};

use crate::outgoing::Answered;
use crate::secrets::newest_versions;
use crate::signing::signed;
use crate::{Engine, EngineError, git};

/// How much of an answer is shown to people.
const SHOWN: usize = 300;

/// How far a measurement may be from now: what is older was kept by somebody on the way.
const FRESH: SignedDuration = SignedDuration::from_mins(5);

/// An answer, ready for the model.
struct Said {
    opens: bool,
    words: String,
    again: Option<SignedDuration>,
}

impl Said {
    fn no(words: impl Into<String>) -> Self {
        Self { opens: false, words: words.into(), again: None }
    }
}

impl Engine {
    /// Asks about a Gate of a Promotion that still waits as it did when the question was put.
    pub(crate) async fn ask_gate(
        &self,
        effect: i64,
        key: &EnvironmentKey,
        id: PromotionId,
        index: usize,
        binding: Digest,
    ) -> Result<(), EngineError> {
        let environment = environments::find(&mut *self.db().reader().await?, key).await?;
        let Some(environment) = environment else { return self.forget(effect).await };
        let waiting = environment.in_line().find(|waiting| waiting.id == id && waiting.binding() == binding);
        let Some(waiting) = waiting else { return self.forget(effect).await };
        // The Environment's own Gates come first in the plan; what they name, its secrets are for.
        let own = index < environment.policy.document.gates.len();
        let said = match waiting.plan.gates.get(index) {
            Some(Gate::Webhook(gate)) => {
                let secret = self.gate_secret(key, own, gate.secret.as_ref()).await?;
                self.ask_webhook(effect, gate, secret, &environment, waiting, index).await
            }
            Some(Gate::Metric(gate)) => {
                let token = self.gate_secret(key, own, gate.token.as_ref()).await?;
                self.ask_prometheus(gate, token).await
            }
            _ => return self.forget(effect).await,
        };
        let Said { opens, words, again } = said;
        let mut unit = self.begin().await?;
        let event = EnvironmentEvent::GateAnswered { promotion: id, index, binding, opens, words, again };
        unit.environment_event(key, event).await?;
        outbox::remove(&mut unit.tx, effect).await?;
        unit.commit().await
    }

    /// The secret that a Gate names, or in words why there is none: the Environment's, or the Project's for a Gate of a commit.
    async fn gate_secret(
        &self,
        key: &EnvironmentKey,
        own: bool,
        name: Option<&SecretName>,
    ) -> Result<Result<Option<String>, String>, EngineError> {
        let Some(name) = name else { return Ok(Ok(None)) };
        let place = if own { key.environment.as_str() } else { "" };
        let mut reader = self.db().reader().await?;
        let version =
            newest_versions(&mut reader, &key.project, place).await?.get(name).copied().unwrap_or(0);
        match self.secret(&mut reader, &key.project, place, name, version).await {
            Ok(value) => Ok(Ok(Some(value))),
            Err(EngineError::Refused { reason } | EngineError::Invalid { reason }) => Ok(Err(reason)),
            Err(error) => Err(error),
        }
    }

    async fn ask_webhook(
        &self,
        effect: i64,
        gate: &WebhookGate,
        secret: Result<Option<String>, String>,
        environment: &Environment,
        waiting: &Promotion,
        index: usize,
    ) -> Said {
        let secret = match secret {
            Ok(secret) => secret,
            Err(problem) => return Said::no(problem),
        };
        let body = self.question(environment, waiting, index).to_string();
        // The same question, put again after a crash, has the same identity.
        let id = format!("gate_{effect}");
        let request = self.0.outgoing.post(&gate.url);
        let request = signed(request, secret.as_deref(), &id, self.now(), body);
        match self.0.outgoing.send(request).await {
            Ok(Answered { status, body, retry_after }) => {
                let words =
                    format!("{status}{}", said(&body).map(|said| format!(" {said}")).unwrap_or_default());
                Said { opens: (200..300).contains(&status), words, again: retry_after }
            }
            Err(problem) => Said::no(problem),
        }
    }

    /// What a webhook is told.
    fn question(&self, environment: &Environment, waiting: &Promotion, index: usize) -> Value {
        let Promotion { id, revision, requested_by, requested_at, makers, plan, .. } = waiting;
        let runs = environment.current.as_ref().map(|current| current.revision.version.as_str());
        json!({
            "event": "gate",
            "gate": index,
            "promotion": {
                "id": id,
                "url": format!("{}promotions/{id}", self.public_url()),
                "binding": waiting.binding(),
                "requested_by": requested_by.name(),
                "requested_at": requested_at,
                "makers": makers,
                "plan": plan.words(runs),
            },
            "release": { "version": revision.version, "digest": revision.release, "commit": revision.commit },
            "environment": {
                "project": environment.key.project,
                "name": environment.key.environment,
                "stage": plan.stage,
                "runs": runs,
            },
        })
    }

    async fn ask_prometheus(&self, gate: &MetricGate, token: Result<Option<String>, String>) -> Said {
        let token = match token {
            Ok(token) => token,
            Err(problem) => return Said::no(problem),
        };
        let request = self.0.outgoing.get(&format!("{}/api/v1/query", gate.prometheus));
        let request = request.query(&[("query", gate.query.as_str()), ("timeout", "8s")]);
        let request = match token {
            Some(token) => request.bearer_auth(token.trim()),
            None => request,
        };
        match self.0.outgoing.send(request).await {
            Ok(Answered { status, body, retry_after: _ }) => measured(gate, status, &body, self.now()),
            Err(problem) => Said::no(problem),
        }
    }

    /// Reads what a Promotion changes, compared with the commit that ran when that was asked.
    pub(crate) async fn read_change(
        &self,
        effect: i64,
        key: &EnvironmentKey,
        id: PromotionId,
        from: String,
    ) -> Result<(), EngineError> {
        let environment = environments::find(&mut *self.db().reader().await?, key).await?;
        let waiting = environment.as_ref().and_then(|known| known.in_line().find(|waiting| waiting.id == id));
        let Some(waiting) = waiting else { return self.forget(effect).await };
        let repository = git::repository(&self.0.parts.repositories, &key.project);
        let read = repository.change(&from, &waiting.revision.commit, MAX_PATHS).await?;
        let changed =
            read.ok_or_else(|| format!("git cannot compare {from} with {}", waiting.revision.commit));
        let mut unit = self.begin().await?;
        let event = EnvironmentEvent::ChangeRead { promotion: id, change: ChangeRead { from, changed } };
        unit.environment_event(key, event).await?;
        outbox::remove(&mut unit.tx, effect).await?;
        unit.commit().await
    }
}

/// What an answer says to people: `reason` or `message` of JSON, else the beginning of its text, on one line.
fn said(body: &[u8]) -> Option<String> {
    let json: Option<Value> = serde_json::from_slice(body).ok();
    let named = json.as_ref().and_then(|json| {
        ["reason", "message", "error"].iter().find_map(|key| json.get(key).and_then(Value::as_str))
    });
    let text = named.map_or_else(|| String::from_utf8_lossy(body).into_owned(), str::to_owned);
    let line: String = text.chars().map(|c| if c.is_control() { ' ' } else { c }).take(SHOWN).collect();
    let line = line.split_whitespace().collect::<Vec<_>>().join(" ");
    (!line.is_empty()).then_some(line)
}

/// What an answer of Prometheus means. Only finite numbers of now, all within the bounds, open the Gate.
fn measured(gate: &MetricGate, status: u16, body: &[u8], now: Timestamp) -> Said {
    let query = &gate.query;
    let Ok(answer) = serde_json::from_slice::<Value>(body) else {
        return Said::no(format!("the answer to `{query}` was {status} and no JSON"));
    };
    if status != 200 || answer["status"] != "success" {
        let why = said(body).unwrap_or_default();
        return Said::no(format!("`{query}` was answered with {status}: {why}"));
    }
    if let Some(warning) = answer["warnings"][0].as_str() {
        return Said::no(format!("`{query}` is only known in part: {warning}"));
    }
    let result = &answer["data"]["result"];
    let points: Vec<&Value> = match answer["data"]["resultType"].as_str() {
        Some("scalar") => vec![result],
        Some("vector") => result.as_array().into_iter().flatten().map(|series| &series["value"]).collect(),
        _ => return Said::no(format!("`{query}` gives no number for each series; ask for an instant")),
    };
    if points.is_empty() {
        return Said::no(format!("`{query}` has no data, and no data never opens a gate"));
    }
    let mut values = Vec::with_capacity(points.len());
    for point in points {
        let at = point[0].as_f64().and_then(|at| Timestamp::from_millisecond(milliseconds(at)?).ok());
        let fresh = at.is_some_and(|at| now.duration_since(at).abs() <= FRESH);
        let value = point[1].as_str().and_then(|value| value.parse::<f64>().ok());
        match value.filter(|_| fresh) {
            Some(value) => values.push(value),
            None => return Said::no(format!("`{query}` has no measurement of now")),
        }
    }
    let bad = values.iter().find(|value| !gate.holds(**value));
    let shown = bad.or(values.first()).copied().unwrap_or(f64::NAN);
    let many = if values.len() > 1 { format!(" in one of {} series", values.len()) } else { String::new() };
    match bad {
        Some(_) => Said::no(format!("`{query}` is {shown}{many}, and may be {}", gate.bounds())),
        None => Said { opens: true, words: format!("`{query}` is {shown}, {}", gate.bounds()), again: None },
    }
}

fn milliseconds(seconds: f64) -> Option<i64> {
    #[expect(clippy::cast_possible_truncation, reason = "checked to be in the range of times")]
    let whole = (seconds * 1000.0) as i64;
    (seconds.is_finite() && seconds.abs() < 1e11).then_some(whole)
}

#[cfg(test)]
mod tests {
    use towpath_model::gate::PATIENCE;

    use super::*;

    fn gate(max: f64) -> MetricGate {
        MetricGate {
            prometheus: "http://p".to_owned(),
            query: "errors".to_owned(),
            min: None,
            max: Some(max),
            token: None,
            every: SignedDuration::from_mins(1),
            expires: PATIENCE,
        }
    }

    #[track_caller]
    fn check(body: &str, opens: bool, words: &str) {
        let now = Timestamp::from_second(1_800_000_000).unwrap();
        let said = measured(&gate(0.5), 200, body.as_bytes(), now);
        assert_eq!((said.opens, said.words.as_str()), (opens, words), "{body}");
    }

    fn vector(values: &[&str]) -> String {
        let series: Vec<String> = values
            .iter()
            .map(|value| format!(r#"{{"metric":{{}},"value":[1800000000.1,"{value}"]}}"#))
            .collect();
        format!(r#"{{"status":"success","data":{{"resultType":"vector","result":[{}]}}}}"#, series.join(","))
    }

    #[test]
    fn only_good_numbers_of_now_open() {
        check(&vector(&["0.5"]), true, "`errors` is 0.5, at most 0.5");
        check(&vector(&["0.1", "0.2"]), true, "`errors` is 0.1, at most 0.5");
        check(&vector(&["0.1", "0.7"]), false, "`errors` is 0.7 in one of 2 series, and may be at most 0.5");
        check(&vector(&["NaN"]), false, "`errors` is NaN, and may be at most 0.5");
        check(&vector(&["-Inf"]), false, "`errors` is -inf, and may be at most 0.5");
        check(&vector(&[]), false, "`errors` has no data, and no data never opens a gate");
        check(&vector(&["x"]), false, "`errors` has no measurement of now");
        let old = vector(&["0.1"]).replace("1800000000.1", "1799990000.1");
        check(&old, false, "`errors` has no measurement of now");
        let scalar = r#"{"status":"success","data":{"resultType":"scalar","result":[1800000000,"0.2"]}}"#;
        check(scalar, true, "`errors` is 0.2, at most 0.5");
        let matrix = r#"{"status":"success","data":{"resultType":"matrix","result":[]}}"#;
        check(matrix, false, "`errors` gives no number for each series; ask for an instant");
        let part = vector(&["0.1"])
            .replace(r#""status":"success""#, r#""status":"success","warnings":["a store is down"]"#);
        check(&part, false, "`errors` is only known in part: a store is down");
        check("<html>", false, "the answer to `errors` was 200 and no JSON");
        let error = r#"{"status":"error","errorType":"bad_data","error":"parse error"}"#;
        check(error, false, "`errors` was answered with 200: parse error");
    }

    #[test]
    fn an_answer_is_shown_on_one_line() {
        assert_eq!(
            said(br#"{"reason":"change 17\nis not approved"}"#),
            Some("change 17 is not approved".to_owned())
        );
        assert_eq!(said(b"\x1b[31mno\r\n"), Some("[31mno".to_owned()));
        assert_eq!(said(b" "), None);
    }
}
