//! People against a real database file, with time as an argument.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use jiff::{SignedDuration, Timestamp};
use towpath_model::UserId;
use towpath_store::people::{By, grants, sessions, setup, tokens, users};
use towpath_store::{Db, timeline};
use uuid::Uuid;

const T0: Timestamp = Timestamp::UNIX_EPOCH;

async fn open() -> (tempfile::TempDir, Db) {
    let dir = tempfile::tempdir().unwrap();
    let db = Db::open(&dir.path().join("towpath.db")).await.unwrap();
    (dir, db)
}

async fn alice(db: &Db) -> users::User {
    let mut tx = db.begin_write().await.unwrap();
    let user = users::NewUser {
        id: UserId(Uuid::from_u128(1)),
        login: "alice".parse().unwrap(),
        display_name: "Alice".into(),
        email: "alice@example.com".into(),
        password: Some("$argon2id$…".into()),
    };
    let user = users::create(&mut tx, user, By { actor: "system", at: T0 }).await.unwrap();
    tx.commit().await.unwrap();
    user
}

#[tokio::test]
async fn login_is_taken_once_and_changes_are_recorded() {
    let (_dir, db) = open().await;
    let user = alice(&db).await;
    let mut tx = db.begin_write().await.unwrap();
    let by = By { actor: "user:alice", at: T0 };
    let again = users::NewUser {
        id: UserId(Uuid::from_u128(2)),
        login: user.login.clone(),
        display_name: String::new(),
        email: String::new(),
        password: None,
    };
    let refused = users::create(&mut tx, again, by).await.unwrap_err();
    assert_eq!(refused.to_string(), "the login `alice` is taken");
    let grant = grants::Grant { project: Some("shop".parse().unwrap()), role: "developer".parse().unwrap() };
    grants::give(&mut tx, &user, &grant, by).await.unwrap();
    grants::give(&mut tx, &user, &grant, by).await.unwrap();
    tx.commit().await.unwrap();
    let mut reader = db.reader().await.unwrap();
    assert_eq!(grants::of_user(&mut reader, user.id).await.unwrap(), [grant]);
    let kinds: Vec<String> =
        timeline::after(&mut reader, 0, 10).await.unwrap().into_iter().map(|entry| entry.kind).collect();
    assert_eq!(kinds, ["user-created", "role-granted"]);
}

#[tokio::test]
async fn session_ends_when_idle_and_when_old() {
    let (_dir, db) = open().await;
    let user = alice(&db).await;
    let mut tx = db.begin_write().await.unwrap();
    sessions::start(&mut tx, [7; 32], user.id, T0).await.unwrap();
    tx.commit().await.unwrap();
    let mut reader = db.reader().await.unwrap();
    let second = SignedDuration::from_secs(1);
    assert!(sessions::find(&mut reader, [7; 32], T0 + sessions::IDLE - second).await.unwrap().is_some());
    assert!(sessions::find(&mut reader, [7; 32], T0 + sessions::IDLE).await.unwrap().is_none(), "idle");
    assert!(sessions::find(&mut reader, [8; 32], T0).await.unwrap().is_none(), "another secret");
    let mut tx = db.begin_write().await.unwrap();
    sessions::touch(&mut tx, [7; 32], T0 + sessions::LIFE - second).await.unwrap();
    tx.commit().await.unwrap();
    assert!(sessions::find(&mut reader, [7; 32], T0 + sessions::LIFE - second).await.unwrap().is_some());
    assert!(sessions::find(&mut reader, [7; 32], T0 + sessions::LIFE).await.unwrap().is_none(), "old");
}

#[tokio::test]
async fn disabling_ends_sessions_and_tokens() {
    let (_dir, db) = open().await;
    let user = alice(&db).await;
    let by = By { actor: "user:root", at: T0 };
    let token = tokens::Token {
        id: Uuid::from_u128(9),
        name: "ci".into(),
        scopes: vec!["read".into()],
        created_at: T0,
        expires_at: Some(T0 + SignedDuration::from_secs(60)),
        last_used_at: None,
    };
    let mut tx = db.begin_write().await.unwrap();
    sessions::start(&mut tx, [7; 32], user.id, T0).await.unwrap();
    tokens::create(&mut tx, &user, &token, [9; 32], by).await.unwrap();
    tx.commit().await.unwrap();
    let mut reader = db.reader().await.unwrap();
    assert!(tokens::find(&mut reader, [9; 32], T0).await.unwrap().is_some());
    let late = T0 + SignedDuration::from_secs(60);
    assert!(tokens::find(&mut reader, [9; 32], late).await.unwrap().is_none(), "expired");
    let mut tx = db.begin_write().await.unwrap();
    users::set_disabled(&mut tx, &user, true, by).await.unwrap();
    tx.commit().await.unwrap();
    assert!(sessions::find(&mut reader, [7; 32], T0).await.unwrap().is_none());
    assert!(tokens::find(&mut reader, [9; 32], T0).await.unwrap().is_none());
}

#[tokio::test]
async fn setup_link_works_once_and_for_a_day() {
    let (_dir, db) = open().await;
    let mut tx = db.begin_write().await.unwrap();
    setup::replace(&mut tx, [1; 32], T0).await.unwrap();
    assert!(!setup::consume(&mut tx, [1; 32], T0 + setup::LIFE).await.unwrap(), "too late");
    assert!(!setup::consume(&mut tx, [2; 32], T0).await.unwrap(), "another secret");
    assert!(setup::consume(&mut tx, [1; 32], T0).await.unwrap());
    assert!(!setup::consume(&mut tx, [1; 32], T0).await.unwrap(), "used");
}
