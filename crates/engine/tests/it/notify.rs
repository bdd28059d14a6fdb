//! Notifications: what is told, to whom, again when it fails; and alerts that stop a Rollout.

use std::collections::BTreeMap;

use towpath_artifact::SecretValue;
use towpath_engine::notify::Alert;
use towpath_model::environment::Outcome;
use towpath_model::{Login, UserId};
use towpath_store::core::notifications::Delivery;
use towpath_store::people::By;
use towpath_store::people::grants::{self, Grant};
use towpath_store::people::users::{self, NewUser};

use crate::mail_server::MailServer;
use crate::receiver::Receiver;
use crate::world::{DOCUMENTS, PIPELINE, World, admin, developer, key, manager, shop};

fn secret(world: &World, name: &str, value: &str) {
    let value = SecretValue::new(value.as_bytes().to_vec());
    world.run(world.engine.set_secret(&shop(), None, &name.parse().unwrap(), &value, &admin())).unwrap();
}

fn apply(world: &World, text: &str) {
    world.run(world.engine.apply_notifications(&shop(), "n.yaml", text, false, &admin())).unwrap();
}

/// The messages of a state, oldest first.
fn told(world: &World, state: &str) -> Vec<Delivery> {
    let mut all = world.run(world.engine.deliveries(&shop())).unwrap();
    all.retain(|delivery| delivery.state == state);
    all.reverse();
    all
}

#[test]
fn who_is_asked_and_what_is_deployed_is_told_where_the_routes_say_and_again_when_it_fails() {
    let mut world = World::with_environments::<105>();
    let (slack, audit) = (Receiver::start(503, "later"), Receiver::start(200, ""));
    let (teams, grafana) = (Receiver::start(202, ""), Receiver::start(200, "{}"));
    secret(&world, "SLACK_URL", &format!("{}/services/T0/secret", slack.url()));
    secret(&world, "AUDIT_KEY", "audit-secret");
    secret(&world, "TEAMS_URL", &format!("{}/workflows/secret", teams.url()));
    secret(&world, "GRAFANA_TOKEN", "glsa_secret\n");
    let text = format!(
        "project: shop\nchannels:\n  releases: {{ slack: {{ secret: SLACK_URL }} }}\n  \
         audit: {{ webhook: {{ url: {}/in, secret: AUDIT_KEY }} }}\n  team: {{ teams: {{ secret: TEAMS_URL }} }}\n  \
         boards: {{ grafana: {{ url: {}/, token: GRAFANA_TOKEN }} }}\n\
         routes:\n  - {{ on: needs-people, environments: [production], to: releases }}\n  - {{ on: deployed, to: audit }}\n  \
         - {{ on: [deployed, rolled-back], environments: [production], to: [boards] }}\n  - {{ on: sealed, to: team }}\n\
         templates: {{ deployed: '{{version}} is live in {{environment}}' }}\n",
        audit.url(),
        grafana.url()
    );
    apply(&world, &text);
    let version = world.release(1, &[("towpath.yaml", PIPELINE)]);
    world.waiting("production", &version);
    world.until("a try that failed", |world| {
        told(world, "waiting")
            .into_iter()
            .find(|delivery| delivery.error.contains("slack answered 503: later"))
    });
    slack.answers(200, "ok");
    let sent = world.until("the message to be sent", |world| {
        told(world, "sent").into_iter().find(|delivery| delivery.channel == "releases")
    });
    assert!(sent.message.text.contains("0 of 1 approvals from release-manager"), "{sent:?}");
    let post = slack.taken().pop().unwrap();
    assert_eq!(post.path, "/services/T0/secret");
    assert!(post.json()["text"].as_str().unwrap().contains("shop/production"), "{post:?}");
    world.approve(&version);
    assert_eq!(world.outcome("production", &version), Outcome::Succeeded);
    world.until("three messages about deployments", |world| {
        let sent = told(world, "sent");
        (sent.iter().filter(|delivery| delivery.channel == "audit").count() == 3).then_some(())
    });
    let posts = audit.taken();
    let mut words: Vec<_> =
        posts.iter().map(|post| post.json()["words"].as_str().unwrap().to_owned()).collect();
    words.sort();
    assert_eq!(words, ["dev", "production", "staging"].map(|name| format!("{version} is live in {name}")));
    assert!(posts.iter().all(|post| post.headers["webhook-signature"].starts_with("v1,")));
    let marker = world.until("the marker", |_| grafana.taken().pop());
    assert_eq!(
        (marker.path.as_str(), marker.headers["authorization"].as_str()),
        ("/api/annotations", "Bearer glsa_secret")
    );
    let tags =
        ["towpath", "deployed", "environment:production", "project:shop", &format!("version:{version}")];
    assert_eq!(marker.json()["tags"], serde_json::json!(tags));
    let card = world.until("the card", |_| teams.taken().pop());
    assert_eq!(card.json()["attachments"][0]["content"]["type"], "AdaptiveCard");
    assert_eq!(
        (grafana.taken().len(), teams.taken().len()),
        (1, 1),
        "each is told once, of what its routes name"
    );
    check_that_a_test_says_why_a_channel_refuses(&world);
}

fn check_that_a_test_says_why_a_channel_refuses(world: &World) {
    let text = "project: shop\nchannels: { a: { slack: { secret: OTHER_URL } } }\nroutes: []\n";
    let applied =
        world.run(world.engine.apply_notifications(&shop(), "n.yaml", text, false, &admin())).unwrap();
    assert_eq!(applied.unset, ["OTHER_URL"]);
    let test =
        |name: &str| world.run(world.engine.test_channel(&shop(), name, &admin())).map_err(|e| e.to_string());
    assert!(test("a").is_err_and(|why| why.contains("secret OTHER_URL of shop is not set")));
    assert!(test("b").is_err_and(|why| why.contains("channel b of shop (there are a)")));
    let slack = Receiver::start(404, "no_team");
    secret(world, "OTHER_URL", &slack.url());
    assert!(test("a").is_err_and(|why| why.contains("slack answered 404: no_team")));
    slack.answers(200, "ok");
    assert_eq!(test("a"), Ok(()));
}

#[test]
fn an_alert_stops_the_rollout_that_runs_and_nothing_else() {
    let mut world = World::with_environments::<107>();
    secret(&world, "ALERT_TOKEN", "t0ken");
    let text = "project: shop\nalerts:\n  secret: ALERT_TOKEN\n  rules: [{ environments: [production], labels: { severity: page }, then: rollback }]\n";
    apply(&world, text);
    let first = world.release(1, &[("towpath.yaml", PIPELINE)]);
    world.approve(&first);
    assert_eq!(world.outcome("production", &first), Outcome::Succeeded);
    let alert = |severity: &str, fires| {
        let labels = [("alertname", "CheckoutFails"), ("severity", severity)];
        let labels: BTreeMap<String, String> = labels.map(|(name, value)| (name.into(), value.into())).into();
        [Alert { fires, labels, summary: "one in ten fails".to_owned() }]
    };
    let take =
        |world: &World, alerts: &[Alert]| world.run(world.engine.take_alerts(&shop(), alerts)).unwrap();
    assert_eq!(
        take(&world, &alert("page", true)),
        ["shop/production: no Rollout runs that the alert could stop"]
    );
    let second = world.release(2, &[("shop.txt", "two")]);
    world.approve(&second);
    world.until("the canary", |world| {
        let active = world.environment("production").environment.active?;
        (active.state_word() == "canary").then_some(())
    });
    assert_eq!(take(&world, &alert("info", true)), [""; 0]);
    assert_eq!(take(&world, &alert("page", false)), [""; 0]);
    assert_eq!(
        take(&world, &alert("page", true)),
        ["shop/production: alert CheckoutFails fires: one in ten fails"]
    );
    let Outcome::RolledBack { reason, .. } = world.outcome("production", &second) else {
        panic!("it went on")
    };
    assert_eq!(reason, "alert CheckoutFails fires: one in ten fails");
    assert_eq!(world.version_in("production"), Some(first));
    assert!(world.run(world.engine.environment(&key("production"))).is_ok());
}

/// Makes a release manager with an address known to the server.
fn person(world: &World, login: &str, email: &str, id: UserId) {
    let login: Login = login.parse().unwrap();
    let new = NewUser { id, display_name: login.to_string(), login, email: email.to_owned(), password: None };
    let by = By { actor: "user:admin", at: world.now() };
    world.run(async {
        let mut tx = world.engine.db().begin_write().await.unwrap();
        let user = users::create(&mut tx, new, by).await.unwrap();
        grants::give(&mut tx, &user, &manages(), by).await.unwrap();
        tx.commit().await.unwrap();
    });
}

fn manages() -> Grant {
    Grant { project: Some(shop()), role: "release-manager".parse().unwrap() }
}

#[test]
fn mail_goes_to_each_alone_so_that_nobody_waits_for_another() {
    let server = MailServer::start();
    let mut world = World::with_environments::<108>().with_mail(server.smtp());
    person(&world, "grace", "grace@example.com", manager().id);
    let text = "project: shop\n\
        channels: { managers: { email: { to: [ops@example.com, '@grace', '@nobody'] } } }\n\
        routes: [{ on: needs-people, environments: [production], to: managers }]\n";
    let applied =
        world.run(world.engine.apply_notifications(&shop(), "n.yaml", text, false, &admin())).unwrap();
    assert_eq!(applied.warnings, ["channel managers: this server knows no address of nobody"]);
    server.refuses("grace@example.com", "451 later, please");
    let version = world.release(1, &[("towpath.yaml", PIPELINE)]);
    world.waiting("production", &version);
    let later = world.until("a try that failed", |world| {
        told(world, "waiting").into_iter().find(|delivery| delivery.error.contains("later, please"))
    });
    assert_eq!(later.recipient, "@grace");
    let lost = world.until("the one whom nobody knows", |world| told(world, "failed").pop());
    assert_eq!(
        (lost.recipient.as_str(), lost.error.as_str()),
        ("@nobody", "this server knows no address of nobody")
    );
    server.refuses("grace@example.com", "");
    world.until("both mails", |world| (told(world, "sent").len() == 2).then_some(()));
    let mut mails = server.taken();
    mails.sort_by_key(|mail| mail.to.clone());
    assert_eq!(mails.len(), 2, "what could not go to one went to the others again: {mails:?}");
    assert_eq!(mails[0].to, ["grace@example.com"]);
    assert_eq!(mails[1].to, ["ops@example.com"]);
    assert_eq!(mails[0].from, "towpath@example.com");
    assert_eq!(
        mails[0].header("Subject"),
        Some(format!("[towpath] shop/production {version}: needs people"))
    );
    assert!(mails[0].body().contains("0 of 1 approvals from release-manager"), "{}", mails[0].text);
    assert!(mails[0].body().contains("http://127.0.0.1:7878/promotions/"), "{}", mails[0].text);
    assert_ne!(mails[0].header("Message-ID"), mails[1].header("Message-ID"));
    assert!(server.logins().iter().all(|login| login.starts_with("AUTH PLAIN ")), "{:?}", server.logins());
    // Who is refused for good is given up at once.
    server.refuses("grace@example.com", "550 no such mailbox");
    let refused =
        world.run(world.engine.test_channel(&shop(), "managers", &admin())).unwrap_err().to_string();
    assert!(
        refused.contains("did not take it for @grace") && refused.contains("no such mailbox"),
        "{refused}"
    );
}

#[test]
fn channels_that_hang_keep_no_release_waiting() {
    let mut world = World::with_environments::<109>();
    // It takes connections, and never answers.
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/", listener.local_addr().unwrap());
    let channels: String =
        (0..12).map(|n| format!("  hook{n}: {{ webhook: {{ url: '{url}' }} }}\n")).collect();
    let names: Vec<String> = (0..12).map(|n| format!("hook{n}")).collect();
    let text = format!(
        "project: shop\nchannels:\n{channels}routes: [{{ on: [sealed, proposed, started, deployed], to: [{}] }}]\n",
        names.join(", ")
    );
    apply(&world, &text);
    let version = world.release(1, &[("towpath.yaml", PIPELINE)]);
    world.approve(&version);
    assert_eq!(world.outcome("production", &version), Outcome::Succeeded);
    let waiting = told(&world, "waiting");
    assert_eq!(waiting.len(), 100, "as many as are listed: nobody has answered");
    assert!(
        waiting.iter().filter(|delivery| !delivery.error.is_empty()).count() < 50,
        "they took their time"
    );
}

/// The newest link in a mail to somebody, once it differs from another one.
fn link(world: &mut World, server: &MailServer, to: &str, not: &str) -> String {
    world.until("a mail with a link", |_| {
        let mail = server.taken().into_iter().rfind(|mail| mail.to == [to])?;
        let (_, rest) = mail.body().split_once("/decide?link=").map(|(a, b)| (a.to_owned(), b.to_owned()))?;
        rest.lines().next().map(str::to_owned).filter(|link| link != not)
    })
}

#[test]
fn a_mailed_link_decides_once_for_its_person_about_what_they_were_asked() {
    let server = MailServer::start();
    let mut world = World::with_environments::<106>().with_mail(server.smtp());
    let two = DOCUMENTS.replace("count: 1", "count: 2");
    world.apply(&two).unwrap();
    person(&world, "grace", "grace@example.com", manager().id);
    // She pushed what waits, so her word would be her own.
    person(&world, "ada", "ada@example.com", developer().id);
    let text = "project: shop\n\
        channels: { managers: { email: { to: ['@grace', '@ada'], links: true } } }\n\
        routes: [{ on: needs-people, environments: [production], to: managers }]\n";
    apply(&world, text);
    let version = world.release(1, &[("towpath.yaml", PIPELINE)]);
    let waiting = world.waiting("production", &version);
    let first = link(&mut world, &server, "grace@example.com", "");
    world.until("both mails", |_| (server.taken().len() == 2).then_some(()));
    let own = server.taken().into_iter().find(|mail| mail.to == ["ada@example.com"]).unwrap();
    assert!(!own.text.contains("decide?link"), "nobody approves their own: {}", own.text);

    let asked = world.run(world.engine.asked_by_link(&first)).unwrap();
    assert_eq!((asked.person.login.as_str(), asked.promotion.id), ("grace", waiting.id));
    let votes = |world: &World| world.environment("production").environment.waiting.unwrap().votes.len();
    assert_eq!(votes(&world), 0, "looking is not deciding");
    let decide = |world: &World, link: &str| {
        world.run(world.engine.decide_by_link(link, true, "looks good")).map(drop).map_err(|e| e.to_string())
    };
    let flipped: String = first.chars().rev().collect();
    for broken in ["", "x", &first[..first.len() - 2], &flipped] {
        let refused = decide(&world, broken).unwrap_err();
        assert!(refused.contains("is not whole, or this server did not write it"), "{broken}: {refused}");
    }

    // Another policy is another question; who was asked is asked anew.
    world.apply(&two.replace("count: 2", "count: 2, expires: 12h")).unwrap();
    let second = link(&mut world, &server, "grace@example.com", &first);
    let refused = decide(&world, &first).unwrap_err();
    assert!(refused.contains("has changed since this link was written"), "{refused}");

    // What counts are the roles at the time of the word.
    let change_role = |world: &World, gives: bool| {
        let by = By { actor: "user:admin", at: world.now() };
        world.run(async {
            let mut tx = world.engine.db().begin_write().await.unwrap();
            let user = users::by_login(&mut tx, "grace").await.unwrap().unwrap();
            if gives {
                grants::give(&mut tx, &user, &manages(), by).await.unwrap();
            } else {
                grants::take(&mut tx, &user, &manages(), by).await.unwrap();
            }
            tx.commit().await.unwrap();
        });
    };
    change_role(&world, false);
    assert_eq!(decide(&world, &second), Err("grace has no role in shop any more".to_owned()));
    change_role(&world, true);
    assert_eq!(decide(&world, &second), Ok(()));
    assert_eq!(votes(&world), 1);
    let refused = decide(&world, &second).unwrap_err();
    assert!(refused.contains("a link works once"), "{refused}");
    assert_eq!(world.count("link-used"), 1);
    world.pass(jiff::SignedDuration::from_hours(73));
    let refused = decide(&world, &second).unwrap_err();
    assert!(refused.contains("this link worked until"), "{refused}");
}
