//! Reading and writing what is not the Attempt's.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;

use towpath_api::agent::{AttemptOutcome, StepOrder};

use crate::support::{Bench, step};
use crate::{Control, SIGN, must_fail, walls};

fn nothing(_: &mut Bench) {}

#[test]
fn read_the_data_of_the_server() {
    must_fail(Control::ComesThrough, nothing, |bench| {
        format!("grep -q 'top secret' {}/keys/release.key && echo {SIGN}", bench.data().display())
    });
}

#[test]
fn read_a_key_in_the_home_of_the_agents_user() {
    let plant = |bench: &mut Bench| {
        fs::create_dir_all(bench.root.path().join("home/.ssh")).unwrap();
        fs::write(bench.root.path().join("home/.ssh/id_ed25519"), "private").unwrap();
    };
    must_fail(Control::ComesThrough, plant, |bench| {
        format!("grep -q private {}/home/.ssh/id_ed25519 && echo {SIGN}", bench.root.path().display())
    });
    must_fail(Control::NotTried, nothing, |_| {
        format!("for home in /root /home/*; do ls -A $home/.ssh 2>/dev/null && echo {SIGN}; done; true")
    });
}

#[test]
fn read_the_workspace_of_another_job() {
    let plant = |bench: &mut Bench| {
        let other = bench.runner.work.join(uuid::Uuid::new_v4().to_string()).join("source");
        fs::create_dir_all(&other).unwrap();
        fs::write(other.join("secret"), "of another").unwrap();
    };
    must_fail(Control::ComesThrough, plant, |bench| {
        format!("grep -rqs 'of another' {} && echo {SIGN}", bench.runner.work.display())
    });
}

#[test]
fn read_password_hashes_and_host_keys() {
    must_fail(Control::NotTried, nothing, |_| {
        format!(
            "grep -q root /etc/shadow && echo {SIGN}; grep -q PRIVATE /etc/ssh/*_key && echo {SIGN}; true"
        )
    });
}

#[test]
fn write_to_the_system() {
    must_fail(Control::NotTried, nothing, |_| {
        let probe = format!("towpath-probe-{}", std::process::id());
        format!(
            "for d in / /usr /etc /opt /var /run /boot; do echo x 2>/dev/null >$d/{probe} && echo {SIGN}; done; true"
        )
    });
}

#[test]
fn write_a_file_beside_the_workspace() {
    must_fail(
        Control::ComesThrough,
        |bench| fs::write(bench.root.path().join("victim"), "untouched").unwrap(),
        |bench| format!("echo gone > {}/victim && echo {SIGN}", bench.root.path().display()),
    );
}

#[test]
fn change_settings_of_the_kernel() {
    // Writes what stands there, so that it does no harm where it succeeds.
    must_fail(Control::NotTried, nothing, |_| {
        format!(
            "for f in /proc/sys/kernel/core_pattern /proc/sys/kernel/hostname /proc/sys/vm/swappiness; do \
             v=$(cat $f); echo \"$v\" >$f && echo {SIGN}; done; \
             for f in /proc/sysrq-trigger /proc/mtrr; do [ ! -e $f ] || (: >>$f) && [ -e $f ] && echo {SIGN}; done; true"
        )
    });
}

#[test]
fn go_out_through_the_root_of_another_process() {
    must_fail(Control::NotTried, nothing, |bench| {
        format!(
            "for p in /proc/[0-9]*; do grep -q 'top secret' $p/root{0}/keys/release.key 2>/dev/null && echo {SIGN}; \
             ls $p/cwd/../../../keys 2>/dev/null && echo {SIGN}; done; true",
            bench.data().display()
        )
    });
}

#[test]
fn make_a_device() {
    must_fail(Control::NotTried, nothing, |_| {
        format!("mknod disk b 254 0 && echo {SIGN}; mknod mem c 1 1 && echo {SIGN}")
    });
}

#[test]
fn open_a_device_of_the_host() {
    must_fail(Control::NotTried, nothing, |_| {
        format!(
            "for d in /dev/vda /dev/sda /dev/mem /dev/kmsg /dev/fuse /dev/kvm /dev/loop-control; do (: <$d) && echo {SIGN}; done; true"
        )
    });
}

#[test]
fn change_what_the_next_step_runs() {
    for isolation in walls() {
        let bench = Bench::new(isolation);
        let swap = "cd \"$HOME/..\"; echo 'echo ESCAPED' > steps/1.sh; mv steps away; mkdir steps; echo 'echo ESCAPED' >steps/1.sh; true";
        let by_file = |script| StepOrder { shell: Some(vec!["sh".to_owned()]), ..step(script) };
        let (_, recorder) = bench.run(&[by_file(swap), by_file("echo honest")]);
        assert!(!recorder.text().contains(SIGN), "{}", recorder.text());
        assert!(recorder.text().ends_with("honest"), "{}", recorder.text());
    }
}

/// The agent writes scripts and makes files for outputs with rights that no Step has.
#[test]
fn lead_the_agents_hand_elsewhere_by_a_link() {
    for isolation in walls() {
        let bench = Bench::new(isolation);
        let victim = bench.root.path().join("victim");
        fs::write(&victim, "untouched").unwrap();
        let plant = format!(
            "cd \"$HOME/..\"; for n in 1 2; do ln -sf {0} steps/$n.sh; ln -sf {0} steps/$n.outputs; ln -sf {0} outputs/$n; done; true",
            victim.display()
        );
        let by_file = |script| StepOrder { shell: Some(vec!["sh".to_owned()]), ..step(script) };
        let (ended, recorder) = bench.run(&[by_file(&plant), by_file("echo second"), step("echo third")]);
        assert_eq!(fs::read_to_string(&victim).unwrap(), "untouched");
        assert_eq!(ended.outcome, AttemptOutcome::Passed, "{} {}", ended.message, recorder.text());
    }
}

#[test]
fn have_the_agent_read_a_file_of_the_host_as_outputs() {
    for isolation in walls() {
        let bench = Bench::new(isolation);
        let secret = bench.root.path().join("secret");
        fs::write(&secret, "KEY=value-of-the-host").unwrap();
        let link = format!("ln -sf {} \"$TOWPATH_OUTPUT\"", secret.display());
        let (ended, _) = bench.run(&[step(&link)]);
        assert_eq!(ended.outputs, BTreeMap::new());
        // A pipe would let the reader wait for ever.
        let (ended, _) = bench.run(&[step("rm \"$TOWPATH_OUTPUT\"; mkfifo \"$TOWPATH_OUTPUT\"")]);
        assert_eq!(ended.outcome, AttemptOutcome::Errored, "{}", ended.message);
    }
}

#[test]
fn start_the_next_step_outside_by_a_link_for_its_directory() {
    for isolation in walls() {
        let bench = Bench::new(isolation);
        let data = bench.data().join("keys");
        let out = StepOrder { directory: Some("way".to_owned()), ..step("cat release.key && echo ESCAPED") };
        let (_, recorder) = bench.run(&[step(&format!("ln -s {} way", data.display())), out]);
        assert!(!recorder.text().contains("top secret"), "{}", recorder.text());
    }
}

#[test]
fn write_into_its_own_log() {
    for isolation in walls() {
        let bench = Bench::new(isolation);
        let (_, recorder) = bench.run(&[step("echo forged >\"$HOME/../../log\" && echo ESCAPED; true")]);
        assert!(!recorder.text().contains(SIGN), "{}", recorder.text());
    }
}

#[test]
fn leave_a_program_that_makes_its_caller_another_user() {
    for isolation in walls() {
        let bench = Bench::new(isolation);
        fs::write(bench.source().join("tool"), "#!/bin/sh\nid -u").unwrap();
        fs::set_permissions(bench.source().join("tool"), fs::Permissions::from_mode(0o4755)).unwrap();
        let script = "grep -q '^NoNewPrivs:.1' /proc/self/status || echo ESCAPED; \
                      grep -E '^Cap(Eff|Prm|Bnd|Inh|Amb):' /proc/self/status | grep -qv ':.0000000000000000' && echo ESCAPED; true";
        let (ended, recorder) = bench.run(&[step(script)]);
        assert_eq!(ended.outcome, AttemptOutcome::Passed, "{}", ended.message);
        assert!(!recorder.text().contains(SIGN), "{}", recorder.text());
    }
}
