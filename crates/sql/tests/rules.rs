//! What statements do, dialect by dialect: the phase, the kinds of risk, and nothing for what is harmless.

use towpath_model::migration::{Dialect, Phase};
use towpath_sql::{RiskKind, Script, read};

fn kinds(script: &Script) -> Vec<&'static str> {
    script.statements.iter().flat_map(|statement| &statement.risks).map(|risk| risk.kind.word()).collect()
}

/// Each statement alone, with the phase and the risks that it must have.
fn check(dialect: Dialect, cases: &[(&str, Phase, &[&str])]) {
    for (sql, phase, risks) in cases {
        let script = read(dialect, sql);
        assert_eq!((script.phase(), kinds(&script).as_slice()), (*phase, *risks), "{sql}\n{script:#?}");
    }
}

#[test]
fn postgresql_knows_what_waits_and_what_breaks() {
    use Phase::{Contract, Expand, Migrate};
    check(
        Dialect::Postgresql,
        &[
            ("CREATE TABLE orders (id bigserial PRIMARY KEY, note text NOT NULL)", Expand, &[]),
            ("ALTER TABLE orders ADD COLUMN note text", Expand, &[]),
            ("ALTER TABLE orders ADD COLUMN note text NOT NULL DEFAULT 'x'", Expand, &[]),
            ("ALTER TABLE orders ADD COLUMN at timestamptz NOT NULL DEFAULT now()", Expand, &[]),
            ("ALTER TABLE orders ADD COLUMN note text NOT NULL", Contract, &["break"]),
            ("ALTER TABLE orders ADD COLUMN id uuid DEFAULT gen_random_uuid()", Expand, &["lock"]),
            ("ALTER TABLE orders ADD COLUMN place bigserial", Expand, &["lock"]),
            ("ALTER TABLE orders DROP COLUMN note", Contract, &["data-loss", "break"]),
            ("ALTER TABLE orders RENAME COLUMN note TO remark", Contract, &["break"]),
            ("ALTER TABLE orders RENAME TO purchases", Contract, &["break"]),
            ("ALTER TABLE orders ALTER COLUMN note SET NOT NULL", Contract, &["break", "lock"]),
            ("ALTER TABLE orders ALTER COLUMN note DROP NOT NULL", Expand, &[]),
            ("ALTER TABLE orders ALTER COLUMN id TYPE bigint", Contract, &["break", "lock"]),
            ("ALTER TABLE orders ALTER COLUMN note TYPE text", Expand, &[]),
            ("ALTER TABLE orders ADD CONSTRAINT c CHECK (total > 0)", Contract, &["break", "lock"]),
            ("ALTER TABLE orders ADD CONSTRAINT c CHECK (total > 0) NOT VALID", Contract, &["break"]),
            ("ALTER TABLE orders VALIDATE CONSTRAINT c", Expand, &[]),
            ("ALTER TABLE orders DROP CONSTRAINT c", Expand, &[]),
            ("CREATE INDEX i ON orders (note)", Expand, &["lock"]),
            ("CREATE INDEX CONCURRENTLY i ON orders (note)", Expand, &[]),
            ("DROP INDEX i", Expand, &["lock"]),
            ("DROP INDEX CONCURRENTLY i", Expand, &[]),
            ("DROP TABLE orders", Contract, &["data-loss", "break"]),
            ("DROP VIEW totals", Contract, &["break"]),
            ("TRUNCATE orders", Contract, &["data-loss"]),
            ("DELETE FROM orders", Contract, &["data-loss"]),
            ("DELETE FROM orders WHERE at < now() - interval '1 year'", Migrate, &[]),
            ("UPDATE orders SET note = ''", Migrate, &["lock"]),
            ("UPDATE orders SET note = '' WHERE id BETWEEN 1 AND 1000", Migrate, &[]),
            ("INSERT INTO orders (note) VALUES ('; DROP TABLE orders;')", Migrate, &[]),
            ("ALTER TYPE colour ADD VALUE 'green'", Expand, &[]),
            ("LOCK TABLE orders", Expand, &["lock"]),
            ("VACUUM FULL orders", Expand, &["lock"]),
            (
                "CREATE FUNCTION f() RETURNS trigger AS $$ BEGIN DELETE FROM orders; RETURN NEW; END; $$ LANGUAGE plpgsql",
                Expand,
                &[],
            ),
            ("\\connect shop", Expand, &["unread"]),
        ],
    );
}

#[test]
fn mysql_builds_indexes_while_others_write() {
    use Phase::{Contract, Expand};
    check(
        Dialect::Mysql,
        &[
            ("ALTER TABLE `orders` ADD COLUMN `note` varchar(20)", Expand, &[]),
            ("CREATE INDEX i ON orders (note)", Expand, &[]),
            ("ALTER TABLE orders MODIFY COLUMN note varchar(10) NOT NULL", Contract, &["break", "lock"]),
            ("ALTER TABLE orders CHANGE COLUMN note remark varchar(20)", Contract, &["break", "lock"]),
            ("RENAME TABLE orders TO purchases", Contract, &["break"]),
            ("LOCK TABLES orders WRITE", Expand, &["lock"]),
        ],
    );
}

#[test]
fn sqlite_has_one_writer_anyway() {
    use Phase::{Contract, Expand, Migrate};
    check(
        Dialect::Sqlite,
        &[
            ("CREATE INDEX i ON orders (note)", Expand, &[]),
            ("UPDATE orders SET note = ''", Migrate, &[]),
            ("ALTER TABLE orders DROP COLUMN note", Contract, &["data-loss", "break"]),
            ("PRAGMA foreign_keys = ON", Expand, &[]),
            (
                "CREATE TRIGGER t AFTER INSERT ON orders BEGIN UPDATE log SET n = CASE WHEN n > 1 THEN 1 ELSE 2 END; DELETE FROM old; END",
                Expand,
                &[],
            ),
        ],
    );
}

#[test]
fn what_a_file_makes_itself_it_may_change() {
    let sql = "CREATE TABLE \"Orders\" (id int); CREATE INDEX i ON orders (id); ALTER TABLE orders ADD CHECK (id > 0); DROP TABLE orders;";
    let script = read(Dialect::Postgresql, sql);
    assert_eq!((script.phase(), script.statements.len()), (Phase::Expand, 4));
    assert!(kinds(&script).is_empty(), "{script:#?}");
}

#[test]
fn one_unreadable_statement_hides_no_other() {
    let script = read(Dialect::Postgresql, "DROP TABLE a;\nFROBNICATE b;\nDROP TABLE c;\nSELECT 'open");
    assert_eq!(kinds(&script), ["data-loss", "break", "unread", "data-loss", "break", "unread"]);
    let second = &script.statements[1];
    assert_eq!(second.span, 14..26);
}

#[test]
fn comments_declare_the_phase_and_allow_risks_with_a_reason() {
    let sql = "-- towpath: phase contract\n-- towpath: allow lock, the table has 40 rows\nALTER TABLE t ALTER COLUMN c SET NOT NULL;\nDROP INDEX i;\n";
    let script = read(Dialect::Postgresql, sql);
    assert_eq!(script.declared, Some((Phase::Contract, 0..26)));
    let risks: Vec<_> = script
        .statements
        .iter()
        .flat_map(|it| &it.risks)
        .map(|it| (it.kind, it.allowed.as_deref()))
        .collect();
    assert_eq!(
        risks,
        [(RiskKind::Break, None), (RiskKind::Lock, Some("the table has 40 rows")), (RiskKind::Lock, None)],
        "what is allowed is allowed for the next statement alone"
    );
    let script = read(
        Dialect::Postgresql,
        "-- towpath: phase later\n-- towpath: allow lock\n-- towpath: pray\nSELECT 1",
    );
    let reasons: Vec<&str> = script.misunderstood.iter().map(|it| it.reason.as_str()).collect();
    assert_eq!(
        reasons,
        [
            "`later` is no phase: write expand, migrate or contract",
            "say why: `-- towpath: allow lock, the table has 40 rows`",
            "`pray` means nothing here: write `phase` or `allow`"
        ]
    );
}

#[test]
fn any_text_is_read_to_its_end_in_time() {
    let deep = "(".repeat(20_000);
    let long = "SELECT 'é' ; ".repeat(20_000);
    for text in [deep.as_str(), long.as_str(), "", ";;;", "\u{0}", "/* open", "-- only a comment"] {
        let script = read(Dialect::Postgresql, text);
        assert!(script.statements.iter().all(|statement| text.get(statement.span.clone()).is_some()));
    }
}
