//! Durable state: aggregates, timeline and outbox in one transaction.
