//! The page behind a mailed link: it asks one person, and takes their word by POST alone, for programs open links of mails.

use axum::Form;
use axum::extract::{Query, State};
use axum::response::Response;
use http::{HeaderMap, StatusCode};
use serde::Deserialize;
use towpath_engine::EngineError;
use towpath_engine::notify::Asked;
use towpath_model::environment::GateState;
use towpath_model::pipeline::Comment;
use towpath_ui::page;
use towpath_ui::view::DecideView;

use super::shell::{html, shell};
use super::{approvals, error, promotion, words};
use crate::app::App;
use crate::auth::csrf::cross_site;
use crate::problem::Problem;

#[derive(Deserialize)]
pub(super) struct Opened {
    #[serde(default)]
    link: String,
}

/// What the form sends.
#[derive(Deserialize)]
pub(super) struct Ballot {
    link: String,
    word: Word,
    #[serde(default)]
    comment: String,
}

#[derive(Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Word {
    Approve,
    Reject,
}

/// Shows what the link asks.
pub(super) async fn show(State(app): State<App>, Query(Opened { link }): Query<Opened>) -> Response {
    let page = async {
        let asked = app.engine.asked_by_link(&link).await?;
        Ok(html(page::decide(&view(&app, link, &asked).await?)))
    };
    page.await.unwrap_or_else(|problem: Problem| error::show(&app, None, &problem))
}

/// Takes the word.
pub(super) async fn submit(
    State(app): State<App>,
    headers: HeaderMap,
    Form(ballot): Form<Ballot>,
) -> Response {
    let Ballot { link, word, comment } = ballot;
    if cross_site(&headers) {
        let problem = Problem::forbidden("this form was not filled on a page of this server")
            .hint("open the link of the mail and decide there");
        return error::show(&app, None, &problem);
    }
    let page = async {
        let asked = app.engine.asked_by_link(&link).await?;
        let shown = view(&app, link.clone(), &asked).await?;
        match app.engine.decide_by_link(&link, word == Word::Approve, comment.trim()).await {
            Ok(_) => {
                let said = match word {
                    Word::Approve => "approved",
                    Word::Reject => "rejected",
                };
                let done = format!("{} {said} {}. You can close this page.", shown.login, shown.title);
                Ok(html(page::decide(&DecideView { done: Some(done), ..shown })))
            }
            Err(EngineError::Refused { reason } | EngineError::Forbidden { reason }) => {
                let mut response = html(page::decide(&DecideView { error: Some(reason), ..shown }));
                *response.status_mut() = StatusCode::CONFLICT;
                Ok(response)
            }
            Err(other) => Err(Problem::from(other)),
        }
    };
    page.await.unwrap_or_else(|problem: Problem| error::show(&app, None, &problem))
}

async fn view(app: &App, link: String, asked: &Asked) -> Result<DecideView, Problem> {
    let Asked { person, expires_at, promotion: waiting, environment } = asked;
    let current = environment.current.as_ref().map(|current| &current.revision);
    let shut =
        waiting.gates.iter().filter(|gate| gate.kind == "approval" && gate.state == GateState::Waiting);
    let mut needs: Vec<String> = shut.map(|gate| gate.reason.clone()).collect();
    needs.extend(approvals::approval_gates(waiting).filter_map(|gate| words::some(&gate.instructions)));
    Ok(DecideView {
        shell: shell(app, None, None),
        link,
        login: person.login.clone(),
        title: waiting.title(),
        current: current.map(|revision| revision.version.clone()),
        commit: promotion::commit(app, waiting).await?,
        needs,
        plan: promotion::plan_words(waiting, current),
        comment_needed: approvals::approval_gates(waiting).any(|gate| gate.comment == Comment::Required),
        expires: *expires_at,
        error: None,
        done: None,
    })
}
