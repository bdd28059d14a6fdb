//! What waits for the person who looks, and nothing else.

use std::collections::BTreeSet;

use axum::extract::State;
use axum::response::Response;
use towpath_model::environment::{Environment, GateState, Promotion, may_lift, may_vote};
use towpath_model::pipeline::{ApprovalGate, Gate};
use towpath_store::core::environments;
use towpath_ui::view::{Action, ActionKind, ApprovalRequest, ApprovalsView};
use towpath_ui::{page, routes};

use super::shell::{Reader, Said, frame, html, live, or_error};
use super::{act, policy, promotion, words};
use crate::app::App;
use crate::auth::{Action as Deed, Principal};
use crate::problem::Problem;

/// Shows the inbox.
pub(super) async fn show(State(app): State<App>, Reader(principal): Reader, Said(said): Said) -> Response {
    let shown = said.is_some();
    let page = async {
        let mut requests = Vec::new();
        for environment in pending(&app, &principal).await? {
            let asked = environment.in_line().filter(|waiting| asks_for(&principal, &environment, waiting));
            for waiting in asked {
                requests.push(request(&app, &principal, &environment, waiting).await?);
            }
        }
        let policies = policy::pending(&app, &principal).await?;
        requests.sort_by_key(|request| request.since);
        let shell = frame(&app, &principal, live(None), said).await?;
        Ok(html(page::approvals(&ApprovalsView { shell, waiting: requests, policies })))
    };
    act::forget(&app, shown, or_error(&app, &principal, page.await))
}

/// The Environments in which something waits for this person's word.
pub(super) async fn pending(app: &App, principal: &Principal) -> Result<Vec<Environment>, Problem> {
    let all = environments::all(&mut *app.db.reader().await?, None).await?;
    Ok(all.into_iter().filter(|environment| asks(principal, environment)).collect())
}

fn asks(principal: &Principal, environment: &Environment) -> bool {
    environment.in_line().any(|waiting| asks_for(principal, environment, waiting))
}

/// Whether a Gate of what waits is still shut, this person's word would count, and they have not said it.
fn asks_for(principal: &Principal, environment: &Environment, waiting: &Promotion) -> bool {
    let project = &environment.key.project;
    if waiting.holds_left().next().is_some() && cannot_lift(principal, environment, waiting).is_none() {
        return true;
    }
    if principal.may(Deed::Decide, Some(project)).is_err() {
        return false;
    }
    let shut = waiting.gates.iter().any(|gate| gate.kind == "approval" && gate.state == GateState::Waiting);
    let said = waiting.votes.iter().any(|vote| vote.user == principal.user.id);
    shut && !said && objection(principal, environment, waiting).is_none()
}

/// Why this person's word on a waiting Promotion would not count.
pub(super) fn objection(
    principal: &Principal,
    environment: &Environment,
    waiting: &Promotion,
) -> Option<String> {
    let person = act::person(principal, &environment.key.project);
    let editors = &environment.policy.editors;
    let mut reasons = BTreeSet::new();
    for gate in approval_gates(waiting) {
        match may_vote(gate, &person.login, &person.roles, &waiting.makers, editors) {
            Ok(()) => return None,
            Err(reason) => reasons.insert(reason),
        };
    }
    if reasons.is_empty() {
        return Some("no approval is asked for here".to_owned());
    }
    Some(reasons.into_iter().collect::<Vec<_>>().join("; "))
}

/// The approvals that a Promotion needs.
pub(super) fn approval_gates(promotion: &Promotion) -> impl Iterator<Item = &ApprovalGate> {
    promotion.plan.gates.iter().filter_map(Gate::approval)
}

async fn request(
    app: &App,
    principal: &Principal,
    environment: &Environment,
    waiting: &Promotion,
) -> Result<ApprovalRequest, Problem> {
    let by_people = |gate: &&towpath_model::environment::GateStatus| {
        matches!(gate.kind.as_str(), "approval" | "hold") && gate.state == GateState::Waiting
    };
    let shut: Vec<_> = waiting.gates.iter().filter(by_people).collect();
    let mut needs: Vec<String> = shut.iter().map(|gate| gate.reason.clone()).collect();
    needs.extend(approval_gates(waiting).filter_map(|gate| words::some(&gate.instructions)));
    Ok(ApprovalRequest {
        promotion: waiting.id.to_string(),
        project: environment.key.project.to_string(),
        environment: environment.key.environment.to_string(),
        version: waiting.revision.version.clone(),
        current: environment.current.as_ref().map(|current| current.revision.version.clone()),
        commit: promotion::commit(app, waiting).await?,
        since: waiting.requested_at,
        plan: promotion::plan_words(waiting, environment.current.as_ref().map(|current| &current.revision)),
        expires: shut.iter().filter_map(|gate| gate.next).min(),
        needs: needs.join("; "),
        actions: words_of(principal, environment, waiting),
    })
}

/// What this person may say to what waits: yes or no, where it needs an approval, and that its hold is lifted, where it has one.
pub(super) fn words_of(principal: &Principal, environment: &Environment, waiting: &Promotion) -> Vec<Action> {
    let mut actions = Vec::new();
    if approval_gates(waiting).next().is_some() {
        actions.extend(votes(principal, environment, waiting));
    }
    let held: Vec<&str> = waiting.holds_left().map(|(_, hold)| hold.name.as_str()).collect();
    if !held.is_empty() {
        let consequence = format!(
            "Lifts `{}` of {} for `{}`, for good. Once every gate is open, its rollout starts by itself.",
            held.join("`, `"),
            waiting.revision.version,
            environment.key
        );
        actions.push(Action {
            kind: ActionKind::Lift,
            label: "Lift the hold".to_owned(),
            url: routes::act(&routes::promotion(&waiting.id.to_string()), ActionKind::Lift),
            consequence,
            fields: Vec::new(),
            refused: cannot_lift(principal, environment, waiting),
        });
    }
    actions
}

/// Why this person can lift none of the holds that are left.
fn cannot_lift(principal: &Principal, environment: &Environment, waiting: &Promotion) -> Option<String> {
    let person = act::person(principal, &environment.key.project);
    let mut reasons = Vec::new();
    for (_, hold) in waiting.holds_left() {
        match may_lift(hold, &person.login, &person.roles) {
            Ok(()) => return None,
            Err(reason) => reasons.push(reason),
        }
    }
    Some(reasons.join("; "))
}

/// Approve and reject, bound to what the page shows: if that changes, the word is refused.
pub(super) fn votes(principal: &Principal, environment: &Environment, waiting: &Promotion) -> Vec<Action> {
    let project = &environment.key.project;
    let refused =
        act::refused(principal, Deed::Decide, project).or_else(|| objection(principal, environment, waiting));
    let page = routes::promotion(&waiting.id.to_string());
    let action = |kind, label, consequence, refused| {
        Action::on(&page, kind, label, consequence).sending("binding", waiting.binding()).unless(refused)
    };
    let mut yeses = waiting.votes.iter().filter(|vote| vote.approve && vote.binding == waiting.binding());
    let said_yes = yeses.any(|vote| vote.user == principal.user.id);
    let again = said_yes.then(|| "you have approved this already".to_owned());
    let (version, key) = (&waiting.revision.version, &environment.key);
    let replaces = environment.current.as_ref().map_or_else(
        || "It is the first deployment there".to_owned(),
        |current| format!("It replaces {}", current.revision.version),
    );
    let yes = format!(
        "Says yes to {version} for `{key}`, as it is shown now: revision {}, policy version {}. {replaces}. Once every gate is open, its rollout starts by itself.",
        waiting.revision.digest.short(),
        waiting.policy
    );
    let no = format!(
        "Ends this promotion of {version} to `{key}` for good. What runs there stays. It can be proposed again."
    );
    vec![
        action(ActionKind::Approve, "Approve", yes, refused.clone().or(again)),
        action(ActionKind::Reject, "Reject", no, refused),
    ]
}
