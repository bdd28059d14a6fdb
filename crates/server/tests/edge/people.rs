//! Setting up, signing in, forms and tokens.

use reqwest::header::{COOKIE, LOCATION, SET_COOKIE};
use serde_json::json;
use towpath_server::git::GitLimits;

use crate::world::{PASSWORD, World};

async fn sign_in(world: &World, login: &str, password: &str) -> reqwest::Response {
    let form = [("login", login), ("password", password), ("next", "/account")];
    world.http.post(format!("{}/login", world.url)).form(&form).send().await.unwrap()
}

fn cookie(response: &reqwest::Response) -> String {
    let cookie = response.headers()[SET_COOKIE].to_str().unwrap();
    assert!(cookie.contains("HttpOnly") && cookie.contains("SameSite=Lax"), "{cookie}");
    cookie.split(';').next().unwrap().to_owned()
}

async fn page(world: &World, path: &str, cookie: &str) -> String {
    let request = world.http.get(format!("{}{path}", world.url)).header(COOKIE, cookie);
    let response = request.send().await.unwrap();
    assert_eq!(response.status(), 200, "{path}");
    assert!(response.headers()["content-security-policy"].to_str().unwrap().contains("default-src 'none'"));
    response.text().await.unwrap()
}

fn csrf(page: &str) -> String {
    let at = page.find("name=\"csrf\" value=\"").unwrap() + "name=\"csrf\" value=\"".len();
    page[at..].split('"').next().unwrap().to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn first_admin_is_made_once_through_the_link() {
    let world = World::empty().await;
    let link = world.setup.clone().unwrap();
    let form = [("login", "root"), ("password", PASSWORD), ("password_again", PASSWORD)];
    assert_eq!(world.http.get(&link).send().await.unwrap().status(), 200);
    let short = [("login", "root"), ("password", "short"), ("password_again", "short")];
    let refused = world.http.post(&link).form(&short).send().await.unwrap();
    assert!(refused.text().await.unwrap().contains("a password needs 12"));
    let made = world.http.post(&link).form(&form).send().await.unwrap();
    assert_eq!(made.status(), 303);
    assert!(page(&world, "/users", &cookie(&made)).await.contains("root"));
    let again = world.http.post(&link).form(&form).send().await.unwrap();
    assert_eq!(again.status(), 404, "the link worked twice");
    let dir = world.stop().await;
    assert!(World::start(dir, GitLimits::default()).await.setup.is_none(), "a second link was made");
}

#[tokio::test(flavor = "multi_thread")]
async fn forms_need_the_token_of_the_session() {
    let world = World::peopled(GitLimits::default()).await;
    assert_eq!(sign_in(&world, "dora", "wrong password").await.status(), 401);
    let entered = sign_in(&world, "dora", PASSWORD).await;
    assert_eq!(entered.headers()[LOCATION], "/account");
    let session = cookie(&entered);
    let token = csrf(&page(&world, "/account", &session).await);
    let form = |csrf: &str| {
        let fields = [("csrf", csrf), ("name", "laptop"), ("scopes", "read"), ("scopes", "write")];
        world.http.post(format!("{}/account/tokens", world.url)).header(COOKIE, &session).form(&fields)
    };
    assert_eq!(form("").send().await.unwrap().status(), 403);
    assert_eq!(form(&"0".repeat(64)).send().await.unwrap().status(), 403);
    let foreign = form(&token).header("sec-fetch-site", "cross-site").send().await.unwrap();
    assert_eq!(foreign.status(), 403);
    let made = form(&token).send().await.unwrap().text().await.unwrap();
    assert!(made.contains("tp_"), "no token was shown");
    let bare = world.http.post(format!("{}/api/v1/tokens", world.url)).header(COOKIE, &session);
    let bare = bare.json(&json!({"name": "x", "scopes": ["read"]})).send().await.unwrap();
    assert_eq!(bare.status(), 403, "the cookie alone changed something");
    let out = [("csrf", token.as_str())];
    let out = world.http.post(format!("{}/logout", world.url)).header(COOKIE, &session).form(&out);
    assert_eq!(out.send().await.unwrap().status(), 303);
    let after =
        world.http.get(format!("{}/account", world.url)).header(COOKIE, &session).send().await.unwrap();
    assert_eq!(after.headers()[LOCATION], "/login?next=%2Faccount");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_form_that_is_refused_says_so_on_its_own_page() {
    let world = World::peopled(GitLimits::default()).await;
    let session = cookie(&sign_in(&world, "root", PASSWORD).await);
    let token = csrf(&page(&world, "/account", &session).await);
    let send = async |path: &str, fields: &[(&str, &str)]| {
        let fields: Vec<_> = [("csrf", token.as_str())].iter().chain(fields).copied().collect();
        let request = world.http.post(format!("{}{path}", world.url)).header(COOKIE, &session).form(&fields);
        let response = request.send().await.unwrap();
        (response.status().as_u16(), response.text().await.unwrap())
    };
    let (status, text) =
        send("/account/password", &[("current", "wrong"), ("password", "a new password of mine")]).await;
    assert_eq!(status, 403);
    assert!(text.contains("the present password is wrong") && text.contains("Change the password"), "{text}");
    let (status, text) = send("/users", &[("login", "nobody"), ("role", "viewer")]).await;
    assert_eq!(status, 404);
    assert!(text.contains("towpath user invite") && text.contains("Give a role"), "{text}");
    // To somebody who is there already.
    let (status, _) =
        send("/users", &[("login", "vic"), ("role", "release-manager"), ("project", "shop")]).await;
    assert_eq!(status, 303);
    let vic = world.get("/api/v1/users/vic").await;
    assert!(vic.to_string().contains("release-manager"), "{vic}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_invited_choose_their_own_password_once() {
    let world = World::peopled(GitLimits::default()).await;
    let invite = async |by: &str, login: &str| {
        let new = json!({"login": login, "roles": [{"role": "developer", "project": "shop"}]});
        let request = world.http.post(format!("{}/api/v1/invitations", world.url));
        let response = request.basic_auth(by, Some(PASSWORD)).json(&new).send().await.unwrap();
        let status = response.status().as_u16();
        (status, response.json::<serde_json::Value>().await.unwrap())
    };
    assert_eq!(invite("dora", "bea").await.0, 403, "a developer invited somebody");
    let (status, taken) = invite("root", "vic").await;
    assert_eq!(status, 409, "an invitation would take over somebody who signs in already: {taken}");

    let old = invite("root", "bea").await.1["url"].as_str().unwrap().to_owned();
    let link = invite("root", "bea").await.1["url"].as_str().unwrap().to_owned();
    assert_eq!(world.http.get(&old).send().await.unwrap().status(), 404, "a second link leaves the first");
    let form = world.http.get(&link).send().await.unwrap().text().await.unwrap();
    assert!(form.contains("Welcome aboard") && form.contains("value=\"bea\""), "{form}");
    // The login is the link's, whatever the form says.
    let chosen = "a password of bea";
    let send = |password: &str| {
        let fields = [("login", "root"), ("password", password), ("password_again", password)];
        world.http.post(&link).form(&fields).send()
    };
    let short = send("short").await.unwrap().text().await.unwrap();
    assert!(short.contains("a password needs 12"), "{short}");
    assert_eq!(send(chosen).await.unwrap().status(), 303);
    assert_eq!(send("another password").await.unwrap().status(), 404, "the link worked twice");
    assert_eq!(sign_in(&world, "bea", chosen).await.status(), 303);
    assert_eq!(sign_in(&world, "root", PASSWORD).await.status(), 303);
    let bea = world.get("/api/v1/users/bea").await;
    assert_eq!(bea["roles"], json!([{"role": "developer", "project": "shop"}]));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_invitation_from_the_page_is_shown_once_and_dies_with_the_user() {
    let world = World::peopled(GitLimits::default()).await;
    let session = cookie(&sign_in(&world, "root", PASSWORD).await);
    let token = csrf(&page(&world, "/users", &session).await);
    let fields = [("csrf", token.as_str()), ("login", "noah"), ("role", "viewer"), ("project", "")];
    let request = world.http.post(format!("{}/users/invite", world.url)).header(COOKIE, &session);
    let text = request.form(&fields).send().await.unwrap().text().await.unwrap();
    let at = text.find("/setup/").unwrap();
    let path = text[at..].split(['<', '"', '&']).next().unwrap();
    assert!(!page(&world, "/users", &session).await.contains("/setup/"), "it is shown again");
    let link = format!("{}{path}", world.url);
    assert_eq!(world.http.get(&link).send().await.unwrap().status(), 200);
    let disable = world.http.post(format!("{}/users/noah/disable", world.url)).header(COOKIE, &session);
    assert_eq!(disable.form(&[("csrf", token.as_str())]).send().await.unwrap().status(), 303);
    assert_eq!(world.http.get(&link).send().await.unwrap().status(), 404);
}

#[tokio::test(flavor = "multi_thread")]
async fn guessing_is_slowed_down() {
    let world = World::peopled(GitLimits::default()).await;
    for _ in 0..10 {
        assert_eq!(sign_in(&world, "dora", "wrong password").await.status(), 401);
    }
    assert_eq!(sign_in(&world, "dora", PASSWORD).await.status(), 429);
    assert_eq!(sign_in(&world, "vic", PASSWORD).await.status(), 303, "another login was locked out");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_makes_no_stronger_one_and_ends_when_revoked() {
    let world = World::peopled(GitLimits::default()).await;
    let api = format!("{}/api/v1", world.url);
    let new = json!({"name": "ci", "scopes": ["read"]});
    let made = world.http.post(format!("{api}/tokens")).basic_auth("dora", Some(PASSWORD)).json(&new);
    let made: serde_json::Value = made.send().await.unwrap().json().await.unwrap();
    let secret = made["secret"].as_str().unwrap();
    let me = || world.http.get(format!("{api}/me")).bearer_auth(secret).send();
    let shown: serde_json::Value = me().await.unwrap().json().await.unwrap();
    assert_eq!(shown["login"], "dora");
    assert_eq!(shown["roles"], json!([{"role": "developer", "project": "shop"}]));
    let strong = json!({"name": "more", "scopes": ["admin"]});
    let strong =
        world.http.post(format!("{api}/tokens")).bearer_auth(secret).json(&strong).send().await.unwrap();
    assert_eq!(strong.status(), 403);
    let problem: serde_json::Value = strong.json().await.unwrap();
    assert_eq!(problem["type"], "urn:towpath:problem:forbidden");
    let id = made["token"]["id"].as_str().unwrap();
    let gone = world.http.delete(format!("{api}/tokens/{id}")).basic_auth("dora", Some(PASSWORD));
    assert_eq!(gone.send().await.unwrap().status(), 204);
    assert_eq!(me().await.unwrap().status(), 401);
}

#[tokio::test(flavor = "multi_thread")]
async fn events_go_on_from_where_they_stopped() {
    let world = World::peopled(GitLimits::default()).await;
    let mut stream = world
        .http
        .get(format!("{}/api/v1/events", world.url))
        .bearer_auth(world.local())
        .header("last-event-id", "1")
        .send()
        .await
        .unwrap();
    let mut text = String::new();
    while !text.contains("id: 3\n") && !text.contains("id:3\n") {
        text.push_str(std::str::from_utf8(&stream.chunk().await.unwrap().unwrap()).unwrap());
    }
    assert!(text.contains("project-created") && !text.contains("\"sequence\":1,"), "{text}");
    world.stop().await;
}
