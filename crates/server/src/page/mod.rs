//! The web page: fills the view models of `ui`, one file per page.

mod account;
mod act;
mod agents;
mod approvals;
mod assets;
mod caches;
mod decide;
mod decisions;
mod diagnostic;
mod doctor;
mod environment;
mod error;
mod imported;
mod insights;
mod log;
mod log_index;
mod logs;
mod notifications;
mod overview;
mod policy;
mod project;
mod promotion;
mod queue;
mod release;
mod reports;
mod rollout;
mod route;
mod run;
mod series;
mod setup;
mod shell;
mod sign_in;
mod tests;
mod timeline;
mod triggers;
mod users;
mod words;

use axum::Router;
use axum::extract::OriginalUri;
use axum::response::Redirect;
use axum::routing::{MethodRouter, get, post};
use towpath_ui::routes;

use crate::app::App;

pub(crate) use error::missing;
pub(crate) use log_index::LogIndex;

/// The routes of the page.
pub(crate) fn router() -> Router<App> {
    Router::new()
        .merge(work())
        .route(routes::OVERVIEW, get(overview::show))
        .route(routes::LOGIN, get(sign_in::show).post(sign_in::submit))
        .route(routes::LOGOUT, post(sign_in::out))
        .route(routes::DECIDE, get(decide::show).post(decide::submit))
        .route("/setup/{token}", get(setup::show).post(setup::submit))
        .route(routes::TIMELINE, get(timeline::show))
        .route(routes::APPROVALS, get(approvals::show))
        .route(routes::AGENTS, get(agents::show))
        .route(routes::QUEUE, get(queue::show))
        .route("/agents/{id}/{verb}", form(post(agents::hold)))
        .route(routes::AGENTS_JOIN, form(post(agents::join)))
        .route(routes::USERS, get(users::show).post(users::give))
        .route(routes::USERS_INVITE, post(users::invite))
        .route("/users/{login}/{verb}", post(users::change))
        .route(routes::ACCOUNT, get(account::show))
        .route(routes::ACCOUNT_PASSWORD, form(post(account::password)))
        .route(routes::ACCOUNT_TOKENS, form(post(account::create_token)))
        .route("/account/tokens/{token}/revoke", post(account::revoke_token))
        .route(routes::DOCTOR, get(doctor::show))
        .route("/assets/{hash}/{file}", get(assets::serve))
        .route("/favicon.svg", get(assets::serve))
}

/// Projects and what belongs to them.
fn work() -> Router<App> {
    Router::new()
        .route("/p/{project}", get(project::show))
        .route("/p/{project}/start", form(post(triggers::start)))
        .route("/p/{project}/logs", get(logs::show))
        .route("/p/{project}/tests", get(tests::show))
        .route("/p/{project}/insights", get(insights::show))
        .route("/p/{project}/insights/open", form(post(insights::open)))
        .route("/p/{project}/incidents/{number}/close", post(insights::close))
        .route("/p/{project}/notifications", get(notifications::show))
        .route("/p/{project}/notifications/{channel}/test", post(notifications::test))
        .route("/p/{project}/caches", get(caches::show))
        .route("/p/{project}/caches/{id}/revoke", post(caches::revoke))
        .route("/p/{project}/runs/{number}", get(run::show))
        .route("/p/{project}/runs/{number}/export", get(crate::rest::export_run))
        .route("/p/{project}/runs/{number}/allow", form(post(run::allow)))
        .route("/p/{project}/runs/{number}/cancel", form(post(run::cancel)))
        .route("/p/{project}/runs/{number}/rerun", form(post(run::rerun)))
        .route("/p/{project}/runs/{number}/resume", form(post(run::resume)))
        .route("/p/{project}/imported/{number}", get(imported::show))
        .route("/p/{project}/imported/{number}/file", get(crate::rest::imported_file))
        .route("/p/{project}/imported/{number}/log", get(imported::lines))
        .route("/p/{project}/imported/{number}/log.txt", get(crate::rest::imported_log))
        .route("/p/{project}/imported/{number}/log-groups", get(imported::groups))
        .route("/p/{project}/imported/{number}/remove", form(post(imported::remove)))
        .route("/p/{project}/releases/{version}", get(release::show))
        .route("/p/{project}/releases/{version}/promote", form(post(release::promote)))
        .route("/p/{project}/releases/{version}/revoke", form(post(release::revoke)))
        .route("/p/{project}/releases/{version}/unrevoke", form(post(release::unrevoke)))
        .route("/p/{project}/env/{environment}", get(environment::show))
        .route("/p/{project}/env/{environment}/hold", form(post(environment::hold)))
        .route("/p/{project}/env/{environment}/resume", form(post(environment::resume)))
        .route("/p/{project}/env/{environment}/rollback", form(post(environment::rollback)))
        .route("/p/{project}/env/{environment}/release", form(post(environment::release)))
        .route("/p/{project}/env/{environment}/policy/{number}/approve", form(post(policy::approve)))
        .route("/p/{project}/env/{environment}/policy/{number}/reject", form(post(policy::reject)))
        .route("/p/{project}/env/{environment}/policy/{number}", get(policy::show))
        .route("/promotions/{promotion}", get(promotion::show))
        .route("/promotions/{promotion}/series", get(promotion::measured))
        .route("/promotions/{promotion}/approve", form(post(promotion::approve)))
        .route("/promotions/{promotion}/reject", form(post(promotion::reject)))
        .route("/promotions/{promotion}/lift", form(post(promotion::lift)))
        .route("/promotions/{promotion}/hold", form(post(promotion::hold)))
        .route("/promotions/{promotion}/resume", form(post(promotion::resume)))
        .route("/promotions/{promotion}/rollback", form(post(promotion::rollback)))
        .route("/attempts/{attempt}/log", get(log::lines))
        .route("/attempts/{attempt}/log.txt", get(log::text))
        .route("/attempts/{attempt}/log-groups", get(log::groups))
}

/// A form's own address, opened as a page or looked at again after a refusal, leads to the page it belongs to.
fn form(submit: MethodRouter<App>) -> MethodRouter<App> {
    submit.get(|OriginalUri(uri): OriginalUri| async move {
        let page = uri.path().rsplit_once('/').map_or("/", |(page, _)| page);
        Redirect::to(page)
    })
}
