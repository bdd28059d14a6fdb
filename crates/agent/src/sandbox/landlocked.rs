//! Confinement by Landlock: this program restricts itself, then becomes the Step's.

use std::ffi::OsString;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

use landlock::{
    ABI, Access as _, AccessFs, AccessNet, CompatLevel, Compatible as _, PathBeneath, PathFd, Ruleset,
    RulesetAttr as _, RulesetCreatedAttr as _, Scope,
};
use rustix::thread::{
    CapabilitySet, CapabilitySets, capabilities, remove_capability_from_bounding_set, set_capabilities,
};
use serde::{Deserialize, Serialize};

use crate::sandbox::{Policy, Refusal};

/// Devices that programs expect.
const DEVICES: &[&str] = &[
    "/dev/null",
    "/dev/zero",
    "/dev/full",
    "/dev/random",
    "/dev/urandom",
    "/dev/shm",
    "/dev/pts",
    "/dev/ptmx",
    "/dev/tty",
];

/// The hidden command that applies the rules.
pub(super) const SUBCOMMAND: &str = "sandbox-exec";

/// The exit code for "the sandbox could not be made", as shells use it for "could not be executed".
const CANNOT_EXECUTE: u8 = 126;

/// The rules as the helper gets them.
#[derive(Debug, Serialize, Deserialize)]
struct Rules {
    readable: Vec<PathBuf>,
    writable: Vec<PathBuf>,
    network: bool,
    abi: i32,
}

/// Asks the kernel what it offers.
pub(super) fn supported_abi() -> Result<i32, String> {
    let abi = [ABI::V1, ABI::V2, ABI::V3, ABI::V4, ABI::V5, ABI::V6];
    let works = |abi: &ABI| {
        let ruleset = Ruleset::default()
            .set_compatibility(CompatLevel::HardRequirement)
            .handle_access(AccessFs::from_all(*abi));
        let ruleset = match abi {
            ABI::V4 | ABI::V5 | ABI::V6 => {
                ruleset.and_then(|ruleset| ruleset.handle_access(AccessNet::from_all(*abi)))
            }
            _ => ruleset,
        };
        let ruleset = match abi {
            ABI::V6 => ruleset.and_then(|ruleset| ruleset.scope(Scope::Signal)),
            _ => ruleset,
        };
        ruleset.and_then(Ruleset::create).is_ok()
    };
    abi.into_iter()
        .rev()
        .find(works)
        .map(|abi| abi as i32)
        .ok_or_else(|| "the kernel has no Landlock".to_owned())
}

/// The helper with its rules; the caller adds `--` and the program.
pub(super) fn command(helper: &Path, abi: i32, policy: &Policy) -> Result<Command, Refusal> {
    if !policy.network && abi < 4 {
        return Err(Refusal::Network { abi });
    }
    let mut readable = policy.carved_readable();
    readable.push(PathBuf::from("/proc"));
    let mut writable = policy.writable.clone();
    writable.extend(DEVICES.iter().map(PathBuf::from));
    let rules = Rules { readable, writable, network: policy.network, abi };
    let json = serde_json::to_string(&rules).map_err(Refusal::Policy)?;
    let mut command = Command::new(helper);
    command.args([SUBCOMMAND, "--policy", &json]);
    Ok(command)
}

/// What the hidden command `sandbox-exec --policy JSON -- PROGRAM ARGUMENT…` does; `arguments` are those
/// after `sandbox-exec`. Returns only when it fails.
#[must_use]
pub fn exec_main(arguments: impl IntoIterator<Item = OsString>) -> ExitCode {
    let reason = match restrict_and_exec(arguments.into_iter().collect()) {
        Ok(never) => match never {},
        Err(reason) => reason,
    };
    eprintln!("towpath: the sandbox could not be entered, so the step was not run: {reason}");
    ExitCode::from(CANNOT_EXECUTE)
}

fn restrict_and_exec(arguments: Vec<OsString>) -> Result<std::convert::Infallible, String> {
    let [flag, json, dashes, program, rest @ ..] = arguments.as_slice() else {
        return Err("usage: sandbox-exec --policy JSON -- PROGRAM [ARGUMENT…]".to_owned());
    };
    if flag != "--policy" || dashes != "--" {
        return Err("usage: sandbox-exec --policy JSON -- PROGRAM [ARGUMENT…]".to_owned());
    }
    let json = json.to_str().ok_or("the policy is not UTF-8")?;
    let rules: Rules =
        serde_json::from_str(json).map_err(|error| format!("the policy cannot be read: {error}"))?;
    drop_capabilities().map_err(|error| format!("capabilities cannot be dropped: {error}"))?;
    restrict(&rules).map_err(|error| format!("Landlock refused: {error}"))?;
    let error = Command::new(program).args(rest).exec();
    Err(format!("`{}` cannot be executed: {error}", program.to_string_lossy()))
}

/// Gives up what root may do: a capability to trace others would read `/proc/*/environ` past Landlock.
///
/// The bounding set goes too, because a program that root starts would get everything back from it.
fn drop_capabilities() -> rustix::io::Result<()> {
    let held = capabilities(None)?;
    if held.effective.contains(CapabilitySet::SETPCAP) {
        for capability in CapabilitySet::all().iter() {
            match remove_capability_from_bounding_set(capability) {
                // This kernel does not know it.
                Ok(()) | Err(rustix::io::Errno::INVAL) => {}
                Err(error) => return Err(error),
            }
        }
    }
    let none = CapabilitySet::empty();
    set_capabilities(None, CapabilitySets { effective: none, permitted: none, inheritable: none })
}

fn restrict(rules: &Rules) -> Result<(), landlock::RulesetError> {
    let abi = ABI::from(rules.abi);
    // What was found at the start must hold now: no silent weakening.
    let mut ruleset = Ruleset::default()
        .set_compatibility(CompatLevel::HardRequirement)
        .handle_access(AccessFs::from_all(abi))?;
    if !rules.network {
        ruleset = ruleset.handle_access(AccessNet::BindTcp | AccessNet::ConnectTcp)?;
    }
    if rules.abi >= 6 {
        ruleset = ruleset.scope(Scope::Signal)?.scope(Scope::AbstractUnixSocket)?;
    }
    let mut created = ruleset.create()?;
    let sets = [(&rules.readable, AccessFs::from_read(abi)), (&rules.writable, AccessFs::from_all(abi))];
    for (paths, access) in sets {
        for path in paths {
            // A path that is not there needs no rule.
            let Ok(descriptor) = PathFd::new(path) else { continue };
            let access = if path.is_dir() { access } else { access & AccessFs::from_file(abi) };
            created = created.add_rule(PathBeneath::new(descriptor, access))?;
        }
    }
    created.restrict_self().map(|_status| ())
}
