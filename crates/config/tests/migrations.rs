//! Directories of migrations: their order, and what stands in the way, as a person sees it.

use expect_test::{Expect, expect};
use towpath_config::diagnostic::{Colour, render_all};
use towpath_config::migrations::{MigrationFile, read_migrations};
use towpath_model::migration::{Database, Dialect};

fn read(files: &[(&str, &str)]) -> (Database, String) {
    let name = "shop".parse().expect("a name");
    let migrations = "db/migrations".to_owned();
    let mut database = Database { name, dialect: Dialect::Postgresql, migrations, found: Vec::new() };
    let file = |(name, text): &(&str, &str)| MigrationFile {
        name: (*name).to_owned(),
        bytes: text.as_bytes().to_vec(),
    };
    let files: Vec<MigrationFile> = files.iter().map(file).collect();
    let diagnostics = read_migrations(&mut database, &files);
    (database, render_all(&diagnostics, Colour::No))
}

fn check(files: &[(&str, &str)], expected: &Expect) {
    expected.assert_eq(&read(files).1);
}

#[test]
fn they_apply_in_the_order_of_their_numbers_with_their_phases() {
    let (database, told) = read(&[
        (
            "10_drop.sql",
            "-- towpath: phase contract\n-- towpath: allow data-loss, exported on 2026-03-02\n-- towpath: allow break, nothing reads it since 1.4.0\nALTER TABLE t DROP COLUMN a;",
        ),
        ("9_fill.sql", "UPDATE t SET b = a WHERE id < 1000;"),
        ("2_add.up.sql", "ALTER TABLE t ADD COLUMN b int;"),
        ("2_add.down.sql", "ALTER TABLE t DROP COLUMN b;"),
        ("README.md", "not SQL"),
    ]);
    assert_eq!(told, "");
    let order: Vec<String> = database.found.iter().map(|it| format!("{} {}", it.label(), it.phase)).collect();
    assert_eq!(order, ["2 add expand", "9 fill migrate", "10 drop contract"]);
    assert_eq!(database.found.iter().map(|it| it.undo.is_some()).collect::<Vec<_>>(), [true, false, false]);
}

#[test]
fn what_breaks_running_code_says_so_and_names_the_way_without() {
    check(
        &[("1_a.sql", "ALTER TABLE t RENAME COLUMN a TO b;\nCREATE INDEX i ON t (b);\n")],
        &expect![[r#"
        error[migration-break]: code that runs now asks for column a of t by its old name
         --> db/migrations/1_a.sql:1:1
          |
        1 | ALTER TABLE t RENAME COLUMN a TO b;
          | ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^
          |
          = help: add the new one, write both, copy what is there, and drop the old one in a later Release
          = help: once no code needs it any more: `-- towpath: phase contract` in the first line of the migration

        error[migration-lock]: nobody can write to t until the index is built
         --> db/migrations/1_a.sql:2:1
          |
        2 | CREATE INDEX i ON t (b);
          | ^^^^^^^^^^^^^^^^^^^^^^^
          |
          = help: CREATE INDEX CONCURRENTLY, in a migration of its own and outside a transaction
          = help: or say why it does no harm, in a line before it: `-- towpath: allow lock, REASON`

    "#]],
    );
}

#[test]
fn what_is_declared_contract_only_warns() {
    check(
        &[("1_a.sql", "-- towpath: phase contract\nDROP TABLE t;\n")],
        &expect![[r#"
        warning[migration-data-loss]: table t and all that it holds is gone; no undo script brings it back; after it there is no way back
         --> db/migrations/1_a.sql:2:1
          |
        2 | DROP TABLE t;
          | ^^^^^^^^^^^^

        warning[migration-break]: code that runs now may still use table t; after it there is no way back
         --> db/migrations/1_a.sql:2:1
          |
        2 | DROP TABLE t;
          | ^^^^^^^^^^^^

    "#]],
    );
}

#[test]
fn file_names_that_say_no_place_and_places_taken_twice_are_errors() {
    check(
        &[
            ("add_note.sql", "SELECT 1;"),
            ("3_a.sql", "SELECT 1;"),
            ("003_b.sql", "SELECT 1;"),
            ("4_c.down.sql", "SELECT 1;"),
            ("5_d.sql", "-- towpath: allow everything\nSELECT 1;"),
        ],
        &expect![[r#"
            error[migration-comment]: this comment to Towpath cannot be understood: `everything` is no risk: write data-loss, break, lock or unread
             --> db/migrations/5_d.sql:1:1
              |
            1 | -- towpath: allow everything
              | ^^^^^^^^^^^^^^^^^^^^^^^^^^^^
              |
              = help: there are `-- towpath: phase expand|migrate|contract` and `-- towpath: allow RISK, REASON`

            error[migration-name]: the name of this file does not say where it stands in the order
            --> db/migrations/add_note.sql
             = help: for example `0007_add_note.sql`, with `0007_add_note.down.sql` to take it back; or Flyway's `V7__add_note.sql`

            error[migration-twice]: version 003 is also that of db/migrations/3_a.sql
            --> db/migrations/003_b.sql
             = help: give the later one the next free version

            error[migration-undo]: this file takes back a migration that is not there
            --> db/migrations/4_c.down.sql
             = help: add the one that applies version 4, or remove this file

        "#]],
    );
}
