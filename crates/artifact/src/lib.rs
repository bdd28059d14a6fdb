//! Content store, OCI manifests, Releases, signatures and certificates.
