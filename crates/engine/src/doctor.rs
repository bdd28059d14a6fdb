//! What a person should look at before it bites.

use std::collections::BTreeMap;

use towpath_model::environment::Environment;
use towpath_model::pipeline::{Gate, SelfApproval};
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
        let Gate::Approval(gate) = gate else { continue };
        let project = &environment.key.project;
        let people: usize =
            gate.by.iter().map(|by| approvers.get(&format!("{project}/{by}")).copied().unwrap_or(0)).sum();
        let wanted = gate.count as usize;
        let subject = format!("approval for {}", environment.key);
        let who = gate.by.join(" or ");
        if people < wanted {
            findings.push(problem(
                &subject,
                &format!("it takes {wanted} of {who}, and there are {people}: nobody can open this gate"),
                "give the role to more people (`towpath user grant`), or change the document (`towpath apply`)",
            ));
        } else if people == wanted && gate.self_approval == SelfApproval::Deny {
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
    let labels = &environment.policy.document.target.hosts;
    let found = agents.iter().any(|(agent, connected)| *connected && agent.deployer && agent.has(labels));
    if !found {
        let labels: Vec<String> = labels.iter().map(|(name, value)| format!("{name}={value}")).collect();
        findings.push(problem(
            &format!("hosts of {}", environment.key),
            &format!("no connected deploy agent has the labels {}", labels.join(", ")),
            "start an agent with these labels, or change `target.hosts` in the document",
        ));
    }
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
