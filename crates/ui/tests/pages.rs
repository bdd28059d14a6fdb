//! What holds for every page: it renders, escapes, links to what exists, and needs nothing inline.

#[path = "../examples/gallery/fixture.rs"]
mod fixture;

use fixture::{HOSTILE, Moment};
use jiff::Timestamp;
use towpath_ui::view::*;
use towpath_ui::{asset, assets, page, routes};

fn moment() -> Moment {
    Moment(Timestamp::from_second(1_795_000_000).expect("a time after 1970"))
}

/// Every page with much to show, by name.
fn rich() -> Vec<(&'static str, String)> {
    let moment = moment();
    let mut pages = vec![
        ("overview", page::overview(&moment.overview())),
        ("project", page::project(&moment.project())),
        ("run", page::run(&moment.run())),
        ("invalid run", page::run(&moment.invalid_run())),
        ("imported run", page::run(&moment.imported_run())),
        ("release", page::release(&moment.release())),
        ("tests", page::tests(&moment.tests())),
        ("test", page::test(&moment.test())),
        ("caches", page::caches(&moment.caches())),
        ("notifications", page::notifications(&moment.notifications())),
        ("insights", page::insights(&moment.insights())),
        ("promotion", page::promotion(&moment.promotion())),
        ("rolled back", page::promotion(&moment.rolled_back())),
        ("environment", page::environment(&moment.environment())),
        ("timeline", page::timeline(&moment.timeline())),
        ("approvals", page::approvals(&moment.approvals())),
        ("agents", page::agents(&moment.agents())),
        ("queue", page::queue(&moment.queue())),
        ("users", page::users(&moment.users())),
        ("account", page::account(&moment.account())),
        ("doctor", page::doctor(&moment.doctor())),
        ("sign in", page::sign_in(&moment.sign_in())),
        ("setup", page::setup(&moment.setup())),
        ("decide", page::decide(&moment.decide())),
    ];
    pages.extend(
        [400, 401, 403, 404, 409, 429, 500, 503].map(|status| ("error", page::error(&moment.error(status)))),
    );
    pages.into_iter().map(|(name, html)| (name, html.into_string())).collect()
}

/// Every page with as little as it can have.
fn bare() -> Vec<(&'static str, String)> {
    let moment = moment();
    let shell = || moment.stranger();
    let run = RunView {
        shell: shell(),
        jobs: vec![],
        reason: None,
        started: None,
        finished: None,
        actions: vec![],
        ..moment.run()
    };
    let release = ReleaseView {
        shell: shell(),
        run: None,
        artifacts: vec![],
        workloads: vec![],
        evidence: vec![],
        journey: vec![],
        actions: vec![],
        ..moment.release()
    };
    let promotion = PromotionView {
        shell: shell(),
        previous: None,
        gates: vec![],
        told: vec![],
        approvals: vec![],
        rollout: None,
        checks: vec![],
        decisions: vec![],
        actions: vec![],
        ..moment.promotion()
    };
    let environment = EnvironmentView {
        shell: shell(),
        current: None,
        rollout: None,
        waiting: vec![],
        instances: vec![],
        policies: vec![],
        history: vec![],
        values: vec![],
        secrets: vec![],
        actions: vec![],
        health: State::Empty,
        ..moment.environment()
    };
    let project = ProjectView {
        triggers: TriggersView::default(),
        shell: shell(),
        route: vec![],
        runs: vec![],
        releases: vec![],
        holds: vec![],
        quarantined: vec![],
        ..moment.project()
    };
    let timeline = TimelineView {
        shell: shell(),
        entries: vec![],
        older: None,
        filter: TimelineFilter::default(),
        ..moment.timeline()
    };
    let notifications = NotificationsView {
        shell: shell(),
        document: None,
        channels: vec![],
        refused: Some("that needs the role admin".into()),
        alerts: vec![],
        told: vec![],
        ..moment.notifications()
    };
    vec![
        ("notifications", page::notifications(&notifications)),
        (
            "decide",
            page::decide(&DecideView { shell: shell(), done: Some("Approved.".into()), ..moment.decide() }),
        ),
        (
            "overview",
            page::overview(&OverviewView { shell: shell(), url: "http://x".into(), projects: vec![] }),
        ),
        ("project", page::project(&project)),
        ("run", page::run(&run)),
        ("release", page::release(&release)),
        ("promotion", page::promotion(&promotion)),
        ("environment", page::environment(&environment)),
        ("timeline", page::timeline(&timeline)),
        ("approvals", page::approvals(&ApprovalsView { shell: shell(), waiting: vec![], policies: vec![] })),
        (
            "agents",
            page::agents(&AgentsView {
                shell: shell(),
                agents: vec![],
                join: None,
                may_join: false,
                pools: vec![],
            }),
        ),
        (
            "queue",
            page::queue(&QueueView {
                shell: shell(),
                waiting: vec![],
                waiting_in_all: 0,
                running: vec![],
                agents: 0,
                free: 0,
            }),
        ),
        ("account", page::account(&AccountView { shell: shell(), tokens: vec![], ..moment.account() })),
        ("doctor", page::doctor(&DoctorView { shell: shell(), findings: vec![], ..moment.doctor() })),
    ]
    .into_iter()
    .map(|(name, html)| (name, html.into_string()))
    .collect()
}

/// The values of an attribute.
fn values<'a>(html: &'a str, attribute: &str) -> Vec<&'a str> {
    let start = format!(" {attribute}=\"");
    html.split(&start).skip(1).filter_map(|rest| rest.split('"').next()).collect()
}

/// Whether a path is one that the server knows.
fn known(path: &str) -> bool {
    let path = path.split(['?', '#']).next().unwrap_or_default();
    let parts: Vec<&str> = path.split('/').collect();
    routes::TEMPLATES.iter().any(|template| {
        let template: Vec<&str> = template.split('/').collect();
        template.len() == parts.len()
            && template
                .iter()
                .zip(&parts)
                .all(|(known, part)| if known.starts_with('{') { !part.is_empty() } else { known == part })
    })
}

#[test]
fn every_page_renders_much_and_little() {
    for (name, html) in rich().into_iter().chain(bare()) {
        assert!(
            html.starts_with("<!DOCTYPE html>") && html.ends_with("</html>"),
            "{name} is not a whole document"
        );
        assert_eq!(html.matches("<h1").count(), 1, "{name} has not exactly one heading");
        assert!(html.contains("id=\"main\""), "{name} has nothing to skip to");
    }
}

#[test]
fn what_people_write_never_becomes_markup() {
    let moment = moment();
    let hostile = |html: maud::Markup| {
        let html = html.into_string();
        assert!(!html.contains("<script>alert"), "markup got through: {html}");
        assert!(html.contains("&lt;script&gt;alert"), "the text was lost");
    };
    hostile(page::project(&moment.project()));
    hostile(page::environment(&moment.environment()));
    hostile(page::timeline(&moment.timeline()));
    hostile(page::tests(&moment.tests()));
    let mut run = moment.run();
    run.jobs[0].name = HOSTILE.into();
    run.jobs[1].needs = vec![HOSTILE.into()];
    run.commit.subject = HOSTILE.into();
    run.reason = Some(HOSTILE.into());
    hostile(page::run(&run));
    let mut promotion = moment.promotion();
    promotion.approvals[0].comment = HOSTILE.into();
    promotion.actions[0].consequence = HOSTILE.into();
    hostile(page::promotion(&promotion));
}

#[test]
fn every_link_and_every_form_leads_somewhere() {
    for (name, html) in rich().into_iter().chain(bare()) {
        for attribute in ["href", "action", "src", "data-log", "data-series"] {
            for address in values(&html, attribute) {
                let inside = address.starts_with('/') && !address.starts_with("//");
                let fine = address.starts_with('#')
                    || address == "http://127.0.0.1:8080/"
                    || (inside && known(address));
                assert!(fine, "{name}: {attribute}=\"{address}\" leads nowhere");
            }
        }
        for address in values(&html, "src")
            .into_iter()
            .chain(values(&html, "href"))
            .filter(|address| address.starts_with("/assets/"))
        {
            assert!(asset(address).is_some_and(|asset| asset.immutable), "{name} refers to {address}");
        }
    }
}

#[test]
fn every_form_that_changes_something_carries_the_token() {
    for (name, html) in rich() {
        for form in html.split("<form").skip(1).filter_map(|rest| rest.split("</form>").next()) {
            let changes = form.contains("method=\"post\"");
            assert_eq!(changes, form.contains("name=\"csrf\" value=\"c5rf\""), "{name}: {form}");
        }
    }
}

#[test]
fn nothing_is_inline() {
    for (name, html) in rich() {
        assert!(values(&html, "style").is_empty() && !html.contains("<style"), "{name} has inline style");
        let inline = html
            .split("<script")
            .skip(1)
            .filter(|rest| !rest.contains("src=") && !rest.starts_with(" type=\"application/json\""))
            .count();
        let scripts = html.matches("<script").count();
        assert!(scripts >= 2 && inline == 0, "{name} has an inline script");
        for handler in [" onclick=", " onload=", " onsubmit=", "javascript:"] {
            assert!(!html.contains(handler), "{name} has {handler}");
        }
    }
}

#[test]
fn regions_and_ids_are_unique() {
    for (name, html) in rich() {
        let mut ids = values(&html, "id");
        ids.sort_unstable();
        let doubled = ids.windows(2).find(|pair| pair[0] == pair[1]);
        assert!(doubled.is_none(), "{name} has two elements {doubled:?}");
        for region in html.split('<').filter(|tag| tag.contains(" data-region")) {
            assert!(region.contains(" id=\""), "{name}: a region without an id is never refreshed: {region}");
        }
    }
}

#[test]
fn a_refused_action_says_why_and_cannot_be_sent() {
    let html = page::run(&moment().run()).into_string();
    assert!(html.contains("The Run has ended."));
    assert!(!html.contains("/p/shop/runs/12/cancel"));
}

#[test]
fn the_run_page_picks_the_job_that_needs_a_look() {
    let view = moment().run();
    let shown = |view: &RunView| {
        page::run(view)
            .into_string()
            .split("aria-label=\"Job ")
            .nth(1)
            .and_then(|rest| rest.split('"').next())
            .map(str::to_owned)
    };
    assert_eq!(shown(&view).as_deref(), Some("test"));
    let asked = RunView { selected: Some("docs".into()), ..view.clone() };
    assert_eq!(shown(&asked).as_deref(), Some("docs"));
    let unknown = RunView { selected: Some("nope".into()), ..view };
    assert_eq!(shown(&unknown).as_deref(), Some("test"));
}

#[test]
fn a_rollback_says_exactly_what_will_happen() {
    let html = page::promotion(&moment().promotion()).into_string();
    assert!(html.contains("Traffic goes back to 1.0.1 within a second; 1.0.2 is quarantined"));
    assert!(html.contains(&format!(
        "action=\"{}\"",
        routes::act(&routes::promotion(fixture::PROMOTION), ActionKind::RollBack)
    )));
}

#[test]
fn a_page_has_the_parts_that_scripts_look_for() {
    let run = page::run(&moment().run()).into_string();
    for part in ["id=\"log\"", "class=\"log-lines\"", "id=\"steps\"", "data-line=\"1871\""] {
        assert!(run.contains(part), "the run page lacks {part}");
    }
    let promotion = page::promotion(&moment().promotion()).into_string();
    for part in ["id=\"charts\"", "data-field=\"p99\"", "\"candidate\":[{\"t\":"] {
        assert!(promotion.contains(part), "the promotion page lacks {part}");
    }
}

#[test]
fn the_log_has_the_line_that_the_page_jumps_to() {
    let log = fixture::stored_log();
    let lines = towpath_ui::log::lines(1, log.iter().map(String::as_str)).into_string();
    assert!(lines.contains("id=\"L1871\""), "the log ends before the line that the page jumps to");
}

#[test]
fn the_files_stay_small() {
    let total: usize = assets().map(|(_, asset)| asset.bytes.len()).sum();
    assert!(total < 120_000, "the page asks for {total} bytes before it shows anything");
}

#[test]
fn a_matrix_is_one_node_that_opens_to_its_cells() {
    let mut view = moment().run();
    let html = page::run(&view).into_string();
    assert!(html.contains("1 running") && html.contains("2 passed"), "the cells are not counted");
    assert!(html.contains("?job=e2e-chromium#job"), "the node does not lead to the cell that runs");
    assert!(
        !html.contains("<text x=\"") || !html.contains(">e2e-firefox</text>"),
        "a cell is drawn by itself"
    );
    view.selected = Some("e2e-webkit".into());
    assert!(
        page::run(&view).into_string().contains("<details class=\"cells\" open"),
        "the chosen cell is hidden"
    );
}
