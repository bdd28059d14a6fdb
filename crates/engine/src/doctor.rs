//! What a person should look at before it bites.

use std::collections::BTreeMap;

use towpath_model::environment::Environment;
use towpath_model::pipeline::SelfApproval;
use towpath_store::core::{environments, kept};

use crate::{Engine, EngineError};

/// How bad it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Weight {
    /// It works.
    Fine,
    /// It will bite.
    Warning,
    /// It bites already.
    Problem,
}

/// One thing that was looked at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// What was looked at.
    pub subject: String,
    /// How bad it is.
    pub weight: Weight,
    /// What was found.
    pub text: String,
    /// What to do; empty where nothing has to be done.
    pub advice: String,
}

impl Engine {
    /// Looks at everything. `approvers` says how many people hold each role or login of a Project (`shop/release-manager`).
    ///
    /// # Errors
    /// When the database fails.
    pub async fn doctor(&self, approvers: &BTreeMap<String, usize>) -> Result<Vec<Finding>, EngineError> {
        let mut findings = Vec::new();
        let agents = self.agents().await?;
        let runners = agents.iter().filter(|(agent, connected)| *connected && agent.runner).count();
        findings.push(if runners > 0 {
            fine("runners", format!("{runners} connected"))
        } else {
            problem(
                "runners",
                "no agent takes jobs, so every Run waits",
                "start one: `towpath agent run`, or `serve` without `--no-agent`",
            )
        });
        let engines = agents.iter().filter(|(_, connected)| *connected);
        let engines: Vec<&str> = engines
            .filter_map(|(agent, _)| agent.labels.get("container_engine").map(String::as_str))
            .collect();
        if runners > 0 {
            findings.push(if engines.is_empty() {
                fine(
                    "containers",
                    "no agent has Docker or Podman; a job with an `image` would wait for one".to_owned(),
                )
            } else {
                fine("containers", format!("{} connected with {}", engines.len(), engines.join(", ")))
            });
        }
        for (agent, connected) in &agents {
            if *connected && agent.runner {
                findings.extend(confinement(&agent.hostname, &agent.labels));
            }
            if !connected {
                let text = format!("not heard of since {:.0}", agent.seen_at);
                findings.push(problem(
                    &format!("agent {}", agent.hostname),
                    &text,
                    "look at its host; its Instances go on, but nobody watches them",
                ));
            }
        }
        let gateways = self.gateways().await?;
        let now = self.now();
        let fresh =
            gateways.iter().filter(|gateway| now.duration_since(gateway.seen_at).as_secs() < 60).count();
        findings.push(if fresh > 0 {
            fine("gateways", format!("{fresh} connected"))
        } else {
            problem(
                "gateways",
                "none is connected, so no split can be changed",
                "`towpath serve` starts one; look at its log in the data directory",
            )
        });
        let mut reader = self.db().reader().await?;
        let all = environments::all(&mut reader, None).await?;
        let week = now.saturating_sub(jiff::SignedDuration::from_hours(7 * 24)).unwrap_or(now);
        let differing = kept::differing(&mut reader, week).await?;
        drop(reader);
        findings.extend(differing.iter().map(|used| {
            let step = used.step.map_or(0, |step| step + 1);
            Finding {
                subject: format!("step {step} of {} {}", used.project, used.job),
                weight: Weight::Warning,
                text: format!(
                    "it is not deterministic: with the same inputs it made other outputs: {}",
                    used.why
                ),
                advice: "name everything that it reads under `inputs`, or take `inputs` away".to_owned(),
            }
        }));
        for environment in &all {
            approvals(environment, approvers, &mut findings);
            hosts(environment, &agents, &mut findings);
        }
        findings.sort_by_key(|finding| std::cmp::Reverse(finding.weight));
        Ok(findings)
    }
}

fn approvals(environment: &Environment, approvers: &BTreeMap<String, usize>, findings: &mut Vec<Finding>) {
    for gate in &environment.policy.document.gates {
        let Some((by, count)) = gate.people() else { continue };
        let project = &environment.key.project;
        let people: usize =
            by.iter().map(|by| approvers.get(&format!("{project}/{by}")).copied().unwrap_or(0)).sum();
        let wanted = count as usize;
        let what = if gate.approval().is_some() { "approval" } else { "hold" };
        let subject = format!("{what} for {}", environment.key);
        let who = by.join(" or ");
        let denied = gate.approval().is_some_and(|gate| gate.self_approval == SelfApproval::Deny);
        if people < wanted {
            findings.push(problem(
                &subject,
                &format!("it takes {wanted} of {who}, and there are {people}: nobody can open this gate"),
                "give the role to more people (`towpath user grant`), or change the document (`towpath apply`)",
            ));
        } else if people == wanted && denied {
            findings.push(Finding {
                subject,
                weight: Weight::Warning,
                text: format!("it takes {wanted} of {who}, there are just {people}, and who made a change cannot approve it"),
                advice: "give the role to one more person, or say `self_approval: allow` in the document on purpose".to_owned(),
            });
        }
    }
}

fn hosts(
    environment: &Environment,
    agents: &[(towpath_store::core::agents::Agent, bool)],
    findings: &mut Vec<Finding>,
) {
    let target = &environment.policy.document.target;
    let there = |labels: &BTreeMap<String, String>| {
        agents.iter().any(|(agent, connected)| *connected && agent.deployer && agent.has(labels))
    };
    if there(&target.labels()) {
        return;
    }
    let labels: Vec<String> = target.hosts.iter().map(|(name, value)| format!("{name}={value}")).collect();
    let subject = format!("hosts of {}", environment.key);
    findings.push(if target.docker.is_some() && there(&target.hosts) {
        problem(
            &subject,
            "no connected deploy agent for it has a container engine, and its Instances are containers",
            "install Docker on its hosts (`apt install docker.io`), let the agent's user use the socket, and start the agent anew",
        )
    } else {
        problem(
            &subject,
            &format!("no connected deploy agent has the labels {}", labels.join(", ")),
            "start an agent with these labels, or change `target` in the document",
        )
    });
}

/// What an agent confines Jobs with, from the labels that it gives itself, and what it lacks.
fn confinement(host: &str, labels: &BTreeMap<String, String>) -> Vec<Finding> {
    let label = |name: &str| labels.get(name).map_or("", String::as_str);
    let subject = format!("isolation on {host}");
    let lacks: Vec<(&str, &str, Weight)> = [
        (label("sandbox") == "host").then_some((
            "jobs run unconfined",
            "install bubblewrap on it (`apt install bubblewrap`) and start it without --allow-unsandboxed",
            Weight::Problem,
        )),
        (label("sandbox") == "landlock").then_some((
            "bubblewrap does not work there, so jobs see the host's processes",
            "install it (`apt install bubblewrap`); on Ubuntu allow it user namespaces with an AppArmor profile, in a container \
             with fewer restrictions",
            Weight::Warning,
        )),
        (label("nesting") == "filtered").then_some((
            "its bubblewrap cannot forbid nested user namespaces, only the filter of system calls does",
            "install bubblewrap 0.8 or newer",
            Weight::Warning,
        )),
        label("landlock").parse().map_or(label("landlock") == "none", |abi: u32| abi < 6).then_some((
            "its kernel's Landlock cannot keep jobs from abstract sockets of the host",
            "run Linux 6.12 or newer with `landlock` in CONFIG_LSM",
            Weight::Warning,
        )),
        (label("seccomp") == "none").then_some((
            "system calls are not filtered",
            "run a kernel with CONFIG_SECCOMP_FILTER on x86-64, ARM64 or RISC-V",
            Weight::Warning,
        )),
        (label("cgroup") == "none").then_some((
            "there are no control groups, so limits of memory hold for each process only and `limits.cpu` is refused",
            "run the agent as root or as a service with `Delegate=yes`",
            Weight::Warning,
        )),
    ]
    .into_iter()
    .flatten()
    .collect();
    let mut findings: Vec<Finding> = lacks
        .into_iter()
        .map(|(text, advice, weight)| Finding {
            subject: subject.clone(),
            weight,
            text: text.to_owned(),
            advice: advice.to_owned(),
        })
        .collect();
    if findings.is_empty() && !label("sandbox").is_empty() {
        let layers =
            ["sandbox", "landlock", "seccomp", "cgroup"].map(|name| format!("{name} {}", label(name)));
        findings.push(fine(&subject, layers.join(", ")));
    }
    findings
}

fn fine(subject: &str, text: String) -> Finding {
    Finding { subject: subject.to_owned(), weight: Weight::Fine, text, advice: String::new() }
}

fn problem(subject: &str, text: &str, advice: &str) -> Finding {
    Finding {
        subject: subject.to_owned(),
        weight: Weight::Problem,
        text: text.to_owned(),
        advice: advice.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(labels: &[(&str, &str)]) -> Vec<(Weight, String)> {
        let labels = labels.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        confinement("web-1", &labels).into_iter().map(|finding| (finding.weight, finding.text)).collect()
    }

    #[test]
    fn says_which_layers_are_there_and_which_are_missing() {
        let all = [
            ("sandbox", "bubblewrap"),
            ("nesting", "forbidden"),
            ("landlock", "6"),
            ("seccomp", "yes"),
            ("cgroup", "v2"),
        ];
        assert_eq!(
            check(&all),
            [(Weight::Fine, "sandbox bubblewrap, landlock 6, seccomp yes, cgroup v2".to_owned())]
        );
        let poor = [("sandbox", "landlock"), ("landlock", "3"), ("seccomp", "none"), ("cgroup", "none")];
        let found = check(&poor);
        assert_eq!(found.len(), 4, "{found:?}");
        assert!(found.iter().all(|(weight, _)| *weight == Weight::Warning), "{found:?}");
        let none = check(&[("sandbox", "host"), ("landlock", "6"), ("seccomp", "yes"), ("cgroup", "v2")]);
        assert_eq!(none, [(Weight::Problem, "jobs run unconfined".to_owned())]);
        // An agent of an older version says nothing of it.
        assert_eq!(check(&[]), []);
    }
}
