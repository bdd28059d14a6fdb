//! A Project whose Releases come into production by one step of a canary.

use towpath_engine::PromoteRequest;

use crate::world::{World, key, manager};

/// The document of its Environment, with more lines.
pub fn document(rest: &str) -> String {
    format!(
        "environment: production\nproject: shop\ntarget: {{ hosts: {{ role: web }} }}\nlisten: 127.0.0.1:18080\n{rest}"
    )
}

/// Pushes a version whose step lasts for `step`, and waits for the Release. Says its version.
pub fn seal(world: &mut World, number: u64, step: &str) -> String {
    let route = format!(
        "
name: shop
on: {{ push: {{ branches: [main] }} }}
jobs:
  build: {{ steps: [make], artifacts: {{ shop: {{ files: [shop] }} }} }}
workloads:
  shop: {{ artifact: shop, command: ./shop --port $PORT, health: {{ ready: /ready }} }}
stages:
  - name: production
    environments: [production]
    deploy: {{ strategy: canary, steps: [{{ weight: 50%, for: {step} }}] }}
    analysis: {{ error_rate: {{ max_increase: 5pp, max: 20%, min_requests: 100 }} }}
"
    );
    world.push(&[("towpath.yaml", &route), ("greeting", &number.to_string())]);
    let run = world.ended_run(number);
    run.release.unwrap_or_else(|| panic!("run {number} sealed nothing: {}", run.reason)).version
}

/// Promotes a version by hand.
pub fn promote(world: &World, version: &str, override_quarantine: bool) -> Result<(), String> {
    let request = PromoteRequest {
        environment: key("production"),
        version: version.to_owned(),
        comment: String::new(),
        override_quarantine,
    };
    let done = world.run(world.engine.promote(&request, &manager()));
    done.map(drop).map_err(|error| error.to_string())
}
