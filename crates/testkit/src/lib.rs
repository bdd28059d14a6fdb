//! What tests share: clock, agents, load, browsers and fleets of processes.
