//! `/api/v1`: one file per resource.

mod agents;
mod doctor;
mod environments;
mod gateways;
mod history;
mod imported;
mod incidents;
mod insights;
mod invitations;
mod join_tokens;
mod kept;
mod logs;
mod me;
mod notifications;
mod page_of;
mod places;
mod policy_changes;
mod pools;
mod portable;
mod projects;
mod promotions;
mod queue;
mod releases;
mod retries;
mod runs;
mod secrets;
mod source;
mod tests;
mod timeline;
mod tokens;
mod users;

use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::routing::get;
use utoipa::OpenApi;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::app::App;

pub(crate) use agents::held as held_words;
pub(crate) use imported::{LogOf, file as imported_file, log as imported_log};
pub(crate) use insights::insights as delivery_insights;
pub(crate) use join_tokens::{check_labels, make as make_join_token, mint as mint_join_token};
pub(crate) use notifications::{told_of, wire as wire_delivery};
pub(crate) use pools::all as all_pools;
pub(crate) use portable::export as export_run;
pub(crate) use queue::seen as queue_as_seen;
pub(crate) use retries::insights as retry_insights;
pub(crate) use timeline::wire as wire_entry;
pub(crate) use tokens::{DEFAULT_LIFE as DEFAULT_TOKEN_LIFE, make as make_token};
pub(crate) use users::{parse_grant, require as require_user};

#[derive(OpenApi)]
#[openapi(info(title = "Towpath", description = "From git push to judged production."))]
struct Description;

fn described() -> OpenApiRouter<App> {
    OpenApiRouter::with_openapi(Description::openapi())
        .routes(routes!(me::me))
        .routes(routes!(me::version))
        .routes(routes!(doctor::doctor))
        .routes(routes!(users::list, users::create))
        .routes(routes!(users::show, users::change))
        .routes(routes!(invitations::create))
        .routes(routes!(tokens::list, tokens::create))
        .routes(routes!(tokens::revoke))
        .routes(routes!(projects::list, projects::create))
        .routes(routes!(projects::show))
        .routes(routes!(source::show, source::set))
        .routes(routes!(source::hook))
        .routes(routes!(source::look))
        .routes(routes!(source::triggers))
        .routes(routes!(timeline::list))
        .routes(routes!(history::list))
        .routes(routes!(runs::list, runs::start))
        .routes(routes!(runs::show))
        .routes(routes!(runs::cancel))
        .routes(routes!(runs::rerun))
        .routes(routes!(runs::allow))
        .routes(routes!(runs::log))
        .routes(routes!(portable::export))
        .routes(routes!(imported::list))
        .routes(routes!(imported::show, imported::remove))
        .routes(routes!(imported::file))
        .routes(routes!(imported::log))
        .routes(routes!(kept::list))
        .routes(routes!(kept::show))
        .routes(routes!(kept::revoke))
        .routes(routes!(kept::reused))
        .routes(routes!(kept::workspaces))
        .routes(routes!(kept::blob))
        .routes(routes!(kept::resume))
        .routes(routes!(logs::search))
        .routes(routes!(logs::failures))
        .routes(routes!(retries::show))
        .routes(routes!(insights::delivery))
        .routes(routes!(incidents::list, incidents::open))
        .routes(routes!(incidents::close))
        .routes(routes!(tests::evidence))
        .routes(routes!(tests::list))
        .routes(routes!(tests::show))
        .routes(routes!(tests::quarantine))
        .routes(routes!(tests::release))
        .routes(routes!(releases::list))
        .routes(routes!(releases::show))
        .routes(routes!(releases::sealed))
        .routes(routes!(releases::revoke))
        .routes(routes!(releases::unrevoke))
        .routes(routes!(environments::list))
        .routes(routes!(environments::show))
        .routes(routes!(environments::history))
        .routes(routes!(environments::totals))
        .routes(routes!(environments::documents))
        .routes(routes!(environments::promote))
        .routes(routes!(environments::hold))
        .routes(routes!(environments::resume))
        .routes(routes!(environments::rollback))
        .routes(routes!(environments::apply))
        .routes(routes!(policy_changes::list))
        .routes(routes!(policy_changes::approve))
        .routes(routes!(policy_changes::reject))
        .routes(routes!(promotions::open))
        .routes(routes!(promotions::show))
        .routes(routes!(promotions::approve))
        .routes(routes!(promotions::reject))
        .routes(routes!(promotions::lift))
        .routes(routes!(promotions::withdraw))
        .routes(routes!(promotions::told))
        .routes(routes!(notifications::show, notifications::apply))
        .routes(routes!(notifications::deliveries))
        .routes(routes!(notifications::test))
        .routes(routes!(secrets::list))
        .routes(routes!(secrets::set, secrets::remove))
        .routes(routes!(agents::list))
        .routes(routes!(gateways::list))
        .routes(routes!(agents::revoke))
        .routes(routes!(pools::list))
        .routes(routes!(queue::show))
        .routes(routes!(queue::drain))
        .routes(routes!(queue::undrain))
        .routes(routes!(join_tokens::list, join_tokens::create))
        .routes(routes!(join_tokens::revoke))
}

/// What takes as long as a large body takes to arrive, and bounds it itself.
fn long() -> OpenApiRouter<App> {
    OpenApiRouter::new().routes(routes!(imported::import)).layer(DefaultBodyLimit::disable())
}

/// The description of the API.
#[must_use]
pub fn openapi() -> utoipa::openapi::OpenApi {
    described().merge(long()).split_for_parts().1
}

/// The routes under `/api/v1` that have all the time that a large body needs.
pub(crate) fn uploads() -> Router<App> {
    long().split_for_parts().0
}

/// The routes under `/api/v1`.
pub(crate) fn router() -> Router<App> {
    let router = described().split_for_parts().0;
    let description = serde_json::to_string(&openapi()).expect("the API's description is JSON");
    let description: &'static str = description.leak();
    let json = [(http::header::CONTENT_TYPE, "application/json")];
    router.route("/api/v1/openapi.json", get(move || async move { (json, description) }))
}
