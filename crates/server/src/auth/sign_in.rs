//! Sessions of the page: how they begin and end.

use http::header::SET_COOKIE;
use http::{HeaderMap, HeaderValue};
use towpath_store::people::sessions;
use towpath_store::people::users::User;

use super::secret::Secret;
use crate::app::App;
use crate::problem::Problem;

/// Starts a session and returns the header that gives it to the browser.
///
/// # Errors
/// When the database refuses.
pub async fn start(app: &App, user: &User) -> Result<HeaderMap, Problem> {
    let secret = Secret::draw("");
    let mut tx = app.db.begin_write().await?;
    sessions::start(&mut tx, secret.hash(), user.id, app.now()).await?;
    tx.commit().await?;
    Ok(set_cookie(app, secret.reveal(), sessions::LIFE.as_secs()))
}

/// Ends the session of a cookie and returns the header that takes it back.
///
/// # Errors
/// When the database refuses.
pub async fn end(app: &App, session: &str) -> Result<HeaderMap, Problem> {
    let mut tx = app.db.begin_write().await?;
    sessions::end(&mut tx, Secret::received(session).hash()).await?;
    tx.commit().await?;
    Ok(set_cookie(app, "", 0))
}

fn set_cookie(app: &App, value: &str, seconds: i64) -> HeaderMap {
    let secure = if app.tls { "; Secure" } else { "" };
    let name = app.cookie_name();
    let cookie = format!("{name}={value}; Path=/; HttpOnly; SameSite=Lax; Max-Age={seconds}{secure}");
    let mut headers = HeaderMap::new();
    if let Ok(cookie) = HeaderValue::from_str(&cookie) {
        headers.insert(SET_COOKIE, cookie);
    }
    headers
}
