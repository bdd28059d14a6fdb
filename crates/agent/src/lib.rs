//! Runs Steps, streams logs, deploys and supervises Instances.
