//! An environment that poisons: CVE-2024-41121 and its kin, in which a variable of a job reached a process with more
//! rights than the job.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::process::Command;

use towpath_api::agent::StepOrder;

use crate::support::{Bench, step};
use crate::walls;

/// A library that writes where no Step may, as soon as any program loads it.
#[test]
fn have_a_library_loaded_before_the_walls_stand() {
    for isolation in walls() {
        let mut bench = Bench::new(isolation);
        let victim = bench.root.path().join("victim");
        let code = format!(
            "#include <stdio.h>\n__attribute__((constructor)) static void go(void) {{ FILE *f = fopen(\"{}\", \"w\"); \
             if (f) {{ fputs(\"ESCAPED\", f); fclose(f); }} }}\n",
            victim.display()
        );
        let (source, library) = (bench.root.path().join("evil.c"), bench.source().join("evil.so"));
        fs::write(&source, code).unwrap();
        let built = Command::new("cc").args(["-shared", "-fPIC", "-o"]).arg(&library).arg(&source).status();
        if !built.is_ok_and(|status| status.success()) {
            eprintln!("SKIPPED: no C compiler; `apt install gcc`");
            return;
        }
        // The control: it does what it says.
        let loaded = Command::new("/bin/true").env("LD_PRELOAD", &library).status().unwrap();
        assert!(loaded.success() && victim.exists());
        fs::remove_file(&victim).unwrap();
        for value in ["./evil.so", library.to_str().unwrap()] {
            bench.env.insert("LD_PRELOAD".to_owned(), value.to_owned());
            let (_, recorder) = bench.run(&[step("echo ran")]);
            assert!(!victim.exists(), "{value}: {}", recorder.text());
        }
    }
}

/// `PATH`, `BASH_ENV`, `ENV`, `GIT_*` and others take effect behind the walls only.
#[test]
fn have_the_agent_start_a_program_of_the_job() {
    for isolation in walls() {
        let mut bench = Bench::new(isolation);
        let victim = bench.root.path().join("victim");
        let evil = format!("#!/bin/sh\necho gone 2>/dev/null >{}\nexec /bin/sh \"$@\"\n", victim.display());
        fs::create_dir(bench.source().join("bin")).unwrap();
        for name in ["sh", "bwrap", "git", "env"] {
            let path = bench.source().join("bin").join(name);
            fs::write(&path, &evil).unwrap();
            fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
        }
        for (name, value) in [
            ("PATH", "./bin:/usr/bin:/bin"),
            ("ENV", "./bin/sh"),
            ("BASH_ENV", "./bin/sh"),
            ("GIT_SSH_COMMAND", "./bin/sh"),
            ("GIT_EXEC_PATH", "./bin"),
            ("LD_LIBRARY_PATH", "./bin"),
            ("LD_AUDIT", "./bin/sh"),
            ("GCONV_PATH", "./bin"),
            ("PYTHONPATH", "./bin"),
            ("NODE_OPTIONS", "--require ./bin/sh"),
        ] {
            bench.env.insert(name.to_owned(), value.to_owned());
        }
        let bash = StepOrder { shell: Some(vec!["bash".to_owned()]), ..step("echo second") };
        bench.run(&[step("echo first"), bash]);
        assert!(!victim.exists());
    }
}

/// CVE-2020-15228: outputs are data for whoever asks for them, never environment of the next Step.
#[test]
fn set_the_environment_of_the_next_step_by_outputs_or_by_printing() {
    for isolation in walls() {
        let bench = Bench::new(isolation);
        let set = "echo LD_PRELOAD=./evil.so >>\"$TOWPATH_OUTPUT\"; echo PATH=/nowhere >>\"$TOWPATH_OUTPUT\"; \
                   echo '::set-env name=BASH_ENV::evil'; echo '##vso[task.setvariable variable=BASH_ENV]evil'";
        let check = step("test -z \"${LD_PRELOAD-}${BASH_ENV-}\" && ls /usr >/dev/null && echo clean");
        let (ended, recorder) = bench.run(&[step(set), check]);
        assert!(recorder.text().ends_with("clean"), "{} {}", ended.message, recorder.text());
    }
}

/// CVE-2022-39321: whatever a value holds, it arrives as it is and as nothing else.
#[test]
fn break_out_of_a_value() {
    let hostile = "a\nTOWPATH_URL=evil\n--bind / /\n\"$(touch hacked)`touch hacked`' =x";
    for isolation in walls() {
        let mut bench = Bench::new(isolation);
        bench.env.insert("VALUE".to_owned(), hostile.to_owned());
        bench.env.insert("EMPTY".to_owned(), String::new());
        let script = "test -z \"${TOWPATH_URL-}\" && test ! -e hacked && test \"${EMPTY-unset}\" = '' && printf %s \"$VALUE\"";
        let (ended, recorder) = bench.run(&[step(script)]);
        assert_eq!(recorder.text(), hostile, "{}", ended.message);
    }
}

#[test]
fn read_the_secrets_of_a_job_in_a_command_line() {
    for isolation in walls() {
        let name = isolation.name();
        let mut bench = Bench::new(isolation);
        let secret = "correct-horse-battery";
        bench.secrets.insert("TOKEN".to_owned(), towpath_api::agent::Secret::new(secret.to_owned()));
        let found = std::sync::atomic::AtomicBool::new(false);
        let done = std::sync::atomic::AtomicBool::new(false);
        std::thread::scope(|scope| {
            scope.spawn(|| {
                while !done.load(std::sync::atomic::Ordering::Relaxed) {
                    let entries = fs::read_dir("/proc").unwrap().flatten();
                    let mut lines = entries.filter_map(|entry| fs::read(entry.path().join("cmdline")).ok());
                    if lines.any(|line| String::from_utf8_lossy(&line).contains(secret)) {
                        found.store(true, std::sync::atomic::Ordering::Relaxed);
                    }
                }
            });
            bench.run(&[step("sleep 0.3; test -n \"$TOKEN\"")]);
            done.store(true, std::sync::atomic::Ordering::Relaxed);
        });
        assert!(!found.into_inner(), "{name}: everybody on the host can read command lines");
    }
}
