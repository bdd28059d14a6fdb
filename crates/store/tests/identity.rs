//! Join tokens and identities against a real database file, with time as an argument.

use std::collections::BTreeMap;

use jiff::{SignedDuration, Timestamp};
use towpath_model::AgentId;
use towpath_store::identity::{self, AgentIdentity, JoinToken, TokenRefused};
use towpath_store::people::By;
use towpath_store::{Db, timeline};
use uuid::Uuid;

const T0: Timestamp = Timestamp::UNIX_EPOCH;
const HOUR: SignedDuration = SignedDuration::from_hours(1);
const SECRET: [u8; 32] = [7; 32];

fn token() -> JoinToken {
    JoinToken {
        id: Uuid::from_u128(1),
        labels: BTreeMap::from([("role".to_owned(), "edge".to_owned())]),
        runner: false,
        deployer: true,
        created_at: T0,
        expires_at: T0 + HOUR,
        used: None,
    }
}

fn agent() -> AgentIdentity {
    AgentIdentity {
        id: AgentId(Uuid::from_u128(2)),
        hostname: "edge-1".to_owned(),
        labels: token().labels,
        runner: false,
        deployer: true,
        enrolled_at: T0,
        certificate_ends: T0 + HOUR * 24,
        revoked_at: None,
    }
}

#[tokio::test]
async fn a_token_joins_one_agent_and_only_in_time() {
    let dir = tempfile::tempdir().unwrap();
    let db = Db::open(&dir.path().join("towpath.db")).await.unwrap();
    let by = By { actor: "user:root", at: T0 };
    let mut tx = db.begin_write().await.unwrap();
    identity::create_token(&mut tx, &token(), SECRET, by).await.unwrap();
    assert_eq!(identity::usable_token(&mut tx, [8; 32], T0).await.unwrap(), Err(TokenRefused::Unknown));
    let late = identity::usable_token(&mut tx, SECRET, T0 + HOUR).await.unwrap();
    assert_eq!(late, Err(TokenRefused::Expired { at: T0 + HOUR }));
    let found = identity::usable_token(&mut tx, SECRET, T0).await.unwrap().unwrap();
    assert_eq!(found, token());
    identity::enrol(&mut tx, &found, &agent(), T0).await.unwrap();
    let again = identity::usable_token(&mut tx, SECRET, T0).await.unwrap();
    assert_eq!(again, Err(TokenRefused::Used { at: T0, by: agent().id }));
    assert!(!identity::revoke_token(&mut tx, token().id, by).await.unwrap(), "used tokens are history");
    assert!(identity::revoke(&mut tx, agent().id, by).await.unwrap());
    assert!(!identity::revoke(&mut tx, agent().id, by).await.unwrap());
    tx.commit().await.unwrap();
    let mut reader = db.reader().await.unwrap();
    let revoked = AgentIdentity { revoked_at: Some(T0), ..agent() };
    assert_eq!(identity::find(&mut reader, agent().id).await.unwrap(), Some(revoked));
    let kinds: Vec<String> =
        timeline::after(&mut reader, 0, 10).await.unwrap().into_iter().map(|entry| entry.kind).collect();
    assert_eq!(kinds, ["join-token-created", "agent-joined", "agent-revoked"]);
}
