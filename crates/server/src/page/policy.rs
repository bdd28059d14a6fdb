//! Documents that wait for signatures because they loosen a policy, and what people say of them.

use axum::extract::{Path, State};
use axum::response::{Redirect, Response};
use serde::Deserialize;
use towpath_engine::PolicyBallot;
use towpath_model::Digest;
use towpath_model::environment::{Environment, Policy};
use towpath_model::policy_change::{PolicyChange, Word};
use towpath_ui::routes;
use towpath_ui::view::{Action, ActionKind, PolicyChangeCard};

use super::{act, environment};
use crate::app::App;
use crate::auth::csrf::CheckedForm;
use crate::auth::{Action as Deed, Principal};
use crate::problem::Problem;

/// What a signer sends: their word, and what the page showed them.
#[derive(Debug, Deserialize)]
pub(super) struct Ballot {
    #[serde(default)]
    comment: String,
    binding: Digest,
}

/// A change has no page of its own: its Environment shows it.
pub(super) async fn show(Path((project, name, _)): Path<(String, String, u64)>) -> Redirect {
    Redirect::to(&routes::environment(&project, &name))
}

/// The changes that wait in one Environment.
pub(super) async fn of(
    app: &App,
    principal: &Principal,
    environment: &Environment,
) -> Result<Vec<PolicyChangeCard>, Problem> {
    let changes = app.engine.policy_changes(&environment.key).await?;
    let open = changes.iter().filter(|change| change.is_open());
    Ok(open.map(|change| card(principal, change, &environment.policy)).collect())
}

/// The changes that wait for this person's word, anywhere.
pub(super) async fn pending(app: &App, principal: &Principal) -> Result<Vec<PolicyChangeCard>, Problem> {
    let all = app.engine.waiting_policy_changes().await?;
    let asks = |(change, environment): &&(PolicyChange, Environment)| {
        let said = change.votes.iter().any(|vote| vote.user == principal.user.id);
        !said && refused(principal, change, &environment.policy).is_none()
    };
    Ok(all
        .iter()
        .filter(asks)
        .map(|(change, environment)| card(principal, change, &environment.policy))
        .collect())
}

/// Why this person cannot sign.
fn refused(principal: &Principal, change: &PolicyChange, policy: &Policy) -> Option<String> {
    let project = &change.environment.project;
    let person = act::person(principal, project);
    act::refused(principal, Deed::Decide, project)
        .or_else(|| change.objection(policy, &person.login, &person.roles))
}

fn card(principal: &Principal, change: &PolicyChange, policy: &Policy) -> PolicyChangeCard {
    let key = &change.environment;
    let page = routes::policy_change(key.project.as_str(), key.environment.as_str(), change.number);
    let refused = refused(principal, change, policy);
    let own = change.author.login() == Some(principal.user.login.as_str());
    let action = |kind, label, consequence, refused| {
        Action::on(&page, kind, label, consequence).sending("binding", change.binding()).unless(refused)
    };
    let yes = format!(
        "Signs {}, exactly as it is shown here: {}. With the last signature the document takes effect at once.",
        change.title(),
        change.changes.join("; ")
    );
    let no = format!("Ends {}. Version {} of the document stays in force.", change.title(), change.base);
    let end = if own { "Withdraw" } else { "Reject" };
    PolicyChangeCard {
        project: key.project.to_string(),
        environment: key.environment.to_string(),
        number: change.number,
        base: change.base,
        author: change.author.name().to_owned(),
        since: change.proposed_at,
        expires: change.expires_at,
        changes: change.changes.clone(),
        loosens: change.loosens.clone(),
        needs: change.needs(policy).join("; "),
        actions: vec![
            action(ActionKind::Approve, "Sign", yes, refused.clone()),
            action(ActionKind::Reject, end, no, refused.filter(|_| !own)),
        ],
    }
}

/// `POST …/policy/{number}/approve`.
pub(super) async fn approve(
    State(app): State<App>,
    Path(at): Path<(String, String, u64)>,
    form: CheckedForm<Ballot>,
) -> Response {
    vote(&app, &at, form, Word::Yes).await
}

/// `POST …/policy/{number}/reject`.
pub(super) async fn reject(
    State(app): State<App>,
    Path(at): Path<(String, String, u64)>,
    form: CheckedForm<Ballot>,
) -> Response {
    vote(&app, &at, form, Word::No).await
}

async fn vote(
    app: &App,
    (project, name, number): &(String, String, u64),
    form: CheckedForm<Ballot>,
    word: Word,
) -> Response {
    let CheckedForm { principal, fields: Ballot { comment, binding } } = form;
    let Ok(key) = act::environment(&principal, project, name) else {
        return environment::gone(app, &principal, name);
    };
    let done = async {
        let person = act::person(&principal, &key.project);
        let _permit = principal.may(Deed::View, Some(&key.project))?;
        let changes = app.engine.policy_changes(&key).await?;
        let own = changes
            .iter()
            .any(|change| change.number == *number && change.author.login() == Some(person.login.as_str()));
        // Whoever applied a document may take it back, whatever else they may.
        if !(own && word == Word::No) {
            let _permit = principal.may(Deed::Decide, Some(&key.project))?;
        }
        let comment = comment.trim().to_owned();
        let ballot =
            PolicyBallot { environment: key.clone(), number: *number, word, comment, binding: Some(binding) };
        let change = app.engine.vote_on_policy(ballot, &person).await?;
        let verb = if word == Word::Yes { "signed" } else { "ended" };
        let stands =
            change.outcome.as_ref().map_or_else(String::new, |outcome| format!(" It is {}.", outcome.word()));
        Ok(format!("You {verb} {}.{stands}", change.title()))
    };
    environment::finish(app, &principal, &key, done.await).await
}
