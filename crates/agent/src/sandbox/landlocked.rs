//! Confinement by Landlock: this program restricts itself, then becomes the Step's.

use std::path::PathBuf;

use landlock::{
    ABI, Access as _, AccessFs, AccessNet, CompatLevel, Compatible as _, PathBeneath, PathFd, Ruleset,
    RulesetAttr as _, RulesetCreatedAttr as _, Scope,
};
use rustix::thread::{
    CapabilitySet, CapabilitySets, capabilities, remove_capability_from_bounding_set, set_capabilities,
};
use serde::{Deserialize, Serialize};

use crate::sandbox::Policy;

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

/// What may be touched.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Rules {
    pub(super) abi: i32,
    pub(super) readable: Vec<PathBuf>,
    pub(super) writable: Vec<PathBuf>,
    /// Whether TCP is allowed.
    pub(super) network: bool,
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

/// The rules where Landlock stands alone.
pub(super) fn alone(abi: i32, policy: &Policy) -> Rules {
    let mut readable = policy.carved_for_landlock();
    readable.push(PathBuf::from("/proc"));
    readable.extend(policy.scripts.clone());
    let mut writable = policy.writable.clone();
    writable.extend(DEVICES.iter().map(PathBuf::from));
    Rules { abi, readable, writable, network: policy.network }
}

/// The rules inside bubblewrap, which has left out what must not be read.
pub(super) fn inside_bubblewrap(abi: i32, policy: &Policy) -> Rules {
    let mut writable = policy.writable.clone();
    writable.extend(["/tmp", "/dev"].map(PathBuf::from));
    Rules { abi, readable: vec![PathBuf::from("/")], writable, network: policy.network }
}

/// Gives up what root may do: a capability to trace others would read `/proc/*/environ` past Landlock.
///
/// The bounding set goes too, because a program that root starts would get everything back from it.
pub(super) fn drop_capabilities() -> rustix::io::Result<()> {
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

/// Restricts this process and all that it becomes or starts.
pub(super) fn restrict(rules: &Rules) -> Result<(), landlock::RulesetError> {
    let abi = ABI::from(rules.abi);
    // What was found at the start must hold now: no silent weakening.
    let mut ruleset = Ruleset::default()
        .set_compatibility(CompatLevel::HardRequirement)
        .handle_access(AccessFs::from_all(abi))?;
    if !rules.network && rules.abi >= 4 {
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
